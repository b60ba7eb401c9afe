"""The embedded engine: a DuckDB file per Fivetran schema, per clone, and one for the history.

Belongs here: where files lie under ``HISTORY_HOME`` and the SQL that reads them. Does not belong here: writing history, which
is dbt's (``dbt_project/macros``); opening files (``duckdb_files``).

    raw/<schema>.duckdb               tables in ``main``
    clones/<schema>/<date>.duckdb     a copy of it, frozen; says of itself what it is in ``_history_assets.clone``
    history.duckdb                    a schema per Fivetran schema, and ``_history_assets.applied``, the ledger
"""

import collections
import contextlib
import datetime as dt
import os
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from history_assets.errors import CloneError, WarehouseError
from history_assets.inventory import Schema
from history_assets.naming import quote, quote_literal
from history_assets.settings import Settings
from history_assets.warehouse import duckdb_functions, duckdb_history, duckdb_spine
from history_assets.warehouse.base import (
    LEDGER_SCHEMA,
    Applied,
    Carried,
    Check,
    Clone,
    Dates,
    Difference,
    Joined,
    Question,
    SpineRows,
    SpineTable,
    SpineTimes,
    SyncEvent,
    Warehouse,
)
from history_assets.warehouse.duckdb_files import connect, naive, read_tables, utc
from history_assets.warehouse.duckdb_history import LEDGER
from history_assets.warehouse.files import copy_file, sync_folder
from history_assets.warehouse.functions_sql import in_the_way
from history_assets.warehouse.history_sql import (
    Statement,
    applied_of,
    select_applied_before,
    select_column_nights,
    select_ledger,
    select_rules,
    select_tables,
)

if TYPE_CHECKING:
    import pyarrow as pa

_SUFFIX = ".duckdb"
_GLANCE = 0.2
"""Seconds that a file is waited for where it can be left for later."""

_LOGS = ("fivetran_metadata", "fivetran_log")
_CLONE_TABLE = f"{quote(LEDGER_SCHEMA)}.clone"
_RESERVED = {"information_schema", "pg_catalog", "main", "temp", "system", LEDGER_SCHEMA}


class DuckDBWarehouse(Warehouse):
    """Raw, clones and history as DuckDB files under one folder."""

    enforces_keys = True

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.raw = settings.home / "raw"
        self.clones = settings.home / "clones"
        self.history = settings.home / "history.duckdb"

    def landing_schemas(self) -> list[str]:
        if not self.raw.is_dir():
            raise WarehouseError(
                f"found no folder {self.raw}: expected one DuckDB file per Fivetran schema in it; "
                "set HISTORY_HOME, or try `history-assets demo`"
            )
        names = sorted(path.name.removesuffix(_SUFFIX) for path in self.raw.glob(f"*{_SUFFIX}"))
        self._check_names(names)
        return names

    def read_schema(self, schema: str, *, wait: bool = True) -> Schema:
        timeout = self.settings.lock_timeout if wait else _GLANCE
        with connect(self.raw / f"{schema}{_SUFFIX}", read_only=True, timeout=timeout) as connection:
            return read_tables(connection, schema, self.settings.keys)

    def marks(self, now: dt.datetime) -> dict[str, str]:  # noqa: ARG002 - every change leaves its trace in a file's time
        # A file that is not opened is not kept from its sync.
        return {name: _mark(self.raw / f"{name}{_SUFFIX}") for name in self.landing_schemas()}

    def clone(self, schema: str, date: dt.date, settle: Callable[[], dt.datetime | None], *, replace: bool = False) -> Clone:
        if not replace and (kept := self.find_clone(schema, date)):
            return kept
        cutoff = self.settings.cutoffs().at(date)
        source, target = self.raw / f"{schema}{_SUFFIX}", self._clone_path(schema, date)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not source.is_file():
            raise CloneError(f"cannot clone {schema}, because {source} is not there: expected the DuckDB file that it lands in")
        with self._open(source, read_only=False) as raw:  # held open to the end: nobody else can write meanwhile
            for leftover in target.parent.glob(f".{date}.*"):
                leftover.unlink()
            written = _last_written(source)
            quiet_point = settle() or _quiet_by_file(schema, cutoff, written)
            tables = read_tables(raw, schema, self.settings.keys)
            raw.execute("checkpoint")
            made = target.parent / f".{date}.{uuid.uuid4()}"
            try:
                copy_file(source, made)
                os.utime(source, (written, written))  # a checkpoint is no sync
                made.chmod(0o600)
                clone = self._describe(made, schema, date, cutoff, quiet_point, tables)
                made.chmod(0o400)
                made.replace(target)
                sync_folder(target.parent)
            except BaseException:
                made.unlink(missing_ok=True)
                made.with_name(f"{made.name}.wal").unlink(missing_ok=True)
                raise
        return clone

    def find_clone(self, schema: str, date: dt.date) -> Clone | None:
        path = self._clone_path(schema, date)
        if not path.is_file():
            return None
        with self._open(path, read_only=True) as connection:
            row = connection.execute(
                f"select clone_id, cutoff, quiet_point, tables, row_count, size_bytes from {_CLONE_TABLE}"
            ).fetchone()
        if row is None:
            raise WarehouseError(f"found {path} without the row that says which clone it is: delete it and clone {date} again")
        clone_id, cutoff, quiet_point, tables, rows, size = row
        return Clone(schema, date, clone_id, utc(cutoff), utc(quiet_point), tables, rows, size, str(path))

    def read_clone(self, clone: Clone) -> Schema:
        with self._open(Path(clone.location), read_only=True) as connection:
            return read_tables(connection, clone.schema, self.settings.keys)

    def clone_marks(self) -> dict[str, dict[dt.date, str]]:
        found = collections.defaultdict[str, dict[dt.date, str]](dict)
        for path in self.clones.glob(f"*/*{_SUFFIX}"):
            if not path.name.startswith("."):
                with contextlib.suppress(FileNotFoundError):  # retention may be at work
                    known = path.stat()
                    date = dt.date.fromisoformat(path.name.removesuffix(_SUFFIX))
                    found[path.parent.name][date] = f"{known.st_ino}:{known.st_ctime_ns}"
        return dict(found)

    def drop_clone(self, clone: Clone) -> None:
        path = Path(clone.location)
        found = self.find_clone(clone.schema, clone.date)
        if found and found.clone_id == clone.clone_id:
            # Whoever has the file attached reads it to the end.
            path.unlink(missing_ok=True)
            sync_folder(path.parent)

    def sync_events(self, since: dt.datetime | None = None) -> list[SyncEvent]:
        logs = [log for log in _LOGS if (self.raw / f"{log}{_SUFFIX}").is_file()]
        return [event for log in logs for event in self._events(log, since or _EPOCH)]

    def await_history(self) -> None:
        with self._open(self.history, read_only=False):
            pass

    def checks(self) -> Iterator[Check]:
        home = self.settings.home
        writable = os.access(home, os.W_OK)
        yield Check(f"the folder {home}", writable, "set HISTORY_HOME to a folder that can be written")
        for name in self.landing_schemas():
            yield self._unlocked(self.raw / f"{name}{_SUFFIX}")
        if self.history.is_file():
            yield self._unlocked(self.history)

    def _unlocked(self, path: Path) -> Check:
        try:
            with connect(path, read_only=False, timeout=_GLANCE):
                return Check(f"the file {path}", True)
        except WarehouseError as error:
            return Check(f"the file {path}", False, str(error))

    def ledger(
        self, schemas: Collection[str] | None = None, date: dt.date | Dates | None = None, table: str | None = None
    ) -> list[Applied]:
        return self._entries(select_ledger(LEDGER, schemas, date, table))

    def applied_before(self, schemas: Collection[str] | None, date: dt.date) -> list[Applied]:
        return self._entries(select_applied_before(LEDGER, schemas, date))

    def column_nights(self, schemas: Collection[str]) -> list[Applied]:
        return self._entries(select_column_nights(LEDGER, schemas))

    def rules(self) -> list[tuple[str, str]]:
        return [(row["time_zone"], row["cutoff_time"]) for row in self._of_ledger(select_rules(LEDGER))]

    def tables(self) -> list[str]:
        return [row["name"] for row in self._of_ledger(select_tables(LEDGER))]

    def _entries(self, statement: Statement) -> list[Applied]:
        return [applied_of(row) for row in self._of_ledger(statement)]

    def _of_ledger(self, statement: Statement) -> list[dict[str, Any]]:
        if not self.history.is_file():
            return []
        with self._open(self.history, read_only=True) as connection:
            return duckdb_history.of_ledger(connection, statement)

    @property
    def place(self) -> str:
        return f"HISTORY_HOME={self.settings.home}"

    def reading(self) -> contextlib.AbstractContextManager[Any]:
        # A process has a file open once: while it is, every further connection to it is there at once.
        return self._open(self.history, read_only=True) if self.history.is_file() else contextlib.nullcontext()

    def carry(self, clones: Mapping[str, Clone], tables: Sequence[Carried]) -> list[Applied]:
        (date,) = {clone.date for clone in clones.values()}
        with self._open(self.history, read_only=False) as connection:
            duckdb_history.carry(connection, clones, tables)
            return [applied_of(row) for row in duckdb_history.of_ledger(connection, select_ledger(LEDGER, clones, date, None))]

    def ask(self, question: Question) -> "pa.Table":
        with self._open(self.history, read_only=True) as connection:
            return duckdb_history.ask(connection, question)

    def columns(self, table: str) -> dict[str, str]:
        with self._open(self.history, read_only=True) as connection:
            return duckdb_spine.columns(connection, table)

    def spine_times(self, table: str, time: str, *, is_date: bool) -> SpineTimes:
        with self._open(self.history, read_only=True) as connection:
            return duckdb_spine.times(connection, table, time, is_date=is_date)

    def join(self, spine: SpineRows | SpineTable, histories: Sequence[Joined], *, repeated: bool) -> "pa.Table":
        with self._open(self.history, read_only=True) as connection:
            return duckdb_spine.join(connection, spine, histories, repeated=repeated)

    def keep_functions(self, ledger: Collection[Applied]) -> list[str]:
        if not ledger:
            return []
        with self._open(self.history, read_only=True) as connection:
            stale = duckdb_functions.stale(connection, ledger)
        if not stale:
            return []
        with self._open(self.history, read_only=False) as connection:
            return duckdb_functions.write(connection, stale)

    def make_room(self, ledger: Collection[Applied], tables: Collection[tuple[str, str]]) -> None:
        if in_the_way(duckdb_history.DIALECT, ledger, tables):
            with self._open(self.history, read_only=False) as connection:
                duckdb_functions.make_room(connection, ledger, tables)

    def contradictions(self, applied: Sequence[Applied]) -> list[str]:
        with self._open(self.history, read_only=True) as connection:
            return duckdb_history.contradictions(connection, applied)

    def differences(self, clone: Clone, applied: Sequence[Applied]) -> list[Difference]:
        with self._open(self.history, read_only=True) as connection:
            # A process has each file open once, whatever its threads attach to it.
            name = f"clone_{uuid.uuid4().hex}"
            connection.execute(f"attach {quote_literal(clone.location)} as {quote(name)} (read_only)")
            try:
                return [duckdb_history.difference(connection, each, name) for each in applied]
            finally:
                connection.execute(f"detach {quote(name)}")

    def _check_names(self, names: Sequence[str]) -> None:
        folded = collections.Counter(name.lower() for name in names)
        for name in names:
            if name.lower() in _RESERVED:
                raise WarehouseError(f"found a schema named {name}, which DuckDB or this project needs itself: rename its file")
            if folded[name.lower()] > 1:
                raise WarehouseError(
                    f"found schemas that differ from {name} in case only, which DuckDB takes for one: rename one"
                )

    def _clone_path(self, schema: str, date: dt.date) -> Path:
        return self.clones / schema / f"{date}{_SUFFIX}"

    @contextlib.contextmanager
    def _open(self, path: Path, *, read_only: bool) -> Iterator[duckdb.DuckDBPyConnection]:
        with connect(path, read_only=read_only, timeout=self.settings.lock_timeout) as connection:
            yield connection

    def _describe(
        self, path: Path, schema: str, date: dt.date, cutoff: dt.datetime, quiet_point: dt.datetime, expected: Schema
    ) -> Clone:
        with self._open(path, read_only=False) as connection:
            found = read_tables(connection, schema, self.settings.keys)
            if found != expected:
                raise CloneError(
                    f"found {_count(found)} in the clone of {schema}, expected {_count(expected)}: clone {date} again"
                )
            rows = sum(_rows(connection, [table.name for table in found.tables]))
            size = path.stat().st_size
            clone = Clone(
                schema,
                date,
                str(uuid.uuid4()),
                cutoff,
                quiet_point,
                len(found.tables),
                rows,
                size,
                str(self._clone_path(schema, date)),
            )
            connection.execute(f"create schema if not exists {quote(LEDGER_SCHEMA)}")
            connection.execute(
                f"create or replace table {_CLONE_TABLE} (schema_name varchar, clone_date date, clone_id varchar, "
                "cutoff timestamp, quiet_point timestamp, tables bigint, row_count bigint, size_bytes bigint)"
            )
            connection.execute(
                f"insert into {_CLONE_TABLE} values (?, ?, ?, ?, ?, ?, ?, ?)",
                [schema, date, clone.clone_id, naive(cutoff), naive(quiet_point), clone.tables, rows, size],
            )
            connection.execute("checkpoint")
        return clone

    def _events(self, log: str, since: dt.datetime) -> Iterator[SyncEvent]:
        with self._open(self.raw / f"{log}{_SUFFIX}", read_only=True) as connection:
            tables = {table.name.lower(): table for table in read_tables(connection, log, {}).tables}
            # Accounts from before 2023 say connector where newer ones say connection.
            word = "connection" if "connection" in tables else "connector"
            if "log" not in tables or word not in tables:
                return
            identity = f"{word}_id" if tables["log"].column(f"{word}_id") else "connector_id"
            sync = "sync_id" if tables["log"].column("sync_id") else "null"
            rows = connection.execute(
                f"select l.{identity}, c.{word}_name, epoch_us(l.time_stamp), l.message_event, {sync}, l.message_data "
                f"from log l join {word} c on c.{word}_id = l.{identity} "
                "where (l.message_event in ('sync_start', 'sync_end', 'records_modified') or l.message_event like '%table%') "
                "and epoch_us(l.time_stamp) >= ? order by l.time_stamp",
                [(since - _EPOCH) // dt.timedelta(microseconds=1)],
            ).fetchall()
        for connection_id, name, micros, event, sync_id, data in rows:
            yield SyncEvent(
                connection_id, name or connection_id, _EPOCH + dt.timedelta(microseconds=micros), event, sync_id, data
            )


_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _last_written(source: Path) -> float:
    return max(path.stat().st_mtime for path in (source, _wal(source)) if path.is_file())


def _mark(source: Path) -> str:
    parts = []
    for path in (source, _wal(source)):
        with contextlib.suppress(FileNotFoundError):  # a checkpoint takes the log away
            known = path.stat()
            # Its modification time can be set, as it is by who puts a copy back; this one cannot.
            parts.append(f"{known.st_ino}:{known.st_size}:{known.st_ctime_ns}")
    return " ".join(parts)


def _wal(source: Path) -> Path:
    return source.with_name(f"{source.name}.wal")


def _quiet_by_file(schema: str, cutoff: dt.datetime, written: float) -> dt.datetime:
    moment = dt.datetime.fromtimestamp(written, dt.UTC)
    if moment > cutoff:
        raise CloneError(
            f"cannot clone {schema} as it was at {cutoff:%Y-%m-%d %H:%M} UTC, because its file was written at "
            f"{moment:%Y-%m-%d %H:%M:%S} UTC, no sync log says by what, and this engine cannot reach back in time: "
            "clone the next date"
        )
    return cutoff


def _rows(connection: duckdb.DuckDBPyConnection, tables: Sequence[str]) -> Iterator[int]:
    for name in tables:
        (rows,) = connection.execute(f"select count(*) from main.{quote(name)}").fetchall()
        yield rows[0]


def _count(schema: Schema) -> str:
    return f"{len(schema.tables)} tables with {sum(len(table.columns) for table in schema.tables)} columns"
