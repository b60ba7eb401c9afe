"""One sync of one connector: what happens to the rows of its tables, and what its log says of it.

Belongs here: decisions, by dice that are given, and the clock of the sync. Does not belong here: files (``files``), what a
source looks like (``connectors``).
"""

import base64
import collections
import dataclasses
import datetime as dt
import hashlib
import json
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from history_assets.inventory import SYNCED
from history_assets.sandbox.files import DELETED, UPDATED, UPSERTED, Edit
from history_assets.sandbox.shapes import HABITS, Column, Connector, Draw, Row, Table

_SURROGATE = "_fivetran_id"


class Run:
    """One sync of one connector: its dice, its clock, its log, and what it has written so far."""

    def __init__(self, connector: Connector, rng: random.Random, ordinal: int, since: dt.datetime, start: dt.datetime) -> None:
        self.connector = connector
        self.rng = rng
        self.ordinal = ordinal
        self.since = since
        self.start = self.now = start
        self.schemas = {} if ordinal % HABITS == connector.idle else connector.schemas
        self.events: list[Row] = []
        self._id = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        self._sizes: dict[str, int] = {}
        self._edits: dict[str, list[Edit]] = {}

    def pass_time(self, most: int) -> None:
        """Let at least a third of ``most`` seconds pass."""
        self.now += dt.timedelta(milliseconds=self.rng.randint(most * 333, most * 1000))

    def log(self, event: str, **data: Any) -> None:
        """Log an event at the present instant."""
        self.events.append(
            {
                "id": _sha1(f"{self._id}:{len(self.events)}"),
                "time_stamp": self.now,
                "connection_id": self.connector.id,
                "event": "INFO",
                "message_event": event,
                "message_data": json.dumps(data) if data else None,
                "sync_id": self._id,
                "transformation_id": None,
            }
        )

    def write_table(self, schema: str, table: Table, rows: Sequence[Row]) -> list[Edit]:
        """Decide what happens to a table that holds ``rows``, log it, and return it."""
        edits = list(self._decide(table, rows))
        self._edits[table.name] = edits
        self._sizes[table.name] = table.rows if table.recurs else len(rows) + sum(not edit.before for edit in edits)
        if edits:
            self.log("write_to_table_start", table=table.name)
            self.pass_time(30)
            edits = [_stamped(table, edit, self.now) for edit in edits]
            for operation, count in sorted(collections.Counter(edit.operation for edit in edits).items()):
                self.log("records_modified", schema=schema, table=table.name, operationType=operation, count=count)
            self.pass_time(6)
            self.log("write_to_table_end", table=table.name)
        return edits

    def _decide(self, table: Table, rows: Sequence[Row]) -> Iterator[Edit]:
        columns = table.columns_at(self.ordinal)
        if rows and self.ordinal % HABITS == table.resync:
            yield from (Edit(UPSERTED, row, row) for row in rows)
            return
        yield from (Edit(UPSERTED, None, row) for row in self._births(table, columns, rows))
        live = [row for row in rows if not (table.deleted and row[table.deleted])]
        added = [column for column in columns if table.since < column.since == self.ordinal]
        edits = len(live) // 3 if added else table.edit
        chosen = self.rng.sample(live, min(edits + table.drop, len(live)))
        for row in chosen[:edits]:
            yield from self._edit(table, columns, row, added)
        for row in chosen[edits:]:
            yield Edit(DELETED, row, self._changed(columns, row, {table.deleted: True}) if table.deleted else None)

    def _births(self, table: Table, columns: Sequence[Column], rows: Sequence[Row]) -> Iterator[Row]:
        if table.follows:
            followed, follow = table.follows
            written = [(edit.before, edit.after) for edit in self._edits[followed] if edit.after]
            given = [row for before, after in written for row in follow(self._draw(), before, after)]
            births = list(enumerate(given, start=len(rows) + 1))
        else:
            births = [(number, {}) for number in self._numbers(table, rows)]
        for number, values in births:
            draw = self._draw(number)
            yield {each.name: values[each.name] if each.name in values else each.first(draw) for each in columns}

    def _numbers(self, table: Table, rows: Sequence[Row]) -> Sequence[int]:
        if not rows:
            return range(1, table.rows + 1)
        if table.recurs:
            ids = [column for column in table.columns if column.name in table.key]
            present = {tuple(row[column.name] for column in ids) for row in rows}
            every = range(1, table.rows + 1)
            absent = [number for number in every if tuple(column.draw(self._draw(number)) for column in ids) not in present]
            return self.rng.sample(absent, self.rng.randint(1, len(absent))) if absent else []
        return range(len(rows) + 1, len(rows) + 1 + (self.rng.randint(1, table.grow) if table.grow else 0))

    def _edit(self, table: Table, columns: Sequence[Column], row: Row, added: Sequence[Column]) -> Iterator[Edit]:
        changes = table.course(self._draw(), row) if table.course and not added else None
        if changes is None:
            changes = self._drift(row, added or [column for column in columns if column.drift])
        if not changes:
            return
        changed = self._changed(columns, row, changes)
        if table.surrogate:
            yield Edit(DELETED, row, {**row, "_fivetran_deleted": True})
            yield Edit(UPSERTED, None, changed)
        else:
            yield Edit(UPDATED, row, changed)

    def _drift(self, row: Row, drifting: Sequence[Column]) -> Row:
        column = self.rng.choice(drifting)
        value = old = row[column.name]
        if old is not None and self.rng.random() < column.blank:
            value = None
        while value == old:
            value = column.draw(self._draw())
        return {column.name: value}

    def _changed(self, columns: Sequence[Column], row: Row, changes: Mapping[str, Any]) -> Row:
        draw = self._draw()
        return {**row, **{column.name: column.draw(draw) for column in columns if column.touched}, **changes}

    def _draw(self, number: int = 0) -> Draw:
        seconds = self.rng.randrange(int((self.start - self.since).total_seconds()))
        return Draw(self.rng, number, self.start - dt.timedelta(seconds=seconds), self._sizes)


def _stamped(table: Table, edit: Edit, now: dt.datetime) -> Edit:
    if edit.after is None:
        return edit
    after = {**edit.after, SYNCED: now}
    if table.surrogate and not edit.before:
        values = [after[column.name] for column in table.columns if column.name in after and not column.name.startswith("_")]
        after[_SURROGATE] = _sha1(repr(values))
    return dataclasses.replace(edit, after=after)


def _sha1(text: str) -> str:
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()
