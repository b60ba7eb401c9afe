"""Promises 1 and 2 over random timelines: every applied night comes back exactly, and every order gives the same table.

One dbt process folds hundreds of timelines, as tables of a schema per order. Each is compared with an oracle that knows nothing
of SQL, and, but for when Fivetran last wrote a row, with the table that came of folding in order.

    python -m tests.stories.test_timelines 10000        as many timelines, each in every order
"""

import collections
import dataclasses
import datetime as dt
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pytest

from history_assets import dbt_run
from history_assets.naming import quote
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.snapshots import Plan, night
from history_assets.verification import verify
from history_assets.warehouse.base import Status
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.stories.timelines import NIGHTS, History, State, Timeline, collect, family, history_of

FIRST = dt.date(2026, 11, 1)
WIDEST = {"INTEGER": "HUGEINT", "DOUBLE": "DOUBLE"}
OURS = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")
ORDERS = ("in_order", "shuffled", "doubled", "late", "again")


def date_of(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


class Bench:
    """A home with the clones of many timelines, one table each, in a schema per order of folding."""

    def __init__(self, home: Path, timelines: Sequence[Timeline], *, every_order: bool = True) -> None:
        self.timelines = {f"t{number}": timeline for number, timeline in enumerate(timelines)}
        names = list(self.timelines)
        others = ORDERS[1:]
        self.tables = {order: names[at :: len(others)] for at, order in enumerate(others)} | {ORDERS[0]: names}
        if every_order:
            self.tables = dict.fromkeys(ORDERS, names)
        keys = {f"{order}.{name}": state.key for name, (state, *_) in self.timelines.items() for order in ORDERS if state}
        self.settings = Settings(home=home, gates=(), keys=keys, threads=2)
        self.warehouse = DuckDBWarehouse(self.settings)
        self.warehouse.raw.mkdir(parents=True)
        for order in ORDERS:
            with duckdb.connect(str(self.warehouse.raw / f"{order}.duckdb")) as connection:
                for name in self.tables[order]:
                    connection.execute(f"create table {name} (_fivetran_synced timestamptz)")
        self.project = refresh(self.settings, self.warehouse).project.folder

    def land(self, number: int, schemas: Sequence[str], *, other: bool = False, replace: bool = False) -> None:
        """Make the schemas' raw files and clones of a night; ``other`` gives it another night's content."""
        built = self.settings.home / "built.duckdb"
        built.unlink(missing_ok=True)
        with duckdb.connect(str(built)) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for name, timeline in self.timelines.items():
                _create(connection, name, timeline[(number + 2) % NIGHTS if other else number], number)
            connection.execute("create table always_there (_fivetran_synced timestamptz)")
        for schema in schemas:
            shutil.copy(built, self.warehouse.raw / f"{schema}.duckdb")
            cutoff = self.settings.cutoffs().at(date_of(number))
            self.warehouse.clone(schema, date_of(number), lambda cutoff=cutoff: cutoff, replace=replace)

    def nights(self, schema: str, numbers: Sequence[int]) -> list[dbt_run.Night]:
        tables = [(schema, name) for name in self.tables[schema]]
        made = []
        for number in numbers:
            clone = self.warehouse.find_clone(schema, date_of(number))
            assert clone is not None
            made.append(night(Plan(date_of(number), {schema: clone}, tuple(tables), {}), tables, self.warehouse))
        return made

    def fold(self, nights: Sequence[dbt_run.Night]) -> None:
        results = dbt_run.fold(self.project, nights, self.settings, lambda _: None)
        for asked, result in zip(nights, results, strict=True):
            assert (result.failed, result.error) == ({}, None), asked.run["clone_date"]


def _create(connection: duckdb.DuckDBPyConnection, name: str, state: State | None, night: int) -> None:
    if state is None:
        return
    columns = ", ".join(f"{quote(column)} {kind}" for column, kind in state.columns)
    connection.execute(f"create table {name} ({columns}, _fivetran_synced timestamptz)")
    for row in state.rows:
        values = ", ".join(
            "null" if value is None else f"cast('{value.replace(chr(39), chr(39) * 2)}' as {kind})"
            for value, (_, kind) in zip(row, state.columns, strict=True)
        )
        connection.execute(
            f"insert into {name} values ({values}, '2026-11-01 00:00:00+00'::timestamptz + interval {night} day)"
        )


def _folded(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> History:
    """Return a history table in the oracle's terms."""
    columns = connection.execute(
        "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ? order by column_index",
        [schema, table],
    ).fetchall()
    kept = [(name, kind) for name, kind in columns if name not in OURS and not name.startswith("_fivetran_synced")]
    labels = [_label(name, kind) for name, kind in kept]
    texts = [f"cast(cast({quote(name)} as {_widest(kind)}) as varchar)" for name, kind in kept]
    start = f"timestamp '{FIRST}'"
    bounds = f"datediff('day', {start}, dbt_valid_from), datediff('day', {start}, dbt_valid_to)"
    history: History = collections.Counter()
    for *values, since, until in connection.execute(f"select {', '.join([*texts, bounds])} from {schema}.{table}").fetchall():
        row = frozenset((label, value) for label, value in zip(labels, values, strict=True) if value is not None)
        history[row, since, until] += 1
    return history


def _label(name: str, kind: str) -> tuple[str, str]:
    if name.endswith("__as_is"):
        return name.removesuffix("__as_is").lower(), family(kind)
    if "__as_" in name:
        logical, _, apart = name.rpartition("__as_")
        return logical.removesuffix("__as_is").lower(), apart
    return name.lower(), family(kind)


def _widest(kind: str) -> str:
    return WIDEST.get(family(kind), kind)


def _written(connection: duckdb.DuckDBPyConnection, history: History) -> History:
    """Return an oracle's history with its values as the engine writes them."""
    known: dict[tuple[str, str], str] = {}

    def written(kind: str, value: str) -> str:
        if (kind, value) not in known:
            cast = WIDEST.get(kind) or (f"DECIMAL(38,{kind[8:]})" if kind.startswith("DECIMAL_") else kind)
            sql = f"select cast(cast($1 as {cast}) as varchar)"
            known[kind, value] = connection.execute(sql, [value]).fetchall()[0][0]
        return known[kind, value]

    return collections.Counter(
        {
            (frozenset((column, written(column[1], value)) for column, value in row), since, until): copies
            for (row, since, until), copies in history.items()
        }
    )


def _table(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> tuple[object, ...]:
    """Return all of a history table that must be the same in every order: columns by name, and rows with their identifiers."""
    columns = connection.execute(
        "select column_name, data_type from duckdb_columns() where schema_name = ? and table_name = ? order by column_name",
        [schema, table],
    ).fetchall()
    names = ", ".join(quote(name) for name, _ in columns if not name.startswith("_fivetran_synced"))
    rows = connection.execute(f"select {names} from {schema}.{table}").fetchall() if columns else []
    return columns, sorted(map(repr, rows))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a bench: what is wrong, by the timeline's own text, and how many tables were folded to how many nights."""

    wrong: Mapping[str, list[str]]
    tables: int


def check(home: Path, timelines: Sequence[Timeline], seed: int, *, every_order: bool) -> Outcome:
    """Fold timelines in order and in the others, or in one of the others each, and return what is wrong."""
    bench = Bench(home, timelines, every_order=every_order)
    everything = list(range(NIGHTS))
    chance = random.Random(seed)
    shuffled = chance.sample(everything, NIGHTS)
    late = chance.choice(everything[:-1])
    again = chance.choice(everything)
    for number in everything:
        bench.land(number, ORDERS)
    bench.land(again, ["again"], other=True, replace=True)
    first = [
        *bench.nights("in_order", everything),
        *bench.nights("shuffled", shuffled),
        *bench.nights("doubled", [*everything, *everything[::-1]]),
        *bench.nights("late", [number for number in everything if number != late] + [late]),
        *bench.nights("again", everything),
    ]
    bench.fold(first)
    # Made again with its own content, the night must come to what it would have been at first.
    bench.land(again, ["again"], replace=True)
    bench.fold(bench.nights("again", [again]))
    wrong = collections.defaultdict[str, list[str]](list)
    for finding in verify(bench.warehouse):
        if finding.problem:
            wrong[finding.table].append(f"{finding.schema}: {finding.problem}")
    assert all(row.status is Status.APPLIED for row in bench.warehouse.ledger())
    with duckdb.connect(str(bench.warehouse.history), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for name, timeline in bench.timelines.items():
            expected = _written(connection, history_of(dict(enumerate(timeline))))
            tables = {order: _table(connection, order, name) for order in ORDERS if name in bench.tables[order]}
            for order in tables:
                found = _folded(connection, order, name) if tables[order][0] else collections.Counter()
                if found != expected:
                    wrong[name].append(f"{order}: missing {expected - found}, too much {found - expected}")
                if order != "again" and tables[order] != tables["in_order"]:
                    wrong[name].append(f"{order}: {tables[order]}, not {tables['in_order']} as in order")
    folded = sum(len(names) for names in bench.tables.values())
    return Outcome({repr(bench.timelines[name]): said for name, said in wrong.items()}, folded)


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=pytest.mark.xdist_group(f"timelines {seed}")) for seed in range(5)])
def test_every_night_of_every_timeline_comes_back_in_every_order(seed: int, tmp_path: Path) -> None:
    """100 timelines, each in order and in one of the other orders."""
    outcome = check(tmp_path / "home", collect(100, seed), seed, every_order=False)

    assert outcome.wrong == {}


def main(count: int, seed: int) -> int:
    """Check timelines in every order, a hundred at a time, printing each that is wrong; returns how many are."""
    failed = 0
    for start in range(0, count, 100):
        with tempfile.TemporaryDirectory() as folder:
            part = collect(min(100, count - start), seed + start)
            outcome = check(Path(folder) / "home", part, seed + start, every_order=True)
        for timeline, said in outcome.wrong.items():
            print(timeline, *said, sep="\n    ")
        failed += len(outcome.wrong)
        print(f"{start + len(part)} of {count} timelines, {failed} wrong", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000, int(sys.argv[2]) if len(sys.argv) > 2 else 0) > 0)
