"""Snowflake from end to end: what the commands say, and what comes of them."""

import csv
import io
from collections.abc import Mapping
from decimal import Decimal

import pytest

from tests.stories.snowflake.story import LINES, NIGHTS, Moment, Snowflake

pytestmark = pytest.mark.xdist_group("snowflake")

EMPTY = (
    'found no rows in web shop.order "line" on 2026-10-22, expected some, since the night before had 3: correct it at the '
    "source, or run 2026-10-22 again allowing empty"
)
TABLES = ("CRM.ACCOUNT", "CRM.CODES", "CRM.KEYLESS", LINES)
EXTRA = '{"a":[null,"it\'s"],"b":1}'


def number(value: object) -> object:
    """Return a whole number that Snowflake gave as a decimal one as what it is."""
    return int(value) if isinstance(value, Decimal) and value == int(value) else repr(value) if value != value else value


def rows(moment: Moment, table: str) -> list[tuple[object, ...]]:
    return sorted((tuple(number(value) for value in row) for row in moment.histories[table]), key=repr)


def test_what_the_setup_script_sets_up_is_all_that_doctor_asks_for(moments: Mapping[str, Moment]) -> None:
    typed = moments["doctor"].typed

    assert (typed.code, typed.err) == (0, "")
    assert [line for line in typed.out.splitlines() if not line.startswith("ok ")] == []
    assert 'Time Travel of 3 tables in SCHEMA "RAW"."CRM"' in typed.out


def test_refresh_finds_the_tables(moments: Mapping[str, Moment]) -> None:
    typed = moments["refresh"].typed

    assert (typed.code, typed.err) == (0, "")
    *drift, counts = typed.out.splitlines()
    assert drift == ["new schema CRM with 3 tables", "new schema web shop with 1 table"]
    assert counts.startswith("2 schemas, 4 tables; project changed: ")


@pytest.mark.parametrize("moment", [moment for moment in NIGHTS if moment not in ("second", "recloned")])
def test_a_night_is_cloned_and_folded(moment: str, moments: Mapping[str, Moment]) -> None:
    typed = moments[moment].typed

    assert (typed.code, typed.err) == (0, "")
    assert typed.out == f"2026-10-{NIGHTS[moment]}: 2 of 2 schemas cloned, 4 of 4 tables folded\n"


def test_the_first_night_opens_every_row(moments: Mapping[str, Moment]) -> None:
    first = moments["first"]

    assert {table: rows(first, table) for table in TABLES} == {
        "CRM.ACCOUNT": [(1, "Ann", Decimal("1.50"), "nan", EXTRA, 20, None), (2, "Bob", None, 1e300, None, 20, None)],
        "CRM.CODES": [(1, 7, 20, None), (2, None, 20, None)],
        "CRM.KEYLESS": [("same", b"\x00\xff", 20, None), ("same", b"\x00\xff", 20, None)],
        LINES: [(1, "a", 20, None), (2, "b", 20, None), (3, "c", 20, None)],
    }
    assert first.ledger == {
        table: [(20, "applied", len(first.histories[table]), len(first.histories[table]), 0, None)] for table in TABLES
    }


def test_a_table_that_is_held_back_stays_as_it_was_and_the_others_land(moments: Mapping[str, Moment]) -> None:
    """The run says why, and ends with 1."""
    second = moments["second"]

    assert second.typed.code == 1
    assert second.typed.out == "2026-10-22: 2 of 2 schemas cloned, 3 of 4 tables folded\n"
    assert second.typed.err == f"error: 1 of 4 tables were not folded: {EMPTY}\n"
    assert rows(second, LINES) == rows(moments["first"], LINES)
    assert second.ledger[LINES] == [(20, "applied", 3, 3, 0, None), (22, "quarantined", 0, 0, 0, EMPTY)]
    assert rows(second, "CRM.KEYLESS") == [
        ("new", None, 22, None),
        ("same", b"\x00\xff", 20, 22),
        ("same", b"\x00\xff", 20, 22),
    ]


def test_a_column_whose_type_changes_has_a_column_per_family(moments: Mapping[str, Moment], story: Snowflake) -> None:
    columns, _ = story.account.whole('"CRM"."CODES"')

    assert [name for name in columns if name.startswith("CODE")] == ["CODE_ID", "CODE__as_NUMBER_0", "CODE"]
    assert rows(moments["second"], "CRM.CODES") == [
        (1, 7, None, 20, 22),
        (1, None, "seven", 22, None),
        (2, None, None, 20, None),
    ]


def test_a_night_that_comes_late_is_folded_into_the_middle(moments: Mapping[str, Moment]) -> None:
    before, late = moments["third"], moments["late"]

    assert rows(before, "CRM.ACCOUNT") == [
        (1, "Ann", Decimal("1.50"), "nan", EXTRA, None, 20, 22),
        (2, "Bob", None, 1e300, None, None, 20, 22),
        (2, "Bobby", None, 1e300, None, None, 22, None),
        (3, "Cas", Decimal("0.01"), -2.25, None, "x", 22, 23),
        (3, "Cas", Decimal("12.34"), -2.25, None, "x", 23, None),
    ]
    assert {table: rows(late, table) for table in TABLES} == {
        "CRM.ACCOUNT": [
            (1, "Ann", Decimal("1.50"), "nan", EXTRA, None, 20, 22),
            (2, "Bob", None, 1e300, None, None, 20, 21),
            (2, "Bobby", None, 1e300, None, None, 21, None),
            (3, "Cas", Decimal("0.01"), -2.25, None, "x", 22, 23),
            (3, "Cas", Decimal("12.34"), -2.25, None, "x", 23, None),
        ],
        "CRM.CODES": rows(before, "CRM.CODES"),
        "CRM.KEYLESS": [("new", None, 21, None), ("same", b"\x00\xff", 20, 22), ("same", b"\x00\xff", 20, 22)],
        LINES: [
            (1, "a", 20, None),
            (2, "B", 21, 23),
            (2, "b", 20, 21),
            (3, "c", 20, 23),
            (4, "d", 23, None),
        ],
    }


def test_a_held_back_night_is_let_in_by_its_gates_name(moments: Mapping[str, Moment]) -> None:
    """It falls between nights that were applied, and the ledger forgets that it was held back."""
    released = moments["released"]

    assert rows(released, LINES) == [
        (1, "a", 20, 22),
        (1, "a", 23, None),
        (2, "B", 21, 22),
        (2, "b", 20, 21),
        (3, "c", 20, 22),
        (4, "d", 23, None),
    ]
    assert released.ledger[LINES] == [
        (20, "applied", 3, 3, 0, None),
        (21, "applied", 3, 1, 1, None),
        (22, "applied", 0, 0, 3, None),
        (23, "applied", 2, 1, 2, None),
    ]
    assert {table: rows(released, table) for table in TABLES[:3]} == {
        table: rows(moments["late"], table) for table in TABLES[:3]
    }


def test_a_night_run_again_changes_nothing(moments: Mapping[str, Moment]) -> None:
    assert {table: rows(moments["again"], table) for table in TABLES} == {
        table: rows(moments["released"], table) for table in TABLES
    }
    assert moments["again"].ledger == moments["released"].ledger


def test_a_date_cloned_again_becomes_what_the_new_clone_says(moments: Mapping[str, Moment]) -> None:
    before, recloned = moments["again"], moments["recloned"]

    assert recloned.typed.out == "2026-10-23: 1 of 1 schemas cloned, 3 of 3 tables folded\n"
    assert rows(recloned, "CRM.ACCOUNT")[-2:] == [
        (3, "Cas", Decimal("0.01"), -2.25, None, "x", 22, 23),
        (3, "Cass", Decimal("12.34"), -2.25, None, "x", 23, None),
    ]
    assert rows(recloned, "CRM.ACCOUNT")[:-1] == rows(before, "CRM.ACCOUNT")[:-1]
    assert {table: rows(recloned, table) for table in TABLES[1:]} == {table: rows(before, table) for table in TABLES[1:]}


def test_verify_proves_every_table_on_every_night(moments: Mapping[str, Moment]) -> None:
    typed = moments["verify"].typed

    assert (typed.code, typed.out, typed.err) == (0, "16 of 16 table-nights are exact\n", "")


def test_as_of_shows_a_days_own_columns_and_values(moments: Mapping[str, Moment]) -> None:
    """Of a column that changed its type, the type of that day."""
    accounts = list(csv.reader(io.StringIO(moments["as_of"].typed.out)))
    codes = list(csv.reader(io.StringIO(moments["as_of_codes"].typed.out)))

    assert accounts[0] == ["ACCOUNT_ID", "LABEL", "AMOUNT", "RATE", "EXTRA", "_FIVETRAN_SYNCED"]
    assert sorted(accounts[1:]) == [
        ["1", "Ann", "1.50", "nan", EXTRA, "2026-10-19 19:00:00.000000Z"],
        ["2", "Bobby", "", "1e+300", "", "2026-10-19 19:00:00.000000Z"],
    ]
    assert codes[0] == ["CODE_ID", "CODE", "_FIVETRAN_SYNCED"]
    assert sorted(row[:2] for row in codes[1:]) == [["1", "seven"], ["2", ""]]
