"""Promise 3: a table's history and its ledger row change together or not at all, wherever dbt is killed."""

import datetime as dt
import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from history_assets import dbt_child, dbt_run
from history_assets.errors import ProjectError
from history_assets.folding import Plan, night
from history_assets.naming import quote
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.verification import verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing

FIRST = dt.date(2026, 11, 1)
TABLES = (("shop", "items"), ("shop", "orders"))
ROOT = Path(__file__).parents[2]

ORDERS = (
    "create or replace table orders (id integer primary key, size integer, _fivetran_synced timestamptz)",
    "insert into orders values (1, 10, '2026-10-31'), (2, 20, '2026-10-31')",
)
WIDER = (
    "create or replace table orders (id bigint primary key, size integer, note varchar, _fivetran_synced timestamptz)",
    "insert into orders values (1, 10, 'seen late', '2026-11-01'), (2, 22, null, '2026-11-01'), (4, 40, null, '2026-11-01')",
)
RETYPED = (
    "create or replace table orders (id integer primary key, size varchar, price double, _fivetran_synced timestamptz)",
    "insert into orders values (1, 'small', 1.5, '2026-11-03'), (3, '30', null, '2026-11-03')",
)
ITEMS = (
    "create or replace table items (sku varchar primary key, _fivetran_synced timestamptz)",
    "insert into items values ('a', '2026-11-03'), ('b', '2026-11-03')",
)
TWICE = (
    "create or replace table items (sku varchar, _fivetran_synced timestamptz)",
    "insert into items values ('a', '2026-11-01'), ('a', '2026-11-01')",
)
NIGHTS = (ORDERS, (*WIDER, *TWICE), (*ORDERS, "drop table items"), (*RETYPED, *ITEMS))


class Prepared:
    """A home with four nights cloned, of which 0 and 2 are folded; to fold are the newest, 3, and then 1, which is late.

    On night 3, orders gains a column and changes the type of another, and items is new: the fast path, after
    DDL. On night 1, orders goes the general way, after more DDL, and a gate holds items back.
    """

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, threads=1, keys={"shop.items": ("sku",), "shop.orders": ("id",)})
        landing, warehouse = Landing(home), DuckDBWarehouse(self.settings)
        self.nights = []
        for number, statements in enumerate(NIGHTS):
            date = FIRST + dt.timedelta(days=number)
            cutoff = self.settings.cutoffs().at(date)
            landing.execute("shop", f"{date - dt.timedelta(days=1)} 20:00", *statements)
            clone = warehouse.clone("shop", date, lambda cutoff=cutoff: cutoff)
            self.nights.append(night(Plan(date, {"shop": clone}, TABLES, {}), TABLES, warehouse))
        self.project = refresh(self.settings, warehouse).project.folder
        for result in self.fold(home, [0, 2]):
            assert (result.failed, result.error) == ({}, None)

    def copy(self, home: Path) -> Path:
        """Return another home with the same history and the same clones."""
        home.mkdir()
        shutil.copy(self.settings.home / "history.duckdb", home)
        (home / "clones").symlink_to(self.settings.home / "clones")
        return home

    def fold(self, home: Path, numbers: Sequence[int] = (3, 1), say: Any = lambda _: None) -> list[dbt_child.NightResult]:
        settings = self.settings.model_copy(update={"home": home})
        return dbt_run.fold(self.project, [self.nights[number] for number in numbers], settings, say)

    def problems(self, home: Path) -> list[str | None]:
        """Return what ``verify`` has against a home."""
        warehouse = DuckDBWarehouse(self.settings.model_copy(update={"home": home}))
        return [finding.problem for finding in verify(warehouse) if finding.problem]


def contents(home: Path) -> dict[str, Any]:
    """Return every table of a history whole: its columns, in their order, and its rows."""
    with duckdb.connect(str(home / "history.duckdb"), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        names = connection.execute("select schema_name, table_name from duckdb_tables() order by all").fetchall()
        found = {}
        for schema, table in names:
            rows = connection.execute(f"from {quote(schema)}.{quote(table)}")
            columns = [(name, str(kind)) for name, kind, *_ in rows.description]
            found[f"{schema}.{table}"] = columns, sorted(rows.fetchall(), key=repr)
    return found


def standing(found: Mapping[str, Any], schema: str, table: str) -> object:
    """Return a table's rows and its ledger rows, whatever columns stand ready and are not used yet.

    A value goes by its column's name; one whose type is set apart loses that from its name, since it is renamed beforehand.
    """
    columns, rows = found.get(f"{schema}.{table}", ([], []))
    names = [name.partition("__as_")[0] for name, _ in columns]
    values = [sorted((name, value) for name, value in zip(names, row, strict=True) if value is not None) for row in rows]
    ledger = [row for row in found["_history_assets.applied"][1] if row[:2] == (schema, table)]
    return sorted(values, key=repr), ledger


@pytest.fixture
def killing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have dbt's process fold each of some homes, killed after so many statements; null for all of them."""
    popen = subprocess.Popen

    def kill(prepared: Prepared, homes: Mapping[Path, int | None]) -> list[dbt_child.NightResult]:
        asked = json.dumps({str(home): allowed for home, allowed in homes.items()})

        def start(command: Sequence[str], env: Mapping[str, str], **rest: Any) -> subprocess.Popen[str]:
            paths = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
            # The same order of tables in every process.
            env = {**env, "PYTHONPATH": paths, "PYTHONHASHSEED": "0"}
            return popen([command[0], "-m", "tests.fakes.killed_dbt", *command[3:], asked], env=env, **rest)

        with monkeypatch.context() as patch:
            patch.setattr(dbt_run.subprocess, "Popen", start)
            return prepared.fold(prepared.settings.home)

    return kill


def statements_of(home: Path) -> list[str]:
    """Return what a home's dbt executed, and what it was killed before."""
    return [json.loads(line) for line in (home / "statements").read_text().splitlines()]


HISTORY, LEDGER = '"history"."shop".', '"history"."_history_assets"."applied"'
KILLED_BEFORE = (
    ("the table is created", f'create table if not exists {HISTORY}"items"'),
    ("its transaction", "begin"),
    ("its rows", f'insert into {HISTORY}"items"'),
    ("its ledger row", f"insert into {LEDGER}"),
    ("its commit", "commit"),
    ("the next table", "select"),
    ("the second new column", f'alter table {HISTORY}"orders" add column if not exists "price"'),
    ("the second renaming", f'alter table {HISTORY}"orders" rename column "size__as_VARCHAR"'),
    ("the transaction after DDL", "begin"),
    ("the newest night's comparison", "create or replace temporary table changes"),
    ("rows are closed", f'update {HISTORY}"orders"'),
    ("rows are opened, after some are closed", f'insert into {HISTORY}"orders"'),
    ("the ledger row", f"insert into {LEDGER}"),
    ("its commit", "commit"),
    ("the next night", "select"),
    ("the ledger row of what is held back", f"insert into {LEDGER}"),
    ("the new column, after the wider one", f'alter table {HISTORY}"orders" add column if not exists "note"'),
    ("the late night's values", "create or replace temporary table changed_values"),
    ("its transaction", "begin"),
    ("intervals are deleted", f'delete from {HISTORY}"orders"'),
    ("intervals are written, after they are deleted", f'insert into {HISTORY}"orders"'),
    ("the ledger row", f"insert into {LEDGER}"),
    ("its commit", "commit"),
)
"""Where dbt is killed: how the statement begins that it does not execute any more, each after the one above."""


def points(statements: Sequence[str]) -> list[int]:
    """Return the numbers of the statements before which dbt is killed."""
    found, at = [], -1
    for _, beginning in KILLED_BEFORE:
        at = next(number for number in range(at + 1, len(statements)) if statements[number].startswith(beginning))
        found.append(at)
    return found


def committed(statements: Sequence[str], table: str) -> int:
    """Return how many nights of a table these statements commit."""
    count, written = 0, False
    for statement in statements:
        ours = statement.startswith(f"insert into {LEDGER}") and f"\nselect 'shop', '{table}'," in statement
        written = ours or (written and statement != "commit")
        count += ours
    return count - written


@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.slow)])
def test_whatever_dbt_is_killed_at_a_table_is_as_before_or_as_after_and_the_next_run_completes_it(
    step: int, tmp_path: Path, killing: Any
) -> None:
    """At every point, or at every second one."""
    prepared = Prepared(tmp_path / "home")
    newest, whole, learnt = (prepared.copy(tmp_path / name) for name in ("newest", "whole", "learnt"))
    prepared.fold(newest, [3])
    prepared.fold(whole)
    steps = [contents(home) for home in (prepared.settings.home, newest, whole)]
    killing(prepared, {learnt: None})
    statements = statements_of(learnt)
    assert contents(learnt) == steps[-1]
    homes = {prepared.copy(tmp_path / f"killed_before_{number}"): number for number in points(statements)[::step]}

    with pytest.raises(ProjectError, match=r"ended with -9, expected 0 .* what it had folded is kept, run again"):
        killing(prepared, homes)

    for home, number in homes.items():
        assert len(statements_of(home)) == number + 1
        found = contents(home)
        for schema, table in TABLES:
            expected = steps[committed(statements[:number], table)]
            assert standing(found, schema, table) == standing(expected, schema, table), (statements[number], table)
        assert prepared.problems(home) == [], statements[number]
    killing(prepared, dict.fromkeys(homes))
    for home, number in homes.items():
        assert contents(home) == steps[-1], statements[number]


@pytest.mark.slow
def test_a_fold_whose_process_is_killed_between_nights_says_so_and_the_next_one_completes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = Prepared(tmp_path / "home")
    whole, killed = prepared.copy(tmp_path / "whole"), prepared.copy(tmp_path / "killed")
    prepared.fold(whole)
    children = []
    popen = subprocess.Popen
    with monkeypatch.context() as patch:
        patch.setattr(dbt_run.subprocess, "Popen", lambda *args, **rest: children.append(popen(*args, **rest)) or children[-1])
        with pytest.raises(ProjectError, match=r"ended with -9, expected 0 .* what it had folded is kept, run again"):
            prepared.fold(killed, say=lambda line: children[-1].kill() if "tables folded" in line else None)

    prepared.fold(killed)

    assert contents(killed) == contents(whole)
