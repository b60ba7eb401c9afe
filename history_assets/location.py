"""The code location: its assets, checks, jobs, schedules and sensors, for some settings.

Belongs here: putting the pieces together. Does not belong here: any piece; what Dagster loads (``definitions``). It is built
from what the last refresh saved, never from a live warehouse; before the first refresh there is the refresh job and the sensor
that asks for it.
"""

import datetime as dt
from collections.abc import Callable, Sequence

import dagster as dg

from history_assets import dbt_files
from history_assets.alerts import Event, Sort
from history_assets.automation import alert_sensors, check_sensors, nightly_schedule, snapshot_sensors
from history_assets.checks import exactness_checks, schema_checks
from history_assets.clones import clone_assets, fivetran_specs
from history_assets.dbt_files import DbtProject
from history_assets.healing import healing_sensor
from history_assets.inventory import Inventory
from history_assets.jobs import AssetJob, asset_jobs
from history_assets.killed import killed_sensor
from history_assets.progress import Watch, unwatched
from history_assets.refreshing import drift_sensor, refresh_job
from history_assets.retaining import retention_job, retention_schedule
from history_assets.scripts.assets import broken_asset, longest_pause, script_asset
from history_assets.scripts.automation import schedule_name, script_schedules, script_sensor, scripts_job
from history_assets.scripts.folder import read_folder
from history_assets.scripts.links import link
from history_assets.settings import Settings
from history_assets.snapshots import history_assets
from history_assets.syncing import sync_sensor
from history_assets.warehouse import open_warehouse
from history_assets.warehouse.base import Warehouse
from history_assets.watching import watch_sensor


def _clock() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


def build_definitions(
    settings: Settings,
    *,
    warehouse: Warehouse | None = None,
    now: Callable[[], dt.datetime] = _clock,
    watch: Watch = unwatched,
) -> dg.Definitions:
    """Return the definitions for settings; ``warehouse`` and the clock ``now`` (aware) can be replaced.

    ``watch`` is told how far clones and folds are.
    """
    warehouse = warehouse or open_warehouse(settings)
    project = dbt_files.current(settings.home)
    refreshing = refresh_job(settings, warehouse)
    inventory = project.inventory if project else Inventory(())
    scripts = _Scripts(settings, inventory)
    always = [drift_sensor(settings, warehouse, now), killed_sensor(settings), *alert_sensors(settings, now, scripts.owners)]
    if project is None or not inventory.tables():
        return dg.Definitions(
            assets=scripts.assets, jobs=[refreshing, *scripts.jobs], schedules=scripts.schedules,
            sensors=[*scripts.sensors([], now), *always],
        )  # fmt: skip
    night, cutoffs = asset_jobs(inventory), settings.cutoffs()
    retaining = [retention_job(warehouse, now)] if settings.clone_retention_days else []
    return dg.Definitions(
        assets=[*_night_assets(project, warehouse, now, watch), *scripts.assets],
        asset_checks=[*exactness_checks(inventory, warehouse), schema_checks(inventory, warehouse)],
        jobs=[refreshing, night.clones, night.snapshots, night.checks, *retaining, *scripts.jobs],
        schedules=[
            nightly_schedule(inventory, warehouse, now),
            *(retention_schedule(job, cutoffs) for job in retaining),
            *scripts.schedules,
        ],
        sensors=[
            *snapshot_sensors(night.snapshots, inventory),
            *check_sensors(night.checks, inventory),
            *sync_sensor(inventory, warehouse, now),
            healing_sensor([night.clones, night.snapshots], inventory, warehouse, now),
            *watch_sensor(inventory, warehouse, now, scripts.problems, scripts.pauses),
            *scripts.sensors([night.clones, night.snapshots], now),
            *always,
        ],
    )


def night_definitions(project: DbtProject, warehouse: Warehouse, watch: Watch = unwatched) -> dg.Definitions:
    """Return what nights need: clones, histories and their jobs; checks and sensors would take half as long again."""
    night = asset_jobs(project.inventory)
    return dg.Definitions(assets=_night_assets(project, warehouse, _clock, watch), jobs=[night.clones, night.snapshots])


def _night_assets(
    project: DbtProject, warehouse: Warehouse, now: Callable[[], dt.datetime], watch: Watch
) -> list[dg.AssetSpec | dg.AssetsDefinition]:
    return [
        *fivetran_specs(project.inventory, warehouse.settings),
        clone_assets(project.inventory, warehouse, now, watch),
        history_assets(project, warehouse, now, watch),
    ]


class _Scripts:
    """The definitions of the scripts in the folder, which is read once."""

    def __init__(self, settings: Settings, inventory: Inventory) -> None:
        linked, broken = link(read_folder(settings.scripts), inventory)
        self._known = linked, broken
        self._inventory, self._settings = inventory, settings
        self.assets = [*(script_asset(each, settings) for each in linked), *(broken_asset(each) for each in broken)]
        self.jobs = scripts_job(linked, broken)
        self.schedules = list(script_schedules(linked, inventory, settings))
        self.owners = {"/".join(each.script.key): each.script.metadata.owner for each in linked}
        self.owners |= {"/".join(each.key): each.owner for each in broken}
        self.pauses = {
            schedule_name(each): longest_pause(each.script.metadata.schedule, settings.cutoffs())
            for each in linked
            if each.script.metadata.schedule
        }
        self.problems = [Event(Sort.BROKEN, "/".join(each.key), each.reason, owner=each.owner) for each in broken]

    def sensors(self, jobs: Sequence[AssetJob], now: Callable[[], dt.datetime]) -> list[dg.SensorDefinition]:
        return script_sensor(*self._known, [*jobs, *self.jobs], self._inventory, self._settings, now)
