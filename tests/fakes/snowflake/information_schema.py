"""INFORMATION_SCHEMA of any database: built anew for each statement that reads it, in a temporary table.

https://docs.snowflake.com/en/sql-reference/info-schema
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.fakes.snowflake import listing
from tests.fakes.snowflake.errors import does_not_exist
from tests.fakes.snowflake.names import quote, shown, stored
from tests.fakes.snowflake.translate import Place

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session

Rows = list[dict[str, Any]]
_TEXT, _NUMBER, _INSTANT = "varchar", "decimal(38, 0)", "timestamptz"


def place(session: "Session", database: str, view: str) -> Place:
    """Return where a view's rows are, having put them there."""
    if view not in _VIEWS:
        raise does_not_exist("Object", shown(database, "INFORMATION_SCHEMA", view))
    columns, rows = _VIEWS[view]
    session.emulator.catalog.database(database)
    name = f"INFORMATION_SCHEMA#.{stored(database)}#.{view}"
    typed = [column.rsplit(":", 1) if ":" in column else (column, "text") for column in columns.split()]
    kinds = {"text": _TEXT, "number": _NUMBER, "instant": _INSTANT}
    found = rows(session, database)
    table = pa.table({column: pa.array([_plain(row.get(column)) for row in found], pa.string()) for column, _ in typed})
    session.connection.register("_rows", table)
    selected = ", ".join(f"cast({column} as {kinds[kind]}) as {quote(column)}" for column, kind in typed)
    session.connection.execute(f"create or replace temporary table {quote(name)} as select {selected} from _rows")
    session.connection.unregister("_rows")
    return ("temp", "main", name)


def _plain(value: Any) -> str | None:
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return None if value is None else str(value)


def _columns(session: "Session", database: str) -> Rows:
    schemas = list(session.emulator.catalog.database(database).schemas.values())
    return [
        {
            "TABLE_CATALOG": database,
            "TABLE_SCHEMA": schema.name,
            "TABLE_NAME": table.name,
            "COLUMN_NAME": name,
            "ORDINAL_POSITION": position,
            "IS_NULLABLE": nullable,
            "DATA_TYPE": kind.name,
            "CHARACTER_MAXIMUM_LENGTH": kind.length,
            "NUMERIC_PRECISION": kind.precision,
            "NUMERIC_SCALE": kind.scale if kind.name == "NUMBER" else None,
            "DATETIME_PRECISION": kind.scale if kind.name.startswith("TIME") else None,
        }
        for schema, table, columns in listing.columns(session, schemas)
        for position, (name, kind, nullable) in enumerate(columns, 1)
    ]


def _tables(session: "Session", database: str) -> Rows:
    catalog, found = session.emulator.catalog, []
    for schema in catalog.database(database).schemas.values():
        counts = listing.row_counts(session, schema)
        for table in catalog.visible(session.role, schema):
            is_table = table.kind == "TABLE"
            found.append(
                {
                    "TABLE_CATALOG": database,
                    "TABLE_SCHEMA": schema.name,
                    "TABLE_NAME": table.name,
                    "TABLE_OWNER": table.owner,
                    "TABLE_TYPE": "BASE TABLE" if is_table else "VIEW",
                    "IS_TRANSIENT": table.transient if is_table else None,
                    "ROW_COUNT": counts.get(table.name),
                    "BYTES": listing.size(counts.get(table.name)),
                    "RETENTION_TIME": catalog.retention(schema, table) if is_table else None,
                    "CREATED": table.created,
                    "LAST_ALTERED": table.altered,
                    "LAST_DDL": table.created,
                    "COMMENT": table.comment or None,
                    "IS_TEMPORARY": False,
                    "IS_ICEBERG": "is_iceberg" in table.flags,
                    "IS_DYNAMIC": "is_dynamic" in table.flags,
                    "IS_HYBRID": "is_hybrid" in table.flags,
                }
            )
    return found


def _schemata(session: "Session", database: str) -> Rows:
    return [
        {
            "CATALOG_NAME": database,
            "SCHEMA_NAME": schema.name,
            "SCHEMA_OWNER": schema.owner,
            "IS_TRANSIENT": schema.transient,
            "RETENTION_TIME": session.emulator.catalog.retention(schema),
            "CREATED": schema.created,
            "LAST_ALTERED": schema.created,
            "COMMENT": schema.comment or None,
        }
        for schema in session.emulator.catalog.database(database).schemas.values()
    ]


_VIEWS: dict[str, tuple[str, Callable[["Session", str], Rows]]] = {
    "COLUMNS": (
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME COLUMN_NAME ORDINAL_POSITION:number COLUMN_DEFAULT IS_NULLABLE DATA_TYPE "
        "CHARACTER_MAXIMUM_LENGTH:number CHARACTER_OCTET_LENGTH:number NUMERIC_PRECISION:number "
        "NUMERIC_PRECISION_RADIX:number NUMERIC_SCALE:number DATETIME_PRECISION:number COMMENT",
        _columns,
    ),
    "TABLES": (
        "TABLE_CATALOG TABLE_SCHEMA TABLE_NAME TABLE_OWNER TABLE_TYPE IS_TRANSIENT CLUSTERING_KEY ROW_COUNT:number "
        "BYTES:number RETENTION_TIME:number CREATED:instant LAST_ALTERED:instant LAST_DDL:instant COMMENT IS_TEMPORARY "
        "IS_ICEBERG IS_DYNAMIC IS_HYBRID",
        _tables,
    ),
    "SCHEMATA": (
        "CATALOG_NAME SCHEMA_NAME SCHEMA_OWNER IS_TRANSIENT RETENTION_TIME:number CREATED:instant LAST_ALTERED:instant COMMENT",
        _schemata,
    ),
}
