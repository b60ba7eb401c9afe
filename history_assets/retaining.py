"""Forgetting old clones by itself: the job that drops them, and its schedule.

Belongs here: when clones are dropped, and what a person reads of it. Does not belong here: which are, or how (``retention``).
"""

import datetime as dt
from collections.abc import Callable

import dagster as dg

from history_assets.dates import Cutoff
from history_assets.errors import HistoryError
from history_assets.failures import Problem, failure
from history_assets.lifelines import lifeline
from history_assets.naming import clone_key
from history_assets.partitions import LATEST
from history_assets.retention import forget_dates, retain
from history_assets.warehouse.base import Warehouse

RETENTION_JOB = "retention"


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
            with lifeline(warehouse.settings.home, context.run.run_id):
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
            raise failure(f"{len(problems)} clones are kept that cannot be read or that their histories contradict", problems)

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
