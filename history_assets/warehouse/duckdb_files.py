"""DuckDB files: opening one, waiting for its lock, reading what it holds, and seeing that it was written.

Belongs here: connections and catalogs of a single file, and what the file system says of it. Does not belong here: where files
lie and what they mean (``duckdb``).

A DuckDB file has one writing process, so connections are opened late, closed soon, and wait for each other up to a bound.
"""

import collections
import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import tenacity

from history_assets.errors import InUseError, WarehouseError
from history_assets.inventory import Column, Schema, make_table, shared_column
from history_assets.naming import quote_literal

_LOCKED = ("Could not set lock", "different configuration than existing connections")


_BLOCK = 65_536
"""Bytes of a block of the history: a quarter of what DuckDB takes, since each column of each table has one, however small."""

_FORMAT = "v1.3.0"
"""The oldest DuckDB that can read the history; for an older one checkpoints take a fifth longer, and for one before 1.2 each
column would have 3 KB of statistics."""


def create(path: Path, timeout: float) -> None:
    """Make a file that is to hold many small tables, unless it is there."""
    if not path.exists():
        with duckdb.connect() as connection:
            options = f"block_size {_BLOCK}, storage_version {quote_literal(_FORMAT)}"
            _waiting(timeout)(connection.execute, f"attach {quote_literal(str(path))} as made ({options})")


def memory_limit(limit: int | None) -> str:
    """Return a limit in bytes as DuckDB takes it; DuckDB's own where there is none."""
    if limit is not None:
        return f"{limit // 1000}KB"
    with duckdb.connect() as connection:
        return str(_one(connection, "select current_setting('memory_limit')"))


@contextlib.contextmanager
def connect(path: Path, *, read_only: bool, timeout: float) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open a file, waiting up to ``timeout`` seconds for whoever else has it; raises WarehouseError naming the file.

    It is an InUseError where that was not long enough.
    """
    try:
        connection: duckdb.DuckDBPyConnection = _waiting(timeout)(duckdb.connect, str(path), read_only=read_only)
        connection.execute("set TimeZone = 'UTC'")
    except duckdb.Error as error:
        if _is_locked(error):
            raise InUseError(
                f"found {path} still in use by another process after {timeout:g} s: wait for it to finish, "
                f"or raise HISTORY_LOCK_TIMEOUT ({first_line(error)})",
                passing=True,
            ) from error
        raise WarehouseError(f"found {path}, expected a DuckDB file that can be opened: {first_line(error)}") from error
    try:
        yield connection
    finally:
        connection.close()


def read_tables(
    connection: duckdb.DuckDBPyConnection, schema: str, keys: Mapping[str, Sequence[str]], database: str | None = None
) -> Schema:
    """Return the base tables in the ``main`` schema of a database (by default the file itself), in three statements."""
    database = database or _one(connection, "select current_database()")
    where = "where database_name = ? and schema_name = 'main'"
    columns = collections.defaultdict[str, list[Column]](list)
    for table, column, kind, position in connection.execute(
        f"select table_name, column_name, data_type, column_index from duckdb_columns() {where}", [database]
    ).fetchall():
        columns[table].append(shared_column(column, kind, position))
    declared = dict(
        connection.execute(
            f"select table_name, constraint_column_names from duckdb_constraints() {where} and constraint_type = 'PRIMARY KEY'",
            [database],
        ).fetchall()
    )
    names = connection.execute(f"select table_name from duckdb_tables() {where} order by table_name", [database]).fetchall()
    return Schema(schema, tuple(make_table(schema, name, columns[name], declared.get(name, ()), keys) for (name,) in names))


def has_table(connection: duckdb.DuckDBPyConnection, schema: str, table: str, database: str | None = None) -> bool:
    """Say whether a database (by default the file itself) holds a table."""
    database = database or _one(connection, "select current_database()")
    where = "where database_name = ? and schema_name = ? and table_name = ?"
    return connection.execute(f"select 1 from duckdb_tables() {where}", [database, schema, table]).fetchone() is not None


def mark(path: Path) -> str:
    """Return what a file has that is another once it was written, found without opening it."""
    parts = []
    for each in (path, wal(path)):
        with contextlib.suppress(FileNotFoundError):  # a checkpoint takes the log away
            known = each.stat()
            # Its modification time can be set, as it is by who puts a copy back; this one cannot.
            parts.append(f"{known.st_ino}:{known.st_size}:{known.st_ctime_ns}")
    return " ".join(parts)


def last_written(path: Path) -> float:
    """Return when a file or its log was last written, in seconds since 1970."""
    return max(each.stat().st_mtime for each in (path, wal(path)) if each.is_file())


def wal(path: Path) -> Path:
    """Return where a file has what was written to it since its last checkpoint."""
    return path.with_name(f"{path.name}.wal")


def first_line(error: Exception) -> str:
    """Return what an error says first; DuckDB goes on with hints and places in the code."""
    return str(error).splitlines()[0]


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    return row[0] if row else None


def _waiting(timeout: float) -> tenacity.Retrying:
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_locked),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=1),
        stop=tenacity.stop_after_delay(timeout),
        reraise=True,
    )


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, duckdb.Error) and any(text in str(error) for text in _LOCKED)
