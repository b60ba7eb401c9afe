"""Sensors and schedules that fail or do not tick, told once."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType, TickStatus
from dagster._utils.error import SerializableErrorInfo

from history_assets.alerts import Event, Sort
from history_assets.watching import failing, stalled
from tests.stories.daemon import keep_tick, turn

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
GOOD, BAD = TickStatus.SKIPPED, TickStatus.FAILURE

CAUSE = SerializableErrorInfo("history_assets.errors.FivetranError: found 401 from Fivetran\n", [], "FivetranError")
ERROR = SerializableErrorInfo("SensorExecutionError: Error occurred\n", [], "SensorExecutionError", CAUSE)


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        yield instance


def ticked(
    instance: dg.DagsterInstance,
    ticks: Sequence[tuple[float, TickStatus]],
    kind: InstigatorType = InstigatorType.SENSOR,
    status: InstigatorStatus = InstigatorStatus.RUNNING,
    name: str = "syncs",
) -> None:
    """Keep a sensor or schedule in an instance, with ticks of so many minutes ago."""
    turn(instance, name, kind, status)
    for minutes, went in ticks:
        keep_tick(instance, name, kind, NOW - dt.timedelta(minutes=minutes), ERROR if went is BAD else None)


def test_a_sensor_that_fails_three_times_in_a_row_is_told_with_its_cause(instance: dg.DagsterInstance) -> None:
    ticked(instance, [(9, GOOD), (3, BAD), (2, BAD), (1, BAD)])

    said = "the sensor syncs fails: history_assets.errors.FivetranError: found 401 from Fivetran"
    assert list(stalled(instance, NOW)) == [Event(Sort.SENSOR, "syncs", said)]


def test_a_sensor_that_does_not_tick_is_told(instance: dg.DagsterInstance) -> None:
    ticked(instance, [(31, GOOD)])

    said = "the sensor syncs has not ticked since 2026-11-22 11:29 UTC"
    assert list(stalled(instance, NOW)) == [Event(Sort.SENSOR, "syncs", said)]


def test_a_schedule_that_fails_once_is_told(instance: dg.DagsterInstance) -> None:
    ticked(instance, [(720 + 1440, GOOD), (720, BAD)], InstigatorType.SCHEDULE, name="nightly")

    said = "the schedule nightly fails: history_assets.errors.FivetranError: found 401 from Fivetran"
    assert list(stalled(instance, NOW)) == [Event(Sort.SENSOR, "nightly", said)]


def test_a_schedule_of_a_script_is_late_after_its_own_pause_and_none_when_its_script_is_gone(
    instance: dg.DagsterInstance,
) -> None:
    ticked(instance, [(3 * 1440, GOOD)], InstigatorType.SCHEDULE, name="script_weekly")
    two, three = ({"script_weekly": dt.timedelta(days=days)} for days in (2, 3))

    said = "the schedule script_weekly has not ticked since 2026-11-19 12:00 UTC"
    assert list(stalled(instance, NOW, two)) == [Event(Sort.SENSOR, "script_weekly", said)]
    assert list(stalled(instance, NOW, three)) == []
    assert list(stalled(instance, NOW, {})) == []


@pytest.mark.parametrize("ticks", [[], [(1, GOOD)], [(3, BAD), (2, BAD), (1, GOOD)], [(3, GOOD), (2, BAD), (1, BAD)]])
def test_one_that_ticks_well_or_has_just_begun_is_not(
    ticks: list[tuple[float, TickStatus]], instance: dg.DagsterInstance
) -> None:
    ticked(instance, ticks)

    assert list(stalled(instance, NOW)) == []


def test_one_that_somebody_turned_off_is_not(instance: dg.DagsterInstance) -> None:
    ticked(instance, [(3, BAD), (2, BAD), (1, BAD)], status=InstigatorStatus.STOPPED)

    assert list(stalled(instance, NOW)) == []


CRM = dg.AssetKey(["clones", "crm"])
EXACT, LOST = dg.AssetCheckKey(CRM, "newest_exact"), dg.AssetCheckKey(CRM, "no_lost_night")


def evaluated(instance: dg.DagsterInstance, key: dg.AssetCheckKey, description: str, *, passed: bool, wrong: int) -> None:
    metadata = {"wrong": dg.MetadataValue.int(wrong)}
    instance.report_runless_asset_event(
        dg.AssetCheckEvaluation(
            asset_key=key.asset_key, check_name=key.name, passed=passed, metadata=metadata, description=description
        )
    )


def test_a_check_that_failed_last_is_told_but_not_of_what_is_held_back(instance: dg.DagsterInstance) -> None:
    evaluated(instance, LOST, "found neither clone nor history of 2026-11-20", passed=False, wrong=1)
    evaluated(instance, EXACT, "crm.t as of 2026-11-21 is held back: no rows", passed=False, wrong=0)

    (event,) = failing(instance, [EXACT, LOST])
    assert (event.sort, event.asset, event.reason) == (
        Sort.CHECK,
        "clones/crm",
        "no_lost_night: found neither clone nor history of 2026-11-20",
    )

    evaluated(instance, LOST, "every recent date has a clone or is folded", passed=True, wrong=0)
    assert list(failing(instance, [EXACT, LOST])) == []
