"""What SHOW commands and INFORMATION_SCHEMA list: schemas, tables, columns, keys, warehouses, as far as the role may see."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes.snowflake import names
from tests.fakes.snowflake.catalog import Schema, Table
from tests.fakes.snowflake.types import Type, of_duckdb

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session

Rows = list[dict[str, Any]]


@dataclass
class Scope:
    """What a SHOW command is about."""

    database: str | None = None
    schema: str | None = None
    table: str | None = None


def schemas_in(session: "Session", scope: Scope) -> list[Schema]:
    catalog = session.emulator.catalog
    databases = (
        [catalog.database(scope.database)]
        if scope.database
        else [catalog.databases[name] for name in sorted(catalog.databases)]
    )
    return [
        database.schemas[name]
        for database in databases
        for name in sorted(database.schemas)
        if scope.schema is None or name == scope.schema
    ]


def schemas(session: "Session", scope: Scope) -> Rows:
    return [
        {
            "created_on": schema.created,
            "name": schema.name,
            "is_default": "N",
            "is_current": "Y" if (schema.database, schema.name) == (session.database, session.schema) else "N",
            "database_name": schema.database,
            "owner": schema.owner,
            "comment": schema.comment,
            "options": "TRANSIENT" if schema.transient else "",
            "retention_time": str(session.emulator.catalog.retention(schema)),
            "owner_role_type": "ROLE",
        }
        for schema in schemas_in(session, scope)
    ]


def databases(session: "Session", scope: Scope) -> Rows:
    return [
        {
            "created_on": database.created,
            "name": name,
            "is_default": "N",
            "is_current": "Y" if name == session.database else "N",
            "origin": "",
            "owner": database.owner,
            "comment": database.comment,
            "options": "TRANSIENT" if database.transient else "",
            "retention_time": str(1 if database.retention is None else database.retention),
            "kind": "STANDARD",
            "owner_role_type": "ROLE",
        }
        for name, database in sorted(session.emulator.catalog.databases.items())
    ]


def tables(session: "Session", scope: Scope) -> Rows:
    """Unlike SHOW OBJECTS, tells transient tables by their kind."""
    rows = [row for row in objects(session, scope) if row["kind"] == "TABLE"]
    return [row | {"kind": "TRANSIENT" if row["transient"] else "TABLE"} for row in rows]


def views(session: "Session", scope: Scope) -> Rows:
    return [row for row in objects(session, scope) if row["kind"] == "VIEW"]


def objects(session: "Session", scope: Scope) -> Rows:
    found = []
    for schema in schemas_in(session, scope):
        counts = row_counts(session, schema)
        for table in session.emulator.catalog.visible(session.role, schema):
            flags: dict[str, Any] = {flag: "Y" if flag in table.flags else "N" for flag in _FLAGS}
            found.append(
                flags
                | {
                    "created_on": table.created,
                    "name": table.name,
                    "database_name": schema.database,
                    "schema_name": schema.name,
                    "kind": table.kind,
                    "transient": table.transient,
                    "comment": table.comment,
                    "cluster_by": "",
                    "rows": counts.get(table.name),
                    "bytes": size(counts.get(table.name)),
                    "owner": table.owner,
                    "retention_time": str(session.emulator.catalog.retention(schema, table)),
                    "automatic_clustering": "OFF",
                    "change_tracking": "OFF",
                    "owner_role_type": "ROLE",
                    "text": table.view,
                }
            )
    return found


_FLAGS = ("is_external", "is_event", "is_hybrid", "is_iceberg", "is_dynamic", "is_immutable", "is_interactive")


def row_counts(session: "Session", schema: Schema) -> dict[str, int]:
    """Return the number of rows of a schema's tables."""
    tables = [table.name for table in schema.tables.values() if table.kind == "TABLE"]
    if not tables:
        return {}
    counted = [f"(select count(*) from {schema.place}.{names.quote(names.stored(name))})" for name in tables]
    row = session.emulator.connection.cursor().execute(f"select {', '.join(counted)}").fetchone() or ()
    return dict(zip(tables, row, strict=True))


def size(rows: int | None) -> int | None:
    """Return a size for so many rows: nothing for none, something for some."""
    return None if rows is None else rows * 512


Columns = list[tuple[Schema, Table, list[tuple[str, Type, bool]]]]


def columns(session: "Session", schemas: list[Schema]) -> Columns:
    """Return the visible tables of schemas with their columns: name, type, whether NULL is allowed."""
    found = session.connection.execute(
        "select schema_name, table_name, column_name, data_type, is_nullable from duckdb_columns() "
        "where list_contains(?, schema_name) order by schema_name, table_name, column_index",
        [[session.place(schema.database, schema.name) for schema in schemas]],
    ).fetchall()
    by_table: dict[tuple[str, str], list[tuple[str, Type, bool]]] = {}
    for place, table, column, kind, nullable in found:
        by_table.setdefault((names.quote(place), names.exact(table)), []).append(
            (names.exact(column), of_duckdb(kind), nullable)
        )
    return [
        (
            schema,
            table,
            [(name, table.types.get(name, kind), null) for name, kind, null in by_table.get((schema.place, table.name), [])],
        )
        for schema in schemas
        for table in session.emulator.catalog.visible(session.role, schema)
    ]


def column_rows(session: "Session", scope: Scope) -> Rows:
    return [
        {
            "table_name": table.name,
            "schema_name": schema.name,
            "column_name": name,
            "data_type": kind.as_json(nullable),
            "null?": str(nullable).lower(),
            "default": "",
            "kind": "COLUMN",
            "expression": "",
            "comment": "",
            "database_name": schema.database,
            "autoincrement": "",
        }
        for schema, table, listed in columns(session, schemas_in(session, scope))
        if scope.table in (None, table.name)
        for name, kind, nullable in listed
    ]


def primary_keys(session: "Session", scope: Scope) -> Rows:
    return [
        {
            "created_on": table.key.created,
            "database_name": schema.database,
            "schema_name": schema.name,
            "table_name": table.name,
            "column_name": column,
            "key_sequence": position,
            "constraint_name": table.key.name,
            "rely": "false",
        }
        for schema in schemas_in(session, scope)
        for table in session.emulator.catalog.visible(session.role, schema)
        if table.key and scope.table in (None, table.name)
        for position, column in enumerate(table.key.columns, 1)
    ]


def warehouses(session: "Session", scope: Scope) -> Rows:
    return [
        {
            "name": name,
            "state": state,
            "type": "STANDARD",
            "size": "X-Small",
            "is_default": "N",
            "is_current": "Y" if name == session.warehouse else "N",
            "auto_suspend": "60",
            "auto_resume": "true",
            "created_on": session.emulator.started,
        }
        for name, state in sorted(session.emulator.catalog.warehouses.items())
    ]


def roles(session: "Session", scope: Scope) -> Rows:
    return [
        {
            "created_on": session.emulator.started,
            "name": name,
            "is_default": "N",
            "is_current": "Y" if name == session.role else "N",
        }
        for name in sorted(session.emulator.catalog.roles)
    ]


def functions(session: "Session", scope: Scope) -> Rows:
    return [
        {"name": name, "schema_name": schema.name, "catalog_name": schema.database, "is_builtin": "N", "language": "SQL"}
        for schema in schemas_in(session, scope)
        for name in sorted(schema.functions)
    ]
