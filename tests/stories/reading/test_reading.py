"""Reading a history from Python: what a day was, what has changed since, what a key ever was."""

import collections
import datetime as dt
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from history_assets.errors import HistoryMissingError
from history_assets.history import History
from tests.stories.reading.story import DAYS, LAST_MOMENT, TABLES, Row, ask, cutoff, date, rows_of, same, seen

pytestmark = pytest.mark.xdist_group("reading")


def test_tables_and_dates_are_those_that_can_be_read(history: History) -> None:
    assert history.tables() == sorted(f"crm.{name}" for name in TABLES)
    assert history.dates("crm.account") == [date(day) for day in DAYS]
    assert history.dates("crm.contact") == [date(day) for day in DAYS if day != 5]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_as_of_a_day_is_what_was_landed(history: History, name: str) -> None:
    for day in DAYS:
        state = TABLES[name][day]
        if state is None:
            with pytest.raises(HistoryMissingError, match="cloned then without it"):
                history.as_of(f"crm.{name}", date(day))
            continue
        for deleted in (False, True):
            found = history.as_of(f"crm.{name}", date(day), deleted=deleted)
            assert found.column_names == [*state.columns, "_fivetran_synced"]
            assert same(rows_of(found), seen(name, day, deleted=deleted))


@pytest.mark.parametrize(
    ("when", "day"),
    [
        ("2026-10-03", 3),
        (dt.date(2026, 10, 3), 3),
        (dt.datetime(2026, 10, 3, tzinfo=dt.UTC), 3),
        (dt.datetime(2026, 10, 2, 23, 59, 59, 999999, tzinfo=dt.UTC), 2),
        ("2026-10-04T12:00:00+00:00", 3),
        ("2026-10-05T01:00:00+02:00", 3),
        ("2026-10-05T02:00:00+02:00", 5),
        (LAST_MOMENT, 8),
    ],
)
def test_an_instant_means_the_newest_night_until_then(history: History, when: Any, day: int) -> None:
    assert same(rows_of(history.as_of("crm.account", when)), seen("account", day))


def test_columns_and_filters_are_as_asked(history: History) -> None:
    found = history.as_of("crm.account", "2026-10-02", columns=["value", "ID"], where={"id": [1, 2, 3], "later": 3})
    assert found.column_names == ["value", "id"]
    wanted = [row for row in seen("account", 2) if row["id"] in (1, 2, 3) and row["later"] == 3]
    assert same(rows_of(found), [{"value": row["value"], "id": row["id"]} for row in wanted])
    for value, kept in {None: [None], (None, 1): [None, 1, 1]}.items():
        rows = history.as_of("crm.keyless", "2026-10-05", where={"n": value})
        assert collections.Counter(rows["n"].to_pylist()) == collections.Counter(kept)
    assert history.as_of("crm.contact", "2026-10-06", columns=["id"], where={"value": "'; drop table x"}).num_rows == 0
    assert history.as_of("crm.keyless", "2026-10-05", where={"n": []}).num_rows == 0


@pytest.mark.parametrize("name", TABLES)
def test_changes_lead_from_one_day_to_the_other(history: History, name: str) -> None:
    """What is closed and opened, or was and is changed, is just what the days do not share."""
    for since in DAYS:
        for until in [day for day in DAYS if day >= since]:
            old, new = TABLES[name][since], TABLES[name][until]
            if old is None and new is None:
                continue
            found = history.changes(f"crm.{name}", date(since), date(until))
            mine = [changed_row(row) for row in found.to_pylist()]
            before, after = (collections.Counter(map(plain_row, seen(name, day))) for day in (since, until))
            assert collections.Counter(row for _, side, row in mine if side == "old") == before - after
            assert collections.Counter(row for _, side, row in mine if side == "new") == after - before
            assert {(change, side) for change, side, _ in mine} <= {
                ("closed", "old"),
                ("opened", "new"),
                ("changed", "old"),
                ("changed", "new"),
            }
            if name != "keyless" and old and new:
                keys = collections.defaultdict(list)
                for change, side, row in mine:
                    keys[dict(row)["id"]].append((change, side))
                gone, come = (dict.fromkeys(row["id"] for row in seen(name, day)) for day in (since, until))
                for key, said in keys.items():
                    both = [("changed", "old"), ("changed", "new")]
                    assert said == (
                        both if key in gone and key in come else [("closed", "old")] if key in gone else [("opened", "new")]
                    )


def plain_row(row: Row) -> frozenset[tuple[str, Any]]:
    return frozenset((name, value) for name, value in row.items() if value is not None)


def changed_row(row: Row) -> tuple[str, str, frozenset[tuple[str, Any]]]:
    helpers = ("_change", "_side", "dbt_valid_from", "dbt_valid_to", "_fivetran_synced")
    values = {name.partition("__as_")[0]: value for name, value in row.items() if name not in helpers and value is not None}
    return row["_change"], row["_side"], frozenset(values.items())


@pytest.mark.parametrize("name", [name for name in TABLES if name != "keyless"])
def test_the_versions_of_a_key_say_what_it_was_on_every_day(history: History, name: str) -> None:
    for key in range(7):
        found = history.versions(f"crm.{name}", key).to_pylist()
        assert found == history.versions(f"crm.{name}", {"id": key}).to_pylist()
        assert [row["dbt_valid_from"] for row in found] == sorted(row["dbt_valid_from"] for row in found)
        for day in DAYS:
            valid = [
                row
                for row in found
                if row["dbt_valid_from"] <= cutoff(day) and not (row["dbt_valid_to"] and row["dbt_valid_to"] <= cutoff(day))
            ]
            state = TABLES[name][day]
            wanted = [plain_row(row) for row in (state.rows if state else ()) if row["id"] == key]
            assert [changed_row({"_change": "", "_side": ""} | row)[2] for row in valid] == wanted


def test_pandas_values_and_frames_are_taken_as_what_they_hold(history: History) -> None:
    """However they came to be: an index that filtering has left is no column, an array is a list."""
    ids = pd.Series([1, 2, 1])
    plain = history.as_of("crm.account", "2026-10-03", where={"id": [1, 2]}).to_pylist()
    for values in (ids, ids.unique(), pa.array([1, 2])):
        assert by_id(history.as_of("crm.account", "2026-10-03", where={"id": values})) == sorted(
            plain, key=lambda row: row["id"]
        )
    for value in (ids[0], pa.array(ids)[0]):
        one = history.as_of("crm.account", "2026-10-03", where={"id": value}).to_pylist()
        assert one == [row for row in plain if row["id"] == 1]
    assert history.versions("crm.account", pa.array(ids)[0]).equals(history.versions("crm.account", 1))

    spine = pd.DataFrame({"id": [0, 1, 2], "at": [cutoff(3)] * 3})
    assert ask(history, spine[spine["id"] > 0]).equals(ask(history, pa.table({"id": [1, 2], "at": [cutoff(3)] * 2})))


def by_id(found: pa.Table) -> list[dict[str, object]]:
    return sorted(found.to_pylist(), key=lambda row: row["id"])
