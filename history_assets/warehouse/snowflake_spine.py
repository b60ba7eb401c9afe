"""Joining histories to a spine on Snowflake, in one session.

Belongs here: how a spine comes to Snowflake. Does not belong here: the SQL (``spine_sql``), the session.

Rows from outside go into a temporary table, which needs no more than the use of its schema, by bound arrays.
"""

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from history_assets.errors import UsageError
from history_assets.warehouse import spine_sql
from history_assets.warehouse.snowflake_history import typed
from history_assets.warehouse.snowflake_session import Session
from history_assets.warehouse.snowflake_sql import DIALECT, ledger, path
from history_assets.warehouse.statements import HistoryTable, Statement, instant
from history_assets.warehouse.values import LEDGER_SCHEMA, Joined, SpineRows, SpineTable

if TYPE_CHECKING:
    import pyarrow as pa

_BOUND = 50_000
"""Values that are bound at once: with 65,280 the connector would put them into a stage of the current schema, and has none."""

Pairs = Sequence[tuple[HistoryTable, Joined]]


def join_rows(session: Session, database: str, spine: SpineRows, pairs: Pairs, *, repeated: bool) -> "pa.Table":
    """Return what was known of each row from outside."""
    table = path(database, LEDGER_SCHEMA, f"spine_{uuid.uuid4().hex}")
    columns = {name: _type(name, spine) for name in spine.rows.column_names}
    defined = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    session.rows(Statement(f"create temporary table {table} ({defined})"))
    try:
        for rows in _batches(spine.rows):
            session.insert(f"insert into {table} values ({', '.join('?' * len(columns))})", rows)
        return _join(session, database, spine_sql.of_rows(table, spine.keys), pairs, {}, repeated=repeated)
    finally:
        session.rows(Statement(f"drop table if exists {table}"))


def join_table(
    session: Session, database: str, table: str, columns: Mapping[str, str], spine: SpineTable, pairs: Pairs, *, repeated: bool
) -> "pa.Table":
    """Return what was known of each row of a table, after its own columns."""
    found = spine_sql.of_table(DIALECT, table, list(columns), spine)
    return _join(session, database, found, pairs, columns, repeated=repeated)


def _join(
    session: Session, database: str, spine: spine_sql.Spine, pairs: Pairs, own: Mapping[str, str], *, repeated: bool
) -> "pa.Table":
    spine_sql.check(session.rows, DIALECT, ledger(database), spine, pairs, repeated=repeated)
    answer = spine_sql.joined(DIALECT, spine, pairs)
    return typed(session.table(answer.statement), {**own, **answer.types})


def _batches(rows: "pa.Table") -> Iterator[list[tuple[Any, ...]]]:
    size = max(1, _BOUND // rows.num_columns)
    for batch in rows.to_batches(max_chunksize=size):
        columns = [[_bound(value) for value in column.to_pylist()] for column in batch.columns]
        yield list(zip(*columns, strict=True))


def _bound(value: Any) -> Any:
    """Return a value as it is bound: instants as text, which no setting of a session reads otherwise."""
    if isinstance(value, dt.datetime):
        return f"{instant(value)} +00:00" if value.tzinfo else f"{value:%Y-%m-%d %H:%M:%S.%f}"
    return value


def _type(name: str, spine: SpineRows) -> str:
    import pyarrow as pa

    kind = spine.rows.schema.field(name).type
    if pa.types.is_decimal(kind):
        return f"number({kind.precision}, {kind.scale})"
    if pa.types.is_timestamp(kind):
        return "timestamp_tz" if kind.tz else "timestamp_ntz"
    known = {
        "number(38, 0)": pa.types.is_integer,
        "float": pa.types.is_floating,
        "boolean": pa.types.is_boolean,
        "date": pa.types.is_date,
        "varchar": lambda each: pa.types.is_string(each) or pa.types.is_large_string(each) or pa.types.is_string_view(each),
    }
    for own, fits in known.items():
        if fits(kind):
            return own
    key = spine.keys[int(name[1:])] if name[1:].isdigit() else name
    raise UsageError(f"found the key {key} of type {kind} in the spine, expected numbers, text, dates or instants")
