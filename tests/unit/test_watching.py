"""Sensors and schedules that fail or do not tick, told once."""

import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType, TickStatus
from dagster._utils.error import SerializableErrorInfo

from history_assets.alerts import Event, Sort
from history_assets.markdown import escaped
from history_assets.watching import Watch, failing, stalled
from tests.stories.daemon import keep_tick, turn

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
UP = NOW - dt.timedelta(days=30)
GOOD, BAD = TickStatus.SKIPPED, TickStatus.FAILURE

RAW = SerializableErrorInfo("requests.exceptions.HTTPError: 401\n", [], "HTTPError")
CAUSE = SerializableErrorInfo("history_assets.errors.FivetranError: found 401 from Fivetran\n", [], "FivetranError", RAW)
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

    said = "found 401 from Fivetran"
    assert list(stalled(instance, NOW, UP)) == [Event(Sort.SENSOR, "syncs", said)]


def test_a_sensor_that_does_not_tick_is_told(instance: dg.DagsterInstance) -> None:
    ticked(instance, [(31, GOOD)])

    said = "it has not ticked since 2026-11-22 11:29 UTC"
    assert list(stalled(instance, NOW, UP)) == [Event(Sort.SENSOR, "syncs", said)]


def test_sensors_are_not_late_while_nothing_ticked_at_all(instance: dg.DagsterInstance) -> None:
    """The daemon has come back, and each has half an hour to tick."""
    ticked(instance, [(300, GOOD)])

    assert [list(stalled(instance, NOW, NOW - dt.timedelta(minutes=minutes))) for minutes in (0, 30)] == [[], []]
    assert [event.asset for event in stalled(instance, NOW, NOW - dt.timedelta(minutes=31))] == ["syncs"]


def test_a_daemon_that_was_away_is_told_of_when_it_is_back() -> None:
    minute = dt.timedelta(minutes=1)
    cursor, told, ups = None, [], []
    for minutes in (0, 10, 55, 101, 111):
        watch, event = Watch.begin(cursor, NOW + minutes * minute)
        cursor = watch.cursor()
        told.append(event and event.reason)
        ups.append((watch.up - NOW) // minute)

    away = "nothing ticked from 2026-11-22 12:55 to 2026-11-22 13:41 UTC; what was missed is being made up for"
    assert told == [None, None, None, away, None]
    assert ups == [0, 0, 0, 101, 101]


def test_a_schedule_that_fails_once_is_told(instance: dg.DagsterInstance) -> None:
    ticked(instance, [(720 + 1440, GOOD), (720, BAD)], InstigatorType.SCHEDULE, name="nightly")

    said = "found 401 from Fivetran"
    assert list(stalled(instance, NOW, UP)) == [Event(Sort.SENSOR, "nightly", said)]


def test_a_schedule_of_a_script_is_late_after_its_own_pause_and_none_when_its_script_is_gone(
    instance: dg.DagsterInstance,
) -> None:
    ticked(instance, [(3 * 1440, GOOD)], InstigatorType.SCHEDULE, name="script_weekly")
    up = NOW - dt.timedelta(days=9)
    two, three = ({"script_weekly": dt.timedelta(days=days)} for days in (2, 3))

    said = "it has not ticked since 2026-11-19 12:00 UTC"
    assert list(stalled(instance, NOW, up, two)) == [Event(Sort.SENSOR, "script_weekly", said)]
    assert list(stalled(instance, NOW, up, three)) == []
    assert list(stalled(instance, NOW, up, {})) == []


@pytest.mark.parametrize("ticks", [[], [(1, GOOD)], [(3, BAD), (2, BAD), (1, GOOD)], [(3, GOOD), (2, BAD), (1, BAD)]])
def test_one_that_ticks_well_or_has_just_begun_is_not(
    ticks: list[tuple[float, TickStatus]], instance: dg.DagsterInstance
) -> None:
    ticked(instance, ticks)

    assert list(stalled(instance, NOW, UP)) == []


def test_one_that_somebody_turned_off_is_not(instance: dg.DagsterInstance) -> None:
    ticked(instance, [(3, BAD), (2, BAD), (1, BAD)], status=InstigatorStatus.STOPPED)

    assert list(stalled(instance, NOW, UP)) == []


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
    evaluated(instance, LOST, escaped("found neither clone nor history of *2026-11-20*"), passed=False, wrong=1)
    evaluated(instance, EXACT, "crm.t as of 2026-11-21 is held back: no rows", passed=False, wrong=0)

    (event,) = failing(instance, [EXACT, LOST])
    assert (event.sort, event.asset, event.reason) == (
        Sort.CHECK,
        "clones/crm",
        "no_lost_night: found neither clone nor history of *2026-11-20*",
    )

    evaluated(instance, LOST, "every recent date has a clone or is folded", passed=True, wrong=0)
    assert list(failing(instance, [EXACT, LOST])) == []
