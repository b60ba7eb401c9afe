"""Runs whose process was killed: Dagster is told that they failed, since it would wait for them.

Belongs here: telling it. Does not belong here: how a process is known to be gone (``lifelines``).

A run that seems to be under way keeps others out of its pool, and its dates from being asked for again. Dagster's code server
knows of the processes that it started, for as long as it lives; of those that go with it, and of commands, nobody does.
"""

import json

import dagster as dg

from history_assets.lifelines import cut, forget
from history_assets.settings import Settings


def killed_sensor(settings: Settings) -> dg.SensorDefinition:
    """Return the sensor that reports runs whose process was killed as failed."""

    @dg.sensor(
        name="killed",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Report runs whose process was killed as failed, so that they hold up no other.",
    )
    def killed(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        seen, gone = json.loads(context.cursor or "[]"), cut(settings.home)
        context.update_cursor(json.dumps(gone))
        told = []
        # A run that loses the process of a step tells of it itself, within seconds, and may try again.
        for run_id in [each for each in gone if each in seen]:
            run = context.instance.get_run_by_id(run_id)
            if run and not run.is_finished:
                context.instance.report_run_failed(run, "Its process was killed: by hand, for its memory, or with its machine.")
                told.append(run_id)
            forget(settings.home, run_id)
        return dg.SkipReason(f"killed: {', '.join(told)}" if told else "no run was killed")

    return killed
