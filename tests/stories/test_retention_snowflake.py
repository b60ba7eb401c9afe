"""Retention on Snowflake: what goes, what it costs, and what still holds once it is gone, on the emulated account."""

import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from history_assets.history import History
from history_assets.nights import open_instance, run_nights
from history_assets.partitions import PARTITIONS
from history_assets.retention import forget_dates, retain
from history_assets.verification import verify
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.log import Statement
from tests.stories.account import day_of
from tests.stories.engines.snowflake import Snowflake

TODAY = dt.date(2026, 10, 20)
LANDED = {
    1: "values (1, 'a'), (2, 'b')",
    2: "values (1, 'x'), (2, 'b')",
    3: "values (1, 'x'), (2, 'c')",
    5: "values (1, 'y')",
    20: "values (1, 'z')",
}
"""Rows of crm.account by the day whose cutoff they were landed before."""

FOLDED, UNFOLDED, LATE = (1, 2, 20), 3, 5

pytestmark = pytest.mark.slow


def october(day: int) -> dt.date:
    return dt.date(2026, 10, day)


@dataclasses.dataclass
class Told:
    """What retention said and sent, and what was there afterwards, before and after a late night."""

    engine: Snowflake
    dry: list[str]
    said: list[str]
    sent: Sequence[Statement]
    clones: dict[str, list[dt.date]]
    keys: list[str]
    before: list[tuple[Any, ...]]
    after: list[tuple[Any, ...]]


def history(engine: Snowflake) -> list[tuple[Any, ...]]:
    found = engine.histories("crm")["account"].values("id", "v", "dbt_valid_from", "dbt_valid_to")
    return sorted((key, value, day_of(since), day_of(until)) for key, value, since, until in found)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    home = tmp_path_factory.mktemp("retention")
    with Emulator() as emulator, pytest.MonkeyPatch.context() as patch:
        engine = Snowflake(home, emulator)
        patch.setenv("HISTORY_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        warehouse = engine.warehouse(clone_retention_days=10)
        for day, rows in LANDED.items():
            evening = october(day) - dt.timedelta(days=1)
            engine.land(
                "crm", f"{evening}T22:00", {"account": ("id int primary key, v varchar", rows)}, "2026-10-01 00:00:00+00"
            )
        warehouse.clone("crm", october(UNFOLDED), lambda: None)
        assert run_nights(warehouse.settings, warehouse, [october(day) for day in FOLDED])[1] == []
        with open_instance(warehouse.settings) as instance:
            dry = [verdict.said(dry_run=True) for verdict in retain(warehouse, TODAY, dry_run=True)]
            start = len(emulator.log)
            said = [verdict.said() for verdict in retain(warehouse, TODAY)]
            sent = emulator.log[start:]
            forget_dates(warehouse, instance, TODAY)
            keys = sorted(instance.get_dynamic_partitions(PARTITIONS))
        clones, before = warehouse.clone_dates(), history(engine)
        assert run_nights(warehouse.settings, warehouse, [october(LATE)])[1] == []
        yield Told(engine, dry, said, sent, clones, keys, before, history(engine))


def test_what_is_folded_and_over_goes_and_the_rest_says_why_it_stays(told: Told) -> None:
    assert told.said == [
        "crm 2026-10-01: dropped",
        "crm 2026-10-02: dropped",
        "crm 2026-10-03: kept, because crm.account as of 2026-10-03 is not folded: run the date again",
        "crm 2026-10-20: kept, because it is the newest of its schema",
    ]
    assert told.dry == [line.replace(": dropped", ": would be dropped") for line in told.said]
    assert told.clones == {"crm": [october(3), october(20)]}
    assert told.keys == ["2026-10-20"]


def test_dropping_needs_no_warehouse_and_proving_compares_each_table_once(told: Told) -> None:
    drops = [statement for statement in told.sent if statement.kind == "DROP SCHEMA"]
    needing = [statement.tag for statement in told.sent if statement.needs_warehouse]

    assert [(drop.text, drop.tag, drop.needs_warehouse) for drop in drops] == [
        (
            f'DROP SCHEMA IF EXISTS "CLONES"."crm__2026100{day}" CASCADE',
            f"history_assets:retention:crm:2026-10-0{day}",
            False,
        )
        for day in (1, 2)
    ]
    assert needing == [
        "history_assets:ledger::2026-10-01",
        "history_assets:verify:crm.account:2026-10-01",
        "history_assets:ledger::2026-10-02",
        "history_assets:verify:crm.account:2026-10-02",
        "history_assets:ledger::2026-10-03",
    ]


def test_a_day_whose_clone_is_gone_is_still_known(told: Told) -> None:
    found = History(told.engine.warehouse()).as_of("crm.account", october(1))

    assert sorted((int(row["id"]), row["v"]) for row in found.to_pylist()) == [(1, "a"), (2, "b")]


def test_a_late_night_among_nights_without_clones_is_folded_exactly(told: Told) -> None:
    assert told.before == [(1, "a", 1, 2), (1, "x", 2, 20), (1, "z", 20, None), (2, "b", 1, 20)]
    assert told.after == [(1, "a", 1, 2), (1, "x", 2, 5), (1, "y", 5, 20), (1, "z", 20, None), (2, "b", 1, 5)]
    findings = [finding for finding in verify(told.engine.warehouse()) if finding.date]
    assert [(finding.date, finding.problem) for finding in findings] == [(october(5), None), (october(20), None)]
