"""Reading history: what any row said on any past day.

Belongs here: the Python API, ``from history_assets import History``. Does not belong here: SQL (``warehouse/``).
"""

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

from history_assets.dates import parse_date
from history_assets.errors import HistoryMissingError, UsageError
from history_assets.naming import table_name
from history_assets.settings import Settings
from history_assets.warehouse import open_warehouse
from history_assets.warehouse.base import Applied, Status, Warehouse

if TYPE_CHECKING:
    import pyarrow as pa


class History:
    """The histories in a warehouse, for reading; ``date`` is the one that is read as of where none is said."""

    def __init__(self, warehouse: Warehouse, date: dt.date | None = None) -> None:
        self._warehouse = warehouse
        self.date = date

    @classmethod
    def from_env(cls) -> Self:
        """Return the history that the environment's settings name, with the date of HISTORY_DATE, as a script's run sets it."""
        return cls(open_warehouse(Settings.from_env()), Settings.date_from_env())

    def as_of(self, table: str, when: str | dt.date | None = None, *, deleted: bool = False) -> "pa.Table":
        """Return a table, named ``schema.table``, as it was known at the cutoff of a clone date.

        It has the columns that the table had that day, typed as they were. Rows that Fivetran marks as deleted are left out
        unless ``deleted``. Raises HistoryMissingError for a table without history and a date that was never applied.
        """
        when = self.date if when is None else when
        if when is None:
            raise UsageError(f"found no date to read {table} as of: give one, or set HISTORY_DATE, as a script's run does")
        date = when if isinstance(when, dt.date) else parse_date(when)
        return self._warehouse.as_of(self._find(table, date), deleted=deleted)

    def _find(self, table: str, date: dt.date) -> Applied:
        # The names themselves may hold dots, so the whole is compared, never split.
        nights = {row.date: row for row in self._warehouse.ledger(table=table) if row.status is Status.APPLIED}
        if not nights:
            known = sorted({table_name(row.schema, row.table) for row in self._warehouse.ledger()})
            raise HistoryMissingError(f"found no history of {table}: expected one of {_some(known)}")
        if date not in nights:
            before = max((each for each in nights if each < date), default=None)
            after = min((each for each in nights if each > date), default=None)
            nearest = " and ".join(str(each) for each in (before, after) if each)
            raise HistoryMissingError(
                f"found no night {date} in the history of {table}: the nearest that it holds are {nearest}"
            )
        if not nights[date].columns:
            raise HistoryMissingError(f"found no table {table} on {date}: its schema was cloned that night without it")
        return nights[date]


def _some(names: Sequence[str]) -> str:
    if not names:
        return "none, the history is empty: run a night first"
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
