"""Reading and checking history tables on Snowflake.

Belongs here: running what ``history_sql`` says, with a warehouse. Does not belong here: writing histories, which is dbt's
(``dbt_project/macros``).
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from history_assets.naming import table_name
from history_assets.warehouse import history_sql, snowflake_sql
from history_assets.warehouse.base import Applied, AppliedColumn, Difference
from history_assets.warehouse.history_sql import HistoryTable
from history_assets.warehouse.snowflake_session import Sessions, tag
from history_assets.warehouse.snowflake_sql import DIALECT, path

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_INTEGER = 18
"""Digits of which every number fits into 64 bits."""

_MICROSECONDS = {"TIMESTAMP_NTZ": None, "TIMESTAMP_LTZ": "UTC", "TIMESTAMP_TZ": "UTC"}


def history_table(database: str, schema: str, table: str, columns: Sequence[Mapping[str, Any]] | None) -> HistoryTable:
    """Return a history, given what SHOW COLUMNS says of it."""
    typed = {DIALECT.fold(row["column_name"]): snowflake_sql.type_of(row["data_type"]) for row in columns or ()}
    return HistoryTable(path(database, schema, table), typed or None)


def as_of(sessions: Sessions, history: HistoryTable, applied: Applied, *, deleted: bool) -> "pa.Table":
    """Return a table as it was at an applied date; Snowflake's types as Arrow's, always the same for the same columns."""
    import pyarrow as pa

    statement = history_sql.as_of(DIALECT, history, applied, deleted=deleted)
    named = table_name(applied.schema, applied.table)
    batches = sessions.table(statement, tag("as_of", named, applied.date))
    wanted = {column.name: column for column in applied.columns}
    schema = pa.schema([(field.name, arrow_type(wanted.get(field.name), field.type)) for field in batches[0].schema])
    return pa.concat_tables([batch.cast(schema) for batch in batches])


def difference(sessions: Sessions, history: HistoryTable, clone: str | None, applied: Applied) -> Difference:
    """Compare the history as of an applied date with its clone's table, if it has one: rows as a multiset."""
    query_tag = tag("verify", table_name(applied.schema, applied.table), applied.date)
    counting, showing = history_sql.differences(DIALECT, history, clone, applied)
    counts = [int(count) for count in _first(sessions, counting, query_tag)]
    if not any(counts):
        return Difference(0, 0, ())
    rows = tuple(tuple(row.values()) for row in sessions.rows(showing, query_tag))
    return Difference(counts[0], counts[1], rows)


def contradictions(sessions: Sessions, history: HistoryTable, ledger: str, rows: Sequence[Applied]) -> list[str]:
    """Return what a table's history says against itself or its ledger, one line each; ``rows`` holds all of its ledger."""
    newest = history_sql.newest_applied(rows)
    if newest is None:
        return []
    if history.columns is None:
        return history_sql.lost(rows)
    statement = history_sql.contradictions(DIALECT, history, ledger, newest)
    found = sessions.rows(statement, tag("verify", table_name(newest.schema, newest.table)))
    counts = [tuple(row.values()) for row in found]
    return [history_sql.said(problem, int(count)) for problem, count in counts if count]


def arrow_type(column: AppliedColumn | None, found: "pa.DataType") -> "pa.DataType":
    """Return the Arrow type of a column of a clone; ``found``, which may differ from batch to batch, where it has none."""
    import pyarrow as pa

    kind, precision, scale = _parts(column.type if column else "")
    if kind == "NUMBER":
        return pa.int64() if scale == 0 and precision <= _LONGEST_INTEGER else pa.decimal128(precision, scale)
    if kind in _MICROSECONDS:
        return pa.timestamp("us", _MICROSECONDS[kind])
    plain = {"VARCHAR": pa.string(), "FLOAT": pa.float64(), "BOOLEAN": pa.bool_(), "DATE": pa.date32(), "BINARY": pa.binary()}
    semi_structured = {"VARIANT": pa.string(), "OBJECT": pa.string(), "ARRAY": pa.string()}
    return (plain | semi_structured).get(kind, found)


def _parts(kind: str) -> tuple[str, int, int]:
    if not (found := re.fullmatch(r"(\w+)\((\d+)(?:, ?(\d+))?\)", kind)):
        return kind, 38, 0
    return found[1], int(found[2]), int(found[3] or 0)


def _first(sessions: Sessions, statement: history_sql.Statement, query_tag: str) -> list[Any]:
    (row,) = sessions.rows(statement, query_tag)
    return list(row.values())
