"""What happens by itself: jobs, schedules, the sensors that fold what was cloned, check it and tell of what failed.

Belongs here: when runs are asked for, and for what. Does not belong here: what a run does (``clones``, ``snapshots``,
``checks``, ``retention``).
"""

import collections
import dataclasses
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from history_assets.alerts import alert, events_of
from history_assets.checks import SCHEMA_CHECKS
from history_assets.dates import Cutoff
from history_assets.errors import HistoryError
from history_assets.failures import Problem, failure
from history_assets.inventory import Inventory
from history_assets.naming import clone_key, history_key
from history_assets.partitions import LATEST, PARTITIONS, ranges
from history_assets.refresh import refresh
from history_assets.retention import forget_dates, retain
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse

if TYPE_CHECKING:
    # What define_asset_job returns has no public name.
    from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition as AssetJob

CLONES_JOB = "clones"
SNAPSHOTS_JOB = "snapshots"
REFRESH_JOB = "refresh"
RETENTION_JOB = "retention"
CHECKS_JOB = "checks"

_RANGE_START = "dagster/asset_partition_range_start"
_RANGE_END = "dagster/asset_partition_range_end"
_FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dataclasses.dataclass(frozen=True)
class AssetJobs:
    """The jobs of a night."""

    clones: "AssetJob"
    snapshots: "AssetJob"
    checks: "AssetJob"


def asset_jobs(inventory: Inventory) -> AssetJobs:
    """Return the job that clones every schema, the one that folds every table, and the one that checks the schemas' nights.

    A job of assets would run their checks too, before there is anything to check.
    """
    clones = [dg.AssetKey(clone_key(schema.name)) for schema in inventory.schemas]
    histories = [dg.AssetKey(history_key(schema, table.name)) for schema, table in inventory.tables()]
    return AssetJobs(
        dg.define_asset_job(
            CLONES_JOB, dg.AssetSelection.assets(*clones).without_checks(), description="Clone the schemas for a date."
        ),
        dg.define_asset_job(
            SNAPSHOTS_JOB,
            dg.AssetSelection.assets(*histories).without_checks(),
            description="Fold a date's clones into history.",
        ),
        dg.define_asset_job(
            CHECKS_JOB, dg.AssetSelection.checks(*_checks_of(clones)), description="Check the newest night of the schemas."
        ),
    )


def _checks_of(clones: Collection[dg.AssetKey]) -> list[dg.AssetCheckKey]:
    return [dg.AssetCheckKey(key, name) for key in sorted(clones) for name in SCHEMA_CHECKS]


def refresh_job(settings: Settings, warehouse: Warehouse) -> dg.JobDefinition:
    """Return the job that brings the generated project up to date and has the webserver load it."""

    @dg.op(name="refresh_project", description="Read the inventory, regenerate and parse the dbt project where it drifted.")
    def refresh_op(context: dg.OpExecutionContext) -> None:
        try:
            result = refresh(settings, warehouse)
        except HistoryError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        for table, reason in result.refused.items():
            context.log.warning(f"left out {table}: {reason}")
        for key in result.ignored:
            context.log.warning(key)
        context.add_output_metadata(
            {
                "tables": dg.MetadataValue.int(len(result.inventory.tables())),
                "project": dg.MetadataValue.path(str(result.project.folder)),
                "changed": dg.MetadataValue.bool(result.changed),
            }
        )
        if result.changed and settings.webserver:
            reload_code_location(settings.webserver, context.log.info)

    @dg.job(name=REFRESH_JOB, description="Find new schemas, tables and columns.")
    def job() -> None:
        refresh_op()

    return job


def retention_job(warehouse: Warehouse, now: Callable[[], dt.datetime]) -> dg.JobDefinition:
    """Return the job that drops the clones whose time is over, with the partition keys of dates that have none any more."""

    # In the pool of those that write histories, since a clone is compared with its histories before it goes.
    @dg.op(
        name="drop_clones",
        description="Drop the clones whose time is over and that the histories hold exactly.",
        pool="history",
    )
    def retention_op(context: dg.OpExecutionContext) -> None:
        try:
            today = warehouse.settings.cutoffs().latest(now())
            verdicts = list(retain(warehouse, today))
            forgotten = forget_dates(warehouse, context.instance, today)
        except HistoryError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        for verdict in verdicts:
            context.log.info(verdict.said())
        context.add_output_metadata(
            {
                "dropped": dg.MetadataValue.json(
                    [f"{verdict.schema} {verdict.date}" for verdict in verdicts if not verdict.kept_because]
                ),
                "kept": dg.MetadataValue.json(
                    {f"{verdict.schema} {verdict.date}": verdict.kept_because for verdict in verdicts if verdict.kept_because}
                ),
                "forgotten_dates": dg.MetadataValue.json(forgotten),
            }
        )
        if problems := [
            Problem("/".join(clone_key(verdict.schema)), str(verdict.date), str(verdict.kept_because))
            for verdict in verdicts
            if verdict.wrong
        ]:
            raise failure(f"{len(problems)} clones are kept that their histories contradict", problems)

    @dg.job(name=RETENTION_JOB, description="Drop clones that are older than HISTORY_CLONE_RETENTION_DAYS.")
    def job() -> None:
        retention_op()

    return job


def retention_schedule(job: dg.JobDefinition, cutoffs: Cutoff) -> dg.ScheduleDefinition:
    """Return the schedule that drops clones every day, some hours after the cutoff, when a usual night is folded."""
    return dg.ScheduleDefinition(
        name="daily_retention",
        job=job,
        cron_schedule=cutoffs.cron(LATEST),
        execution_timezone=cutoffs.zone.key,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Drop the clones whose time is over.",
    )


def reload_code_location(webserver: str, say: Callable[[str], None]) -> None:
    """Ask a webserver, given as host:port, to load the definitions of every code location again."""
    from dagster_graphql import DagsterGraphQLClient

    host, _, port = webserver.rpartition(":")
    client = DagsterGraphQLClient(host, port_number=int(port))
    answer = client._execute("mutation { reloadWorkspace { __typename } }")
    say(f"asked {webserver} to reload: {answer}")


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


def check_sensors(job: "AssetJob", inventory: Inventory) -> list[dg.SensorDefinition]:
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
            if not folded:
                return dg.SkipReason(f"run {run.run_id} was to fold nothing")
            return dg.RunRequest(run_key=run.run_id, job_name=CHECKS_JOB, asset_check_keys=_checks_of(folded))

        return check_after

    return [sensor(status) for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)]


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
                # None would mean all: planned, never run, and shown as skipped.
                asset_check_keys=[],
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
