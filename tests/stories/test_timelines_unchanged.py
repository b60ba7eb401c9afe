"""Promises 1 and 2 over random timelines where what cannot have changed is passed over, and only what differs is written.

The nights of test_timelines, lived through: a connector rewrites the tables that differ from the night before, at an hour that
may be too near to a cutoff for a stamp to count, in syncs that may fail. Folds then decide for themselves what to pass over.

    python -m tests.stories.test_timelines_unchanged 2000       as many timelines, each in every order; --engine says where
"""

import dataclasses
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from history_assets.folding import fold, plan
from tests.stories import engines
from tests.stories.engines.base import Engine
from tests.stories.tables import Night
from tests.stories.test_timelines import ORDERS, Bench, Outcome, compare, date_of, main
from tests.stories.timelines import NIGHTS, Timeline, collect

IN_TESTS = {"duckdb": 20, "snowflake": 6}
"""How many timelines the test tells of an engine."""


class Lived(Bench):
    """A bench whose tables are written only where they differ, and whose folds pass over what cannot have changed."""

    def __init__(self, engine: Engine, timelines: Sequence[Timeline], chance: random.Random, *, every_order: bool) -> None:
        self.chance = chance
        self.there: dict[str, Night] = {}
        super().__init__(engine, timelines, every_order=every_order)

    def write(self, schema: str, at: str, tables: Night, synced: str) -> None:
        before = self.there.get(schema, {})
        changed = {name: defined for name, defined in tables.items() if before.get(name) != defined}
        gone = [name for name in before if name not in tables]
        self.engine.rewrite(schema, at, changed, gone, synced, well=self.chance.random() < 0.9)
        self.there[schema] = tables

    def pass_over(self, schemas: Sequence[str], numbers: Sequence[int]) -> None:
        """Fold some nights of some orders in one run."""
        plans = [plan(self.warehouse, self.refs(schemas), date_of(number)) for number in numbers]
        for date, result in fold(self.project, self.warehouse, plans, lambda _: None).items():
            assert (result.failed, result.error) == ({}, None), date


@dataclasses.dataclass(frozen=True)
class Passed(Outcome):
    """What came of it, and how many of the nights of all tables were passed over."""

    unchanged: int
    nights: int


def live(engine: Engine, timelines: Sequence[Timeline], seed: int, *, every_order: bool) -> Passed:
    """Live through timelines, fold them in order and in the others, or in one of the others each, and return what is wrong."""
    chance = random.Random(seed)
    bench = Lived(engine, timelines, chance, every_order=every_order)
    everything = list(range(NIGHTS))
    shuffled = chance.sample(everything, NIGHTS)
    late, again = chance.choice(everything[:-1]), chance.choice(everything)
    for number in everything:
        for order in ORDERS:
            hour = chance.choice((14, 20))
            if order == "again" and number == again:
                # Folded with another night's content, and made again before the next.
                bench.land(number, order, hour, other=True)
                bench.pass_over([order], everything[: number + 1])
                bench.land(number, order, 22, replace=True)
            else:
                bench.land(number, order, hour)
    bench.pass_over(["doubled"], everything[:3])
    bench.pass_over(["in_order", "doubled", "again"], everything)
    for number in shuffled:
        bench.pass_over(["shuffled"], [number])
    bench.pass_over(["late"], [number for number in everything if number != late])
    bench.pass_over(["late"], [late])
    ledger = bench.warehouse.ledger()
    return Passed(**vars(compare(bench)), unchanged=sum(row.unchanged for row in ledger), nights=len(ledger))


@pytest.mark.xdist_group("timelines unchanged")
def test_what_is_passed_over_had_not_changed_in_whatever_order(engine_name: str, tmp_path: Path) -> None:
    """Each timeline in one of the other orders, every fifth in order too."""
    with engines.installed(engine_name, tmp_path / "home") as engine:
        outcome = live(engine, collect(IN_TESTS[engine_name], 11, engine.holds), 11, every_order=False)

    assert outcome.wrong == {}
    assert outcome.unchanged > outcome.nights / 20


if __name__ == "__main__":
    sys.exit(main(live, 2_000))
