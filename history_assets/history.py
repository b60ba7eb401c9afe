"""Reading history: what any row said on any past day.

Belongs here: the Python API, ``from history_assets import History``: what its arguments mean, and which nights they name. Does
not belong here: SQL (``warehouse/``), what a spine is made of (``spines``).
"""

import datetime as dt
import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from history_assets import spines
from history_assets.dates import parse_date
from history_assets.errors import HistoryMissingError, UsageError
from history_assets.naming import table_name
from history_assets.settings import Settings
from history_assets.spines import On
from history_assets.warehouse import open_warehouse
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.reading_sql import INTERVAL, AsOf, Changes, Versions
from history_assets.warehouse.values import Applied, AppliedColumn, Joined, SpineRows, SpineTable, Status

if TYPE_CHECKING:
    import pyarrow as pa

When = str | dt.date | dt.datetime
"""A clone date, which stands for its cutoff, or an aware instant; either as text too."""


class History:
    """The histories in a warehouse, for reading; tables are named ``schema.table``, results are ``pyarrow.Table``.

    ``date`` is the one that is read as of where none is said.
    """

    def __init__(self, warehouse: Warehouse, date: dt.date | None = None) -> None:
        self._warehouse = warehouse
        self.date = date

    def __repr__(self) -> str:
        return f"History in {self._warehouse.place}" + (f" as of {self.date}" if self.date else "")

    @classmethod
    def from_env(cls) -> Self:
        """Return the history that the environment's settings name, with the date of HISTORY_DATE, as a script's run sets it."""
        return cls(open_warehouse(Settings.from_env()), Settings.date_from_env())

    def tables(self) -> list[str]:
        """Return the names of all tables that have a history, sorted; raises HistoryMissingError where there is none."""
        if known := self._warehouse.tables():
            return known
        raise HistoryMissingError(f"found no histories in {self._warehouse.place}: run a night first")

    def dates(self, table: str) -> list[dt.date]:
        """Return the dates, ascending, as of which a table can be read: those applied, less those on which it was absent."""
        return [night.date for night in self._nights(table) if night.columns]

    def as_of(
        self,
        table: str,
        when: When | None = None,
        *,
        columns: Sequence[str] | None = None,
        where: Mapping[str, Any] | None = None,
        deleted: bool = False,
    ) -> "pa.Table":
        """Return a table as it was known at the cutoff of a clone date, or at the newest applied cutoff of an instant.

        It has the columns that the table had that day, typed as they were, or those of ``columns``. ``where`` maps columns to
        the value, or the list of values, that rows must have there; None stands for NULL. Rows that Fivetran marks as deleted
        are left out unless ``deleted``.

        Raises HistoryMissingError for a table without history and a date that was never applied.
        """
        when = self.date if when is None else when
        if when is None:
            self._nights(table)  # a table that is not there is said first
            raise UsageError(f"found no date to read {table} as of: give one, or set HISTORY_DATE, as a script's run does")
        moment = _moment(when)
        with self._warehouse.reading():
            night = self._night(table, self._nights(table), moment)
            if not night.columns:
                raise HistoryMissingError(f"found no table {table} on {night.date}: its schema was cloned then without it")
            chosen = None if columns is None else _columns(night, columns)
            wanted = [(_column(night, name), _values(value)) for name, value in (where or {}).items()]
            return self._warehouse.ask(AsOf(night, chosen, wanted, deleted))

    def versions(self, table: str, key: Any) -> "pa.Table":
        """Return every version of the row of a key, oldest first, with when it was known, from and until, in UTC.

        ``key`` maps the key's columns to values, or is the value of a key of one column; for a table without a key, any columns
        can be named. A column whose type has changed is there once for each type; deleted rows are there as well.
        """
        nights = [night for night in self._nights(table) if night.columns]
        if not nights:
            raise HistoryMissingError(f"found no columns of {table}: it was absent on every applied night")
        newest = nights[-1]
        if isinstance(key, list | tuple | set | frozenset):
            raise UsageError(f"found the key {key!r} of {table}, expected that of one row: ask for one after the other")
        wanted = key if isinstance(key, Mapping) else dict.fromkeys(newest.key, key) if len(newest.key) == 1 else {}
        known = {column.name for night in nights for column in night.columns}
        asked = set(wanted)
        if not wanted or asked - known or (newest.key and asked != set(newest.key)):
            expected = f"a value for each of {', '.join(newest.key)}" if newest.key else f"any of {', '.join(sorted(known))}"
            raise UsageError(f"found the key {key!r} of {table}, expected {expected}: give them as a mapping")
        plain = {name: _plain(value) for name, value in wanted.items()}
        return _in_utc(self._warehouse.ask(Versions(nights[::-1], plain)))

    def changes(self, table: str, since: When, until: When, *, deleted: bool = False) -> "pa.Table":
        """Return how a table differs between two of its nights: the rows that only one of them has.

        ``_change`` says ``opened`` (there is no such row at ``since``), ``closed`` (there is none at ``until``) or ``changed``:
        two rows of one key, of which ``_side`` says ``old`` and ``new``, the old one first. The table's columns of both days
        follow, and when the row was known, from and until, in UTC. Tables without a key only have rows open and close.
        """
        nights = self._nights(table)
        old, new = (self._night(table, nights, when) for when in (since, until))
        if old.cutoff > new.cutoff:
            raise UsageError(f"found changes from {old.date} to {new.date}: give the earlier one first")
        if not (old.columns or new.columns):
            raise HistoryMissingError(f"found no table {table} on {old.date} nor {new.date}: it was absent")
        key = new.key if set(new.key) <= {column.name for column in new.columns} else ()
        return _in_utc(self._warehouse.ask(Changes(old, new, key, deleted)))

    def point_in_time(
        self,
        spine: Any,
        histories: Mapping[str, On],
        *,
        time: str,
        lag: dt.timedelta | None = None,
        columns: Mapping[str, Sequence[str]] | None = None,
        deleted: bool = False,
        repeated: bool = False,
    ) -> "pa.Table":
        """Return a spine with the columns of histories as they were known at each row's time, in the spine's order.

        ``spine`` is a ``pyarrow.Table``, a DataFrame, or the name, ``schema.table``, of a table in the history's database. Each
        of ``histories`` is joined on a column, a list of columns, or a mapping of the spine's columns to its own, which must
        tell its rows apart. ``time`` names the spine's column of instants with a zone, or of dates, which stand for their
        cutoffs; with a ``lag`` each row sees what was known that much earlier.

        A value is known from the cutoff of the night that saw it until that of the night that saw it gone, whatever the
        source's own dates say: what was known later is never seen. Keys that are missing and times before the first night give
        NULL; after the last night its values stand. The columns, without the key and the sync stamp, or those of ``columns``,
        are the table's at the last time of the spine; where a name is taken, it becomes ``<table>__<column>``.
        """
        lag = lag if lag is not None else dt.timedelta(0)
        if lag < dt.timedelta(0):
            raise UsageError(f"found a lag of {lag}, which would look into the future: expected none below zero")
        on = {table: spines.mapped(table, each) for table, each in histories.items()}
        if not on:
            raise UsageError("found no histories to join, expected some: {'schema.table': 'column'}")
        chosen = {} if columns is None else _chosen(columns, on)
        keys = list(dict.fromkeys(key for each in on.values() for key in each))
        cutoffs = self._warehouse.settings.cutoffs()
        nights = {table: self._nights(table) for table in on}  # before anything is read
        source: SpineRows | SpineTable
        if isinstance(spine, str):
            source, names, last = spines.of_table(self._warehouse, spine, keys, time, lag, cutoffs)
        else:
            rows = spines.as_arrow(spine)
            source, last = spines.of_rows(rows, keys, time, lag, cutoffs)
            names = rows.column_names
        known = {table: spines.Known(table, nights[table], last, on[table], chosen.get(table)) for table in on}
        joined = [
            Joined(each.nights, each.night, each.on, labels, deleted)
            for each, labels in zip(known.values(), spines.labels(list(known.values()), names), strict=True)
        ]
        found = self._warehouse.join(source, joined, repeated=repeated)
        if not isinstance(source, SpineRows):
            return found
        for name, column in zip(found.column_names, found.columns, strict=True):
            rows = rows.append_column(name, column)
        return rows

    def _nights(self, table: str) -> list[Applied]:
        # The names themselves may hold dots, so the whole is compared, never split.
        rows = self._warehouse.ledger(table=table)
        nights = sorted((row for row in rows if row.status is Status.APPLIED), key=lambda row: row.cutoff)
        if not nights:
            known = self._warehouse.tables()
            if not known:
                raise HistoryMissingError(f"found no history of {table}, nor any in {self._warehouse.place}: run a night first")
            lower = {name.lower(): name for name in known}
            near = [lower[name] for name in difflib.get_close_matches(table.lower(), lower, n=3, cutoff=0.8)]
            listed = f"did you mean {' or '.join(near)}?" if near else f"expected one of {_some(known)}"
            raise HistoryMissingError(f"found no history of {table}: {listed}")
        return nights

    def _night(self, table: str, nights: Sequence[Applied], when: When) -> Applied:
        moment = _moment(when)
        if isinstance(moment, dt.datetime):
            before = [night for night in nights if night.cutoff <= moment]
            if not before:
                raise HistoryMissingError(
                    f"found nothing known of {table} at {moment:%Y-%m-%d %H:%M:%S} UTC: its first night is {nights[0].date}"
                )
            return before[-1]
        if found := [night for night in nights if night.date == moment]:
            return found[0]
        earlier = max((night.date for night in nights if night.date < moment), default=None)
        later = min((night.date for night in nights if night.date > moment), default=None)
        nearest = " and ".join(str(each) for each in (earlier, later) if each)
        holds = f"the nearest that it holds {'are' if earlier and later else 'is'} {nearest}"
        raise HistoryMissingError(f"found no night {moment} in the history of {table}: {holds}")


def _moment(when: When) -> dt.date | dt.datetime:
    """Return the clone date, or the instant in UTC, that is meant."""
    if isinstance(when, str):
        try:
            when = dt.datetime.fromisoformat(when) if len(when) > len("2026-11-22") else parse_date(when)
        except ValueError:
            raise UsageError(
                f"found {when!r}, expected a clone date such as 2026-11-22 or an instant such as 2026-11-22T06:00:00+00:00"
            ) from None
    if isinstance(when, dt.datetime):
        if when.utcoffset() is None:
            raise UsageError(f"found {when}, which has no time zone: give an aware instant, or a clone date")
        try:
            return when.astimezone(dt.UTC)
        except OverflowError:
            raise UsageError(f"found {when}, which is beyond all dates: give an instant at which something was known") from None
    if not isinstance(when, dt.date):
        raise UsageError(f"found {when!r}, expected a clone date or an aware instant")
    return when


def _columns(night: Applied, names: Sequence[str]) -> list[AppliedColumn]:
    if isinstance(names, str) or not names:
        raise UsageError(f"found columns={names!r}, expected a list of names, such as ['id', 'name']")
    if repeated := sorted({name for name in names if list(names).count(name) > 1}):
        raise UsageError(f"found {', '.join(repeated)} more than once in columns, expected each once")
    return [_column(night, name) for name in names]


def _chosen(columns: Any, on: Collection[str]) -> Mapping[str, Sequence[str]]:
    if not isinstance(columns, Mapping):
        raise UsageError(
            f"found columns={columns!r}, expected lists of names by table, such as {{{next(iter(on))!r}: ['name']}}"
        )
    if unknown := sorted(columns.keys() - set(on)):
        raise UsageError(f"found columns of {', '.join(unknown)}, which is not joined: expected {', '.join(on)}")
    for table, names in columns.items():
        if isinstance(names, str):
            raise UsageError(f"found {names!r} for the columns of {table}, expected a list of names, such as [{names!r}]")
    return columns


def _column(night: Applied, name: str) -> AppliedColumn:
    return spines.column_of(table_name(night.schema, night.table), night, name)


def _values(value: Any) -> list[Any]:
    if hasattr(value, "tolist"):  # numpy's and pandas' values and arrays
        value = value.tolist()
    elif hasattr(value, "to_pylist"):
        value = value.to_pylist()
    values = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    return [_plain(each) for each in values]


def _plain(value: Any) -> Any:
    """Return a value as engines are given it: numpy's and Arrow's as Python's own."""
    if hasattr(value, "as_py"):
        return value.as_py()
    return value.item() if hasattr(value, "item") else value


def _in_utc(found: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    for name in INTERVAL:
        place = found.schema.get_field_index(name)
        found = found.set_column(place, name, found[name].cast(pa.timestamp("us", "UTC")))
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
