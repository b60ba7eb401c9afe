"""What happens by itself: the nightly schedule, the sensors that fold what was cloned, check it and tell of what failed.

Belongs here: when runs are asked for, and for what. Does not belong here: what a run does (``clones``, ``snapshots``).
"""

import collections
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import dagster as dg

from history_assets.alerts import alert, channels_of, events_of
from history_assets.inventory import Inventory
from history_assets.jobs import CHECKS_JOB, CLONES_JOB, SNAPSHOTS_JOB, AssetJob, checks_of, range_tags
from history_assets.naming import clone_key, history_key
from history_assets.partitions import PARTITIONS, ranges
from history_assets.records import FINISHED
from history_assets.run_requests import requests_for_newest
from history_assets.settings import Settings
from history_assets.syncing import open_teller
from history_assets.warehouse.base import Warehouse


def nightly_schedule(inventory: Inventory, warehouse: Warehouse, now: Callable[[], dt.datetime]) -> dg.ScheduleDefinition:
    """Return the schedule that asks, at each cutoff, for the clones of that date, of the schemas that have settled."""
    cutoffs, teller = warehouse.settings.cutoffs(), open_teller(warehouse)

    @dg.schedule(
        name="nightly",
        job_name=CLONES_JOB,
        cron_schedule=cutoffs.cron(),
        execution_timezone=cutoffs.zone.key,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Clone every schema that has settled at the cutoff; the sensor syncs clones the others as they settle.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> list[dg.RunRequest] | dg.SkipReason:
        date = cutoffs.latest(context.scheduled_execution_time)
        settled = teller.settled() if teller else lambda _schema, _cutoff: True
        requests = requests_for_newest(context.instance, inventory, warehouse, date, now(), settled)
        context.instance.add_dynamic_partitions(PARTITIONS, [str(request.partition_key) for request in requests])
        return requests or dg.SkipReason(f"every schema is cloned for {date}, is being cloned, or has not settled")

    return nightly


def snapshot_sensors(job: AssetJob, inventory: Inventory) -> list[dg.SensorDefinition]:
    """Return the sensors that have folded what any run has cloned, however that run ended."""
    histories = {
        dg.AssetKey(clone_key(schema.name)): [dg.AssetKey(history_key(schema.name, table.name)) for table in schema.tables]
        for schema in inventory.schemas
    }

    def sensor(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            name=f"fold_after_{status.value.lower()}",
            run_status=status,
            request_job=job,
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=15,
            description=f"Fold the clones of every run that ended in {status.value}.",
        )
        def fold_after(context: dg.RunStatusSensorContext) -> Iterator[dg.RunRequest | dg.SkipReason]:
            made = materialized(context.instance, context.dagster_run.run_id)
            stored = context.instance.get_dynamic_partitions(PARTITIONS)
            requests = list(fold_requests(context.dagster_run.run_id, made, histories, stored))
            yield from requests
            if not requests:
                yield dg.SkipReason(f"run {context.dagster_run.run_id} left nothing to fold")

        return fold_after

    return [sensor(status) for status in FINISHED]


def check_sensors(job: AssetJob, inventory: Inventory) -> list[dg.SensorDefinition]:
    """Return the sensors that have the newest night of every schema checked that a run was to fold, whatever it failed at.

    At once, while a warehouse that sleeps when it has nothing to do is still awake.
    """
    clones = {
        dg.AssetKey(history_key(schema, table.name)): dg.AssetKey(clone_key(schema)) for schema, table in inventory.tables()
    }

    def sensor(status: dg.DagsterRunStatus) -> dg.SensorDefinition:
        @dg.run_status_sensor(
            name=f"check_after_{status.value.lower()}",
            run_status=status,
            request_job=job,
            default_status=dg.DefaultSensorStatus.RUNNING,
            minimum_interval_seconds=15,
            description=f"Check the schemas of every fold that ended in {status.value}.",
        )
        def check_after(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
            run = context.dagster_run
            every = clones if run.job_name == SNAPSHOTS_JOB else ()
            folded = {clones[key] for key in run.asset_selection or every if key in clones}
            if not folded and run.job_name != CLONES_JOB and not materialized(context.instance, run.run_id):
                # Dagster took its checks along, which were not made, and no fold follows after which they would be.
                folded = set(clones.values()).intersection(run.asset_selection or ())
            if not folded:
                return dg.SkipReason(f"run {run.run_id} was to fold nothing")
            return dg.RunRequest(run_key=run.run_id, job_name=CHECKS_JOB, asset_check_keys=checks_of(folded))

        return check_after

    return [sensor(status) for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)]


def alert_sensors(
    settings: Settings, now: Callable[[], dt.datetime], scripts: Mapping[str, str | None] | None = None
) -> list[dg.SensorDefinition]:
    """Return the sensor that tells the channels of every failed run; none where there are none.

    ``scripts`` says whose each script is, by its asset.
    """
    channels = channels_of(settings)
    if not channels:
        return []

    @dg.run_failure_sensor(
        name="alert",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Tell the channels of HISTORY_ALERT_URLS what failed, once for each cause.",
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        events = events_of(context.dagster_run, context.get_step_failure_events(), scripts)
        return alert(context.instance, events, now(), settings, context.log.warning)

    return [alert_on_failure]


def fold_requests(
    run_id: str,
    made: Collection[tuple[dg.AssetKey, str]],
    histories: dict[dg.AssetKey, list[dg.AssetKey]],
    stored: Sequence[str],
) -> Iterator[dg.RunRequest]:
    """Return the runs that fold what a run cloned and did not fold itself; ``made`` is what it materialized, with partitions.

    Dates whose tables are the same and whose keys are stored side by side share a run.
    """
    tables_of = collections.defaultdict[str, set[dg.AssetKey]](set)
    for key, date in made:
        tables_of[date] |= set(histories.get(key, ()))
    for key, date in made:
        tables_of[date].discard(key)
    dates_of = collections.defaultdict[frozenset[dg.AssetKey], list[str]](list)
    for date, tables in tables_of.items():
        if tables:
            dates_of[frozenset(tables)].append(date)
    for selected, dates in dates_of.items():
        for first, last in ranges(dates, stored):
            yield dg.RunRequest(
                run_key=f"{run_id}:{first}:{last}",
                job_name=SNAPSHOTS_JOB,
                asset_selection=sorted(selected),
                # None would mean all: planned, never run, and shown as skipped.
                asset_check_keys=[],
                partition_key=first if first == last else None,
                tags=None if first == last else range_tags(first, last),
            )


def materialized(instance: dg.DagsterInstance, run_id: str) -> list[tuple[dg.AssetKey, str]]:
    """Return every asset partition that a run materialized, also where it failed afterwards."""
    return [(key, partition) for key, partition in materializations(instance, run_id) if partition]


def materializations(instance: dg.DagsterInstance, run_id: str) -> Iterator[tuple[dg.AssetKey, str | None]]:
    """Yield every asset that a run materialized, with the partition if it has one."""
    cursor = None
    while True:
        page = instance.get_records_for_run(run_id, cursor, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        for record in page.records:
            event = record.event_log_entry.dagster_event
            if event and event.asset_key:
                yield event.asset_key, event.partition
        if not page.has_more:
            return
        cursor = page.cursor
