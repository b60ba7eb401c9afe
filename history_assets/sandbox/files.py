"""The raw files as a sync writes them: a table's columns made, its rows read, and the edits of a sync written.

Belongs here: the SQL, which is not in ``warehouse/``, since it plays the part of the other side. Does not belong here: what is
to be written (``sync``).
"""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import duckdb

from history_assets.naming import quote, quote_literal
from history_assets.sandbox.shapes import Row, Table

UPSERTED, UPDATED, DELETED = "REPLACED_OR_INSERTED", "UPDATED", "DELETED"


@dataclasses.dataclass(frozen=True)
class Edit:
    """What a sync does to one row, in the words of Fivetran's log: no ``before`` is a new row, no ``after`` a gone one."""

    operation: str
    before: Row | None
    after: Row | None


def shape(connection: duckdb.DuckDBPyConnection, table: Table, ordinal: int) -> None:
    """Make sure that a table exists with the columns of a sync."""
    columns = table.columns_at(ordinal)
    parts = [f"{quote(column.name)} {column.type}" for column in columns]
    if table.key:
        parts.append(f"PRIMARY KEY ({', '.join(map(quote, table.key))})")
    connection.execute(f"CREATE TABLE IF NOT EXISTS {quote(table.name)} ({', '.join(parts)})")
    for column in columns:
        if column.since > table.since:
            connection.execute(f"ALTER TABLE {quote(table.name)} ADD COLUMN IF NOT EXISTS {quote(column.name)} {column.type}")


def read(connection: duckdb.DuckDBPyConnection, table: Table) -> list[Row]:
    """Return a table's rows with their rowid, in an order that only depends on what they hold."""
    found = connection.execute(f"SELECT *, rowid FROM {quote(table.name)} ORDER BY ALL")  # noqa: S608 - the name is quoted
    names = [name for name, *_ in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def write(connection: duckdb.DuckDBPyConnection, table: Table, ordinal: int, edits: Sequence[Edit]) -> None:
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
