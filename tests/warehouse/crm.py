"""A schema as it lands on DuckDB, the instants around a cutoff, and what a file of it holds."""

import datetime as dt
from pathlib import Path

import duckdb

DATE = dt.date(2026, 11, 20)
BEFORE, CUTOFF, AFTER = "2026-11-19T23:00", "2026-11-20T00:00", "2026-11-20T00:01"
SYNCED = "_fivetran_synced timestamptz"


def no_log() -> None:
    """Settle a schema of which the sync log knows nothing."""
    return


def contents(path: Path | str) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table in ``main``, and their definitions."""
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute("select table_name, sql from duckdb_tables() where schema_name = 'main'").fetchall()
        return {name: [(sql,), *sorted(connection.execute(f'from main."{name}"').fetchall(), key=repr)] for name, sql in tables}
