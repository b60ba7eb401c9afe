"""Spines: the rows, each with keys and a time, of which is asked what was known then.

Belongs here: what a spine may be and must have, which columns of a history its rows may see, and what these are called. Does
not belong here: the join itself (``warehouse/``).
"""

import collections
import dataclasses
import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from history_assets.dates import Cutoff
from history_assets.errors import HistoryMissingError, UsageError
from history_assets.inventory import SYNCED
from history_assets.naming import table_name
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Applied, AppliedColumn, SpineRows, SpineTable

if TYPE_CHECKING:
    import pyarrow as pa

On = str | Sequence[str] | Mapping[str, str]
"""The columns by which a history is joined: one, several, or the spine's by which the history's are found."""

_AWARE = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMP_TZ", "TIMESTAMP_LTZ")


@dataclasses.dataclass(frozen=True)
class Known:
    """What a spine may see of a history: the nights up to its last time, and the columns as of the last of them.

    Later nights change neither what is seen nor what it is called.
    """

    table: str
    all_nights: Sequence[Applied]
    last: dt.datetime | None
    keys: Mapping[str, str]
    chosen: Sequence[str] | None

    @property
    def nights(self) -> list[Applied]:
        return [night for night in self.all_nights if self.last is None or night.cutoff <= self.last]

    @property
    def night(self) -> Applied:
        seen = [night for night in self.nights if night.columns] or [night for night in self.all_nights if night.columns][:1]
        if not seen:
            raise HistoryMissingError(f"found no columns of {self.table}: it was absent on every applied night")
        return seen[-1]

    @property
    def on(self) -> dict[str, AppliedColumn]:
        return {key: column_of(self.table, self.night, name) for key, name in self.keys.items()}

    @property
    def columns(self) -> list[AppliedColumn]:
        """The columns to add: all that are asked for, or all but the key and the stamp, which says nothing of the values."""
        if self.chosen is not None:
            return [column_of(self.table, self.night, name) for name in self.chosen]
        keys = {column.name for column in self.on.values()}
        return [each for each in self.night.columns if each.name not in keys and each.name.lower() != SYNCED]


def mapped(table: str, on: On) -> dict[str, str]:
    """Return the history's columns by the spine's."""
    found = {on: on} if isinstance(on, str) else dict(on) if isinstance(on, Mapping) else {name: name for name in on}
    if not found:
        raise UsageError(f"found no columns to join {table} on, expected those that tell its rows apart")
    return found


def column_of(table: str, night: Applied, name: str) -> AppliedColumn:
    """Return a night's column by its name, or by the only one that differs from it in case alone."""
    exact = [column for column in night.columns if column.name == name]
    alike = [column for column in night.columns if column.name.lower() == str(name).lower()]
    for found in (exact, alike):
        if len(found) == 1:
            return found[0]
    names = [column.name for column in night.columns]
    near = difflib.get_close_matches(str(name), names, n=3) or names
    raise UsageError(f"found no column {name} in {table} on {night.date}: expected one of {', '.join(near)}")


def as_arrow(spine: Any) -> "pa.Table":
    """Return a table of any library that hands over Arrow."""
    import pyarrow as pa

    if isinstance(spine, pa.Table):
        return spine
    if not hasattr(spine, "__arrow_c_stream__"):
        raise UsageError(
            f"found a spine of type {type(spine).__name__}, expected a pyarrow.Table, a DataFrame that hands over "
            "Arrow, as those of polars and pandas 2.2 do, or the name of a table"
        )
    if hasattr(spine, "reset_index"):  # pandas would hand over an index as a column of the spine
        spine = spine.reset_index(drop=True)
    return pa.RecordBatchReader.from_stream(spine).read_all()


def of_rows(
    rows: "pa.Table", keys: Sequence[str], time: str, lag: dt.timedelta, cutoffs: Cutoff
) -> tuple[SpineRows, dt.datetime | None]:
    """Return a spine from outside, and the last instant that any of its rows may know of."""
    import pyarrow as pa
    import pyarrow.compute as pc

    _check_names(rows.column_names, [*keys, time])
    times = rows[time]
    is_date = pa.types.is_date(times.type)
    if not is_date and not (pa.types.is_timestamp(times.type) and times.type.tz):
        raise _wrong_time(time, str(times.type))
    _check_missing(time, times.null_count)
    if is_date:
        known = _cutoffs_of(times.cast(pa.date32()), lag, cutoffs)
    else:
        # A version begins at a whole second: what is cut off here changes nothing.
        known = pc.cast(times, pa.timestamp("us", "UTC"), safe=False).cast(pa.timestamp("us"))
        known = pc.subtract(known, pa.scalar(lag, pa.duration("us"))) if lag else known
    numbers = pc.cumulative_sum(pa.repeat(pa.scalar(1, pa.int64()), rows.num_rows))
    thin = {f"k{number}": rows[key] for number, key in enumerate(keys)}
    last = pc.max(known).as_py()
    table = pa.table({"row_number_in_spine": numbers, "known_at": known, **thin})
    return SpineRows(table, keys), last.replace(tzinfo=dt.UTC) if last else None


def of_table(
    warehouse: Warehouse, name: str, keys: Sequence[str], time: str, lag: dt.timedelta, cutoffs: Cutoff
) -> tuple[SpineTable, list[str], dt.datetime | None]:
    """Return a table in the history's database as a spine, its columns, and the last instant that its rows may know of."""
    types = warehouse.columns(name)
    if not types:
        raise UsageError(f"found no table {name} in the history's database: expected a spine as schema.table")
    _check_names(list(types), [*keys, time])
    is_date = types[time] == "DATE"
    if not is_date and not types[time].startswith(_AWARE):
        raise _wrong_time(time, types[time])
    found = warehouse.spine_times(name, time, is_date=is_date)
    _check_missing(time, found.missing)
    days = None if found.days is None else {day: cutoffs.at(day) for day in found.days}
    last = max(days.values(), default=None) if days is not None else found.last
    return SpineTable(name, keys, time, lag, days), list(types), last - lag if last else None


def labels(known: Sequence[Known], spine: Sequence[str]) -> list[dict[str, AppliedColumn]]:
    """Return each history's columns by the names that they get: their own, where only one has it, else with its table's."""
    plain = collections.Counter([*map(str.lower, spine)])
    plain.update(column.name.lower() for each in known for column in each.columns)
    taken = {name.lower() for name in spine}
    found: list[dict[str, AppliedColumn]] = []
    for each in known:
        made: dict[str, AppliedColumn] = {}
        for column in each.columns:
            night = each.night
            prefixed = (f"{night.table}__{column.name}", f"{night.schema}__{night.table}__{column.name}")
            tries = [column.name, *prefixed] if plain[column.name.lower()] == 1 else list(prefixed)
            name = next((name for name in tries if name.lower() not in taken), None)
            if name is None:
                raise UsageError(
                    f"found the column {tries[-1]} in the spine already, where {column.name} of "
                    f"{table_name(night.schema, night.table)} was to go: rename it"
                )
            taken.add(name.lower())
            made[name] = column
        found.append(made)
    return found


def _cutoffs_of(times: "pa.ChunkedArray", lag: dt.timedelta, cutoffs: Cutoff) -> "pa.Array":
    import pyarrow as pa
    import pyarrow.compute as pc

    days = pc.unique(times)
    moments = [(cutoffs.at(day) - lag).replace(tzinfo=None) for day in days.to_pylist()]
    return pa.array(moments, pa.timestamp("us")).take(pc.index_in(times, days))


def _check_names(there: Sequence[str], wanted: Sequence[str]) -> None:
    if missing := [name for name in wanted if name not in there]:
        raise UsageError(f"found no column {', '.join(missing)} in the spine: expected one of {', '.join(there)}")
    if repeated := sorted({name for name in wanted if list(there).count(name) > 1}):
        raise UsageError(f"found {', '.join(repeated)} more than once in the spine, expected each once: rename one")


def _check_missing(time: str, missing: int) -> None:
    if missing:
        raise UsageError(f"found {missing} rows of the spine without {time}, expected one in each: fill or leave them out")


def _wrong_time(time: str, kind: str) -> UsageError:
    return UsageError(f"found {time} of type {kind} in the spine, expected instants with a time zone, or dates")
