"""The healing sensor: finds nights that were missed, and asks for exactly them.

Belongs here: what should be there, from what is free to ask. Does not belong here: when work may be asked for (``missing``,
``run_requests``), what a run does.
"""

import collections
import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from history_assets.errors import WarehouseError
from history_assets.folding import TableRef
from history_assets.inventory import Inventory
from history_assets.jobs import AssetJob
from history_assets.missing import window
from history_assets.partitions import CLONE_DATES, dates_among
from history_assets.records import Records, digest_of, tables_mark
from history_assets.run_requests import records_of, requests_for_clones, requests_for_folds
from history_assets.settings import Settings
from history_assets.syncing import open_teller
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Clone

GRACE = dt.timedelta(minutes=15)
"""How long after a cutoff the schedule and the sync sensor have it to themselves, and after a clone whoever folds it."""

Cloned = Mapping[str, Mapping[dt.date, str]]
"""The marks of all clones, by schema and date."""

BOUND = 10
"""Dates of which one tick asks for clones, and dates of which it asks for folds."""

LOOKED_AT = 25
"""Clones that are new to it of which one tick finds out what became of them: on DuckDB each is a file to open."""


def healing_sensor(
    jobs: Sequence[AssetJob], inventory: Inventory, warehouse: Warehouse, now: Callable[[], dt.datetime]
) -> dg.SensorDefinition:
    """Return the sensor that asks for what is missing, oldest date first."""
    teller, cutoffs = open_teller(warehouse), warehouse.settings.cutoffs()

    @dg.sensor(
        name="healing",
        jobs=list(jobs),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=300,
        description="Clone and fold the nights that were missed, as far back as the warehouse and HISTORY_HEALING_DAYS reach.",
    )
    def healing(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        at = now()
        records, cloned = records_of(context.instance, inventory), warehouse.clone_marks()
        clones = missing_clones(inventory, warehouse, cloned, records.stored, at)
        if teller and any(clones.values()):
            settled = teller.settled()
            clones = {date: [name for name in names if settled(name, cutoffs.at(date))] for date, names in clones.items()}
        folds, cursor = missing_folds(inventory, warehouse, cloned, records, context.cursor, at)
        asked = [
            *itertools.islice(requests_for_clones(records, clones, at), BOUND),
            *itertools.islice(requests_for_folds(records, folds, at), BOUND),
        ]
        dates = [str(request.partition_key) for request in asked]
        return dg.SensorResult(
            run_requests=asked,
            cursor=cursor,
            dynamic_partitions_requests=[CLONE_DATES.build_add_request(dates)] if dates else None,
        )

    return healing


def missing_clones(
    inventory: Inventory, warehouse: Warehouse, cloned: Cloned, stored: Sequence[str], now: dt.datetime
) -> dict[dt.date, list[str]]:
    """Return the schemas that lack a clone of a date which can still be made, by date."""
    settings = warehouse.settings
    cutoffs, reach = settings.cutoffs(), warehouse.reach(now)
    there = set(warehouse.landing_schemas())
    # What retention has dropped is not to come back.
    days = min(settings.healing_days, settings.clone_retention_days or settings.healing_days)
    known = {date for dates in cloned.values() for date in dates} | set(dates_among(stored))
    wanted = collections.defaultdict[dt.date, list[str]](list)
    for schema in inventory.schemas:
        if schema.name not in there:
            continue
        for date in window(cutoffs, now, days, known, reach.get(schema.name)):
            if date not in cloned.get(schema.name, ()) and now >= cutoffs.at(date) + GRACE:
                wanted[date].append(schema.name)
    return wanted


def missing_folds(
    inventory: Inventory, warehouse: Warehouse, cloned: Cloned, records: Records, cursor: str | None, now: dt.datetime
) -> tuple[dict[dt.date, list[TableRef]], str]:
    """Return the tables that no run has folded of a clone that is there, by date, and the cursor for the next look.

    The cursor knows each date by its clones and the gates in force, with the schemas that are worth another look while these
    stay as they are, and those that no tick has looked at yet; so what is folded and done with is not read again.
    """
    oldest = warehouse.settings.cutoffs().latest(now) - dt.timedelta(days=warehouse.settings.healing_days - 1)
    names = [schema.name for schema in inventory.schemas if schema.name in cloned]
    dates = sorted({date for name in names for date in cloned[name] if date >= oldest})
    known: dict[str, Any] = json.loads(cursor or "{}")
    after: dict[str, tuple[str, list[str], list[str]]] = {}
    look, left = set[tuple[str, dt.date]](), LOOKED_AT
    for date in dates:
        marks = {name: mark for name in names if (mark := cloned[name].get(date))}
        mark, (before, again, *unseen) = digest_of([warehouse.settings.gates_in_force(), marks]), known.get(str(date), ("", []))
        unseen = list(itertools.chain(*unseen)) if mark == before else list(marks)
        look |= {(name, date) for name in (*(again if mark == before else ()), *unseen[:left]) if name in marks}
        after[str(date)] = (mark, [], unseen[left:])
        left -= len(unseen) - len(unseen[left:])
    clones = warehouse.find_clones({name for name, _ in look}, {date for _, date in look}) if look else {}
    wanted = collections.defaultdict[dt.date, list[TableRef]](list)
    for name in sorted({name for name, _ in look}):
        each = [
            clone for pair, clone in sorted(clones.items()) if pair in look and pair[0] == name and isinstance(clone, Clone)
        ]
        for clone, unfolded in _unfolded(inventory, warehouse.settings, name, each, records, now):
            wanted[clone.date] += [(name, table) for table in unfolded or ()]
            if unfolded != []:
                after[str(clone.date)][1].append(name)
    for name, date in sorted(look):
        if isinstance(clones.get((name, date)), WarehouseError):  # runs, checks and retention say why
            after[str(date)][1].append(name)
    return wanted, json.dumps(after)


def _unfolded(
    inventory: Inventory, settings: Settings, name: str, clones: Sequence[Clone], records: Records, now: dt.datetime
) -> Iterator[tuple[Clone, list[str] | None]]:
    """Return what no run has folded of some clones of a schema; nothing where a later look may find more."""
    schema, dates = inventory.schema(name), [str(clone.date) for clone in clones]
    folded = records.folded(name, dates)
    tables = [table.name for table in schema.tables] if schema else []
    found: list[tuple[Clone, list[str] | None]] = []
    for clone in clones:
        last = folded.get(str(clone.date))
        if last is None or last.clone_id != clone.clone_id:
            found.append((clone, tables))
        else:
            new = last.unknown and last.tables != tables_mark(tables)
            again = {*last.left, *(last.held_back if last.gates != settings.gates_in_force() else ())}
            left = [table for table in tables if new or table in again]
            found.append((clone, None if last.unknown and not left else left))
    # Who cloned it a moment ago has it folded.
    made = records.cloned_at(name, [str(clone.date) for clone, left in found if left])
    for clone, unfolded in found:
        date = str(clone.date)
        yield clone, None if date in made and now < made[date] + GRACE else unfolded
