"""SHOW and DESCRIBE, with Snowflake's columns, its cap on records, and its paging by LIMIT … FROM.

https://docs.snowflake.com/en/sql-reference/sql/show
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.fakes.snowflake import grants, listing, names
from tests.fakes.snowflake.errors import SnowflakeError, compilation_error, unsupported
from tests.fakes.snowflake.listing import Rows, Scope
from tests.fakes.snowflake.results import Result, columns_of, shown
from tests.fakes.snowflake.types import TEXT, of_duckdb
from tests.fakes.snowflake.words import Words

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session

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


def run(session: "Session", words: Words) -> Result:
    """Run a SHOW command, whose first word has been read."""
    terse = words.accept("TERSE")
    kind = words.one_of(*_COLUMNS)
    if not kind:
        raise unsupported(words.sql)
    if kind == "FUTURE GRANTS":
        return _page(session, kind, False, grants.future_rows(session, words), words, "")
    if kind == "GRANTS":
        return _page(session, kind, False, grants.rows(session, words), words, "")
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
    "SCHEMAS": listing.schemas,
    "DATABASES": listing.databases,
    "TABLES": listing.tables,
    "VIEWS": listing.views,
    "OBJECTS": listing.objects,
    "COLUMNS": listing.column_rows,
    "PRIMARY KEYS": listing.primary_keys,
    "WAREHOUSES": listing.warehouses,
    "ROLES": listing.roles,
    "USER FUNCTIONS": listing.functions,
}
