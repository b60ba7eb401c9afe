"""The healing sensor: finds nights that were missed, and asks for exactly them.

Belongs here: what should be there, from what is free to ask. Does not belong here: when work may be asked for (``missing``,
``requests``), what a run does.
"""

import collections
import datetime as dt
import itertools
from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from history_assets.dates import parse_date
from history_assets.errors import UsageError
from history_assets.inventory import Inventory
from history_assets.jobs import AssetJob
from history_assets.missing import window
from history_assets.partitions import CLONE_DATES
from history_assets.records import Records
from history_assets.run_requests import records_of, requests_for_clones, requests_for_folds
from history_assets.snapshots import TableRef
from history_assets.syncing import open_teller
from history_assets.warehouse.base import Warehouse

GRACE = dt.timedelta(minutes=15)
"""How long after a cutoff the schedule and the sync sensor have it to themselves, and after a clone whoever folds it."""

BOUND = 10
"""Dates of which one tick asks for clones, and dates of which it asks for folds."""


def healing_sensor(
    jobs: Sequence[AssetJob], inventory: Inventory, warehouse: Warehouse, now: Callable[[], dt.datetime]
) -> dg.SensorDefinition:
    """Return the sensor that asks for what is missing, oldest date first."""
    teller = open_teller(warehouse)

    @dg.sensor(
        name="healing",
        jobs=list(jobs),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=300,
        description="Clone and fold the nights that were missed, as far back as the warehouse and HISTORY_HEALING_DAYS reach.",
    )
    def healing(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        at = now()
        records = records_of(context.instance, inventory)
        clones = missing_clones(inventory, warehouse, records.stored, at)
        if teller and any(clones.values()):
            settled = teller.settled()
            cutoffs = warehouse.settings.cutoffs()
            clones = {date: [name for name in names if settled(name, cutoffs.at(date))] for date, names in clones.items()}
        asked = list(itertools.islice(requests_for_clones(records, clones, at), BOUND))
        folds = list(itertools.islice(requests_for_folds(records, missing_folds(inventory, warehouse, records, at), at), BOUND))
        dates = [str(request.partition_key) for request in (*asked, *folds)]
        return dg.SensorResult(
            run_requests=[*asked, *folds],
            dynamic_partitions_requests=[CLONE_DATES.build_add_request(dates)] if dates else None,
        )

    return healing


def missing_clones(
    inventory: Inventory, warehouse: Warehouse, stored: Sequence[str], now: dt.datetime
) -> dict[dt.date, list[str]]:
    """Return the schemas that lack a clone of a date which can still be made, by date."""
    settings = warehouse.settings
    cutoffs, cloned, reach = settings.cutoffs(), warehouse.clone_dates(), warehouse.reach(now)
    there = set(warehouse.landing_schemas())
    # What retention has dropped is not to come back.
    days = min(settings.healing_days, settings.clone_retention_days or settings.healing_days)
    known = {date for dates in cloned.values() for date in dates} | set(_dates(stored))
    wanted = collections.defaultdict[dt.date, list[str]](list)
    for schema in inventory.schemas:
        if schema.name not in there:
            continue
        for date in window(cutoffs, now, days, known, reach.get(schema.name)):
            if date not in cloned.get(schema.name, ()) and now >= cutoffs.at(date) + GRACE:
                wanted[date].append(schema.name)
    return wanted


def missing_folds(
    inventory: Inventory, warehouse: Warehouse, records: Records, now: dt.datetime
) -> dict[dt.date, list[TableRef]]:
    """Return the tables that no run has folded of a clone that is there, by date."""
    oldest = warehouse.settings.cutoffs().latest(now) - dt.timedelta(days=warehouse.settings.healing_days - 1)
    cloned = {schema: [date for date in dates if date >= oldest] for schema, dates in warehouse.clone_dates().items()}
    clones = warehouse.find_clones(list(cloned), {date for dates in cloned.values() for date in dates})
    wanted = collections.defaultdict[dt.date, list[TableRef]](list)
    for schema in inventory.schemas:
        dates = [str(date) for date in cloned.get(schema.name, ())]
        folded, made = records.folded(schema.name, dates), records.cloned_at(schema.name, dates)
        for date in cloned.get(schema.name, ()):
            clone, last = clones.get((schema.name, date)), folded.get(str(date))
            if clone is None or (str(date) in made and now < made[str(date)] + GRACE):
                continue
            again = last is None or last.clone_id != clone.clone_id
            tables = [table.name for table in schema.tables if again or (last and table.name in last.left)]
            wanted[date] += [(schema.name, table) for table in tables]
    return wanted


def _dates(stored: Sequence[str]) -> Iterator[dt.date]:
    for key in stored:
        try:
            yield parse_date(key)
        except UsageError:  # a key that somebody added by hand; the run that is asked for it says so
            continue
