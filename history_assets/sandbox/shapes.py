"""What a source looks like, as data: connectors with their schemas, tables and columns, and the dice that values come from.

Belongs here: shapes, and how much of them changes in a sync. Does not belong here: any source (``connectors``), or
syncing (``sync``).
"""

import dataclasses
import datetime as dt
import random
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

HABITS = 7
"""Period, in syncs, of what happens to a connector once in a while: an idle sync, the re-sync of a table."""

Row = dict[str, Any]

Things = str | tuple[Any, ...]
"""Things to choose from; a string stands for its words."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """The dice for one row: its number (0 if it only changes), the instant of that (UTC), and how many rows each table has."""

    rng: random.Random
    number: int
    moment: dt.datetime
    sizes: Mapping[str, int]

    def one(self, things: Things) -> Any:
        """Return any of some things, each as likely."""
        return self.rng.choice(things.split() if isinstance(things, str) else things)

    def whole(self, least: int, most: int) -> int:
        """Return a whole number, both ends included."""
        return self.rng.randint(least, most)

    def money(self, most: int) -> Decimal:
        """Return an amount in whole cents, from one to ``most`` units of currency."""
        return Decimal(self.rng.randint(100, most * 100)).scaleb(-2)

    def row_of(self, table: str) -> int:
        """Return the number of a row of a table of the same connector that stands before this one."""
        return self.rng.randint(1, self.sizes[table])

    def day(self, ahead: int) -> dt.date:
        """Return a day up to so many days ahead."""
        return self.moment.date() + dt.timedelta(days=self.rng.randint(0, ahead))


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: what its values are drawn from, whether they ``drift``, or are ``touched`` by every change of their row.

    Without ``values`` whoever makes the row gives them. ``blank`` is the share of NULLs; ``since`` the ordinal of the sync that
    adds the column, with values for some of the rows that were there.
    """

    name: str
    type: str
    values: Things | Callable[[Draw], Any] = ()
    drift: bool = False
    touched: bool = False
    blank: float = 0
    since: int = 1

    def first(self, draw: Draw) -> Any:
        """Return a value for a new row, NULL in its share of cases."""
        return None if draw.rng.random() < self.blank else self.draw(draw)

    def draw(self, draw: Draw) -> Any:
        """Return a value, not NULL."""
        return self.values(draw) if callable(self.values) else draw.one(self.values)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table and its habits: ``rows`` in the first load; every later sync adds up to ``grow``, edits ``edit``, drops ``drop``.

    ``key`` is declared; without one, ``surrogate`` gives the table a ``_fivetran_id``, else the whole row is the key.
    ``deleted`` names the column of soft deletes; without it, rows are deleted for good. A table that ``recurs`` has a fixed
    stock of ids, of which deleted ones come back. One that ``follows`` another gets its rows from what is written there.
    ``since`` is the ordinal of the sync that brings the table, ``resync`` (modulo ``HABITS``) of the one that restamps it.
    ``course`` says what an edit changes of a row, if anything; where it has nothing to say (None), some column drifts.
    """

    name: str
    rows: int = 0
    grow: int = 0
    edit: int = 0
    drop: int = 0
    key: tuple[str, ...] = ("id",)
    surrogate: bool = False
    deleted: str | None = None
    recurs: bool = False
    follows: tuple[str, Callable[[Draw, Row | None, Row], Iterator[Row]]] | None = None
    since: int = 1
    resync: int | None = None
    course: Callable[[Draw, Row], Row | None] | None = None
    columns: tuple[Column, ...] = ()

    def of(self, *columns: Column) -> "Table":
        """Return the table with its columns, to which those that Fivetran adds are added."""
        system = [Column("_fivetran_id", "VARCHAR", (None,))] if self.surrogate else []
        system += [Column(self.deleted, "BOOLEAN", (False,))] if self.deleted else []
        return dataclasses.replace(self, columns=(*columns, *system, Column("_fivetran_synced", "TIMESTAMPTZ", (None,))))

    def columns_at(self, ordinal: int) -> list[Column]:
        """Return the columns that the table has once a sync is over."""
        return [column for column in self.columns if column.since <= ordinal]

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns by which a sync finds the row that it replaces; none where the whole row is the key."""
        return ("_fivetran_id",) if self.surrogate else self.key


@dataclasses.dataclass(frozen=True)
class Connector:
    """A connection of Fivetran: its name (a schema, or the prefix of several), its schemas, the sync in which it has no work.

    Tables that others refer to stand first. ``idle`` counts modulo ``HABITS``.
    """

    name: str
    id: str
    type: str
    schemas: Mapping[str, tuple[Table, ...]]
    idle: int | None = None
