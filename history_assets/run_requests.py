"""Runs that are asked for: one per date, for the schemas that want it, unless one is under way or failed too recently.

Belongs here: from work that is wanted to run requests, for the schedule and every sensor alike. Does not belong here: what is
wanted.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg

from history_assets.folding import TableRef
from history_assets.inventory import Inventory
from history_assets.jobs import CLONES_JOB, SNAPSHOTS_JOB
from history_assets.missing import may_ask
from history_assets.naming import clone_key, history_key
from history_assets.records import Records, digest_of
from history_assets.warehouse.base import Warehouse


def records_of(instance: dg.DagsterInstance, inventory: Inventory) -> Records:
    """Return the instance's records of the jobs over an inventory."""
    return Records(
        instance,
        {
            CLONES_JOB: [dg.AssetKey(clone_key(schema.name)) for schema in inventory.schemas],
            SNAPSHOTS_JOB: [dg.AssetKey(history_key(schema, table.name)) for schema, table in inventory.tables()],
        },
    )


def requests_for_clones(records: Records, wanted: Mapping[dt.date, Sequence[str]], now: dt.datetime) -> Iterator[dg.RunRequest]:
    """Return the runs, oldest date first, that clone the wanted schemas as far as they may be asked for now."""
    keys = {date: [dg.AssetKey(clone_key(schema)) for schema in schemas] for date, schemas in wanted.items()}
    return _requests(records, CLONES_JOB, keys, now)


def requests_for_folds(
    records: Records, wanted: Mapping[dt.date, Sequence[TableRef]], now: dt.datetime
) -> Iterator[dg.RunRequest]:
    """Return the runs, oldest date first, that fold the wanted tables as far as they may be asked for now."""
    keys = {date: [dg.AssetKey(history_key(*table)) for table in tables] for date, tables in wanted.items()}
    return _requests(records, SNAPSHOTS_JOB, keys, now)


def requests_for_newest(
    instance: dg.DagsterInstance,
    inventory: Inventory,
    warehouse: Warehouse,
    date: dt.date,
    now: dt.datetime,
    settled: Callable[[str, dt.datetime], bool],
) -> list[dg.RunRequest]:
    """Return the run that clones, for one date, every schema that is there, has settled and is not cloned."""
    cutoff, cloned, there = warehouse.settings.cutoffs().at(date), warehouse.clone_dates(), set(warehouse.landing_schemas())
    wanted = [
        schema.name
        for schema in inventory.schemas
        if schema.name in there and date not in cloned.get(schema.name, ()) and settled(schema.name, cutoff)
    ]
    return list(requests_for_clones(records_of(instance, inventory), {date: wanted}, now))


def _requests(
    records: Records, job: str, wanted: Mapping[dt.date, Sequence[dg.AssetKey]], now: dt.datetime
) -> Iterator[dg.RunRequest]:
    under_way = records.under_way if any(wanted.values()) else set()
    for date, keys in sorted(wanted.items()):
        failures = records.failures(str(date)) if keys else {}
        asked = [key for key in keys if (key, str(date)) not in under_way and may_ask(failures.get(key, ()), now)]
        if asked:
            # A tick that is evaluated twice asks once; when that run has ended, however it did, it may be asked for again.
            attempt = digest_of([[key.to_user_string() for key in sorted(asked)], records.last_ended(str(date))])
            yield dg.RunRequest(
                run_key=f"{job}:{date}:{attempt}",
                job_name=job,
                partition_key=str(date),
                asset_selection=sorted(asked),
                # None would mean all: planned, never run, and shown as skipped.
                asset_check_keys=[],
            )
