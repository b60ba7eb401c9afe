"""Promises 1 and 2 over random timelines: every applied night comes back exactly, and every order gives the same table.

One dbt process folds hundreds of timelines, as tables of a schema per order. Each is compared with an oracle that knows nothing
of SQL, and, but for when Fivetran last wrote a row, with the table that came of folding in order.

    python -m tests.stories.test_timelines 10000        as many timelines, each in every order; --engine says on which engine
"""

import argparse
import collections
import dataclasses
import datetime as dt
import random
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from history_assets import dbt_child, dbt_run
from history_assets.folding import Plan, TableRef, night
from history_assets.naming import quote
from history_assets.refresh import refresh
from history_assets.verification import verify
from history_assets.warehouse.values import Clone, Status
from tests.stories import engines
from tests.stories.engines.base import Engine, Stored
from tests.stories.tables import Night
from tests.stories.timelines import DOMAINS, NIGHTS, History, State, Timeline, collect, history_of

FIRST = dt.date(2026, 10, 1)
EMPTY = ("_fivetran_synced timestamptz", None)
IN_TESTS = {"duckdb": (60, range(2)), "snowflake": (10, range(1))}
"""How many timelines each test tells of an engine, and by which seeds, all but the first for when there is more time; the
emulated account takes longer for each."""
ORDERS = ("in_order", "shuffled", "doubled", "late", "again")


def date_of(number: int) -> dt.date:
    return FIRST + dt.timedelta(days=number)


class Bench:
    """An engine with the clones of many timelines, one table each, in a schema per order of folding."""

    def __init__(self, engine: Engine, timelines: Sequence[Timeline], *, every_order: bool = True) -> None:
        self.engine = engine
        self.timelines = {f"t{number}": timeline for number, timeline in enumerate(timelines)}
        names = list(self.timelines)
        others = ORDERS[1:]
        self.tables = {order: names[at :: len(others)] for at, order in enumerate(others)} | {ORDERS[0]: names[::5]}
        if every_order:
            self.tables = dict.fromkeys(ORDERS, names)
        keys = {f"{order}.{name}": state.key for name, (state, *_) in self.timelines.items() for order in ORDERS if state}
        self.settings = engine.settings(gates=(), keys=keys, threads=2)
        self.warehouse = engine.warehouse(gates=(), keys=keys, threads=2)
        for order in ORDERS:
            self.write(order, f"{date_of(-1)}T12:00", dict.fromkeys(self.tables[order], EMPTY), str(date_of(-1)))
        self.project = refresh(self.settings, self.warehouse).project

    def write(self, schema: str, at: str, tables: Night, synced: str) -> None:
        """Make a schema hold these tables and no others."""
        self.engine.land(schema, at, tables, synced)

    def land(self, number: int, schema: str, hour: int = 20, *, other: bool = False, replace: bool = False) -> None:
        """Land a schema of a night at an hour before it, and clone it; ``other`` gives it another night's content."""
        tables: dict[str, tuple[str, str | None]] = {"always_there": EMPTY}
        for name in self.tables[schema]:
            state = self.timelines[name][(number + 2) % NIGHTS if other else number]
            if state is not None:
                tables[name] = _defined(state)
        self.write(schema, f"{date_of(number - 1)}T{hour}:00", tables, f"{date_of(number)} 00:00:00+00")
        cutoff = self.settings.cutoffs().at(date_of(number))
        self.warehouse.clone(schema, date_of(number), lambda: cutoff, replace=replace)

    def refs(self, schemas: Sequence[str]) -> list[TableRef]:
        """Return the tables of some orders."""
        return [(schema, name) for schema in schemas for name in self.tables[schema]]

    def nights(self, schemas: Sequence[str], numbers: Sequence[int]) -> list[dbt_child.Night]:
        """Return the nights of some orders, all of a date in one invocation of dbt."""
        tables, made = self.refs(schemas), []
        for date in map(date_of, numbers):
            found = self.warehouse.find_clones(schemas, [date])
            clones = {schema: clone for (schema, _), clone in found.items() if isinstance(clone, Clone)}
            assert clones.keys() == set(schemas)
            made.append(night(Plan(date, clones, tuple(tables), {}), tables, self.warehouse))
        return made

    def fold(self, nights: Sequence[dbt_child.Night]) -> None:
        results = dbt_run.fold(self.project.folder, nights, self.settings, lambda _: None)
        for asked, result in zip(nights, results, strict=True):
            assert (result.failed, result.error) == ({}, None), asked.run["clone_date"]


def _defined(state: State) -> tuple[str, str | None]:
    """Return a table of a night as DuckDB defines it."""
    rows = []
    for row in state.rows:
        texts = ["null" if value is None else "'{}'".format(value.replace("'", "''")) for value in row]
        rows.append(
            f"select {', '.join(f'cast({text} as {kind})' for text, (_, kind) in zip(texts, state.columns, strict=True))}"
        )
    return ", ".join(f"{quote(column)} {kind}" for column, kind in state.columns), " union all ".join(rows) or None


class Reader:
    """What an engine's histories say in the oracle's terms, and the oracle's histories with values as the engine gives them."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        pairs = [(kind, text) for kind, texts in DOMAINS.items() for text in texts if engine.holds(kind, text)]
        self.values = {(self.family(kind), text): repr(engine.read(kind, text)) for kind, text in pairs}

    def family(self, kind: str) -> str:
        return self.engine.family(self.engine.type_of(kind))

    def expected(self, timeline: Timeline) -> History:
        """Return the history that must come of a timeline."""
        history: History = collections.Counter()
        for (row, since, until), copies in history_of(dict(enumerate(timeline)), self.family).items():
            values = frozenset(((name, family), self.values[family, text]) for (name, family), text in row)
            history[values, since, until] = copies
        return history

    def found(self, stored: Stored) -> History:
        """Return a history as it is stored."""
        labels = [self._label(name, kind) for name, kind in stored.source.items()]
        intervals = stored.values("dbt_valid_from", "dbt_valid_to")
        history: History = collections.Counter()
        for row, (since, until) in zip(stored.values(*stored.source), intervals, strict=True):
            values = frozenset((label, repr(value)) for label, value in zip(labels, row, strict=True) if value is not None)
            history[values, _number(since), None if until is None else _number(until)] += 1
        return history

    def _label(self, name: str, kind: str) -> tuple[str, str]:
        if name.endswith("__as_is"):
            return name.removesuffix("__as_is").lower(), self.engine.family(kind)
        if "__as_" in name:
            logical, _, apart = name.rpartition("__as_")
            return logical.removesuffix("__as_is").lower(), apart
        return name.lower(), self.engine.family(kind)


def _number(cutoff: dt.datetime) -> int:
    """Return the number of the night of a cutoff."""
    assert cutoff.time() == dt.time(0), cutoff
    return (cutoff.date() - FIRST).days


def _same_in_every_order(stored: Stored) -> tuple[object, ...]:
    """Return all of a history that must be the same in every order: columns by name, and rows with their identifiers."""
    types = {name: stored.types[name] for name in sorted(stored.types) if name != "_fivetran_synced"}
    return types, sorted(map(repr, stored.values(*types)))


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a bench: what is wrong, by the timeline's own text, and how many tables were folded to how many nights."""

    wrong: Mapping[str, list[str]]
    tables: int


def check(engine: Engine, timelines: Sequence[Timeline], seed: int, *, every_order: bool) -> Outcome:
    """Fold timelines in order and in the others, or in one of the others each, and return what is wrong."""
    bench = Bench(engine, timelines, every_order=every_order)
    everything = list(range(NIGHTS))
    chance = random.Random(seed)
    shuffled = chance.sample(everything, NIGHTS)
    late = chance.choice(everything[:-1])
    again = chance.choice(everything)
    for number in everything:
        for order in ORDERS:
            bench.land(number, order)
    bench.land(again, "again", 21, other=True, replace=True)
    bench.fold(
        [
            *bench.nights(["in_order", "doubled", "again"], everything),
            *bench.nights(["doubled"], everything[::-1]),
            *bench.nights(["shuffled"], shuffled),
            *bench.nights(["late"], [number for number in everything if number != late] + [late]),
        ]
    )
    # Made again with its own content, the night must come to what it would have been at first.
    bench.land(again, "again", 22, replace=True)
    bench.fold(bench.nights(["again"], [again]))
    return compare(bench)


def compare(bench: Bench) -> Outcome:
    """Return what is wrong with the histories of a bench of which every night is folded."""
    engine = bench.engine
    wrong = collections.defaultdict[str, list[str]](list)
    for finding in verify(bench.warehouse):
        if finding.problem:
            wrong[finding.table].append(f"{finding.schema}: {finding.problem}")
    assert all(row.status is Status.APPLIED for row in bench.warehouse.ledger())
    reader = Reader(engine)
    histories = {order: engine.histories(order) for order in ORDERS}
    for name, timeline in bench.timelines.items():
        expected = reader.expected(timeline)
        tables = {order: histories[order][name] for order in ORDERS if name in bench.tables[order]}
        in_order = _same_in_every_order(tables["in_order"]) if "in_order" in tables else None
        for order, stored in tables.items():
            found = reader.found(stored)
            if found != expected:
                wrong[name].append(f"{order}: missing {expected - found}, too much {found - expected}")
            if in_order is not None and order != "again" and _same_in_every_order(stored) != in_order:
                wrong[name].append(f"{order}: {_same_in_every_order(stored)}, not {in_order} as in order")
    folded = sum(len(names) for names in bench.tables.values())
    return Outcome({repr(bench.timelines[name]): said for name, said in wrong.items()}, folded)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tell as many timelines of each engine as there is time for, each seed's with any worker."""
    told = [
        pytest.param(
            name, count, seed, marks=[pytest.mark.xdist_group(f"timelines {name} {seed}"), *[pytest.mark.slow] * (seed > 0)]
        )
        for name, (count, seeds) in IN_TESTS.items()
        for seed in seeds
    ]
    metafunc.parametrize(("engine_name", "count", "seed"), told)


def test_every_night_of_every_timeline_comes_back_in_every_order(
    engine_name: str, count: int, seed: int, tmp_path: Path
) -> None:
    """Each in one of the other orders, every fifth in order too."""
    with engines.installed(engine_name, tmp_path / "home") as engine:
        outcome = check(engine, collect(count, seed, engine.holds), seed, every_order=False)

    assert outcome.wrong == {}


Tell = Callable[..., Outcome]
"""Tells timelines to an engine, given a seed and whether each in ``every_order``."""


def tell(count: int, seed: int, engine_name: str, told: Tell) -> int:
    """Tell timelines in every order, a hundred at a time, printing each that is wrong; returns how many are."""
    failed = 0
    for start in range(0, count, 100):
        with tempfile.TemporaryDirectory() as folder, engines.installed(engine_name, Path(folder) / "home") as engine:
            part = collect(min(100, count - start), seed + start, engine.holds)
            outcome = told(engine, part, seed + start, every_order=True)
        for timeline, said in outcome.wrong.items():
            print(timeline, *said, sep="\n    ")
        failed += len(outcome.wrong)
        print(f"{start + len(part)} of {count} timelines, {failed} wrong", flush=True)
    return failed


def main(told: Tell, count: int) -> int:
    """Tell timelines as the command line says, ``count`` where it says nothing; returns the code to exit with."""
    parser = argparse.ArgumentParser(description=tell.__doc__)
    parser.add_argument("count", nargs="?", type=int, default=count)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--engine", choices=engines.NAMES, default=engines.NAMES[0])
    arguments = parser.parse_args()
    return int(tell(arguments.count, arguments.seed, arguments.engine, told) > 0)


if __name__ == "__main__":
    sys.exit(main(check, 10_000))
