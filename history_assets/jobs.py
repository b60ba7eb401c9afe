"""The jobs of a night: clone every schema, fold every table, check the schemas; and the names of those of scripts.

Belongs here: their names, what they are of, and what marks a run of several dates. Does not belong here: when they run.
"""

import dataclasses
from collections.abc import Collection

import dagster as dg

# What define_asset_job returns has no public name.
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from history_assets.checks import SCHEMA_CHECKS
from history_assets.inventory import Inventory
from history_assets.naming import clone_key, history_key
from history_assets.records import RANGE_END, RANGE_START

AssetJob = UnresolvedAssetJobDefinition

CLONES_JOB = "clones"
SNAPSHOTS_JOB = "snapshots"
CHECKS_JOB = "checks"
SCRIPTS_JOB = "scripts"

SCRIPT_SCHEDULES = "script_"
"""How the names of scripts' schedules begin."""


@dataclasses.dataclass(frozen=True)
class AssetJobs:
    """The jobs of a night."""

    clones: AssetJob
    snapshots: AssetJob
    checks: AssetJob


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
            CHECKS_JOB, dg.AssetSelection.checks(*checks_of(clones)), description="Check the newest night of the schemas."
        ),
    )


def checks_of(clones: Collection[dg.AssetKey]) -> list[dg.AssetCheckKey]:
    """Return the checks of the newest night of some schemas' clones."""
    return [dg.AssetCheckKey(key, name) for key in sorted(clones) for name in SCHEMA_CHECKS]


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run over the dates from a first to a last, in the order in which their keys are stored."""
    return {RANGE_START: first, RANGE_END: last}
