"""Snowflake from end to end: the console script, with the real connector and the real dbt-snowflake, on an emulated account.

One story over two schemas: the 20th, 22nd and 23rd in order, the 21st late, a table held back on the 22nd and let in, the 23rd
cloned again. What it cost is told by the account's own log.
"""

import collections
import csv
import dataclasses
import datetime as dt
import io
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlglot
from sqlglot import exp

from history_assets.location import build_definitions
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.log import Statement
from tests.stories.account import Account, Typed
from tests.stories.test_snowflake_together import DONE, Shop

SYNCED = '"_FIVETRAN_SYNCED" timestamp_tz'
STAMP = "'2026-10-19 19:00:00 +00:00'::timestamp_tz"
CRM = (
    f"create table ACCOUNT (ACCOUNT_ID number(38,0) primary key, LABEL varchar, AMOUNT number(12,2), RATE float, "
    f"EXTRA variant, {SYNCED})",
    f"insert into ACCOUNT select 1, 'Ann', 1.5, 'nan'::float, parse_json('{{\"b\":1,\"a\":[null,\"it''s\"]}}'), {STAMP} "
    f"union all select 2, 'Bob', null, 1e300, null, {STAMP}",
    f"create table KEYLESS (LABEL varchar, BYTES binary, {SYNCED})",
    f"insert into KEYLESS select 'same', to_binary('00ff','hex'), {STAMP} "
    f"union all select 'same', to_binary('00ff','hex'), {STAMP}",
    f"create table CODES (CODE_ID number(38,0) primary key, CODE number(9,0), {SYNCED})",
    f"insert into CODES select 1, 7, {STAMP} union all select 2, null, {STAMP}",
)
SHOP = (
    f'create table "order ""line""" ("line no" number(38,0), "sélect" varchar, {SYNCED}, primary key ("line no"))',
    f'insert into "order ""line""" select 1, \'a\', {STAMP} '
    f"union all select 2, 'b', {STAMP} union all select 3, 'c', {STAMP}",
)
LANDED: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "2026-10-19T20:00": (CRM, SHOP),
    "2026-10-20T20:00": (
        ("update ACCOUNT set LABEL = 'Bobby' where ACCOUNT_ID = 2", "insert into KEYLESS (LABEL) select 'new'"),
        ('update "order ""line""" set "sélect" = \'B\' where "line no" = 2',),
    ),
    "2026-10-21T20:00": (
        (
            "delete from ACCOUNT where ACCOUNT_ID = 1",
            "alter table ACCOUNT add column NOTE varchar",
            f"insert into ACCOUNT select 3, 'Cas', 0.01, -2.25, null, {STAMP}, 'x'",
            "delete from KEYLESS where LABEL = 'same'",
            "drop table CODES",
            f"create table CODES (CODE_ID number(38,0) primary key, CODE varchar, {SYNCED})",
            f"insert into CODES select 1, 'seven', {STAMP} union all select 2, null, {STAMP}",
        ),
        ('delete from "order ""line"""',),
    ),
    "2026-10-22T20:00": (
        ("update ACCOUNT set AMOUNT = 12.34 where ACCOUNT_ID = 3",),
        (f'insert into "order ""line""" select 1, \'a\', {STAMP} union all select 4, \'d\', {STAMP}',),
    ),
}
EMPTY = (
    'found no rows in web shop.order "line" on 2026-10-22, expected some, since the night before had 3: correct it at the '
    "source, or run 2026-10-22 again allowing empty"
)
SCHEMAS = ("CRM", "web shop")
LINES = 'web shop.order "line"'
TABLES = ("CRM.ACCOUNT", "CRM.CODES", "CRM.KEYLESS", LINES)
EXTRA = '{"a":[null,"it\'s"],"b":1}'
NIGHTS = {"first": 20, "second": 22, "third": 23, "late": 21, "released": 22, "again": 22, "recloned": 23}


@dataclasses.dataclass(frozen=True)
class Moment:
    """What a command said, and what every history and the ledger were after it."""

    typed: Typed
    histories: Mapping[str, list[tuple[Any, ...]]]
    ledger: Mapping[str, list[tuple[Any, ...]]]


class Snowflake:
    """The story as it is played."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.moments: dict[str, Moment] = {}

    def land(self, at: str, crm: Sequence[str], shop: Sequence[str]) -> None:
        self.account.emulator.land("RAW.CRM", at, *crm)
        self.account.emulator.land('RAW."web shop"', at, *shop)

    def type(self, moment: str, *words: str) -> None:
        typed = self.account.type(*words)
        known = self.account.emulator.catalog.databases["HISTORY"].schemas.values()
        names = {
            (schema.name, table)
            for schema in known
            for table in schema.tables
            if schema.name in ("CRM", "web shop") and schema.tables[table].kind == "TABLE"
        }
        quoted = {f"{schema}.{table}": '"{}"."{}"'.format(schema, table.replace('"', '""')) for schema, table in names}
        histories = {name: self.account.history(table) for name, table in quoted.items()}
        self.moments[moment] = Moment(typed, histories, self.account.ledger() if histories else {})


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snowflake]:
    """Play it all."""
    with Emulator() as emulator:
        story = Snowflake(Account(emulator, tmp_path_factory.mktemp("snowflake") / "home"))
        for schema in ("CRM", '"web shop"'):
            emulator.run(f"create schema RAW.{schema} data_retention_time_in_days = 90", at="2026-10-01")
        for at, (crm, shop) in LANDED.items():
            story.land(at, crm, shop)
        story.account.set_up()
        story.type("doctor", "doctor")
        story.type("refresh", "refresh")
        story.type("first", "run", "--date", "2026-10-20")
        story.type("second", "run", "--date", "2026-10-22")
        story.type("third", "run", "--date", "2026-10-23")
        story.type("late", "run", "--date", "2026-10-21")
        story.type("released", "run", "--date", "2026-10-22", "--allow", "empty")
        story.type("again", "run", "--date", "2026-10-22")
        # Fivetran's log might have told of a later end of the last sync.
        story.land("2026-10-22T21:00", ("update ACCOUNT set LABEL = 'Cass' where ACCOUNT_ID = 3",), ())
        story.type("recloned", "run", "--date", "2026-10-23", "--reclone", "--schema", "CRM")
        story.type("verify", "verify")
        story.type("as_of", "as-of", "CRM.ACCOUNT", "2026-10-21", "--format", "csv")
        story.type("as_of_codes", "as-of", "CRM.CODES", "2026-10-22", "--format", "csv")
        yield story


@pytest.fixture(scope="module")
def moments(story: Snowflake) -> Mapping[str, Moment]:
    return story.moments


@pytest.fixture(scope="module")
def log(moments: Mapping[str, Moment]) -> list[Statement]:
    """Every statement of every command."""
    return [statement for moment in moments.values() for statement in moment.typed.log]


def number(value: object) -> object:
    """Return a whole number that Snowflake gave as a decimal one as what it is."""
    return int(value) if isinstance(value, Decimal) and value == int(value) else repr(value) if value != value else value


def rows(moment: Moment, table: str) -> list[tuple[object, ...]]:
    return sorted((tuple(number(value) for value in row) for row in moment.histories[table]), key=repr)


# What the commands say, and what comes of them.


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


# What it costs.

CHANGED = ["ALTER SESSION", "SELECT", "BEGIN", "MERGE", "INSERT", "COMMIT"]
"""Statements for a table on the newest night: its tag, the facts, and one transaction."""
CREATED = [*CHANGED[:2], "CREATE TABLE", *CHANGED[2:]]
WIDENED = [*CHANGED[:2], "ALTER TABLE", *CHANGED[2:]]
RETYPED = [*CHANGED[:2], "ALTER TABLE", "SELECT", "ALTER TABLE", "ALTER TABLE", *CHANGED[2:]]
TWO_TYPES = [*CHANGED[:2], "SELECT", *CHANGED[2:]]
QUARANTINED = [*CHANGED[:3], "DELETE", "INSERT", "COMMIT"]
MIDDLE = CREATED
"""For a night that is not the newest: what changes is gathered first, in a temporary table."""
MIDDLE_TYPES = [*CHANGED[:2], "SELECT", "CREATE TABLE", *CHANGED[2:]]
INSTEAD = [*MIDDLE[:-2], "DELETE", *MIDDLE[-2:]]
INSTEAD_TYPES = [*MIDDLE_TYPES[:-2], "DELETE", *MIDDLE_TYPES[-2:]]

FOLDS = {
    "first": dict.fromkeys(TABLES, CREATED),
    "second": {"CRM.ACCOUNT": WIDENED, "CRM.CODES": RETYPED, "CRM.KEYLESS": CHANGED, LINES: QUARANTINED},
    "third": {"CRM.ACCOUNT": CHANGED, "CRM.CODES": TWO_TYPES, "CRM.KEYLESS": CHANGED, LINES: CHANGED},
    "late": {"CRM.ACCOUNT": MIDDLE, "CRM.CODES": MIDDLE_TYPES, "CRM.KEYLESS": MIDDLE, LINES: MIDDLE},
    "released": {LINES: INSTEAD},
    "again": {},
    "recloned": {"CRM.ACCOUNT": INSTEAD, "CRM.CODES": INSTEAD_TYPES, "CRM.KEYLESS": INSTEAD},
}
"""What is sent for each table."""


def folds(log: Sequence[Statement], date: str = r"2026-10-\d\d") -> dict[str, list[str]]:
    """Return the kinds of the statements that were sent for each table on a date, that which sets their tag included."""
    found = collections.defaultdict[str, list[str]](list)
    for statement in log:
        told = re.search(r"query_tag = '(.*?)', ", statement.text)
        tag = re.fullmatch(f"history_assets:fold:(.+):{date}", told[1] if told else statement.tag)
        if tag:
            found[tag[1]].append(statement.kind)
    return dict(found)


@pytest.mark.parametrize("moment", FOLDS)
def test_a_table_takes_six_statements_and_one_more_per_change_of_its_columns(
    moment: str, moments: Mapping[str, Moment]
) -> None:
    """Counted by their tags. One that is folded already takes none."""
    assert folds(moments[moment].typed.log) == FOLDS[moment]


@pytest.mark.slow
def test_a_table_of_900_columns_takes_as_many_statements_as_a_narrow_one(tmp_path: Path) -> None:
    """On the first night, the newest, and one in the middle that comes late."""
    widths = {"NARROW": 2, "WIDE": 900}
    columns = {name: ", ".join(f"C{number} varchar" for number in range(2, width + 1)) for name, width in widths.items()}
    landed = [f"create table {name} (C1 number(38,0) primary key, {columns[name]}, {SYNCED})" for name in widths]
    landed += [f"insert into {name} (C1, C{width}) select 1, 'a' union all select 2, 'a'" for name, width in widths.items()]
    changes = [[f"update {name} set C{width} = '{value}' where C1 = 2" for name, width in widths.items()] for value in "bc"]
    tables = [("SHOP", name) for name in widths]
    with Emulator() as emulator:
        shop = Shop(Account(emulator, tmp_path / "home"), [landed, *changes])
        assert shop.fold(*(shop.night(night, *tables) for night in (0, 2, 1))) == [DONE] * 3
        histories = {name: shop.account.history(f'"SHOP"."{name}"') for name in widths}
        sent = {date: folds(emulator.log, f"2026-10-{date}") for date in ("01", "02", "03")}

    assert sent == {
        date: {f"SHOP.{name}": kinds for name in widths} for date, kinds in {"01": CREATED, "02": MIDDLE, "03": CHANGED}.items()
    }
    assert histories == {
        name: [
            (key, *[None] * (width - 2), *rest)
            for key, *rest in ((1, "a", 1, None), (2, "a", 1, 2), (2, "b", 2, 3), (2, "c", 3, None))
        ]
        for name, width in widths.items()
    }


@pytest.mark.parametrize("moment", ["first", "second", "third", "late"])
def test_a_night_is_one_clone_per_schema_and_as_many_shows_for_each(moment: str, moments: Mapping[str, Moment]) -> None:
    """However many tables there are, and however many of them changed."""
    log = moments[moment].typed.log
    clones = [statement.text for statement in log if re.match(r"CREATE TRANSIENT SCHEMA .* CLONE ", statement.text)]

    assert len(clones) == len(SCHEMAS)
    for schema in SCHEMAS:
        assert sum(f'CLONE "RAW"."{schema}" AT (TIMESTAMP => ' in text for text in clones) == 1
        shows = collections.Counter(
            statement.kind for statement in log if statement.kind.startswith("SHOW") and schema in statement.tag
        )
        # One for its clone; and of one schema, whether its oldest was made by the same cutoff.
        looked_at = 2 if schema == min(SCHEMAS) and moment != "first" else 1
        assert shows == {"SHOW TABLES": 4, "SHOW COLUMNS": 2, "SHOW PRIMARY": 2, "SHOW SCHEMAS": looked_at}, schema


def test_a_night_needs_a_warehouse_for_its_ledger_and_its_tables_alone(moments: Mapping[str, Moment]) -> None:
    """For the ledger and for what is known of raw, some statements a run and none a table; for what is offered in SQL, which is
    noted where columns changed; and for what reads or writes rows of a table. No SHOW, DDL or clone wakes one.
    """
    for moment in NIGHTS:
        needing = [statement for statement in moments[moment].typed.log if statement.needs_warehouse]
        ledger = [statement for statement in needing if statement.tag.startswith("history_assets:ledger::")]
        stamps = [statement for statement in needing if statement.tag == "history_assets:stamps::"]
        others = [statement for statement in needing if not statement.tag.startswith("history_assets:fold:")]
        kinds = {statement.kind for statement in needing if statement.tag.startswith("history_assets:fold:")}
        offered = [statement for statement in others if statement not in ledger + stamps]
        assert len(ledger) <= 7, moment
        assert len(stamps) <= 1, moment
        assert {statement.tag for statement in offered} <= {"history_assets:functions::"}, moment
        assert [statement.kind for statement in offered] in ([], ["SELECT"], ["SELECT", "DELETE", "INSERT"]), moment
        assert kinds <= {"SELECT", "MERGE", "INSERT", "DELETE", "CREATE TABLE"}, moment


def test_doctor_and_refresh_need_no_warehouse(moments: Mapping[str, Moment]) -> None:
    for moment in ("doctor", "refresh"):
        assert [statement.text for statement in moments[moment].typed.log if statement.needs_warehouse] == []


# What every statement is like.


def test_every_statement_bears_a_tag_that_says_what_it_is_for(log: Sequence[Statement]) -> None:
    """That which sets a table's tag still bears the one before it: dbt's session has no other way to set one."""
    assert [statement.text for statement in log if not re.match(r"history_assets:[a-z_]+:[^:]*:", statement.tag)] == []
    untraced = {statement.kind for statement in log if statement.tag == "history_assets:fold::"}
    assert untraced <= {"SHOW SCHEMAS", "CREATE SCHEMA", "CREATE TABLE", "ALTER TABLE", "ALTER SESSION"}


def test_no_name_of_a_source_is_ever_outside_quotes(log: Sequence[Statement]) -> None:
    names = {
        "RAW",
        "CLONES",
        "CRM",
        "WEB",
        "SHOP",
        "ACCOUNT",
        "ACCOUNT_ID",
        "LABEL",
        "RATE",
        "KEYLESS",
        "BYTES",
        "CODES",
        "CODE",
    }
    in_quotes = re.compile(r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*\"""", re.DOTALL)
    for statement in log:
        bare = {word.upper() for word in re.findall(r"\w+", in_quotes.sub(" ", statement.text))}
        assert not bare & names, statement.text


UNPARSED = (
    r'SHOW (FUTURE )?GRANTS TO ROLE "[^"]+"',
    r'CREATE TRANSIENT SCHEMA "CLONES"\."[^"]+" CLONE "RAW"\."[^"]+" AT \(TIMESTAMP => \'[^\']+\'::TIMESTAMP_TZ\) '
    r"IGNORE HYBRID TABLES DATA_RETENTION_TIME_IN_DAYS = 0 COMMENT = \'.*\'",
    r'ALTER SCHEMA "CLONES"\."[^"]+" SET COMMENT = \'.*\'',
    r'ALTER SCHEMA "CLONES"\."[^"]+" RENAME TO "CLONES"\."[^"]+"',
    r'ALTER SCHEMA "CLONES"\."[^"]+" SWAP WITH "CLONES"\."[^"]+"',
)
"""What sqlglot takes whole, since it does not know it; https://docs.snowflake.com/en/sql-reference/sql/create-clone does,
as do alter-schema, show-grants."""


def test_every_statement_parses_as_snowflakes(log: Sequence[Statement]) -> None:
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    for text in {statement.text for statement in log}:
        parsed = sqlglot.parse(text, read="snowflake")
        assert len(parsed) == 1, text
        if isinstance(parsed[0], exp.Command):
            assert any(re.fullmatch(shape, text, re.DOTALL) for shape in UNPARSED), text


def test_the_token_is_nowhere_in_what_the_commands_wrote(story: Snowflake) -> None:
    assert leaks(story, "oauth-token") == []


def leaks(story: Snowflake, secret: str) -> list[str]:
    """Return where a secret stands: in files of the home, Dagster's among them, in what was printed, in statements."""
    found = [str(path) for path in story.account.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    found += [name for name, moment in story.moments.items() if secret in moment.typed.out + moment.typed.err]
    return found + [
        statement.text for moment in story.moments.values() for statement in moment.typed.log if secret in statement.text
    ]


def test_sensors_and_the_schedule_wake_no_warehouse(story: Snowflake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded as Dagster loads them, over the instance that the nights were recorded in; they decide by that, and by SHOW."""
    account = story.account
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    before = len(account.emulator.log)

    definitions = build_definitions(account.settings())
    with dg.DagsterInstance.get() as instance:
        runs = [run for run in instance.get_runs() if run.job_name == "clones"]
        tick = definitions.resolve_schedule_def("nightly")(
            dg.build_schedule_context(instance, scheduled_execution_time=dt.datetime(2026, 10, 24, 1, tzinfo=dt.UTC))
        )
        sensor = definitions.resolve_sensor_def("fold_after_success")
        asked = []
        for run in runs:
            (event,) = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_SUCCESS).records
            context = dg.build_run_status_sensor_context(sensor.name, event.event_log_entry.dagster_event, instance, run)
            asked.append(len(list(sensor(context))))  # type: ignore[call-overload]

    assert [request.partition_key for request in tick] == ["2026-10-24"]  # type: ignore[union-attr]
    assert len(runs) == len(NIGHTS)
    assert set(asked) == {1}
    sent = account.emulator.log[before:]
    assert [statement.kind for statement in sent] == ["SHOW SCHEMAS", "SHOW SCHEMAS"]
    assert not any(statement.needs_warehouse for statement in sent)


@pytest.mark.slow
def test_noticing_drift_needs_no_warehouse(story: Snowflake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the refresh that it leads to. Where nothing was written it is one statement."""
    account = story.account
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    sensor = build_definitions(account.settings(), now=lambda: dt.datetime(2026, 10, 24, tzinfo=dt.UTC)).resolve_sensor_def(
        "drift"
    )

    def tick(cursor: str | None) -> tuple[Any, str | None, list[Statement]]:
        """Return what is asked for, the next cursor, and what was sent."""
        before = len(account.emulator.log)
        with dg.DagsterInstance.get() as instance, dg.build_sensor_context(instance, cursor=cursor) as context:
            return sensor(context), context.cursor, list(account.emulator.log[before:])

    account.type("refresh")  # the nights' refreshes have told nobody
    asked, cursor, first = tick(None)
    again, cursor, second = tick(cursor)
    story.land(
        "2026-10-24T20:00",
        ("alter table ACCOUNT add column FAX varchar", "insert into KEYLESS (LABEL) select 'more'"),
        (f"create table NEW ({SYNCED})",),
    )
    drift, cursor, third = tick(cursor)
    typed = account.type("refresh")
    after, _, fourth = tick(cursor)

    assert (asked, again, after) == (dg.SkipReason("nothing has changed"),) * 3
    assert isinstance(drift, dg.RunRequest)
    assert typed.out.splitlines()[:-1] == ["new column CRM.ACCOUNT.FAX VARCHAR", "new table web shop.NEW (1 column)"]
    assert [statement.kind for statement in second] == ["SHOW TABLES"]
    for log in (first, second, third, typed.log, fourth):
        assert {statement.text.split()[0] for statement in log} == {"SHOW"}
        assert not any(statement.needs_warehouse for statement in log)
