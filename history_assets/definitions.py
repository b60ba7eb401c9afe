"""What Dagster loads: ``defs``.

Belongs here: putting the pieces together. Does not belong here: any piece. Definitions are built from what the last
refresh saved, never from a live warehouse; before the first refresh there is the refresh job alone.
"""

import datetime as dt
from collections.abc import Callable

import dagster as dg

from history_assets import dbt_files
from history_assets.automation import (
    alert_sensors,
    asset_jobs,
    check_sensors,
    nightly_schedule,
    refresh_job,
    retention_job,
    retention_schedule,
    snapshot_sensors,
)
from history_assets.checks import exactness_checks, schema_checks
from history_assets.clones import clone_assets, fivetran_specs
from history_assets.settings import Settings
from history_assets.snapshots import history_assets
from history_assets.warehouse import open_warehouse
from history_assets.warehouse.base import Warehouse


def _clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def build_definitions(
    settings: Settings, *, warehouse: Warehouse | None = None, now: Callable[[], dt.datetime] = _clock
) -> dg.Definitions:
    """Return the definitions for settings; ``warehouse`` and the clock ``now`` (aware) can be replaced."""
    warehouse = warehouse or open_warehouse(settings)
    project = dbt_files.current(settings.home)
    refreshing, alerting = refresh_job(settings, warehouse), alert_sensors(settings, now)
    if project is None or not (inventory := project.inventory).tables():
        return dg.Definitions(jobs=[refreshing], sensors=alerting)
    night, cutoffs = asset_jobs(inventory), settings.cutoffs()
    retaining = [retention_job(warehouse, now)] if settings.clone_retention_days else []
    return dg.Definitions(
        assets=[
            *fivetran_specs(inventory),
            clone_assets(inventory, warehouse, now),
            history_assets(project, warehouse, now),
        ],
        asset_checks=[exactness_checks(inventory, warehouse), schema_checks(inventory, warehouse)],
        jobs=[refreshing, night.clones, night.snapshots, night.checks, *retaining],
        schedules=[nightly_schedule(night.clones, cutoffs), *(retention_schedule(job, cutoffs) for job in retaining)],
        sensors=[*snapshot_sensors(night.snapshots, inventory), *check_sensors(night.checks, inventory), *alerting],
    )


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions for the environment's settings."""
    return build_definitions(Settings.from_env())
