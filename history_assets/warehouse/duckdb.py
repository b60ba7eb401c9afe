"""The embedded engine: a DuckDB file per Fivetran schema, per clone, and one for the history.

Belongs here: where files lie under ``HISTORY_HOME`` and the SQL that reads them. Does not belong here: writing history, which
is dbt's (``dbt_project/macros``); opening files (``duckdb_files``), making clones of them (``duckdb_clones``).

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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from history_assets.dates import parse_date
from history_assets.errors import CloneError, UsageError, WarehouseError
from history_assets.inventory import Schema
from history_assets.naming import quote, quote_literal
from history_assets.settings import Settings
from history_assets.warehouse import duckdb_clones, duckdb_functions, duckdb_history, duckdb_log, duckdb_spine, ledger_sql
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.duckdb_files import connect, create, first_line, mark, memory_limit, read_tables
from history_assets.warehouse.duckdb_history import LEDGER
from history_assets.warehouse.files import sync_folder
from history_assets.warehouse.functions_sql import in_the_way
from history_assets.warehouse.platform_log import LOGS
from history_assets.warehouse.statements import Statement
from history_assets.warehouse.values import (
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
)

if TYPE_CHECKING:
    import pyarrow as pa

_SUFFIX = ".duckdb"
_GLANCE = 0.2
"""Seconds that a file is waited for where it can be left for later."""

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
        with self._open(self.raw / f"{schema}{_SUFFIX}", read_only=True, wait=wait) as connection:
            return read_tables(connection, schema, self.settings.keys)

    def marks(self, now: dt.datetime) -> dict[str, str]:  # noqa: ARG002 - every change leaves its trace in a file's time
        # A file that is not opened is not kept from its sync.
        return {name: mark(self.raw / f"{name}{_SUFFIX}") for name in self.landing_schemas()}

    def clone(self, schema: str, date: dt.date, settle: Callable[[], dt.datetime | None], *, replace: bool = False) -> Clone:
        if not replace and (kept := self.find_clone(schema, date)):
            return kept
        source, target = self.raw / f"{schema}{_SUFFIX}", self._clone_path(schema, date)
        try:
            return duckdb_clones.make(self.settings, schema, date, source, target, settle)
        except (OSError, duckdb.Error) as error:
            raise CloneError(
                f"cannot clone {schema} for {date}, because {first_line(error)}: look at {source} and at the room for "
                f"{target.parent}, and clone it again"
            ) from error

    def find_clone(self, schema: str, date: dt.date) -> Clone | None:
        path = self._clone_path(schema, date)
        return duckdb_clones.read(self.settings, schema, date, path) if path.is_file() else None

    def find_clones(
        self, schemas: Collection[str], dates: Collection[dt.date]
    ) -> dict[tuple[str, dt.date], Clone | WarehouseError]:
        pairs = [(schema, date) for schema in schemas for date in dates]
        with ThreadPoolExecutor(self.settings.threads) as pool:  # each is a file to open
            found = pool.map(lambda pair: self._found(*pair), pairs)
            return {pair: clone for pair, clone in zip(pairs, found, strict=True) if clone}

    def _found(self, schema: str, date: dt.date) -> Clone | WarehouseError | None:
        try:
            return self.find_clone(schema, date)
        except WarehouseError as error:
            return error

    def read_clone(self, clone: Clone) -> Schema:
        with self._open(Path(clone.location), read_only=True) as connection:
            return read_tables(connection, clone.schema, self.settings.keys)

    def clone_marks(self) -> dict[str, dict[dt.date, str]]:
        found = collections.defaultdict[str, dict[dt.date, str]](dict)
        for path in self.clones.glob(f"*/*{_SUFFIX}"):
            # What is named after no date is somebody's own; retention may be at work.
            with contextlib.suppress(UsageError, FileNotFoundError):
                date, known = parse_date(path.name.removesuffix(_SUFFIX)), path.stat()
                found[path.parent.name][date] = f"{known.st_ino}:{known.st_ctime_ns}"
        return dict(found)

    def drop_clone(self, clone: Clone) -> None:
        path = Path(clone.location)
        found = self.find_clone(clone.schema, clone.date)
        if found and found.clone_id == clone.clone_id:
            # Whoever has the file attached reads it to the end.
            path.unlink(missing_ok=True)
            sync_folder(path.parent)

    def sync_events(self, since: dt.datetime | None = None, *, wait: bool = True) -> list[SyncEvent]:
        found = list[SyncEvent]()
        for log in LOGS:
            path = self.raw / f"{log}{_SUFFIX}"
            if path.is_file():
                with self._open(path, read_only=True, wait=wait) as connection:
                    found += duckdb_log.events(connection, log, since)
        return found

    def log_mark(self) -> str:
        return " ".join(mark(self.raw / f"{log}{_SUFFIX}") for log in LOGS)

    def await_history(self) -> None:
        create(self.history, self.settings.lock_timeout)
        with self._open(self.history, read_only=False):
            pass

    def checks(self) -> Iterator[Check]:
        home = self.settings.home
        writable = os.access(home, os.W_OK)
        reason = "that can be written" if home.is_dir() else "that is there, or try `history-assets demo`"
        yield Check(f"the folder {home}", writable, f"set HISTORY_HOME to a folder {reason}")
        files = [self._unlocked(self.raw / f"{name}{_SUFFIX}") for name in self.landing_schemas()]
        yield from files
        if all(file.ok for file in files):  # else one would be waited for
            schemas = self.inventory().schemas
            yield Check(f"{len(schemas)} schemas of Fivetran in {self.raw_place}", bool(schemas), self.nothing_to_clone())
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
        return self._entries(ledger_sql.select_ledger(LEDGER, schemas, date, table))

    def applied_before(self, schemas: Collection[str] | None, date: dt.date) -> list[Applied]:
        return self._entries(ledger_sql.select_applied_before(LEDGER, schemas, date))

    def column_nights(self, schemas: Collection[str]) -> list[Applied]:
        return self._entries(ledger_sql.select_column_nights(LEDGER, schemas))

    def rules(self) -> list[tuple[str, str]]:
        return [(row["time_zone"], row["cutoff_time"]) for row in self._of_ledger(ledger_sql.select_rules(LEDGER))]

    def tables(self) -> list[str]:
        return [row["name"] for row in self._of_ledger(ledger_sql.select_tables(LEDGER))]

    def _entries(self, statement: Statement) -> list[Applied]:
        return [ledger_sql.applied_of(row) for row in self._of_ledger(statement)]

    def _of_ledger(self, statement: Statement) -> list[dict[str, Any]]:
        if not self.history.is_file():
            return []
        with self._open(self.history, read_only=True) as connection:
            return duckdb_history.of_ledger(connection, statement)

    @property
    def place(self) -> str:
        return f"HISTORY_HOME={self.settings.home}"

    @property
    def raw_place(self) -> str:
        return str(self.raw)

    def reading(self) -> contextlib.AbstractContextManager[Any]:
        # A process has a file open once: while it is, every further connection to it is there at once.
        return self._open(self.history, read_only=True) if self.history.is_file() else contextlib.nullcontext()

    def carry(self, clones: Mapping[str, Clone], tables: Sequence[Carried]) -> list[Applied]:
        (date,) = {clone.date for clone in clones.values()}
        with self._open(self.history, read_only=False) as connection:
            duckdb_history.carry(connection, clones, tables)
            return [
                ledger_sql.applied_of(row)
                for row in duckdb_history.of_ledger(connection, ledger_sql.select_ledger(LEDGER, clones, date, None))
            ]

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
        with self._open(self.history, read_only=False) as connection:
            stale = duckdb_functions.stale(connection, ledger)
            return duckdb_functions.write(connection, stale) if stale else []

    def lacks_functions(self, ledger: Collection[Applied]) -> bool:
        if not ledger:
            return False
        with self._open(self.history, read_only=True) as connection:
            try:
                return bool(duckdb_functions.stale(connection, ledger))
            except duckdb.Error:
                return True  # what is wrong is told by who is to write them, once the night itself is told of

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
            try:
                connection.execute(f"attach {quote_literal(clone.location)} as {quote(name)} (read_only)")
                return [duckdb_history.difference(connection, each, name) for each in applied]
            except duckdb.Error as error:
                raise WarehouseError(
                    f"found {clone.location}, expected a clone that can be compared with its histories: {first_line(error)}"
                ) from error
            finally:
                connection.execute(f"detach database if exists {quote(name)}")

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
    def _open(self, path: Path, *, read_only: bool, wait: bool = True) -> Iterator[duckdb.DuckDBPyConnection]:
        with connect(path, read_only=read_only, timeout=self.settings.lock_timeout if wait else _GLANCE) as connection:
            if limit := self.settings.memory_limit:
                connection.execute(f"set memory_limit = {quote_literal(memory_limit(limit))}")
            yield connection
