"""The state of every schema on recent dates.

Belongs here: turning clones and ledger into states. Does not belong here: printing.
"""

import collections
import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import Any

from history_assets.errors import UsageError, WarehouseError
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Clone, Status


@dataclasses.dataclass(frozen=True)
class Night:
    """One schema on one date: tables in its clone, nothing where there is none or one that is ``unreadable``; tables applied;
    tables held back; whether the date is ``before`` the first night of a schema that has one.
    """

    cloned: int | None
    applied: int
    quarantined: int
    unreadable: bool = False
    before: bool = False

    def __str__(self) -> str:
        if self.quarantined:
            return f"{self.quarantined} quarantined"
        if self.unreadable:
            return "clone unreadable"
        if self.cloned is None:
            return "applied, clone gone" if self.applied else "-" if self.before else "missing"
        if self.applied == 0:
            return "cloned"
        return "applied" if self.applied >= self.cloned else f"{self.applied}/{self.cloned}"


def recent(warehouse: Warehouse, newest: dt.date, days: int) -> tuple[list[dt.date], dict[str, list[Night]]]:
    """Return the last ``days`` dates up to ``newest``, oldest first, and each schema's state on each of them.

    Raises UsageError where there is no schema at all.
    """
    dates = [newest - dt.timedelta(days=back) for back in range(days - 1, -1, -1)]
    ledger = warehouse.ledger(None, (dates[0], dates[-1]))
    nights = collections.Counter((row.schema, row.date, row.status) for row in ledger)
    found, unread = warehouse.readable()
    current, cloned_on = [schema.name for schema in found.schemas], warehouse.clone_dates()
    names = sorted({*current, *unread, *cloned_on, *(schema.name for schema in warehouse.histories().schemas)})
    if not names:
        raise UsageError(warehouse.nothing_to_clone())
    clones = warehouse.find_clones(names, dates)
    older = {row.schema for row in warehouse.applied_before(names, dates[0])}
    begun = {name: set(cloned_on.get(name, ())) for name in names}
    for row in ledger:
        begun.setdefault(row.schema, set()).add(row.date)
    firsts = {name: min(begun[name], default=dates[0]) for name in names if name not in older}

    def night(name: str, date: dt.date) -> Night:
        clone = clones.get((name, date))
        cloned = clone.tables if isinstance(clone, Clone) else None
        return Night(
            cloned,
            nights[name, date, Status.APPLIED],
            nights[name, date, Status.QUARANTINED],
            isinstance(clone, WarehouseError),
            date < firsts.get(name, date),
        )

    return dates, {name: [night(name, date) for date in dates] for name in names}


def told(dates: Sequence[dt.date], nights: Sequence[Night]) -> list[dict[str, Any]]:
    """Return the nights of a schema as programs read them."""
    return [{"date": date, "state": str(night), **dataclasses.asdict(night)} for date, night in zip(dates, nights, strict=True)]
