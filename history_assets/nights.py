"""One night through Dagster, in this process: refresh, clone, fold, all recorded in a persistent instance.

Belongs here: the instance and running the jobs in it, for the commands. Does not belong here: what the jobs do.
"""

import contextlib
import dataclasses
import datetime as dt
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from history_assets.automation import CLONES_JOB, SNAPSHOTS_JOB, materialized
from history_assets.definitions import build_definitions
from history_assets.gates import Gate
from history_assets.naming import clone_key, history_key
from history_assets.partitions import PARTITIONS
from history_assets.refresh import Refreshed, refresh
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


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
    if not (home / "dagster.yaml").exists():
        shutil.copy(Path(__file__).with_name("dagster.yaml"), home / "dagster.yaml")
    return home


@contextlib.contextmanager
def open_instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Open the persistent Dagster instance."""
    dagster_home(settings)
    with dg.DagsterInstance.get() as instance:
        yield instance


def run_night(
    settings: Settings,
    warehouse: Warehouse,
    date: dt.date,
    schemas: Collection[str] | None = None,
    *,
    reclone: bool = False,
    allow: Collection[Gate] = (),
) -> NightReport:
    """Clone and fold a date's schemas, by default all, and return what came of it; raises HistoryError on bad input.

    ``reclone`` makes clones again that exist; ``allow`` opens gates for this once.

    What is already cloned or folded is kept. A date that has not come yet, and a schema that is not there, are refused before
    anything is written.
    """
    settings.cutoffs().check_past(date, dt.datetime.now(dt.UTC))
    warehouse.inventory(schemas)
    refreshed = refresh(settings, warehouse)
    names = [schema.name for schema in refreshed.inventory.schemas if schemas is None or schema.name in schemas]
    definitions = build_definitions(settings, warehouse=warehouse)
    with open_instance(settings) as instance:
        instance.add_dynamic_partitions(PARTITIONS, [str(date)])
        config = {"ops": {"clone_schemas": {"config": {"reclone": reclone}}}}
        cloned = _run(definitions, CLONES_JOB, instance, date, [clone_key(name) for name in names], config)
        made = {tuple(key.path) for key, _ in materialized(instance, cloned.run_id)}
        keys = _histories(refreshed, [name for name in names if tuple(clone_key(name)) in made])
        opened = {"ops": {"fold_histories": {"config": {"allow": [gate.name for gate in allow]}}}}
        folded = _run(definitions, SNAPSHOTS_JOB, instance, date, keys, opened) if keys else None
        tables = len(materialized(instance, folded.run_id)) if folded else 0
    failures = [*_failures(cloned), *(_failures(folded) if folded else ())]
    return NightReport(date, len(names), len(made), len(keys), tables, tuple(failures))


def _histories(refreshed: Refreshed, schemas: Collection[str]) -> list[list[str]]:
    return [history_key(schema, table.name) for schema, table in refreshed.project.inventory.tables() if schema in schemas]


def _run(
    definitions: dg.Definitions, job: str, instance: dg.DagsterInstance, date: dt.date, keys: list[list[str]], config: Any
) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(job).execute_in_process(
        run_config=_QUIET | config,
        instance=instance,
        partition_key=str(date),
        asset_selection=[dg.AssetKey(key) for key in keys],
        raise_on_error=False,
    )


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    failures = [event.step_failure_data for event in result.all_node_events if event.is_step_failure]
    return [_reason(data) for data in failures] or ([] if result.success else ["the run failed before its first step"])


def _reason(data: Any) -> str:
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    return str(data.error.message).strip() if data.error else "failed without saying why"
