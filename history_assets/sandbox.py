"""The simulated Fivetran of the demo: connectors that write raw schemas night by night, and the log that they leave.

Belongs here: what a sync does to rows, files and the log. Does not belong here: what the connectors look like
(``sandbox_connectors.py``), or anything that the project does with raw data.

All state lies in the raw files, all chance comes from the seed and the instant of the sync, and no clock is read: the same
syncs give the same rows everywhere. The SQL is here, not in ``warehouse/``, since it plays the part of the other side.
"""

import base64
import collections
import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import random
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from history_assets.errors import UsageError
from history_assets.naming import quote, quote_literal
from history_assets.sandbox_connectors import CONNECTORS, HABITS, Column, Connector, Draw, Row, Table
from history_assets.warehouse.duckdb_files import connect

METADATA = "fivetran_metadata"
"""The schema of the Platform Connector, which here logs every connection but itself."""

_SCHEMAS = {METADATA, *(schema for connector in CONNECTORS for schema in connector.schemas)}
_SYNCED, _SURROGATE = "_fivetran_synced", "_fivetran_id"
_UPSERTED, _UPDATED, _DELETED = "REPLACED_OR_INSERTED", "UPDATED", "DELETED"

_PAST = dt.timedelta(days=730)
_STAGGER = dt.timedelta(minutes=2)
_LOGGED = dt.timedelta(minutes=25)
_LOCK_TIMEOUT = 60

_CONNECTION = Table("connection", key=("connection_id",)).of(
    Column("connection_id", "VARCHAR"),
    Column("connection_name", "VARCHAR"),
    Column("connector_type_id", "VARCHAR"),
    Column("destination_id", "VARCHAR"),
    Column("connecting_user_id", "VARCHAR"),
    Column("paused", "BOOLEAN"),
    Column("signed_up", "TIMESTAMPTZ"),
    Column("_fivetran_deleted", "BOOLEAN"),
)
_LOG = Table("log").of(
    Column("id", "VARCHAR"),
    Column("time_stamp", "TIMESTAMPTZ"),
    Column("connection_id", "VARCHAR"),
    Column("event", "VARCHAR"),
    Column("message_event", "VARCHAR"),
    Column("message_data", "VARCHAR"),
    Column("sync_id", "VARCHAR"),
    Column("transformation_id", "VARCHAR"),
)


class Sandbox:
    """A folder of raw schemas that a simulated Fivetran fills; raises UsageError for a folder that holds anybody else's."""

    def __init__(self, raw: Path, seed: int = 11) -> None:
        self.raw = raw
        self.seed = seed
        found = {path.stem for path in raw.glob("*.duckdb")}
        # The metadata are written first, so that without them even schemas of the right names are somebody else's.
        self._refuse(found - _SCHEMAS if METADATA in found else found)

    def last_sync(self) -> dt.datetime | None:
        """Return when the latest sync ended, aware and in UTC; nothing before the first."""
        if not self._path(METADATA).exists():
            return None
        with connect(self._path(METADATA), read_only=True, timeout=_LOCK_TIMEOUT) as connection:
            found = connection.execute("SELECT max(time_stamp) FROM log WHERE message_event = 'sync_end'").fetchone()
        return found[0].astimezone(dt.UTC) if found and found[0] else None

    def sync(self, at: dt.datetime) -> None:
        """Sync every connection once, the first from ``at`` (aware), all within 30 minutes; the first call loads all history.

        Raises UsageError for an instant without a time zone, or not after the end of the latest sync.
        """
        if at.utcoffset() is None:
            raise UsageError(f"found {at}, a time without a zone: expected an aware one, for example {at.isoformat()}+00:00")
        at = at.astimezone(dt.UTC)
        last = self.last_sync()
        if last and at <= last:
            raise UsageError(f"found a sync at {at}, expected one after {last}, the end of the latest: pass a later time")
        earlier = self._register(at)
        events = []
        for position, connector in enumerate(CONNECTORS):
            count, since = earlier.get(connector.id, (0, at - _PAST))
            rng = random.Random(f"{self.seed}:{connector.name}:{at.isoformat()}")  # noqa: S311 - invents data, keeps no secret
            run = _Run(connector, rng, count + 1, since, at + position * _STAGGER)
            self._sync(run)
            events += run.events
        with self._writing(METADATA) as connection:
            _write(connection, _LOG, 1, [Edit(_UPSERTED, None, {**event, _SYNCED: at + _LOGGED}) for event in events])

    def _sync(self, run: "_Run") -> None:
        run.log("sync_start")
        run.pass_time(60)
        for schema, tables in run.schemas.items():
            present = [table for table in tables if table.since <= run.ordinal]
            with self._writing(schema) as connection:
                # DuckDB fails a commit that alters a table after writing to it.
                for table in present:
                    _shape(connection, table, run.ordinal)
                for table in present:
                    _write(connection, table, run.ordinal, run.write_table(schema, table, _read(connection, table)))
        run.pass_time(60)
        run.log("sync_end", status="SUCCESSFUL")

    def _register(self, at: dt.datetime) -> dict[str, tuple[int, dt.datetime]]:
        """Make sure that the connections are known; return the number of earlier syncs of each, and the start of the latest."""
        self.raw.mkdir(parents=True, exist_ok=True)
        with self._writing(METADATA) as connection:
            _shape(connection, _CONNECTION, 1)
            _shape(connection, _LOG, 1)
            found = connection.execute(
                "SELECT connection_id, count(*), max(time_stamp) FROM log WHERE message_event = 'sync_start' GROUP BY ALL"
            ).fetchall()
            earlier = {name: (count, latest.astimezone(dt.UTC)) for name, count, latest in found}
            known = {row["connection_id"] for row in _read(connection, _CONNECTION)}
            self._refuse(known.union(earlier).difference(connector.id for connector in CONNECTORS))
            if not known:
                rows = [_connection_row(connector, at) for connector in CONNECTORS]
                _write(connection, _CONNECTION, 1, [Edit(_UPSERTED, None, row) for row in rows])
        return earlier

    def _refuse(self, foreign: Collection[str]) -> None:
        if foreign:
            raise UsageError(
                f"found {', '.join(sorted(foreign))} in {self.raw}, expected an empty folder or one that only the sandbox has "
                "filled: choose another folder"
            )

    def _path(self, schema: str) -> Path:
        return self.raw / f"{schema}.duckdb"

    @contextlib.contextmanager
    def _writing(self, schema: str) -> Iterator[duckdb.DuckDBPyConnection]:
        with connect(self._path(schema), read_only=False, timeout=_LOCK_TIMEOUT) as connection:
            connection.begin()
            yield connection
            connection.commit()


@dataclasses.dataclass(frozen=True)
class Edit:
    """What a sync does to one row, in the words of Fivetran's log: no ``before`` is a new row, no ``after`` a gone one."""

    operation: str
    before: Row | None
    after: Row | None


class _Run:
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
            yield from (Edit(_UPSERTED, row, row) for row in rows)
            return
        yield from (Edit(_UPSERTED, None, row) for row in self._births(table, columns, rows))
        live = [row for row in rows if not (table.deleted and row[table.deleted])]
        added = [column for column in columns if table.since < column.since == self.ordinal]
        edits = len(live) // 3 if added else table.edit
        chosen = self.rng.sample(live, min(edits + table.drop, len(live)))
        for row in chosen[:edits]:
            yield from self._edit(table, columns, row, added)
        for row in chosen[edits:]:
            yield Edit(_DELETED, row, self._changed(columns, row, {table.deleted: True}) if table.deleted else None)

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
            yield Edit(_DELETED, row, {**row, "_fivetran_deleted": True})
            yield Edit(_UPSERTED, None, changed)
        else:
            yield Edit(_UPDATED, row, changed)

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
    after = {**edit.after, _SYNCED: now}
    if table.surrogate and not edit.before:
        values = [after[column.name] for column in table.columns if column.name in after and not column.name.startswith("_")]
        after[_SURROGATE] = _sha1(repr(values))
    return dataclasses.replace(edit, after=after)


def _connection_row(connector: Connector, at: dt.datetime) -> Row:
    return {
        "connection_id": connector.id,
        "connection_name": connector.name,
        "connector_type_id": connector.type,
        "destination_id": "velvet_meadow",
        "connecting_user_id": "patient_heron",
        "paused": False,
        "signed_up": at - _PAST,
        "_fivetran_deleted": False,
        _SYNCED: at,
    }


def _shape(connection: duckdb.DuckDBPyConnection, table: Table, ordinal: int) -> None:
    """Make sure that a table exists with the columns of a sync."""
    columns = table.columns_at(ordinal)
    parts = [f"{quote(column.name)} {column.type}" for column in columns]
    if table.key:
        parts.append(f"PRIMARY KEY ({', '.join(map(quote, table.key))})")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {quote(table.name)} ({', '.join(parts)})")
    for column in columns:
        if column.since > table.since:
            connection.execute(f"ALTER TABLE {quote(table.name)} ADD COLUMN IF NOT EXISTS {quote(column.name)} {column.type}")


def _read(connection: duckdb.DuckDBPyConnection, table: Table) -> list[Row]:
    """Return a table's rows with their rowid, in an order that only depends on what they hold."""
    found = connection.execute(f"SELECT *, rowid FROM {quote(table.name)} ORDER BY ALL")  # noqa: S608 - the name is quoted
    names = [name for name, *_ in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _write(connection: duckdb.DuckDBPyConnection, table: Table, ordinal: int, edits: Sequence[Edit]) -> None:
    """Delete what is gone and merge what is new by the table's identity, in two statements.

    Rows are bound as one JSON text, as DuckDB looks for pandas twice per bound value: that takes seconds where there is none.
    """
    target = quote(table.name)
    gone = [edit.before["rowid"] for edit in edits if edit.before and not edit.after]
    if gone:
        rowids = "SELECT unnest(from_json(?, '[\"BIGINT\"]'))"
        connection.execute(f"DELETE FROM {target} WHERE rowid IN ({rowids})", [json.dumps(gone)])  # noqa: S608 - see quote()
    columns = {column.name: column.type for column in table.columns_at(ordinal)}
    rows = [{name: _text(edit.after[name]) for name in columns} for edit in edits if edit.after]
    if rows:
        shape = quote_literal(json.dumps([dict.fromkeys(columns, "VARCHAR")]))
        texts = f"SELECT unnest(from_json(?, {shape})) AS row"
        values = ", ".join(f"CAST(row.{quote(name)} AS {type_}) AS {quote(name)}" for name, type_ in columns.items())
        same = " AND ".join(f"old.{quote(name)} = new.{quote(name)}" for name in table.identity) or "FALSE"
        merge = (
            f"MERGE INTO {target} AS old USING (SELECT {values} FROM ({texts})) AS new ON {same} "  # noqa: S608 - see quote()
            "WHEN MATCHED THEN UPDATE BY NAME WHEN NOT MATCHED THEN INSERT BY NAME"
        )
        connection.execute(merge, [json.dumps(rows)])


def _text(value: Any) -> str | None:
    """Return a value as DuckDB casts it back without loss."""
    if isinstance(value, bytes):
        return "".join(f"\\x{byte:02X}" for byte in value)
    return None if value is None else str(value)


def _sha1(text: str) -> str:
    return base64.b64encode(hashlib.sha1(text.encode(), usedforsecurity=False).digest()).decode()
