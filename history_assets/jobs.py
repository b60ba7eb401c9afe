"""The two jobs of a night: clone every schema, fold every table.

Belongs here: their names, what they are of, and what marks a run of several dates. Does not belong here: when they run.
"""

import dataclasses

import dagster as dg

# What define_asset_job returns has no public name.
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from history_assets.inventory import Inventory
from history_assets.naming import clone_key, history_key
from history_assets.records import RANGE_END, RANGE_START

AssetJob = UnresolvedAssetJobDefinition

CLONES_JOB = "clones"
SNAPSHOTS_JOB = "snapshots"


@dataclasses.dataclass(frozen=True)
class AssetJobs:
    """The two jobs of a night."""

    clones: AssetJob
    snapshots: AssetJob


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


def range_tags(first: str, last: str) -> dict[str, str]:
    """Return the tags of a run over the dates from a first to a last, in the order in which their keys are stored."""
    return {RANGE_START: first, RANGE_END: last}
