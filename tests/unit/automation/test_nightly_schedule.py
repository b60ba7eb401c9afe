"""What the schedule asks for at a tick, whatever the clocks do."""

import datetime as dt
from collections.abc import Sequence

import dagster as dg
import pytest

from history_assets.automation import check_sensors, nightly_schedule, snapshot_sensors
from history_assets.healing import healing_sensor
from history_assets.jobs import asset_jobs
from history_assets.partitions import PARTITIONS
from history_assets.syncing import sync_sensor
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.unit.automation.nights import HISTORIES, INVENTORY, MakeWarehouse, clones


def nightly(
    warehouse: DuckDBWarehouse, instance: dg.DagsterInstance, scheduled: dt.datetime, now: dt.datetime | None = None
) -> list[dg.RunRequest]:
    """Return what the schedule asks for at a tick."""
    schedule = nightly_schedule(INVENTORY, warehouse, lambda: now or scheduled)
    asked = schedule(dg.build_schedule_context(instance, scheduled_execution_time=scheduled))
    return asked if isinstance(asked, list) else []


def asked_of(requests: Sequence[dg.RunRequest]) -> list[tuple[str | None, str | None, list[dg.AssetKey]]]:
    return [(each.job_name, each.partition_key, list(each.asset_selection or ())) for each in requests]


@pytest.mark.parametrize(
    ("zone", "tick", "date"),
    [
        ("UTC", "2026-11-22T00:00+00:00", "2026-11-22"),
        ("Europe/Zurich", "2026-03-28T23:00+00:00", "2026-03-29"),
        ("Europe/Zurich", "2026-03-29T22:00+00:00", "2026-03-30"),
        ("Europe/Zurich", "2026-10-24T22:00+00:00", "2026-10-25"),
        ("Europe/Zurich", "2026-10-25T23:00+00:00", "2026-10-26"),
        ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-08"),
        ("America/New_York", "2026-03-09T00:00-04:00", "2026-03-09"),
        ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-01"),
        ("America/New_York", "2026-11-02T00:00-05:00", "2026-11-02"),
        ("Africa/Cairo", "2024-04-25T00:00+02:00", "2024-04-25"),
        ("Africa/Cairo", "2024-04-26T01:00+03:00", "2024-04-26"),  # the clocks go from 00:00 to 01:00
        ("Africa/Cairo", "2024-04-27T00:00+03:00", "2024-04-27"),
    ],
)
def test_the_schedule_asks_for_the_date_that_begins_and_adds_it(
    zone: str, tick: str, date: str, instance: dg.DagsterInstance, make_warehouse: MakeWarehouse
) -> None:
    found = nightly(make_warehouse(zone), instance, dt.datetime.fromisoformat(tick))

    assert asked_of(found) == [("clones", date, sorted(HISTORIES))]
    assert instance.get_dynamic_partitions(PARTITIONS) == [date]


def test_a_tick_that_comes_again_asks_for_the_same_run(instance: dg.DagsterInstance, make_warehouse: MakeWarehouse) -> None:
    """Of runs of the same key Dagster makes one."""
    tick = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
    warehouse = make_warehouse()

    assert nightly(warehouse, instance, tick) == nightly(warehouse, instance, tick)
    assert instance.get_dynamic_partitions(PARTITIONS) == ["2026-11-22"]


def test_a_tick_that_comes_days_late_asks_for_its_own_date(instance: dg.DagsterInstance, make_warehouse: MakeWarehouse) -> None:
    tick = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)

    found = nightly(make_warehouse(), instance, tick, now=tick + dt.timedelta(days=3))

    assert asked_of(found) == [("clones", "2026-11-22", sorted(HISTORIES))]


def test_what_is_cloned_or_gone_is_not_asked_for(
    instance: dg.DagsterInstance, make_warehouse: MakeWarehouse, landed: Landing
) -> None:
    tick, warehouse = dt.datetime(2026, 11, 22, tzinfo=dt.UTC), make_warehouse()
    warehouse.clone("billing", dt.date(2026, 11, 22), lambda: None)
    landed.file("crm").unlink()

    assert asked_of(nightly(warehouse, instance, tick)) == [("clones", "2026-11-22", [clones("web shop")])]

    warehouse.clone("web shop", dt.date(2026, 11, 22), lambda: None)
    assert nightly(warehouse, instance, tick) == []


@pytest.mark.parametrize("time", [dt.time(0), dt.time(0, 30), dt.time(2, 30), dt.time(23, 59)])
@pytest.mark.parametrize("zone", ["UTC", "Europe/Zurich", "America/New_York", "Africa/Cairo", "Asia/Kathmandu"])
def test_a_year_of_ticks_asks_for_every_date_once(zone: str, time: dt.time, make_warehouse: MakeWarehouse) -> None:
    """At the instants at which Dagster reads the cron expression, whatever the clocks do."""
    warehouse = make_warehouse(zone, time)
    rule = warehouse.settings.cutoffs()
    schedule = nightly_schedule(INVENTORY, warehouse, lambda: dt.datetime(2025, 1, 1, tzinfo=dt.UTC))
    ticks = dg.TimeWindowPartitionsDefinition(
        start=dt.datetime(2024, 1, 1),  # noqa: DTZ001 - in the zone given next
        end=dt.datetime(2025, 1, 1),  # noqa: DTZ001
        cron_schedule=str(schedule.cron_schedule),
        timezone=str(schedule.execution_timezone),
        fmt="%Y-%m-%dT%H:%M:%S%z",
    )
    instants = [ticks.time_window_for_partition_key(key).start for key in ticks.get_partition_keys()]

    assert [rule.latest(instant) for instant in instants] == [
        dt.date(2024, 1, 1) + dt.timedelta(days=day) for day in range(len(instants))
    ]
    assert len(instants) in (365, 366)


def test_the_schedule_and_the_sensors_run_from_the_start(make_warehouse: MakeWarehouse) -> None:
    warehouse, jobs = make_warehouse("Europe/Zurich", dt.time(1, 5)), asset_jobs(INVENTORY)
    now = lambda: dt.datetime(2026, 11, 22, tzinfo=dt.UTC)  # noqa: E731
    schedule = nightly_schedule(INVENTORY, warehouse, now)
    sensors = [
        *snapshot_sensors(jobs.snapshots, INVENTORY),
        *check_sensors(jobs.checks, INVENTORY),
        *sync_sensor(INVENTORY, warehouse, now),
        healing_sensor([jobs.clones, jobs.snapshots], INVENTORY, warehouse, now),
    ]

    assert (schedule.name, schedule.cron_schedule, schedule.execution_timezone) == ("nightly", "5 1 * * *", "Europe/Zurich")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    assert {sensor.name: sensor.default_status for sensor in sensors} == dict.fromkeys(
        (
            "fold_after_success",
            "fold_after_failure",
            "fold_after_canceled",
            "check_after_success",
            "check_after_failure",
            "syncs",
            "healing",
        ),
        dg.DefaultSensorStatus.RUNNING,
    )
