"""Names that try to be more than that, on an emulated Snowflake: each is exact or refused by name, no other table is touched.

The emulator parses every one of these names: none is left out for its sake.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from history_assets.history import History
from history_assets.naming import quote, refusal
from history_assets.terminal import legible
from history_assets.verification import verify
from tests.fakes.snowflake.emulator import Emulator
from tests.stories.account import Account, Typed
from tests.stories.test_hostile import PIECES

pytestmark = pytest.mark.slow

DATE = "2026-10-20"
OWN_PIECES = (
    "a.b",
    '"',
    '"CRM"."ACCOUNT"',
    "\\'; drop table ACCOUNT; --",
    "\\",
    "$$; drop table ACCOUNT; $$",
    "ACCOUNT; --",
    "/* ACCOUNT",
    "?, :1, %(x)s, &x",
    "@~/pwned",
    "account",
    "Account",
    "identifier('ACCOUNT')",
    "x__20261019",
)
"""What Snowflake's own statements are made of, and names that differ from another's in case or white space alone."""

TABLES = (*PIECES, *OWN_PIECES)
SCHEMAS = (
    "x'; drop schema CRM; --",
    'a"."b',
    "{{ env_var('HOME') }}",
    "two\nlines",
    "crm",
    "CRM__20261020",
    "\\', \\\\",
    "$$; drop schema CRM; $$",
    "\tCRM",
)
STAMPED = '"_FIVETRAN_SYNCED" timestamp_tz'
NAMED = [("CRM", "ACCOUNT"), *(("CRM", name) for name in TABLES), *((name, "T") for name in SCHEMAS)]
TAKEN = [each for each in NAMED if refusal(*each) is None]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Account, Mapping[str, Typed]]]:
    """An account in which a healthy table lies beside hostile ones, after every command."""
    with Emulator() as emulator:
        account = Account(emulator, tmp_path_factory.mktemp("hostile") / "around" / "home")
        for schema in ("CRM", *SCHEMAS):
            emulator.run(f"create schema RAW.{quote(schema)} data_retention_time_in_days = 90", at="2026-10-01")
        tables = [f"create table ACCOUNT (ID number(38,0) primary key, {STAMPED})", "insert into ACCOUNT (ID) select 1"]
        for number, name in enumerate(TABLES, 10):
            columns = f'{quote(name)} number(38,0) primary key, "id" number(38,0), {STAMPED}'
            tables += [f"create table {quote(name)} ({columns})", f"insert into {quote(name)} select {number}, 1, null"]
        emulator.land("RAW.CRM", "2026-10-19T20:00", *tables)
        for number, schema in enumerate(SCHEMAS, 100):
            table = f"create table T (ID number(38,0) primary key, {STAMPED})"
            emulator.land(f"RAW.{quote(schema)}", "2026-10-19T20:00", table, f"insert into T (ID) select {number}")
        account.set_up()
        commands = (("refresh",), ("run", "--date", DATE), ("verify",), ("status", "--json"))
        yield account, {words[0]: account.type(*words) for words in commands}


def test_each_command_ends_well_and_says_what_is_left_out(told: tuple[Account, Mapping[str, Typed]]) -> None:
    """In one line each."""
    said = told[1]
    refused = [(schema, table) for schema, table in NAMED if (schema, table) not in TAKEN]

    assert {words: typed.code for words, typed in said.items()} == dict.fromkeys(said, 0), said["run"].err
    assert refused == [
        *(("CRM", name) for name in PIECES[-6:]),
        ("{{ env_var('HOME') }}", "T"),
        ("\tCRM", "T"),
    ]
    shown = [f"left out {schema}.{table}: {refusal(schema, table)}" for schema, table in refused]
    escaped = [legible(line) for line in shown]
    assert sorted(said["refresh"].err.splitlines()) == sorted(escaped)
    assert said["run"].out == (
        f"{DATE}: {len(SCHEMAS) + 1} of {len(SCHEMAS) + 1} schemas cloned, {len(TAKEN)} of {len(TAKEN)} tables folded\n"
    )
    assert said["run"].err == ""


def test_each_that_is_not_refused_is_exact(told: tuple[Account, Mapping[str, Typed]]) -> None:
    found = {(each.schema, each.table): each.problem for each in verify(told[0].warehouse()) if each.date}

    assert found == dict.fromkeys(TAKEN)


def test_rows_are_those_of_their_own_table(told: tuple[Account, Mapping[str, Typed]]) -> None:
    """So are those of tables and schemas that differ in case alone."""
    history = History(told[0].warehouse())
    expected = {("CRM", "ACCOUNT"): {"ID": 1}}
    expected |= {("CRM", name): {name: number, "id": 1} for number, name in enumerate(TABLES, 10)}
    expected |= {(name, "T"): {"ID": number} for number, name in enumerate(SCHEMAS, 100)}

    found = {each: history.as_of(".".join(each), DATE).drop_columns("_FIVETRAN_SYNCED").to_pylist() for each in TAKEN}

    assert found == {each: [expected[each]] for each in TAKEN}


def test_raw_is_as_it_was(told: tuple[Account, Mapping[str, Typed]]) -> None:
    """And each database holds the schemas and tables that it should, no others."""
    databases = told[0].emulator.catalog.databases
    held = {
        name: {(schema.name, table) for schema in database.schemas.values() for table in schema.tables}
        for name, database in databases.items()
    }
    rows = told[0].emulator.run('select ID from RAW.CRM.ACCOUNT union all select ID from RAW."crm".T')

    assert held["RAW"] == set(NAMED)
    assert held["CLONES"] == {(f"{schema}__20261020", table) for schema, table in NAMED}
    histories = {(schema, table) for schema, table in held["HISTORY"] if not schema.startswith("_history_assets")}
    assert {each for each in histories if each in NAMED} == set(TAKEN)
    assert sorted(rows) == [(1,), (104,)]


def test_what_is_printed_steers_no_terminal(told: tuple[Account, Mapping[str, Typed]]) -> None:
    for words, typed in told[1].items():
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(typed.out + typed.err), words
    assert {each["schema"] for each in json.loads(told[1]["status"].out)["schemas"]} == {"CRM", *SCHEMAS}


def test_nothing_is_made_outside_the_home(told: tuple[Account, Mapping[str, Typed]]) -> None:
    home = told[0].home

    assert [path.name for path in home.parent.iterdir()] == ["home"]
    assert list(home.rglob("pwned")) == []
    assert not Path("pwned").exists()
