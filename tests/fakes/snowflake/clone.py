"""Zero-copy clones and Time Travel, by copies: of a schema, of a table, as they are or as they were.

https://docs.snowflake.com/en/sql-reference/sql/create-clone
"""

import copy
import datetime as dt
from dataclasses import dataclass, replace

import duckdb

from tests.fakes.snowflake.catalog import Catalog, Schema, State, Table
from tests.fakes.snowflake.errors import beyond_time_travel, did_not_exist, permanent_from_transient
from tests.fakes.snowflake.names import quote, shown, stored, stored_schema

NOT_CLONED = {"is_hybrid", "is_external"}


@dataclass(frozen=True)
class Options:
    """What a CLONE statement says beside its names."""

    at: dt.datetime | None = None
    before: bool = False
    ignore_insufficient_retention: bool = False
    ignore_hybrid: bool = False


def record(connection: duckdb.DuckDBPyConnection, schema: Schema, at: dt.datetime) -> None:
    """Keep what a schema holds now as what it held at an instant."""
    place = stored_schema(schema.database, schema.name, len(schema.past))
    connection.execute(f"create schema {place}")
    for table in schema.tables.values():
        if table.kind == "TABLE":
            copy_rows(connection, f"{schema.place}.{quote(stored(table.name))}", f"{place}.{quote(stored(table.name))}")
    schema.past.append(State(at, place, copy.deepcopy(schema.tables)))
    schema.past.sort(key=lambda state: state.at)


def copy_rows(connection: duckdb.DuckDBPyConnection, source: str, target: str) -> None:
    """Copy a table with its columns' types, NOT NULLs and rows."""
    connection.execute(f"create table {target} as select * from {source}")
    described = connection.execute(f"describe {source}").fetchall()
    for column in [column for column, _, nullable, *_ in described if nullable == "NO"]:
        connection.execute(f"alter table {target} alter column {quote(column)} set not null")


def state_at(catalog: Catalog, schema: Schema, options: Options, now: dt.datetime) -> State:
    """Return what a schema held at the instant asked for: now, or as recorded last before it.

    The present counts from the moment of the last change on, so that tests that record nothing can ask for a moment ago.
    """
    present = State(now, schema.place, schema.tables)
    at = options.at
    if at is None:
        return present
    if at > now:
        raise beyond_time_travel("schema", schema.shown)
    if at < schema.created:
        raise did_not_exist(schema.shown)
    changed = max([schema.created, *(table.altered for table in schema.tables.values())])
    recorded = [state for state in schema.past if state.at < at or (state.at == at and not options.before)]
    if recorded and (changed > at or recorded[-1].at >= changed):
        return recorded[-1]
    if changed > at:
        raise beyond_time_travel("schema", schema.shown)
    return present


def within_retention(catalog: Catalog, schema: Schema, table: Table, options: Options, now: dt.datetime) -> bool:
    at = options.at
    return at is None or now - at <= dt.timedelta(days=catalog.retention(schema, schema.tables.get(table.name, table)))


def clone_schema(
    connection: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    role: str,
    source: Schema,
    target: Schema,
    options: Options,
    now: dt.datetime,
) -> None:
    """Fill a new schema with the tables of another that the role may see; leaves nothing behind where it fails."""
    state = state_at(catalog, source, options, now)
    tables = [
        table
        for name, table in state.tables.items()
        if (role, source.database, source.name, name) not in catalog.hidden and not table.flags & NOT_CLONED
    ]
    for table in [table for table in tables if not within_retention(catalog, source, table, options, now)]:
        if not options.ignore_insufficient_retention:
            raise beyond_time_travel("table", shown(source.database, source.name, table.name))
        tables.remove(table)
    if not target.transient and any(table.transient for table in tables):
        raise permanent_from_transient()
    connection.execute(f"create schema {target.place}")
    for table in sorted(tables, key=lambda table: table.kind):
        target.tables[table.name] = cloned(source.tables.get(table.name, table), table, target.transient, now)
        if table.kind == "TABLE":
            name = quote(stored(table.name))
            copy_rows(connection, f"{state.place}.{name}", f"{target.place}.{name}")
        else:
            connection.execute(f"create view {target.place}.{quote(stored(table.name))} as {table.view}")


def cloned(current: Table, then: Table, transient: bool, now: dt.datetime) -> Table:
    """Return a clone's own facts: columns as they were then, key and comment as they are now, dates of its own."""
    return replace(
        then,
        transient=transient or then.transient,
        created=now,
        altered=now,
        comment=current.comment,
        key=copy.deepcopy(current.key),
        types=dict(then.types),
    )
