"""The state of every schema on recent dates.

Belongs here: turning clones and ledger into states. Does not belong here: printing.
"""

import collections
import dataclasses
import datetime as dt

from history_assets.warehouse.base import Warehouse


@dataclasses.dataclass(frozen=True)
class Night:
    """One schema on one date: how many tables its clone has, nothing where there is no clone, and how many are applied."""

    cloned: int | None
    applied: int

    def __str__(self) -> str:
        if self.cloned is None:
            return "applied, clone gone" if self.applied else "missing"
        if self.applied == 0:
            return "cloned"
        return "applied" if self.applied >= self.cloned else f"{self.applied}/{self.cloned}"


def recent(warehouse: Warehouse, newest: dt.date, days: int) -> tuple[list[dt.date], dict[str, list[Night]]]:
    """Return the last ``days`` dates up to ``newest``, oldest first, and each schema's state on each of them."""
    dates = [newest - dt.timedelta(days=back) for back in range(days - 1, -1, -1)]
    ledger = warehouse.ledger()
    applied = collections.Counter((row.schema, row.date) for row in ledger)
    current = [schema.name for schema in warehouse.inventory().schemas]
    names = sorted({*current, *warehouse.clone_dates(), *(row.schema for row in ledger)})
    return dates, {name: [_night(warehouse, name, date, applied[name, date]) for date in dates] for name in names}


def _night(warehouse: Warehouse, schema: str, date: dt.date, applied: int) -> Night:
    clone = warehouse.find_clone(schema, date)
    return Night(clone.tables if clone else None, applied)
