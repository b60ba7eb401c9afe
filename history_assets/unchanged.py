"""Which tables of a night need no folding, since their content cannot have changed since the night that is folded before it.

Belongs here: one decision over what a warehouse and a sync log tell, for one night after another. Pure. Does not belong here:
reading either (``warehouse/``, ``fivetran``), or what becomes of such a table (``snapshots``).

The reference of a table's night is its applied night next before, in the order of dates: never one that was held back, nor one
that was folded last by the clock. What is said of a table is that nothing wrote to it from one quiet point to the other.
"""

import bisect
import dataclasses
import datetime as dt
from collections.abc import Callable, Iterable, Sequence

from history_assets.inventory import Table
from history_assets.warehouse.values import Applied, Clone, Stamp, Status

Written = Callable[[dt.datetime, dt.datetime], frozenset[str] | None]
"""The tables of a schema, in lower case, that were written after an instant and up to another; nothing where that is unsure."""


@dataclasses.dataclass(frozen=True)
class State:
    """A table on a night, as far as it says whether the next is the same: from which clone, as of when, columns, key, stamp.

    A table that was absent has no columns.
    """

    clone_id: str
    quiet_point: dt.datetime
    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    stamp: Stamp | None

    @classmethod
    def applied(cls, row: Applied) -> "State":
        """Return the state that a row of the ledger stands for."""
        columns = tuple((column.name, column.type) for column in row.columns)
        return cls(row.clone_id, row.quiet_point, columns, row.key, row.stamp)

    @classmethod
    def cloned(cls, clone: Clone, table: Table | None, stamp: Stamp | None) -> "State":
        """Return the state that a clone has a table in, or no table."""
        columns = tuple((column.name, column.type) for column in table.columns) if table else ()
        return cls(clone.clone_id, clone.quiet_point, columns, table.gate_key if table else (), stamp if table else None)


def is_unchanged(name: str, before: State, now: State, written: Written | None, margin: dt.timedelta) -> bool:
    """Say whether a table cannot have changed between two nights, the second of which is later.

    By its stamps, both must be the same, and older than both quiet points by a ``margin``: a stamp is when a statement began,
    which is committed later, and a stamp that is read late may be of a write after the quiet point. Else by the log.
    """
    if (before.columns, before.key) != (now.columns, now.key) or now.quiet_point < before.quiet_point:
        return False
    if not now.columns:
        return True
    if before.stamp and now.stamp:
        return before.stamp == now.stamp and max(now.stamp.created, now.stamp.altered) < before.quiet_point - margin
    told = written(before.quiet_point, now.quiet_point) if written else None
    return told is not None and name.lower() not in told


class Chain:
    """The applied nights of a table in the order of their dates, with those that are about to be."""

    def __init__(self, rows: Iterable[Applied]) -> None:
        self._states = {row.date: State.applied(row) for row in rows if row.status is Status.APPLIED}
        self._dates: Sequence[dt.date] = sorted(self._states)

    def before(self, date: dt.date) -> State | None:
        """Return the applied night next before a date."""
        place = bisect.bisect_left(self._dates, date)
        return self._states[self._dates[place - 1]] if place else None

    def add(self, date: dt.date, state: State) -> None:
        """Take a night for applied."""
        self._states[date] = state
        self._dates = sorted(self._states)
