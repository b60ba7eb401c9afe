"""SHOW and DESCRIBE, with Snowflake's columns, its cap on records, and its paging by LIMIT … FROM.

https://docs.snowflake.com/en/sql-reference/sql/show
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakes.snowflake import names
from tests.fakes.snowflake.catalog import Schema, Table
from tests.fakes.snowflake.errors import SnowflakeError, compilation_error, unsupported
from tests.fakes.snowflake.results import Result, columns_of, shown
from tests.fakes.snowflake.types import TEXT, Type, of_duckdb
from tests.fakes.snowflake.words import Words

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session

Rows = list[dict[str, Any]]

_COLUMNS = {
    "SCHEMAS": "created_on name is_default is_current database_name owner comment options retention_time "
    "owner_role_type budget",
    "DATABASES": "created_on name is_default is_current origin owner comment options retention_time kind "
    "budget owner_role_type",
    "TABLES": "created_on name database_name schema_name kind comment cluster_by rows bytes owner retention_time "
    "automatic_clustering change_tracking is_external enable_schema_evolution owner_role_type is_event budget is_hybrid "
    "is_iceberg is_dynamic is_immutable",
    "OBJECTS": "created_on name database_name schema_name kind comment cluster_by rows bytes owner retention_time "
    "owner_role_type budget is_hybrid is_dynamic is_iceberg is_interactive",
    "VIEWS": "created_on name reserved database_name schema_name owner comment text is_secure is_materialized owner_role_type",
    "COLUMNS": "table_name schema_name column_name data_type null? default kind expression comment database_name autoincrement",
    "PRIMARY KEYS": "created_on database_name schema_name table_name column_name key_sequence constraint_name rely comment",
    "GRANTS": "created_on privilege granted_on name granted_to grantee_name grant_option granted_by",
    "FUTURE GRANTS": "created_on privilege grant_on name grant_to grantee_name grant_option",
    "WAREHOUSES": "name state type size min_cluster_count max_cluster_count started_clusters running queued is_default "
    "is_current "
    "auto_suspend auto_resume available provisioning quiescing other created_on resumed_on updated_on owner comment",
    "ROLES": "created_on name is_default is_current is_inherited assigned_to_users granted_to_roles granted_roles "
    "owner comment",
    "PARAMETERS": "key value default level description type",
    "USER FUNCTIONS": "created_on name schema_name is_builtin arguments description catalog_name language",
}
_TERSE = {
    "SCHEMAS": "created_on name kind database_name schema_name",
    "DATABASES": "created_on name kind database_name schema_name",
    "TABLES": "created_on name kind database_name schema_name",
    "OBJECTS": "created_on name kind database_name schema_name",
    "VIEWS": "created_on name kind database_name schema_name",
}
_PAGED = {"SCHEMAS", "DATABASES", "TABLES", "OBJECTS", "VIEWS", "WAREHOUSES", "ROLES"}


@dataclass
class Scope:
    """What a SHOW command is about."""

    database: str | None = None
    schema: str | None = None
    table: str | None = None


def run(session: "Session", words: Words) -> Result:
    """Run a SHOW command, whose first word has been read."""
    terse = words.accept("TERSE")
    kind = words.one_of(*_COLUMNS)
    if not kind:
        raise unsupported(words.sql)
    if kind == "FUTURE GRANTS":
        return _page(session, kind, False, _future_grants(session, words), words, "")
    if kind == "GRANTS":
        return _page(session, kind, False, _grants(session, words), words, "")
    if kind == "PARAMETERS":
        return _parameters(session, words)
    words.accept("HISTORY")
    like = words.string() if words.accept("LIKE") else None
    scope = _scope(session, words, kind)
    if like is None and words.accept("LIKE"):
        like = words.string()
    starts = words.string() if words.accept("STARTS", "WITH") else ""
    rows = _LISTS[kind](session, scope)
    title = "column_name" if kind == "COLUMNS" else "name"
    if like is not None:
        rows = [row for row in rows if re.fullmatch(_pattern(like), row[title], re.IGNORECASE | re.DOTALL)]
    rows = [row for row in rows if str(row.get(title, "")).startswith(starts)]
    return _page(session, kind, terse, rows, words, title)


def _page(session: "Session", kind: str, terse: bool, rows: Rows, words: Words, title: str) -> Result:
    limit = session.emulator.cap
    if kind in _PAGED and words.accept("LIMIT"):
        limit = min(limit, words.number())
        if words.accept("FROM"):
            last = words.string()
            rows = [row for row in rows if row[title] > last]
    if not words.ended:
        raise compilation_error("001003", "42000", f"syntax error line 1 at position 0 unexpected '{words.peek()}'.")
    return shown(columns_of(_TERSE[kind] if terse and kind in _TERSE else _COLUMNS[kind]), rows[:limit])


def _pattern(like: str) -> str:
    return "".join({"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in like)


def _scope(session: "Session", words: Words, kind: str) -> Scope:
    """Read IN ACCOUNT, IN DATABASE d, IN SCHEMA d.s, IN TABLE d.s.t, or IN and a name of what is listed in such."""
    if not words.one_of("IN", "FROM"):
        return Scope(session.database, session.schema if kind != "SCHEMAS" else None)
    if words.accept("ACCOUNT"):
        return Scope()
    level = words.one_of("DATABASE", "SCHEMA", "TABLE", "VIEW")
    if words.ended or words.peek() in ("LIKE", "STARTS", "LIMIT", ";"):
        return Scope(session.database, session.schema if level == "SCHEMA" else None)
    name = words.name()
    level = level or {"SCHEMAS": "DATABASE", "COLUMNS": "TABLE", "PRIMARY KEYS": "TABLE"}.get(kind, "SCHEMA")
    try:
        if level == "DATABASE":
            return Scope(session.emulator.catalog.database(name[-1]).name)
        if level == "SCHEMA":
            found = session.emulator.catalog.schema(*session.full(name, 2))
            return Scope(found.database, found.name)
        full = session.full(name)
        if full not in session.temporary:
            session.emulator.catalog.table(session.role, *full)
        return Scope(*full)
    except SnowflakeError as error:
        if error.code != "002003" or level == "TABLE":
            raise
        raise compilation_error("002043", "02000", "Object does not exist, or operation cannot be performed.") from None


def _schemas_in(session: "Session", scope: Scope) -> list[Schema]:
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


def _schemas(session: "Session", scope: Scope) -> Rows:
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
        for schema in _schemas_in(session, scope)
    ]


def _databases(session: "Session", scope: Scope) -> Rows:
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


def _tables(session: "Session", scope: Scope) -> Rows:
    """Unlike SHOW OBJECTS, tells transient tables by their kind."""
    rows = [row for row in _objects(session, scope) if row["kind"] == "TABLE"]
    return [row | {"kind": "TRANSIENT" if row["transient"] else "TABLE"} for row in rows]


def _views(session: "Session", scope: Scope) -> Rows:
    return [row for row in _objects(session, scope) if row["kind"] == "VIEW"]


def _objects(session: "Session", scope: Scope) -> Rows:
    found = []
    for schema in _schemas_in(session, scope):
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


def _columns(session: "Session", scope: Scope) -> Rows:
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
        for schema, table, listed in columns(session, _schemas_in(session, scope))
        if scope.table in (None, table.name)
        for name, kind, nullable in listed
    ]


def _primary_keys(session: "Session", scope: Scope) -> Rows:
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
        for schema in _schemas_in(session, scope)
        for table in session.emulator.catalog.visible(session.role, schema)
        if table.key and scope.table in (None, table.name)
        for position, column in enumerate(table.key.columns, 1)
    ]


def _warehouses(session: "Session", scope: Scope) -> Rows:
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


def _roles(session: "Session", scope: Scope) -> Rows:
    return [
        {
            "created_on": session.emulator.started,
            "name": name,
            "is_default": "N",
            "is_current": "Y" if name == session.role else "N",
        }
        for name in sorted(session.emulator.catalog.roles)
    ]


def _functions(session: "Session", scope: Scope) -> Rows:
    return [
        {"name": name, "schema_name": schema.name, "catalog_name": schema.database, "is_builtin": "N", "language": "SQL"}
        for schema in _schemas_in(session, scope)
        for name in sorted(schema.functions)
    ]


def _grants(session: "Session", words: Words) -> Rows:
    """https://docs.snowflake.com/en/sql-reference/sql/show-grants"""
    kind, name, role = "", "", session.role
    if words.accept("TO", "ROLE"):
        role = words.name()[-1]
    elif words.accept("TO", "USER") or words.accept("OF", "ROLE"):
        words.name()
        return []
    elif words.accept("ON"):
        kind, role = words.next().upper(), ""
        name = kind if kind == "ACCOUNT" else names.shown(*words.name())
    return [
        {
            "created_on": grant.at,
            "privilege": grant.privilege,
            "granted_on": grant.kind,
            "name": grant.name,
            "granted_to": "ROLE",
            "grantee_name": grant.role,
            "grant_option": "false",
            "granted_by": "ACCOUNTADMIN",
        }
        for grant in session.emulator.catalog.grants
        if not grant.kind.startswith("FUTURE ")
        and role in ("", grant.role)
        and (not kind or (grant.kind, grant.name) == (kind, name))
    ]


def _future_grants(session: "Session", words: Words) -> Rows:
    """https://docs.snowflake.com/en/sql-reference/sql/show-grants"""
    place = role = ""
    if words.accept("TO", "ROLE"):
        role = words.name()[-1]
    else:
        words.expect("IN")
        words.one_of("SCHEMA", "DATABASE")
        place = names.shown(*words.name())
    return [
        {
            "created_on": grant.at,
            "privilege": grant.privilege,
            "grant_on": grant.kind.removeprefix("FUTURE ").removesuffix("S"),
            "name": f"{grant.name}.<{grant.kind.removeprefix('FUTURE ').removesuffix('S')}>",
            "grant_to": "ROLE",
            "grantee_name": grant.role,
            "grant_option": "false",
        }
        for grant in session.emulator.catalog.grants
        if grant.kind.startswith("FUTURE ") and role in ("", grant.role) and place in ("", grant.name)
    ]


def _parameters(session: "Session", words: Words) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/show-parameters"""
    like = words.string() if words.accept("LIKE") else "%"
    known = {"QUERY_TAG": "", "TIMEZONE": "UTC", "AUTOCOMMIT": "true", "STATEMENT_TIMEOUT_IN_SECONDS": "172800"}
    rows = [
        {
            "key": key,
            "value": session.parameters.get(key, value),
            "default": value,
            "level": "SESSION" if key in session.parameters else "",
            "type": "STRING",
        }
        for key, value in sorted(known.items())
        if re.fullmatch(_pattern(like), key, re.IGNORECASE)
    ]
    return shown(columns_of(_COLUMNS["PARAMETERS"]), rows)


def describe(session: "Session", words: Words) -> Result:
    """DESCRIBE TABLE or VIEW: https://docs.snowflake.com/en/sql-reference/sql/desc-table"""
    words.one_of("TABLE", "VIEW")
    name = session.full(words.name())
    table, place = session.table_place(name)
    found = session.connection.execute(f"describe {'.'.join(map(names.quote, place))}").fetchall()
    keys = table.key.columns if table.key else []
    rows = [
        {
            "name": names.exact(column),
            "type": table.types.get(names.exact(column), of_duckdb(kind)).sql,
            "kind": "COLUMN",
            "null?": "Y" if nullable == "YES" else "N",
            "default": default,
            "primary key": "Y" if names.exact(column) in keys else "N",
            "unique key": "N",
        }
        for column, kind, nullable, _, default, _ in found
    ]
    titles = ["name", "type", "kind", "null?", "default", "primary key", "unique key", "check", "expression", "comment"]
    return shown(dict.fromkeys([*titles, "policy name", "privacy domain"], TEXT), rows)


_LISTS: dict[str, Callable[["Session", Scope], Rows]] = {
    "SCHEMAS": _schemas,
    "DATABASES": _databases,
    "TABLES": _tables,
    "VIEWS": _views,
    "OBJECTS": _objects,
    "COLUMNS": _columns,
    "PRIMARY KEYS": _primary_keys,
    "WAREHOUSES": _warehouses,
    "ROLES": _roles,
    "USER FUNCTIONS": _functions,
}
