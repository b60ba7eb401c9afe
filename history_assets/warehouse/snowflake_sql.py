"""Every statement that the Snowflake engine sends, as text and bound values; what its answers mean.

Belongs here: pure functions. Does not belong here: connections (``snowflake_session``), the SQL that reads histories, which is
the same on every engine (``history_sql``, ``ledger_sql``), or writing histories, which is dbt's (``dbt_project/macros``).

Snowflake binds values in queries alone, so that SHOW and DDL carry theirs as literals. Only a query needs a running warehouse.
"""

import datetime as dt
import hashlib
import json
import re
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from history_assets.naming import quote
from history_assets.warehouse.statements import Dialect, Statement
from history_assets.warehouse.values import LEDGER_SCHEMA, Clone

PAGE = 10_000
"""Rows that a SHOW returns at most; https://docs.snowflake.com/en/sql-reference/sql/show-objects."""

DIALECT = Dialect(
    timestamp="timestamp_ntz",
    # Quoted names are exact.
    fold=lambda name: name,
    # TRY_CAST takes text alone.
    loosely=lambda value, kind: f"try_cast(cast({value} as varchar) as {kind})",
    rows_of=lambda value, names: (
        "select "
        + ", ".join(f"cast(get_path(each.value, '{name}') as varchar) as {name}" for name in names)
        + f" from table(flatten(input => parse_json({value}))) as each"
    ),
    utc=lambda value: f"cast(convert_timezone('UTC', {value}) as timestamp_ntz)",
    earlier=lambda value, micros: f"dateadd(microsecond, {-micros}, {value})",
    asof=lambda relation, at_or_before, equal: f"asof join {relation} match_condition ({at_or_before}) on {equal}",
)

_CLONE_NAME = re.compile(r"(?P<schema>.+)__(?P<date>\d{8})", re.DOTALL)
_BUILDING = "__BUILDING_"


def path(*names: str) -> str:
    """Return names as SQL refers to what they lead to: database, schema, table."""
    return ".".join(quote(name) for name in names)


def literal(text: str) -> str:
    """Return a string literal of Snowflake, where a backslash escapes too."""
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def clone_name(schema: str, date: dt.date) -> str:
    """Return the name of a schema's clone of a date."""
    return f"{schema}__{date:%Y%m%d}"


def building_name(clone: str, clone_id: str) -> str:
    """Return the name under which an attempt builds a clone, which no other attempt shares."""
    return f"{clone}{_BUILDING}{clone_id[:8]}"


def is_building(name: str, clone: str) -> bool:
    """Say whether a schema is what some attempt to build a clone has made, or left."""
    return name.startswith(f"{clone}{_BUILDING}")


def show_landing(database: str, *, after: str | None = None) -> Statement:
    """List the names of a database's schemas, or a page of them."""
    return _show("TERSE SCHEMAS", f"DATABASE {quote(database)}", after=after)


def show_schemas(database: str, *, prefix: str | None = None, like: str | None = None, after: str | None = None) -> Statement:
    """List a database's schemas with comments and retention, or a page: those that begin with ``prefix``, or match ``like``."""
    return _show("SCHEMAS", f"DATABASE {quote(database)}", prefix=prefix, like=like, after=after)


def show_tables(database: str, schema: str, *, after: str | None = None) -> Statement:
    """List a schema's tables, or a page of them."""
    return _show("TABLES", f"SCHEMA {path(database, schema)}", after=after)


def show_all_tables(database: str) -> Statement:
    """List the tables of all of a database's schemas; its pages would go by name, whatever the schema."""
    return Statement(f"SHOW TABLES IN DATABASE {quote(database)} LIMIT {PAGE}")


def show_columns(database: str, schema: str, table: str | None = None) -> Statement:
    """List the columns of a schema's tables and views, or of one table; this SHOW has no pages."""
    return Statement(f"SHOW COLUMNS IN {_scope(database, schema, table)}")


def show_primary_keys(database: str, schema: str, table: str | None = None) -> Statement:
    """List the primary keys of a schema's tables, a row per column, or of one table; this SHOW has no pages."""
    return Statement(f"SHOW PRIMARY KEYS IN {_scope(database, schema, table)}")


def show_grants(role: str) -> Statement:
    """List what is granted to a role."""
    return Statement(f"SHOW GRANTS TO ROLE {quote(role)}")


def show_future_grants(role: str) -> Statement:
    """List what a role is to be granted on objects that do not exist yet."""
    return Statement(f"SHOW FUTURE GRANTS TO ROLE {quote(role)}")


def create_clone(
    target: tuple[str, str], source: tuple[str, str], at: dt.datetime, comment: str, *, transient: bool
) -> Statement:
    """Clone a schema as it was at an aware instant, with no Time Travel of its own; schemas are (database, name)."""
    # The zone is written out, and the cast too: without it the docs' own example fails.
    moment = f"'{at.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f} +00:00'::TIMESTAMP_TZ"
    return Statement(
        f"CREATE {'TRANSIENT ' if transient else ''}SCHEMA {path(*target)} CLONE {path(*source)} "
        f"AT (TIMESTAMP => {moment}) IGNORE HYBRID TABLES DATA_RETENTION_TIME_IN_DAYS = 0 COMMENT = {literal(comment)}"
    )


def set_comment(database: str, schema: str, comment: str) -> Statement:
    """Say of a schema what it is."""
    return Statement(f"ALTER SCHEMA {path(database, schema)} SET COMMENT = {literal(comment)}")


def grant_usage(database: str, schema: str, role: str) -> Statement:
    """Let a role into a schema: a clone inherits the grants on its tables, but not those on itself."""
    return Statement(f"GRANT USAGE ON SCHEMA {path(database, schema)} TO ROLE {quote(role)}")


def rename_schema(database: str, old: str, new: str) -> Statement:
    """Give a schema a name that no other has."""
    return Statement(f"ALTER SCHEMA {path(database, old)} RENAME TO {path(database, new)}")


def swap_schemas(database: str, one: str, other: str) -> Statement:
    """Have two schemas change names, in one step."""
    return Statement(f"ALTER SCHEMA {path(database, one)} SWAP WITH {path(database, other)}")


def drop_schema(database: str, schema: str) -> Statement:
    """Drop a schema with all in it, if it is there."""
    return Statement(f"DROP SCHEMA IF EXISTS {path(database, schema)} CASCADE")


def select_stamps(database: str, schemas: Collection[str]) -> Statement:
    """Read when the tables of some schemas were created and last altered, in UTC."""
    created, altered = (f"convert_timezone('UTC', {name})" for name in ("created", "last_altered"))
    return Statement(
        "select table_schema as schema_name, table_name, "
        f"cast({created} as timestamp_ntz) as created, cast({altered} as timestamp_ntz) as altered "
        f"from {path(database, 'INFORMATION_SCHEMA', 'TABLES')} "
        f"where table_type = 'BASE TABLE' and table_schema in ({', '.join('?' * len(schemas)) or 'null'})",
        tuple(sorted(schemas)),
        compute=True,
    )


def select_columns(database: str, table: str) -> Statement:
    """List the columns, with their types, of a table or view named ``schema.table``."""
    return Statement(
        f"select table_schema, table_name, column_name, data_type from {quote(database)}.information_schema.columns "
        "where concat(table_schema, '.', table_name) = ? order by ordinal_position",
        (table,),
        compute=True,
    )


def ledger(database: str) -> str:
    """Return the ledger as SQL refers to it."""
    return path(database, LEDGER_SCHEMA, "applied")


def comment_of(clone: Clone, *, finished: bool = True) -> str:
    """Return what a clone's schema says of itself; while it is being made it does not know what it holds."""
    origin = {
        "source": clone.schema,
        "clone_date": str(clone.date),
        "cutoff": clone.cutoff.isoformat(),
        "quiet_point": clone.quiet_point.isoformat(),
        "clone_id": clone.clone_id,
    }
    content = {"tables": clone.tables, "rows": clone.rows, "bytes": clone.bytes}
    return json.dumps(origin | content if finished else origin, ensure_ascii=False)


def clone_of(name: str, comment: str | None) -> Clone | None:
    """Return the clone that a schema is by its name and comment, or nothing where it is none, or not finished."""
    if not (named := _CLONE_NAME.fullmatch(name)):
        return None
    try:
        known = json.loads(comment or "")
        clone = Clone(
            known["source"],
            dt.date.fromisoformat(known["clone_date"]),
            known["clone_id"],
            dt.datetime.fromisoformat(known["cutoff"]),
            dt.datetime.fromisoformat(known["quiet_point"]),
            known["tables"],
            known["rows"],
            known["bytes"],
            name,
        )
    except (ValueError, TypeError, KeyError):
        return None
    return clone if named["schema"] == clone.schema and clone_name(clone.schema, clone.date) == name else None


def is_base_table(row: Mapping[str, Any]) -> bool:
    """Say whether a row of SHOW TABLES is a table that a clone of its schema holds with its own rows.

    Hybrid, external, event and temporary tables are never cloned; a dynamic table would go on computing from what it reads.
    """
    never = ("is_hybrid", "is_external", "is_event", "is_dynamic")
    return row["kind"] in ("TABLE", "TRANSIENT") and all(row.get(mark) in (None, "N", "") for mark in never)


def marks(rows: Sequence[Mapping[str, Any]], now: dt.datetime) -> dict[str, str]:
    """Return a mark of each schema, given what SHOW TABLES says of its tables and an aware instant.

    A change of columns or keys alone shows in none of it. So a mark ends with a number that is another one every hour, from a
    minute of the schema's own, that not all are looked at together.
    """
    told: dict[str, list[str]] = {}
    for row in rows:
        facts = [str(row[name]) for name in ("name", "kind", "created_on", "rows", "bytes")]
        told.setdefault(row["schema_name"], []).append(json.dumps(facts))
    return {
        schema: f"{hashlib.sha256(''.join(sorted(facts)).encode()).hexdigest()[:16]} {_hour(schema, now)}"
        for schema, facts in sorted(told.items())
    }


def type_of(described: str) -> str:
    """Return a type as DDL writes it, given as SHOW COLUMNS describes it, in JSON; one that is not known is its bare name.

    The length of a text or binary is left out: Fivetran widens it, and it says nothing of the values.
    """
    known = json.loads(described)
    kind = str(known["type"]).upper()
    if kind == "FIXED":
        return f"NUMBER({known['precision']},{known['scale']})"
    if kind in ("TIME", "TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ"):
        return f"{kind}({known.get('scale', 9)})"
    return {"TEXT": "VARCHAR", "REAL": "FLOAT"}.get(kind, kind)


def whole_tables(rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the tables of which a SHOW without pages certainly gave every row: when it is full, not those of its last."""
    names = {row["table_name"] for row in rows}
    return names - {rows[-1]["table_name"]} if len(rows) >= PAGE else names


def _hour(schema: str, now: dt.datetime) -> int:
    return (int(now.timestamp()) + zlib.crc32(schema.encode())) // 3600


def _show(what: str, scope: str, *, prefix: str | None = None, like: str | None = None, after: str | None = None) -> Statement:
    return Statement(
        f"SHOW {what}{f' LIKE {literal(like)}' if like else ''} IN {scope}"
        f"{f' STARTS WITH {literal(prefix)}' if prefix else ''}"
        f" LIMIT {PAGE}{f' FROM {literal(after)}' if after else ''}"
    )


def _scope(database: str, schema: str, table: str | None) -> str:
    return f"TABLE {path(database, schema, table)}" if table else f"SCHEMA {path(database, schema)}"
