"""What SQL is made of, the same on every engine: a statement with its bound values, an engine's own words, a history's table.

Belongs here: values and how instants cross. Does not belong here: any statement (``ledger_sql``, ``history_sql`` and others).
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Statement:
    """SQL text with the values bound to its question marks; ``compute`` says whether a warehouse must run for it."""

    text: str
    values: tuple[Any, ...] = ()
    compute: bool = False


@dataclasses.dataclass(frozen=True)
class Dialect:
    """What engines say in their own words.

    ``timestamp`` is the type of an instant without a zone, ``fold`` returns a name as the engine compares it, and ``loosely``
    the value of an expression as another type, NULL where it is none. ``rows_of`` is a query of rows, as texts under names,
    that a value holds as a JSON array of objects. ``utc`` returns an instant with a zone as one without,
    ``earlier`` an instant so many microseconds before, ``asof`` a join with the last row at or before, given that row's
    relation, which instants are compared, and what is equal.
    """

    timestamp: str
    fold: Callable[[str], str]
    loosely: Callable[[str, str], str]
    rows_of: Callable[[str, Sequence[str]], str]
    utc: Callable[[str], str]
    earlier: Callable[[str, int], str]
    asof: Callable[[str, str, str], str]


@dataclasses.dataclass(frozen=True)
class HistoryTable:
    """A history as SQL refers to it, and its columns with their types by their folded names; a table may be gone."""

    sql: str
    columns: Mapping[str, str] | None


def instant(moment: dt.datetime) -> str:
    """Return an aware instant as it is bound: in UTC, without saying so."""
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"


def aware(moment: dt.datetime) -> dt.datetime:
    """Return an instant as it is stored, aware."""
    return moment.replace(tzinfo=dt.UTC)
