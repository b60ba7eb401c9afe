"""Nights through Dagster, in this process: refresh, clone, fold, all recorded in a persistent instance.

Belongs here: the instance and running the jobs in it, for the commands. Does not belong here: what the jobs do.
"""

import contextlib
import dataclasses
import datetime as dt
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.tags import REPOSITORY_LABEL_TAG
from dagster._serdes import ConfigurableClassData

from history_assets import dbt_files
from history_assets.automation import fold_requests, materialized
from history_assets.errors import UsageError
from history_assets.event_log import BATCH, BATCH_VARIABLE
from history_assets.failures import NO_STEP, reason_of
from history_assets.folding import check_rule
from history_assets.gates import Gate
from history_assets.interrupts import heed, noticed
from history_assets.inventory import Inventory
from history_assets.jobs import CHECKS_JOB, CLONES_JOB, SCRIPTS_JOB, SNAPSHOTS_JOB, range_tags
from history_assets.location import build_definitions, night_definitions
from history_assets.naming import clone_key, history_key
from history_assets.partitions import PARTITIONS, ranges
from history_assets.progress import Watch, unwatched
from history_assets.refresh import Refreshed, refresh
from history_assets.scripts.environments import is_made
from history_assets.scripts.folder import Script, read_folder
from history_assets.scripts.links import link, unmatched
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Status

LOCATION = "history_assets"
"""Name of the code location in the Dagster UI."""

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}

_TAGS = {"user": "history-assets", REPOSITORY_LABEL_TAG: f"__repository__@{LOCATION}"}
"""Who has launched a run, and by what Dagster's pages find it among those of a job, as if its server had launched it."""


@dataclasses.dataclass(frozen=True)
class NightReport:
    """What a night came to: schemas cloned of those asked for, tables folded of those cloned, and a line for what failed."""

    date: dt.date
    schemas: int
    cloned: int
    tables: int
    folded: int
    failures: tuple[str, ...]

    def said(self) -> str:
        """Return the counts in words."""
        return f"{self.cloned} of {self.schemas} schemas cloned, {self.folded} of {self.tables} tables folded"


def dagster_home(settings: Settings) -> Path:
    """Return the folder of the Dagster instance, made with this project's configuration where there is none yet."""
    home = Path(os.environ.setdefault("DAGSTER_HOME", str(settings.home / "dagster")))
    home.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault(BATCH_VARIABLE, BATCH)
    if not (home / "dagster.yaml").exists():
        shutil.copyfile(Path(__file__).with_name("dagster.yaml"), home / "dagster.yaml")
    return home


@contextlib.contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the persistent Dagster instance."""
    dagster_home(settings)
    with dg.DagsterInstance.get() as instance:
        yield instance


@contextlib.contextmanager
def _open_without_streams(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the instance for runs that say nothing but by their events, and whose streams Dagster is to leave alone.

    It would start four processes to follow them, in the terminal's process group: Ctrl-C ends each with a traceback.
    """
    nowhere = ConfigurableClassData(NoOpComputeLogManager.__module__, NoOpComputeLogManager.__name__, "{}\n")
    with open_instance(settings) as instance:
        ref = instance.get_ref()._replace(compute_logs_data=nowhere)
        with dg.DagsterInstance.from_ref(ref) as same:
            yield same


def run_night(
    settings: Settings,
    warehouse: Warehouse,
    date: dt.date,
    schemas: Collection[str] | None = None,
    *,
    reclone: bool = False,
    allow: Collection[Gate] = (),
    watch: Watch = unwatched,
) -> NightReport:
    """Clone and fold one date; as ``run_nights``."""
    (night,), failures = run_nights(settings, warehouse, [date], schemas, reclone=reclone, allow=allow, watch=watch)
    return dataclasses.replace(night, failures=tuple(failures))


def run_nights(
    settings: Settings,
    warehouse: Warehouse,
    dates: Sequence[dt.date],
    schemas: Collection[str] | None = None,
    *,
    reclone: bool = False,
    allow: Collection[Gate] = (),
    watch: Watch = unwatched,
) -> tuple[list[NightReport], list[str]]:
    """Clone and fold some dates' schemas, by default all, and return what came of each date, and a line for what failed.

    ``watch`` is told how far that is.

    ``reclone`` makes clones again that exist; ``allow`` opens gates for this once. One date's failure stops no other. The dates
    share a run, and so one parse of the dbt project, where Dagster keeps their keys side by side, as it does new ones. Raises
    HistoryError on bad input.

    What is already cloned or folded is kept. A date that has not come yet, a schema that is not there, and another rule of
    cutoffs than the history's are refused before anything is written.
    """
    for date in dates:
        settings.cutoffs().check_past(date, dt.datetime.now(dt.UTC))
    if schemas is not None:
        warehouse.inventory(schemas)
    with warehouse.reading():
        check_rule(warehouse)
        known = warehouse.histories()
    refreshed = refresh(settings, warehouse, known, told=False, watch=watch)
    if not refreshed.project.inventory.tables():
        left_out = "; ".join(f"left out {table}: {reason}" for table, reason in refreshed.refused.items())
        raise UsageError(left_out or warehouse.nothing_to_clone())
    names = [schema.name for schema in refreshed.inventory.schemas if schemas is None or schema.name in schemas]
    clones = [dg.AssetKey(clone_key(name)) for name in names]
    histories = {dg.AssetKey(clone_key(name)): _histories(refreshed, name) for name in names}
    keys = [str(date) for date in dates]
    watch("loading the definitions", 0, None)
    definitions = night_definitions(refreshed.project, warehouse, watch)
    made: set[tuple[dg.AssetKey, str]] = set()
    folded: set[tuple[dg.AssetKey, str]] = set()
    # Of what is known, its clone says so.
    unknown = {name: why for name, why in refreshed.unread.items() if not refreshed.inventory.schema(name)}
    failures = list(unknown.values()) if schemas is None else []
    with _open_without_streams(settings) as instance:
        instance.add_dynamic_partitions(PARTITIONS, keys)
        stored = instance.get_dynamic_partitions(PARTITIONS)
        for first, last in ranges(keys, stored):
            config = {"ops": {"clone_schemas": {"config": {"reclone": reclone}}}}
            asked = dg.RunRequest(partition_key=first) if first == last else dg.RunRequest(tags=range_tags(first, last))
            cloned = _run(definitions, CLONES_JOB, instance, asked, clones, config)
            made |= set(materialized(instance, cloned.run_id))
            failures += _failures(cloned)
        for request in fold_requests("", sorted(made), histories, stored):
            opened = {"ops": {"fold_histories": {"config": {"allow": [gate.name for gate in allow]}}}}
            done = _run(definitions, SNAPSHOTS_JOB, instance, request, request.asset_selection or (), opened)
            folded |= set(materialized(instance, done.run_id))
            failures += _failures(done)
    return [_report(date, histories, made, folded) for date in dates], failures


def run_checks(settings: Settings, warehouse: Warehouse) -> list[str]:
    """Check the newest night of every schema, and return a line for what is wrong."""
    job = build_definitions(settings, warehouse=warehouse).resolve_job_def(CHECKS_JOB)
    with _open_without_streams(settings) as instance, noticed():
        result = job.execute_in_process(run_config=_QUIET, instance=instance, tags=_TAGS, raise_on_error=False)
        heed()
    checks = result.get_asset_check_evaluations()
    wrong = [check for check in checks if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR]
    return [*_failures(result), *(f"{check.asset_key.to_user_string()}: {check.description}" for check in wrong)]


def run_script(
    settings: Settings, warehouse: Warehouse, script: Script, date: dt.date | None, say: Callable[[str], Any]
) -> list[str]:
    """Run a script of the folder, for a date where it has dates, by default the newest, and return a line for what failed.

    ``say`` gets a line of what takes long.

    Raises UsageError where there is no home, no history of what it is after, or none of them on the date.
    """
    if not settings.home.is_dir():
        raise UsageError(
            f"found no folder HISTORY_HOME={settings.home}, expected that of the histories: set it, or run a night"
        )
    project = dbt_files.current(settings.home)
    inventory = project.inventory if project else Inventory(())
    linked, _ = link(read_folder(settings.scripts), inventory)
    mine = [each for each in linked if each.script.path == script.path]
    tables = {table for each in mine for table in each.tables}
    if script.dated and not tables and (said := [line for each in mine for line in unmatched(each, inventory)]):
        raise UsageError("; ".join(said))
    key = dg.AssetKey(script.key)
    asked = dg.RunRequest()
    with open_instance(settings) as instance:
        if script.dated:
            applied = {
                row.date for row in warehouse.ledger() if (row.schema, row.table) in tables and row.status is Status.APPLIED
            }
            date = date or max(applied, default=None)
            if date not in applied:
                raise UsageError(
                    f"found {'no date' if date is None else f'the date {date}'}, expected one on which a history that "
                    f"{script.path.name} is after was folded: the newest is {max(applied, default='still to come')}"
                )
            # Retention may have dropped its clones, and its key with them.
            instance.add_dynamic_partitions(PARTITIONS, [str(date)])
            asked = dg.RunRequest(partition_key=str(date))
        elif date:
            raise UsageError(
                f"found --date for {script.path.name}, which is after no history and so has no dates: leave it out"
            )
        if not is_made(settings.home, script.metadata.dependencies):
            say(f"making the environment of {script.path.name}, once, which takes a while")
        return _failures(_run(build_definitions(settings, warehouse=warehouse), SCRIPTS_JOB, instance, asked, [key], {}))


def _report(
    date: dt.date,
    histories: Mapping[dg.AssetKey, Collection[dg.AssetKey]],
    made: Collection[tuple[dg.AssetKey, str]],
    folded: Collection[tuple[dg.AssetKey, str]],
) -> NightReport:
    clones = [key for key, day in made if day == str(date)]
    tables = sum(len(histories[key]) for key in clones)
    return NightReport(date, len(histories), len(clones), tables, sum(day == str(date) for _, day in folded), ())


def _histories(refreshed: Refreshed, schema: str) -> list[dg.AssetKey]:
    tables = refreshed.project.inventory.tables()
    return [dg.AssetKey(history_key(name, table.name)) for name, table in tables if name == schema]


def _run(
    definitions: dg.Definitions,
    job: str,
    instance: dg.DagsterInstance,
    asked: dg.RunRequest,
    keys: Sequence[dg.AssetKey],
    config: Any,
) -> dg.ExecuteInProcessResult:
    # Without its checks: planned, never run, and shown as skipped.
    selected = definitions.resolve_job_def(job).get_subset(asset_selection=set(keys), asset_check_selection=set())
    with noticed():
        result = selected.execute_in_process(
            run_config=_QUIET | config,
            instance=instance,
            partition_key=asked.partition_key,
            tags={**asked.tags, **_TAGS},
            raise_on_error=False,
        )
        heed()
    return result


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    failures = [reason_of(event) for event in result.all_node_events if event.is_step_failure]
    return failures or ([] if result.success else [NO_STEP])
