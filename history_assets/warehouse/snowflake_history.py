"""Reading and checking history tables on Snowflake.

Belongs here: running what ``history_sql`` says, with a warehouse. Does not belong here: writing histories, which is dbt's
(``dbt_project/macros``).
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from history_assets.naming import table_name
from history_assets.warehouse import history_sql, snowflake_sql
from history_assets.warehouse.reading_sql import INTERVAL, Answer
from history_assets.warehouse.snowflake_session import Sessions, tag
from history_assets.warehouse.snowflake_sql import DIALECT, path
from history_assets.warehouse.statements import HistoryTable, Statement
from history_assets.warehouse.values import Applied, Difference, Question

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_INTEGER = 18
"""Digits of which every number fits into 64 bits."""

_COMMAND = re.compile(r"(?<=[a-z])(?=[A-Z])")

_MICROSECONDS = {"TIMESTAMP_NTZ": None, "TIMESTAMP_LTZ": "UTC", "TIMESTAMP_TZ": "UTC"}


def history_table(database: str, schema: str, table: str, columns: Sequence[Mapping[str, Any]] | None) -> HistoryTable:
    """Return a history, given what SHOW COLUMNS says of it."""
    typed = {DIALECT.fold(row["column_name"]): snowflake_sql.type_of(row["data_type"]) for row in columns or ()}
    return HistoryTable(path(database, schema, table), typed or None)


def ask(sessions: Sessions, history: HistoryTable, question: Question) -> "pa.Table":
    """Return what the SQL of a question answers; Snowflake's types as Arrow's, always the same for the same columns."""
    answer: Answer = question.ask(DIALECT, history)
    about = question.about
    command = _COMMAND.sub("_", type(question).__name__).lower()
    return typed(
        sessions.table(answer.statement, tag(command, table_name(about.schema, about.table), about.date)), answer.types
    )


def typed(batches: "Sequence[pa.Table]", types: Mapping[str, str]) -> "pa.Table":
    """Return batches of a result as one table, given the types of its columns by name."""
    import pyarrow as pa

    own = {name.upper(): name for name in INTERVAL}
    names = [own.get(name, name) for name in batches[0].schema.names]
    intervals = dict.fromkeys(INTERVAL, "TIMESTAMP_NTZ")
    kinds = [types.get(name) or intervals.get(name, "") for name in names]
    fields = zip(names, kinds, batches[0].schema, strict=True)
    schema = pa.schema([(name, arrow_type(kind, field.type)) for name, kind, field in fields])
    return pa.concat_tables([batch.rename_columns(names).cast(schema) for batch in batches])


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


def arrow_type(kind: str, found: "pa.DataType") -> "pa.DataType":
    """Return the Arrow type of a column of a type; ``found``, which may differ from batch to batch, where it is none."""
    import pyarrow as pa

    kind, precision, scale = _parts(kind)
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


def _first(sessions: Sessions, statement: Statement, query_tag: str) -> list[Any]:
    (row,) = sessions.rows(statement, query_tag)
    return list(row.values())
