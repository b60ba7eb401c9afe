"""Watching raw: what it holds now, for as little as can be, given what the last refresh found and what was looked at since.

Belongs here: which schemas are worth a look, and the record of those that need none. Does not belong here: how a warehouse
tells that it was written to (``warehouse/``), what changes are called (``drift``), or asking for a refresh (``refreshing``).
"""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from history_assets.errors import WarehouseError
from history_assets.inventory import Inventory, Schema
from history_assets.warehouse.base import Warehouse


@dataclasses.dataclass(frozen=True)
class Sight:
    """What raw holds; a schema in ``unread``, which another process kept to itself or which is damaged, is as it was known.

    ``cursor`` is for the next look.
    """

    raw: Inventory
    unread: tuple[str, ...]
    cursor: str


def look(warehouse: Warehouse, known: Inventory, cursor: str | None, now: dt.datetime) -> Sight:
    """Return what raw holds, reading only schemas that bear another mark than when they were last found as ``known``."""
    # Keys that are configured are in the inventory, but leave no mark.
    base = digest(known, json.dumps(warehouse.settings.keys, sort_keys=True))
    unchanged = _unchanged(cursor, base)
    marks = {name: mark for name, mark in warehouse.marks(now).items() if warehouse.is_wanted(name)}
    names = [name for name, mark in marks.items() if unchanged.get(name) != mark]
    with ThreadPoolExecutor(warehouse.settings.threads) as pool:
        read = dict(zip(names, pool.map(lambda name: _read(warehouse, name), names), strict=True))
    unread = tuple(name for name, schema in read.items() if schema is None)
    found = {name: read.get(name) or known.schema(name) for name in marks}
    sources = [schema for schema in found.values() if schema and warehouse.is_source(schema)]
    raw = Inventory(tuple(sorted(sources, key=lambda schema: schema.name)))
    seen = {name: mark for name, mark in marks.items() if name not in unread and raw.schema(name) == known.schema(name)}
    return Sight(raw, unread, json.dumps({"known": base, "marks": seen}))


def digest(inventory: Inventory, *more: str) -> str:
    """Return what stands for the content of an inventory: the same for the same."""
    return hashlib.sha256("\n".join((repr(inventory), *more)).encode()).hexdigest()[:16]


def _unchanged(cursor: str | None, base: str) -> Mapping[str, str]:
    kept = json.loads(cursor or "{}")
    marks: dict[str, str] = kept["marks"] if kept.get("known") == base else {}
    return marks


def _read(warehouse: Warehouse, name: str) -> Schema | None:
    try:
        return warehouse.read_schema(name, wait=False)
    except WarehouseError:
        return None
