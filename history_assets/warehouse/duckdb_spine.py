"""Joining histories to a spine on the embedded engine, over a connection to ``history.duckdb``.

Belongs here: how a spine comes to DuckDB, and what has it join well. Does not belong here: the SQL (``spine_sql``).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb

from history_assets.naming import quote
from history_assets.warehouse import spine_sql
from history_assets.warehouse.duckdb_history import DIALECT, LEDGER, history_table, run, table
from history_assets.warehouse.values import Joined, SpineRows, SpineTable, SpineTimes

if TYPE_CHECKING:
    import pyarrow as pa

_SPINE = "rows_of_spine"


def join(
    connection: duckdb.DuckDBPyConnection, spine: SpineRows | SpineTable, histories: Sequence[Joined], *, repeated: bool
) -> "pa.Table":
    """Return what was known of each row of a spine."""
    # DuckDB takes rows from outside for a few, and would look through a whole history for each of them.
    connection.execute("set asof_loop_join_threshold = 0")
    if isinstance(spine, SpineRows):
        connection.register(_SPINE, spine.rows)
        found = spine_sql.of_rows(_SPINE, spine.keys)
    else:
        found = spine_sql.of_table(DIALECT, path(connection, spine.name), list(columns(connection, spine.name)), spine)
    pairs = [(history_table(connection, each.night), each) for each in histories]
    spine_sql.check(_runs(connection), DIALECT, LEDGER, found, pairs, repeated=repeated)
    return table(connection, spine_sql.joined(DIALECT, found, pairs).statement)


def columns(connection: duckdb.DuckDBPyConnection, name: str) -> dict[str, str]:
    """Return the types of the columns of a table or view named ``schema.table``."""
    return {column: kind for _, _, column, kind in _described(connection, name)}


def path(connection: duckdb.DuckDBPyConnection, name: str) -> str:
    """Return a table or view named ``schema.table`` as SQL refers to it."""
    schema, plain, *_ = _described(connection, name)[0]
    return f"{quote(schema)}.{quote(plain)}"


def times(connection: duckdb.DuckDBPyConnection, name: str, time: str, *, is_date: bool) -> SpineTimes:
    """Return what a table has in a column of times."""
    return spine_sql.times(_runs(connection), DIALECT, path(connection, name), time, is_date=is_date)


def _runs(connection: duckdb.DuckDBPyConnection) -> spine_sql.Run:
    return lambda statement: run(connection, statement).fetchall()


def _described(connection: duckdb.DuckDBPyConnection, name: str) -> list[tuple[str, str, str, str]]:
    return connection.execute(
        "select schema_name, table_name, column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and concat(schema_name, '.', table_name) = ? order by column_index",
        [name],
    ).fetchall()
