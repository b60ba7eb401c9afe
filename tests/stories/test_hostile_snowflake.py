"""Names that try to be more than that, on an emulated Snowflake: each is exact or refused by name, no other table is touched.

The emulator parses every one of these names: none is left out for its sake.
"""

import dataclasses
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
from tests.stories.hostile import JINJA, PATH, PIECES, SHELL, SQL, YAML

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

STAMPED = '"_FIVETRAN_SYNCED" timestamp_tz'


@dataclasses.dataclass(frozen=True)
class Names:
    """Names of tables of CRM, each with a column of its name, and of schemas with a table T."""

    tables: tuple[str, ...]
    schemas: tuple[str, ...]

    @property
    def named(self) -> list[tuple[str, str]]:
        """Every table as (schema, name), the healthy one first."""
        tables = [("CRM", name) for name in ("ACCOUNT", *self.tables)]
        return [*tables, *((name, "T") for name in self.schemas)]

    @property
    def taken(self) -> list[tuple[str, str]]:
        """Those that are not refused."""
        return [each for each in self.named if refusal(*each) is None]


FEW = Names((SQL, JINJA, "Account"), (PATH, YAML))
ALL = Names(
    (*PIECES, *OWN_PIECES),
    (
        "x'; drop schema CRM; --",
        'a"."b',
        JINJA,
        "two\nlines",
        "crm",
        "CRM__20261020",
        "\\', \\\\",
        "$$; drop schema CRM; $$",
        "\tCRM",
        YAML,
        PATH,
        SHELL,
    ),
)


@dataclasses.dataclass(frozen=True)
class Told:
    """An account after every command, by its first word."""

    names: Names
    account: Account
    said: Mapping[str, Typed]


@pytest.fixture(scope="module", params=[FEW, pytest.param(ALL, marks=pytest.mark.slow)], ids=["few", "all"])
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """An account in which a healthy table lies beside hostile ones."""
    names: Names = request.param
    with Emulator() as emulator:
        account = Account(emulator, tmp_path_factory.mktemp("hostile") / "around" / "home")
        for schema in ("CRM", *names.schemas):
            emulator.run(f"create schema RAW.{quote(schema)} data_retention_time_in_days = 90", at="2026-10-01")
        tables = [f"create table ACCOUNT (ID number(38,0) primary key, {STAMPED})", "insert into ACCOUNT (ID) select 1"]
        for number, name in enumerate(names.tables, 10):
            columns = f'{quote(name)} number(38,0) primary key, "id" number(38,0), {STAMPED}'
            tables += [f"create table {quote(name)} ({columns})", f"insert into {quote(name)} select {number}, 1, null"]
        emulator.land("RAW.CRM", "2026-10-19T20:00", *tables)
        for number, schema in enumerate(names.schemas, 100):
            table = f"create table T (ID number(38,0) primary key, {STAMPED})"
            emulator.land(f"RAW.{quote(schema)}", "2026-10-19T20:00", table, f"insert into T (ID) select {number}")
        account.set_up()
        commands = (("refresh",), ("run", "--date", DATE), ("status", "--json"))
        yield Told(names, account, {words[0]: account.type(*words) for words in commands})


def test_each_command_ends_well_and_says_what_is_left_out(told: Told) -> None:
    """In one line each."""
    said, names = told.said, told.names
    refused = [each for each in names.named if each not in names.taken]

    assert {words: typed.code for words, typed in said.items()} == dict.fromkeys(said, 0), said["run"].err
    hard = [*(("CRM", name) for name in PIECES[-6:]), (JINJA, "T"), ("\tCRM", "T")]
    assert refused == [each for each in hard if each in names.named]
    shown = [f"left out {schema}.{table}: {refusal(schema, table)}" for schema, table in refused]
    assert sorted(said["refresh"].err.splitlines()) == sorted(legible(line) for line in shown)
    schemas, taken = len(names.schemas) + 1, len(names.taken)
    assert said["run"].out == f"{DATE}: {schemas} of {schemas} schemas cloned, {taken} of {taken} tables folded\n"
    assert said["run"].err == ""


def test_each_that_is_not_refused_is_exact(told: Told) -> None:
    found = {(each.schema, each.table): each.problem for each in verify(told.account.warehouse()) if each.date}

    assert found == dict.fromkeys(told.names.taken)


def test_rows_are_those_of_their_own_table(told: Told) -> None:
    """So are those of tables and schemas that differ in case alone."""
    history = History(told.account.warehouse())
    expected = {("CRM", "ACCOUNT"): {"ID": 1}}
    expected |= {("CRM", name): {name: number, "id": 1} for number, name in enumerate(told.names.tables, 10)}
    expected |= {(name, "T"): {"ID": number} for number, name in enumerate(told.names.schemas, 100)}

    found = {
        each: history.as_of(".".join(each), DATE).drop_columns("_FIVETRAN_SYNCED").to_pylist() for each in told.names.taken
    }

    assert found == {each: [expected[each]] for each in told.names.taken}


def test_raw_is_as_it_was(told: Told) -> None:
    """And each database holds the schemas and tables that it should, no others."""
    named = told.names.named
    databases = told.account.emulator.catalog.databases
    held = {
        name: {(schema.name, table) for schema in database.schemas.values() for table in schema.tables}
        for name, database in databases.items()
    }
    rows = [told.account.emulator.run(f"select count(*) from RAW.{quote(schema)}.{quote(table)}") for schema, table in named]

    assert held["RAW"] == set(named)
    assert held["CLONES"] == {(f"{schema}__20261020", table) for schema, table in named}
    histories = {(schema, table) for schema, table in held["HISTORY"] if not schema.startswith("_history_assets")}
    assert {each for each in histories if each in named} == set(told.names.taken)
    assert rows == [[(1,)]] * len(named)


def test_what_is_printed_steers_no_terminal(told: Told) -> None:
    for words, typed in told.said.items():
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(typed.out + typed.err), words
    assert {each["schema"] for each in json.loads(told.said["status"].out)["schemas"]} == {"CRM", *told.names.schemas}


def test_nothing_is_made_outside_the_home(told: Told) -> None:
    home = told.account.home

    assert [path.name for path in home.parent.iterdir()] == ["home"]
    assert list(home.rglob("pwned")) == []
    assert not Path("pwned").exists()
