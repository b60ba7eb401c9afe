"""The values that cross the one interface of warehouses: clones, the ledger's rows, what is asked of histories and answered.

Belongs here: what is the same whichever engine it comes from. Does not belong here: what an engine can do (``base``), any SQL.
"""

import abc
import dataclasses
import datetime as dt
import enum
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

Dates = tuple[dt.date, dt.date]
"""A first and a last date."""

LEDGER_SCHEMA = "_history_assets"
"""Schema of this project's own tables, in the history database and in each clone."""


@dataclasses.dataclass(frozen=True)
class Clone:
    """One schema's clone of one date; ``location`` is the engine's own address of it."""

    schema: str
    date: dt.date
    clone_id: str
    cutoff: dt.datetime
    quiet_point: dt.datetime
    tables: int
    rows: int
    bytes: int
    location: str


class Status(enum.StrEnum):
    """What became of a table's clone: folded into its history, or held back by a gate."""

    APPLIED = "applied"
    QUARANTINED = "quarantined"


@dataclasses.dataclass(frozen=True)
class AppliedColumn:
    """A column that a clone had; ``family`` says which of its history's columns holds it, where there are several."""

    name: str
    type: str
    family: str


@dataclasses.dataclass(frozen=True)
class Stamp:
    """When a raw table was created and last altered, as its warehouse says; aware UTC."""

    created: dt.datetime
    altered: dt.datetime


@dataclasses.dataclass(frozen=True)
class Applied:
    """One row of the ledger: what became of a table's clone of a date; instants are aware UTC.

    A table that its schema's clone did not have has no columns. ``problem`` says what a gate found. ``unchanged`` says that the
    table was not looked at, since it cannot have changed; ``stamp`` is what was known of it in raw then.
    """

    schema: str
    table: str
    date: dt.date
    clone_id: str
    cutoff: dt.datetime
    quiet_point: dt.datetime
    rows: int
    opened: int
    closed: int
    columns: tuple[AppliedColumn, ...]
    key: tuple[str, ...]
    status: Status
    problem: str | None
    time_zone: str
    cutoff_time: str
    unchanged: bool = False
    stamp: Stamp | None = None


@dataclasses.dataclass(frozen=True)
class Carried:
    """A table of a night that is as it was on its applied night before: that night's clone, and what is known of it now."""

    schema: str
    table: str
    before: str
    stamp: Stamp | None


@dataclasses.dataclass(frozen=True)
class SyncEvent:
    """A start or an end of a sync, or a write into a schema, as the Platform Connector logged it; ``at`` is aware UTC."""

    connection: str
    name: str
    at: dt.datetime
    event: str
    sync: str | None
    data: str | None


@dataclasses.dataclass(frozen=True)
class Difference:
    """How a history differs from a clone: rows that only one of them has, and a few of these."""

    only_history: int
    only_clone: int
    examples: tuple[tuple[Any, ...], ...]


class Question(abc.ABC):
    """What can be asked of one history (``reading_sql``); ``about`` is a row of its ledger."""

    @property
    @abc.abstractmethod
    def about(self) -> Applied: ...

    @abc.abstractmethod
    def ask(self, dialect: Any, history: Any) -> Any:
        """Return the query that answers it, given an engine's dialect and the history as that has it."""


@dataclasses.dataclass(frozen=True)
class SpineRows:
    """A spine from outside: its ``keys`` as the columns ``k0``, ``k1`` …, ``known_at`` in naive UTC, and its rows' numbers."""

    rows: "pa.Table"
    keys: Sequence[str]


@dataclasses.dataclass(frozen=True)
class SpineTable:
    """A spine that lies in the history's database; ``days`` gives the instants of its dates, where its times are dates."""

    name: str
    keys: Sequence[str]
    time: str
    lag: dt.timedelta
    days: Mapping[dt.date, dt.datetime] | None


@dataclasses.dataclass(frozen=True)
class SpineTimes:
    """What a table has in its column of times: how many rows without one, and the last; its dates, where they are dates."""

    missing: int
    last: dt.datetime | None
    days: Sequence[dt.date] | None


@dataclasses.dataclass(frozen=True)
class Joined:
    """A history to join to a spine: ``on`` maps the spine's keys to its columns, ``columns`` says which to add by what names.

    ``nights`` are those that the spine may know of, ``night`` the one as of which its columns are shown.
    """

    nights: Sequence[Applied]
    night: Applied
    on: Mapping[str, AppliedColumn]
    columns: Mapping[str, AppliedColumn]
    deleted: bool


@dataclasses.dataclass(frozen=True)
class Check:
    """Something that must be so for this project to work: whether it is, and what to do if it is not."""

    what: str
    ok: bool
    remedy: str = ""
