"""How the clone of a schema is made on the embedded engine, and what a clone says of itself.

Belongs here: copying a file while nobody can write it, whole or not at all. Does not belong here: where files lie (``duckdb``),
copying bytes (``files``), or which instant to clone (``fivetran/quiet``).
"""

import contextlib
import dataclasses
import datetime as dt
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import duckdb

from history_assets.errors import CloneError, WarehouseError
from history_assets.inventory import Schema
from history_assets.naming import quote
from history_assets.settings import Settings
from history_assets.warehouse.duckdb_files import connect, first_line, last_written, read_tables, wal
from history_assets.warehouse.files import copy_file, sync_folder
from history_assets.warehouse.statements import aware, instant
from history_assets.warehouse.values import LEDGER_SCHEMA, Clone

_CLONE_TABLE = f"{quote(LEDGER_SCHEMA)}.clone"


def make(
    settings: Settings, schema: str, date: dt.date, source: Path, target: Path, settle: Callable[[], dt.datetime | None]
) -> Clone:
    """Make the clone of a schema's file for a date, in place of one that is there; ``settle`` as ``Warehouse.clone`` has it."""
    cutoff = settings.cutoffs().at(date)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not source.is_file():
        raise CloneError(f"cannot clone {schema}, because {source} is not there: expected the DuckDB file that it lands in")
    # Held to the end: nobody else can write meanwhile.
    with _held(source, settings.lock_timeout) as (raw, reading):
        for leftover in target.parent.glob(f".{date}.*"):
            leftover.unlink()
        written = last_written(source)
        # A checkpoint is no sync. It comes first, since to close the file makes one too, whatever becomes of the clone.
        raw.execute("checkpoint")
        os.utime(reading.fileno(), (written, written))
        quiet_point = settle() or _quiet_by_file(schema, cutoff, written)
        tables = read_tables(raw, schema, settings.keys)
        made = target.parent / f".{date}.{uuid.uuid4()}"
        try:
            copy_file(reading, made)
            made.chmod(0o600)
            clone = Clone(schema, date, str(uuid.uuid4()), cutoff, quiet_point, 0, 0, 0, str(target))
            clone = _describe(settings, made, clone, tables)
            made.chmod(0o400)
            made.replace(target)
            sync_folder(target.parent)
        except BaseException:
            made.unlink(missing_ok=True)
            wal(made).unlink(missing_ok=True)
            raise
    return clone


def read(settings: Settings, schema: str, date: dt.date, path: Path) -> Clone:
    """Return the clone that a file is; raises WarehouseError for a file that cannot be read, or is none."""
    asked = f"select clone_id, cutoff, quiet_point, tables, row_count, size_bytes from {_CLONE_TABLE}"
    try:
        with connect(path, read_only=True, timeout=settings.lock_timeout) as connection:
            row = connection.execute(asked).fetchone()
    except duckdb.Error as error:
        raise WarehouseError(
            f"found {path}, expected a clone: delete it and clone {date} again ({first_line(error)})"
        ) from error
    if row is None:
        raise WarehouseError(f"found {path} without the row that says which clone it is: delete it and clone {date} again")
    clone_id, cutoff, quiet_point, tables, rows, size = row
    return Clone(schema, date, clone_id, aware(cutoff), aware(quiet_point), tables, rows, size, str(path))


@contextlib.contextmanager
def _held(source: Path, timeout: float) -> Iterator[tuple[duckdb.DuckDBPyConnection, BinaryIO]]:
    """Keep all other processes from writing a file, which can be read by what is returned beside its connection.

    DuckDB's lock is one of POSIX: it goes as soon as the process closes any descriptor of the file, so this one is the only
    other, and closed last.
    """
    with source.open("rb") as reading, connect(source, read_only=False, timeout=timeout) as connection:
        if not os.path.samestat(os.fstat(reading.fileno()), source.stat()):
            raise CloneError(f"found another file put in place of {source} while it was opened: clone it again", passing=True)
        yield connection, reading


def _describe(settings: Settings, made: Path, clone: Clone, expected: Schema) -> Clone:
    """Have a copy say which clone it is, and return that with its counts; raises CloneError for one that is not whole."""
    with connect(made, read_only=False, timeout=settings.lock_timeout) as connection:
        found = read_tables(connection, clone.schema, settings.keys)
        if found != expected:
            raise CloneError(
                f"found {_count(found)} in the clone of {clone.schema}, expected {_count(expected)}: clone {clone.date} again"
            )
        rows = sum(_rows(connection, [table.name for table in found.tables]))
        clone = dataclasses.replace(clone, tables=len(found.tables), rows=rows, bytes=made.stat().st_size)
        connection.execute(f"create schema if not exists {quote(LEDGER_SCHEMA)}")
        connection.execute(
            f"create or replace table {_CLONE_TABLE} (schema_name varchar, clone_date date, clone_id varchar, "
            "cutoff timestamp, quiet_point timestamp, tables bigint, row_count bigint, size_bytes bigint)"
        )
        moments = instant(clone.cutoff), instant(clone.quiet_point)
        connection.execute(
            f"insert into {_CLONE_TABLE} values (?, ?, ?, ?, ?, ?, ?, ?)",
            [clone.schema, clone.date, clone.clone_id, *moments, clone.tables, clone.rows, clone.bytes],
        )
        connection.execute("checkpoint")
    return clone


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
