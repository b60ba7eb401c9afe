"""What happens by itself: jobs, the nightly schedule, the sensors that fold what was cloned and tell of what failed.

Belongs here: when runs are asked for, and for what. Does not belong here: what a run does (``clones``, ``snapshots``).
"""

import collections
import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from history_assets import dbt_files
from history_assets.alerts import alert, events_of
from history_assets.dates import Cutoff
from history_assets.drift import markdown
from history_assets.errors import HistoryError, ReloadError
from history_assets.inventory import Inventory
from history_assets.naming import clone_key, history_key
from history_assets.partitions import PARTITIONS, ranges
from history_assets.refresh import refresh
from history_assets.reloading import reload_code_locations
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.watching import digest, look

if TYPE_CHECKING:
    # What define_asset_job returns has no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AssetJob

CLONES_JOB = "clones"
SNAPSHOTS_JOB = "snapshots"
REFRESH_JOB = "refresh"

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_DRIFT = "history_assets/drift"
"""Tag of a refresh that the sensor asked for: what raw held."""
_ATTEMPTS, _PAUSE = 3, dt.timedelta(days=1)
"""Refreshes of the same drift that may fail, and for how long there is then no other."""
_FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclasses.dataclass(frozen=True)
class AssetJobs:
    """The two jobs of a night."""

    clones: "AssetJob"
    snapshots: "AssetJob"


def asset_jobs(inventory: Inventory) -> AssetJobs:
    """Return the job that clones every schema and the job that folds every table."""
    clones = [dg.AssetKey(clone_key(schema.name)) for schema in inventory.schemas]
    histories = [dg.AssetKey(history_key(schema, table.name)) for schema, table in inventory.tables()]
    return AssetJobs(
        dg.define_asset_job(CLONES_JOB, dg.AssetSelection.assets(*clones), description="Clone the schemas for a date."),
        dg.define_asset_job(
            SNAPSHOTS_JOB, dg.AssetSelection.assets(*histories), description="Fold a date's clones into history."
        ),
    )


def refresh_job(settings: Settings, warehouse: Warehouse) -> dg.JobDefinition:
    """Return the job that brings the generated project up to date and has the webserver load it."""

    @dg.op(name="refresh_project", description="Read the inventory, regenerate and parse the dbt project where it drifted.")
    def refresh_op(context: dg.OpExecutionContext) -> None:
        try:
            result = refresh(settings, warehouse)
        except HistoryError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        for table, reason in result.refused.items():
            context.log.warning(f"left out {table}: {reason}")
        for key in result.ignored:
            context.log.warning(key)
        context.add_output_metadata(
            {
                "drift": dg.MetadataValue.md(markdown(result.drift)),
                "tables": dg.MetadataValue.int(len(result.inventory.tables())),
                "project": dg.MetadataValue.path(str(result.project.folder)),
                "changed": dg.MetadataValue.bool(result.changed),
            }
        )
        # Also where another refresh put the project in force, and told nobody.
        if settings.webserver and (result.changed or result.drift):
            try:
                reload_code_locations(settings.webserver)
            except ReloadError as error:
                context.log.warning(str(error))

    @dg.job(name=REFRESH_JOB, description="Find new, changed and vanished schemas, tables, columns and keys.")
    def job() -> None:
        refresh_op()

    return job


def drift_sensor(settings: Settings, warehouse: Warehouse, now: Callable[[], dt.datetime]) -> dg.SensorDefinition:
    """Return the sensor that has the generated project refreshed when raw has other tables, columns or keys than it had."""

    @dg.sensor(
        name="drift",
        job_name=REFRESH_JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=300,
        description="Notice new, changed and vanished schemas, tables, columns and keys.",
    )
    def drift(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        known = dbt_files.raw_then(settings.home)
        try:
            sight = look(warehouse, known, context.cursor, now())
        except HistoryError as error:
            raise HistoryError(str(error)) from None  # Dagster would show each error on the way to it
        context.update_cursor(sight.cursor)
        busy = f"; {', '.join(sight.busy)} in use, looked at next time" if sight.busy else ""
        if sight.raw == known:
            return dg.SkipReason(f"nothing has changed{busy}")
        asked = refresh_request(context.instance, digest(sight.raw), now())
        if isinstance(asked, dg.SkipReason):
            return dg.SkipReason(f"{asked.skip_message}{busy}")
        return asked

    return drift


def refresh_request(instance: dg.DagsterInstance, drift: str, now: dt.datetime) -> dg.RunRequest | dg.SkipReason:
    """Return the run that refreshes for a drift, named by what raw now holds.

    None while another refreshes, nor when as many as may fail have failed.
    """
    under_way = [status for status in dg.DagsterRunStatus if status not in _FINISHED]
    if running := instance.get_runs(dg.RunsFilter(job_name=REFRESH_JOB, statuses=under_way), limit=1):
        return dg.SkipReason(f"run {running[0].run_id} is refreshing")
    # The newest first.
    before = instance.get_run_records(dg.RunsFilter(job_name=REFRESH_JOB, tags={_DRIFT: drift}), limit=_ATTEMPTS)
    failed = list(itertools.takewhile(lambda record: record.dagster_run.status is not dg.DagsterRunStatus.SUCCESS, before))
    if len(failed) == _ATTEMPTS and now - failed[-1].create_timestamp < _PAUSE:
        return dg.SkipReason(
            f"the refresh failed {_ATTEMPTS} times within a day, last in run {failed[0].dagster_run.run_id}: "
            f"correct what it names and launch the job {REFRESH_JOB}"
        )
    # What was there once may be there again, so that the content alone would not do.
    after = before[0].dagster_run.run_id if before else "none"
    return dg.RunRequest(run_key=f"{drift}:{after}", tags={_DRIFT: drift})


def nightly_schedule(job: "AssetJob", cutoffs: Cutoff) -> dg.ScheduleDefinition:
    """Return the schedule that asks, at each cutoff, for every schema's clone of the date that then begins."""

    @dg.schedule(
        name="nightly",
        job=job,
        cron_schedule=cutoffs.cron(),
        execution_timezone=cutoffs.zone.key,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Clone every schema at the cutoff.",
    )
    def nightly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        key = str(cutoffs.latest(context.scheduled_execution_time))
        context.instance.add_dynamic_partitions(PARTITIONS, [key])
        return dg.RunRequest(run_key=key, partition_key=key)

    return nightly


def snapshot_sensors(job: "AssetJob", inventory: Inventory) -> list[dg.SensorDefinition]:
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

    return [sensor(status) for status in _FINISHED]


def alert_sensors(settings: Settings, now: Callable[[], dt.datetime]) -> list[dg.SensorDefinition]:
    """Return the sensor that tells the channels of ``HISTORY_ALERT_URLS`` of every failed run; none where there are none."""
    if not settings.alert_urls:
        return []

    @dg.run_failure_sensor(
        name="alert",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Tell the channels of HISTORY_ALERT_URLS what failed, once for each cause.",
    )
    def alert_on_failure(context: dg.RunFailureSensorContext) -> dg.SkipReason:
        events = events_of(context.dagster_run, context.get_step_failure_events())
        sent = alert(context.instance, events, now(), settings.alert_urls, settings.webserver, context.log.warning)
        return dg.SkipReason("; ".join(sent) or "nothing that is news")

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
                partition_key=first if first == last else None,
                tags=None if first == last else range_tags(first, last),
            )


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run over the dates from a first to a last, in the order in which their keys are stored."""
    return {_RANGE_START: first, _RANGE_END: last}


def materialized(instance: dg.DagsterInstance, run_id: str) -> list[tuple[dg.AssetKey, str]]:
    """Return every asset partition that a run materialized, also where it failed afterwards."""
    found: list[tuple[dg.AssetKey, str]] = []
    cursor = None
    while True:
        page = instance.get_records_for_run(run_id, cursor, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        for record in page.records:
            event = record.event_log_entry.dagster_event
            if event and event.asset_key and event.partition:
                found.append((event.asset_key, event.partition))
        if not page.has_more:
            return found
        cursor = page.cursor
