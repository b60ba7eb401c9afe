"""When runs are asked for, and for what."""

import collections
import datetime as dt
import functools
import time
from collections.abc import Callable, Iterator, Sequence

import dagster as dg
import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets import healing
from history_assets.automation import check_sensors, fold_requests, nightly_schedule, snapshot_sensors
from history_assets.folding import TableRef
from history_assets.healing import healing_sensor, missing_clones, missing_folds
from history_assets.inventory import Inventory, KeySource, Schema, Table
from history_assets.jobs import asset_jobs
from history_assets.naming import clone_key, history_key
from history_assets.partitions import PARTITIONS
from history_assets.run_requests import records_of
from history_assets.settings import Settings
from history_assets.syncing import sync_sensor
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing

Made = Sequence[tuple[dg.AssetKey, str]]

TABLES = {"billing": ["invoice"], "crm": ["note", "account"], "web shop": ["line-item"]}
INVENTORY = Inventory(
    tuple(Schema(name, tuple(Table(table, (), (), KeySource.WHOLE_ROW) for table in tables)) for name, tables in TABLES.items())
)


def clones(schema: str) -> dg.AssetKey:
    return dg.AssetKey(clone_key(schema))


def histories(schema: str) -> list[dg.AssetKey]:
    return [dg.AssetKey(history_key(schema, table)) for table in TABLES[schema]]


HISTORIES = {clones(schema): histories(schema) for schema in TABLES}


def requests(made: Made, stored: Sequence[str]) -> list[dg.RunRequest]:
    return list(fold_requests("run", made, HISTORIES, stored))


def test_a_clone_is_folded_on_its_date_by_its_tables_alone() -> None:
    assert requests([(clones("crm"), "2026-11-21")], ["2026-11-20", "2026-11-21"]) == [
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=[dg.AssetKey(["history", "crm", "account"]), dg.AssetKey(["history", "crm", "note"])],
            asset_check_keys=[],
        )
    ]


def test_clones_of_several_schemas_share_the_run_of_their_date() -> None:
    made = [(clones("web shop"), "2026-11-21"), (clones("billing"), "2026-11-21")]

    assert requests(made, ["2026-11-21"]) == [
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=[
                dg.AssetKey(["history", "billing", "invoice"]),
                dg.AssetKey(["history", "web_x20_shop", "line_x2d_item"]),
            ],
            asset_check_keys=[],
        )
    ]


def test_dates_stored_side_by_side_share_a_run_and_others_do_not() -> None:
    """A range means every key between its ends, in the order in which the keys were added."""
    stored = ["2026-11-22", "2026-11-20", "2026-11-19", "2026-11-21"]

    assert requests([(clones("billing"), date) for date in ("2026-11-20", "2026-11-21", "2026-11-22")], stored) == [
        dg.RunRequest(
            run_key="run:2026-11-22:2026-11-20",
            job_name="snapshots",
            tags={
                "dagster/asset_partition_range_start": "2026-11-22",
                "dagster/asset_partition_range_end": "2026-11-20",
            },
            asset_selection=histories("billing"),
            asset_check_keys=[],
        ),
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=histories("billing"),
            asset_check_keys=[],
        ),
    ]


def test_dates_on_which_other_schemas_were_cloned_do_not_share_a_run() -> None:
    made = [(clones("billing"), "2026-11-20"), (clones("billing"), "2026-11-21"), (clones("web shop"), "2026-11-21")]

    assert requests(made, ["2026-11-20", "2026-11-21"]) == [
        dg.RunRequest(
            run_key="run:2026-11-20:2026-11-20",
            job_name="snapshots",
            partition_key="2026-11-20",
            asset_selection=histories("billing"),
            asset_check_keys=[],
        ),
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=[*histories("billing"), *histories("web shop")],
            asset_check_keys=[],
        ),
    ]


def test_what_the_run_folded_itself_is_left_out() -> None:
    account, note = sorted(histories("crm"))
    made = [(clones("crm"), "2026-11-20"), (account, "2026-11-20"), (note, "2026-11-20")]
    made += [(clones("crm"), "2026-11-21"), (account, "2026-11-21")]

    assert requests(made, ["2026-11-20", "2026-11-21"]) == [
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=[note],
            asset_check_keys=[],
        )
    ]


def test_a_run_that_cloned_nothing_is_followed_by_nothing() -> None:
    assert requests([], ["2026-11-21"]) == []
    assert requests([(histories("billing")[0], "2026-11-21"), (dg.AssetKey("other"), "2026-11-21")], ["2026-11-21"]) == []


def test_a_date_that_was_deleted_meanwhile_is_not_asked_for() -> None:
    assert requests([(clones("billing"), "2026-11-20")], ["2026-11-21"]) == []


DATES = st.sampled_from([f"2026-11-{day:02}" for day in range(1, 8)])
KEYS = st.sampled_from([*HISTORIES, *(table for tables in HISTORIES.values() for table in tables), dg.AssetKey("other")])


@given(st.lists(st.tuples(KEYS, DATES)), st.lists(DATES, unique=True))
def test_every_cloned_and_unfolded_table_of_every_stored_date_is_asked_for_once(
    made: list[tuple[dg.AssetKey, str]], stored: list[str]
) -> None:
    wanted = {(table, date) for clone, date in made for table in HISTORIES.get(clone, ()) if date in stored} - set(made)

    found = requests(made, stored)

    asked: collections.Counter[tuple[dg.AssetKey, str]] = collections.Counter()
    for request in found:
        first = request.tags.get("dagster/asset_partition_range_start", request.partition_key)
        last = request.tags.get("dagster/asset_partition_range_end", request.partition_key)
        dates = stored[stored.index(str(first)) : stored.index(str(last)) + 1]
        asked.update((table, date) for table in request.asset_selection or () for date in dates)
    assert asked == collections.Counter(wanted)
    assert len({request.run_key for request in found}) == len(found)


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as instance:
        yield instance


@pytest.fixture
def instance(shared_instance: dg.DagsterInstance) -> Iterator[dg.DagsterInstance]:
    """A persistent instance without partitions."""
    yield shared_instance
    for key in shared_instance.get_dynamic_partitions(PARTITIONS):
        shared_instance.delete_dynamic_partition(PARTITIONS, key)


def ran(instance: dg.DagsterInstance, made: Made, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    """Run a job, of whatever name, that records materializations."""

    @dg.op
    def record(context: dg.OpExecutionContext) -> None:
        for key, date in made:
            context.log_event(dg.AssetMaterialization(key, partition=date))
        if fails:
            raise dg.Failure("one could not be cloned", allow_retries=False)

    @dg.job(name="anything")
    def job() -> None:
        record()

    return job.execute_in_process(instance=instance, raise_on_error=False)


_ENDED = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE)


def sensed(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, status: str) -> list[dg.RunRequest | dg.SkipReason]:
    """Return what the sensor for a status asks for after a run."""
    sensors = {sensor.name: sensor for sensor in snapshot_sensors(asset_jobs(INVENTORY).snapshots, INVENTORY)}
    name = f"fold_after_{status}"
    (event,) = [event for event in result.all_events if event.event_type in _ENDED]
    context = dg.build_run_status_sensor_context(name, event, instance, result.dagster_run)
    return list(sensors[name](context))  # type: ignore[call-overload]


@pytest.mark.parametrize("status", ["success", "failure", "canceled"])
def test_whatever_a_run_cloned_is_folded_however_it_ended(instance: dg.DagsterInstance, status: str) -> None:
    instance.add_dynamic_partitions(PARTITIONS, ["2026-11-21", "2026-11-20"])
    result = ran(instance, [(clones("crm"), "2026-11-20"), (clones("crm"), "2026-11-21")], fails=status != "success")

    assert sensed(instance, result, status) == [
        dg.RunRequest(
            run_key=f"{result.run_id}:2026-11-21:2026-11-20",
            job_name="snapshots",
            tags={
                "dagster/asset_partition_range_start": "2026-11-21",
                "dagster/asset_partition_range_end": "2026-11-20",
            },
            asset_selection=sorted(histories("crm")),
            asset_check_keys=[],
        )
    ]


def test_a_run_with_nothing_to_fold_is_passed_by_with_its_name(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions(PARTITIONS, ["2026-11-21"])
    made = [(clones("billing"), "2026-11-21"), *((table, "2026-11-21") for table in histories("billing"))]
    result = ran(instance, made)

    assert sensed(instance, result, "success") == [dg.SkipReason(f"run {result.run_id} left nothing to fold")]


def test_materializations_without_a_partition_are_none_of_the_nights(instance: dg.DagsterInstance) -> None:
    @dg.asset(key=clones("billing"))
    def unpartitioned() -> None: ...

    result = dg.materialize([unpartitioned], instance=instance)

    assert sensed(instance, result, "success") == [dg.SkipReason(f"run {result.run_id} left nothing to fold")]


def test_the_jobs_of_a_night_are_all_clones_and_all_histories() -> None:
    jobs = asset_jobs(INVENTORY)

    assert (jobs.clones.name, jobs.snapshots.name) == ("clones", "snapshots")
    tables = [table for tables in HISTORIES.values() for table in tables]
    assert jobs.clones.selection == dg.AssetSelection.assets(*HISTORIES).without_checks()
    assert jobs.snapshots.selection == dg.AssetSelection.assets(*tables).without_checks()


def checks(*schemas: str) -> list[dg.AssetCheckKey]:
    names = ("newest_exact", "no_lost_night", "no_large_drop")
    return [dg.AssetCheckKey(clones(schema), name) for schema in sorted(schemas) for name in names]


def folds(
    instance: dg.DagsterInstance,
    selected: frozenset[dg.AssetKey] | None,
    *,
    job: str,
    fails: bool,
    made: dg.AssetKey | None = None,
) -> tuple[str, object]:
    """Return the id of a run of a job that was to fold something, or made a clone, and what is asked for after it."""

    @dg.op
    def fold(context: dg.OpExecutionContext) -> None:
        if made:
            context.log_event(dg.AssetMaterialization(made, partition="2026-11-20"))
        if fails:
            raise dg.Failure("one is held back", allow_retries=False)

    @dg.job(name=job)
    def folding() -> None:
        fold()

    ended = folding.execute_in_process(instance=instance, raise_on_error=False)
    run = ended.dagster_run.with_status(ended.dagster_run.status)._replace(asset_selection=selected)
    (event,) = [event for event in ended.all_events if event.event_type in _ENDED]
    sensors = {sensor.name: sensor for sensor in check_sensors(asset_jobs(INVENTORY).checks, INVENTORY)}
    name = f"check_after_{'failure' if fails else 'success'}"
    return run.run_id, sensors[name](dg.build_run_status_sensor_context(name, event, instance, run))


@pytest.mark.parametrize("fails", [False, True])
def test_the_schemas_of_a_fold_are_checked_however_it_ended(instance: dg.DagsterInstance, fails: bool) -> None:
    selected = frozenset([histories("crm")[0], histories("web shop")[0], clones("billing")])
    run, asked = folds(instance, selected, job="__ASSET_JOB", fails=fails)

    assert asked == dg.RunRequest(run_key=run, job_name="checks", asset_check_keys=checks("crm", "web shop"))


def test_a_run_of_the_whole_job_folds_every_schema(instance: dg.DagsterInstance) -> None:
    run, asked = folds(instance, None, job="snapshots", fails=False)

    assert asked == dg.RunRequest(run_key=run, job_name="checks", asset_check_keys=checks(*TABLES))


@pytest.mark.parametrize("selected", [None, frozenset([clones("crm")])])
def test_a_run_that_was_to_fold_nothing_is_not_checked(
    instance: dg.DagsterInstance, selected: frozenset[dg.AssetKey] | None
) -> None:
    run, asked = folds(instance, selected, job="clones", fails=False)

    assert asked == dg.SkipReason(f"run {run} was to fold nothing")


def test_checks_that_a_run_of_clones_came_to_nothing_with_are_made_after_it(instance: dg.DagsterInstance) -> None:
    """Dagster adds them to such a run, and leaves them failed when its step fails."""
    run, asked = folds(instance, frozenset([clones("crm")]), job="__ASSET_JOB", fails=True)

    assert asked == dg.RunRequest(run_key=run, job_name="checks", asset_check_keys=checks("crm"))


@pytest.mark.parametrize("fails", [False, True])
def test_checks_of_a_run_that_made_a_clone_wait_for_its_fold(instance: dg.DagsterInstance, fails: bool) -> None:
    selected = frozenset([clones("crm"), clones("billing")])
    run, asked = folds(instance, selected, job="__ASSET_JOB", fails=fails, made=clones("crm"))

    assert asked == dg.SkipReason(f"run {run} was to fold nothing")


@pytest.fixture
def landed(landing: Landing) -> Landing:
    """The schemas of the inventory, each written long ago, and one that no project knows yet."""
    for schema in (*TABLES, "new"):
        landing.execute(schema, "2024-01-01", "create table t (_fivetran_synced timestamptz)")
    return landing


MakeWarehouse = Callable[..., DuckDBWarehouse]


@pytest.fixture
def make_warehouse(make_settings: Callable[..., Settings], landed: Landing) -> MakeWarehouse:
    return lambda zone="UTC", time=dt.time(0): DuckDBWarehouse(make_settings(timezone=zone, cutoff=time))


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


def test_a_log_that_is_being_written_is_left_for_the_next_look(
    landed: Landing, make_warehouse: MakeWarehouse, instance: dg.DagsterInstance
) -> None:
    """Whoever waits for it may be stopped first, and then wait on in the code server."""
    (syncs,) = sync_sensor(INVENTORY, make_warehouse(), lambda: dt.datetime(2026, 10, 20, 1, tzinfo=dt.UTC))
    landed.execute("fivetran_metadata", "2024-01-01", "create table log (id int)")
    began = time.monotonic()
    with duckdb.connect(str(landed.file("fivetran_metadata"))), dg.build_sensor_context(instance, cursor="{}") as context:
        looked = syncs.evaluate_tick(context)

    assert time.monotonic() - began < 10
    assert str(looked.skip_message).startswith(f"found {landed.file('fivetran_metadata')} still in use")
    assert (looked.run_requests, looked.cursor) == ([], "{}")


@pytest.mark.usefixtures("landed")
def test_healing_leaves_a_night_to_the_others_for_a_quarter_of_an_hour(make_settings: Callable[..., Settings]) -> None:
    warehouse = DuckDBWarehouse(make_settings(healing_days=1))
    cutoff = warehouse.settings.cutoffs().at(dt.date(2026, 10, 20))
    wanted = [missing_clones(INVENTORY, warehouse, {}, (), cutoff + dt.timedelta(minutes=minutes)) for minutes in (14, 15)]

    assert wanted == [{}, {dt.date(2026, 10, 20): ["billing", "crm", "web shop"]}]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_clones_that_are_new_to_healing_are_looked_at_over_several_ticks(
    at_once: int,
    instance: dg.DagsterInstance,
    make_settings: Callable[..., Settings],
    landed: Landing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is among what is not folded from the tick on that comes to it, and none is forgotten."""
    monkeypatch.setattr(healing, "LOOKED_AT", at_once)
    warehouse, made = DuckDBWarehouse(make_settings()), "create or replace table t (_fivetran_synced timestamptz)"
    days = [dt.date(2026, 10, day) for day in (17, 18, 19, 20)]
    for date in days:
        for schema in ("billing", "crm"):
            landed.execute(schema, f"{date - dt.timedelta(days=1)}T20:00", made)
            warehouse.clone(schema, date, functools.partial(warehouse.settings.cutoffs().at, date))
    unfolded = [
        (date, [(schema, table) for table in tables])
        for date in days
        for schema, tables in (("billing", ["invoice"]), ("crm", ["note", "account"]))
    ]
    records = records_of(instance, INVENTORY)
    now, cursor = dt.datetime(2026, 10, 20, 12, tzinfo=dt.UTC), None
    for tick in range(1, 10):
        folds, cursor = missing_folds(INVENTORY, warehouse, warehouse.clone_marks(), records, cursor, now)
        expected: dict[dt.date, list[TableRef]] = {}
        for date, tables in unfolded[: tick * at_once]:
            expected[date] = expected.get(date, []) + tables
        assert folds == expected

    assert len(folds) == len(days)
