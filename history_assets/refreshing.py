"""Keeping up with raw: the job that brings the generated project up to date, and the sensor that has it run.

Belongs here: when the project is refreshed, and what a person reads of it. Does not belong here: what a refresh does
(``refresh``), what changed (``drift``), or how raw is looked at (``sighting``).
"""

import datetime as dt
import itertools
from collections.abc import Callable

import dagster as dg

from history_assets import dbt_files
from history_assets.drift import markdown
from history_assets.errors import HistoryError, ReloadError
from history_assets.lifelines import lifeline
from history_assets.missing import TRIES
from history_assets.records import UNFINISHED
from history_assets.refresh import refresh
from history_assets.reloading import reload_code_locations
from history_assets.scripts.folder import mark
from history_assets.settings import Settings
from history_assets.sighting import digest, look
from history_assets.warehouse.base import Warehouse

REFRESH_JOB = "refresh"

_DRIFT = "history_assets/drift"
"""Tag of a refresh that the sensor asked for: what raw held."""
_SCRIPTS = "history_assets/scripts"
"""Tag of a refresh that the sensor asked for: what the folder of scripts held."""
_PAUSE = dt.timedelta(days=1)
"""For how long there is no other refresh once as many of the same drift have failed as may."""


def refresh_job(settings: Settings, warehouse: Warehouse) -> dg.JobDefinition:
    """Return the job that brings the generated project up to date and has the webserver load it."""

    @dg.op(name="refresh_project", description="Read the inventory, regenerate and parse the dbt project where it drifted.")
    def refresh_op(context: dg.OpExecutionContext) -> None:
        try:
            with lifeline(settings.home, context.run.run_id):
                result = refresh(settings, warehouse)
        except HistoryError as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        for line in result.warnings():
            context.log.warning(line)
        context.add_output_metadata(
            {
                "drift": dg.MetadataValue.md(markdown(result.drift)),
                "tables": dg.MetadataValue.int(len(result.inventory.tables())),
                "project": dg.MetadataValue.path(str(result.project.folder)),
                "changed": dg.MetadataValue.bool(result.changed),
            }
        )
        # Also where another refresh put the project in force, and told nobody.
        if settings.webserver and (result.changed or result.drift or _SCRIPTS in context.run.tags):
            try:
                reload_code_locations(settings.webserver)
            except ReloadError as error:
                context.log.warning(str(error))

    @dg.job(name=REFRESH_JOB, description="Find new, changed and vanished schemas, tables, columns and keys.")
    def job() -> None:
        refresh_op()

    return job


def drift_sensor(settings: Settings, warehouse: Warehouse, now: Callable[[], dt.datetime]) -> dg.SensorDefinition:
    """Return the sensor that has the generated project refreshed when raw has other tables, columns or keys than it had.

    Where there is a webserver to load them, other files of scripts than these definitions were made of lead to a refresh, too.
    """
    loaded, loaded_at = mark(settings.scripts), now()

    @dg.sensor(
        name="drift",
        job_name=REFRESH_JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=300,
        description="Notice new, changed and vanished schemas, tables, columns, keys and scripts.",
    )
    def drift(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        known = dbt_files.raw_then(settings.home)
        try:
            sight = look(warehouse, known, context.cursor, now())
        except HistoryError as error:
            raise HistoryError(str(error)) from None  # Dagster would show each error on the way to it
        context.update_cursor(sight.cursor)
        unread = f"; {', '.join(sight.unread)} not to be read now, looked at next time" if sight.unread else ""
        scripts = mark(settings.scripts)
        if sight.raw == known and settings.webserver and scripts != loaded:
            return reload_request(context.instance, scripts, loaded_at)
        if sight.raw == known:
            return dg.SkipReason(f"nothing has changed{unread}")
        asked = refresh_request(context.instance, digest(sight.raw), now())
        if isinstance(asked, dg.SkipReason):
            return dg.SkipReason(f"{asked.skip_message}{unread}")
        return asked

    return drift


def reload_request(instance: dg.DagsterInstance, scripts: str, loaded_at: dt.datetime) -> dg.RunRequest | dg.SkipReason:
    """Return the run that has the webserver load the scripts, named by what the folder holds; once since they were loaded."""
    before = instance.get_run_records(dg.RunsFilter(job_name=REFRESH_JOB, tags={_SCRIPTS: scripts}), limit=1)
    if before and before[0].create_timestamp >= loaded_at:
        return dg.SkipReason(f"run {before[0].dagster_run.run_id} was to have the scripts loaded, which have changed")
    return dg.RunRequest(run_key=f"{scripts}:{loaded_at.isoformat()}", tags={_SCRIPTS: scripts})


def refresh_request(instance: dg.DagsterInstance, drift: str, now: dt.datetime) -> dg.RunRequest | dg.SkipReason:
    """Return the run that refreshes for a drift, named by what raw now holds.

    None while another refreshes, nor when as many as may fail have failed.
    """
    if running := instance.get_runs(dg.RunsFilter(job_name=REFRESH_JOB, statuses=UNFINISHED), limit=1):
        return dg.SkipReason(f"run {running[0].run_id} is refreshing")
    # The newest first.
    before = instance.get_run_records(dg.RunsFilter(job_name=REFRESH_JOB, tags={_DRIFT: drift}), limit=TRIES)
    failed = list(itertools.takewhile(lambda record: record.dagster_run.status is not dg.DagsterRunStatus.SUCCESS, before))
    if len(failed) == TRIES and now - failed[-1].create_timestamp < _PAUSE:
        return dg.SkipReason(
            f"the refresh failed {TRIES} times within a day, last in run {failed[0].dagster_run.run_id}: "
            f"correct what it names and launch the job {REFRESH_JOB}"
        )
    # What was there once may be there again, so that the content alone would not do.
    after = before[0].dagster_run.run_id if before else "none"
    return dg.RunRequest(run_key=f"{drift}:{after}", tags={_DRIFT: drift})
