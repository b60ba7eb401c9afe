"""DDL of schemas and databases: https://docs.snowflake.com/en/sql-reference/sql/create-schema"""

import re
from typing import TYPE_CHECKING

import sqlglot

from tests.fakes.snowflake import clone, names, queries
from tests.fakes.snowflake.catalog import Database, Grant, Schema
from tests.fakes.snowflake.errors import (
    SnowflakeError,
    already_exists,
    beyond_time_travel,
    compilation_error,
    syntax_error,
    unsupported,
)
from tests.fakes.snowflake.results import DONE, Result, status
from tests.fakes.snowflake.words import Words

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session


def create_schema(session: "Session", words: Words, replace: bool = False, transient: bool = False) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/create-schema"""
    exists = words.accept("IF", "NOT", "EXISTS")
    if replace and exists:
        raise compilation_error("001003", "42000", "OR REPLACE and IF NOT EXISTS are mutually exclusive.")
    database, name = session.full(words.name(), 2)
    source, options = None, clone.Options()
    if words.accept("CLONE"):
        source = session.full(words.name(), 2)
        options = _clone_options(session, words)
    catalog = session.emulator.catalog
    holder = catalog.database(database)
    schema = Schema(database, name, session.emulator.now, session.role, transient or holder.transient)
    _settings(words, schema)
    session.commit()
    if name in holder.schemas and exists:
        return status(f"{name} already exists, statement succeeded.")
    if name in holder.schemas and not replace:
        raise already_exists(names.shown(database, name) if source is None else name)
    origin = catalog.schema(*source) if source else None
    execute = session.connection.execute
    execute("begin")
    try:
        if name in holder.schemas:
            execute(f"drop schema {schema.place} cascade")
        if origin is None:
            execute(f"create schema {schema.place}")
        else:
            clone.clone_schema(session.connection, catalog, session.role, origin, schema, options, session.emulator.now)
        execute("commit")
    except Exception:
        execute("rollback")
        raise
    holder.schemas[name] = schema
    catalog.grants.append(Grant("OWNERSHIP", "SCHEMA", schema.shown, session.role, schema.created))
    session.database, session.schema = database, name
    return status(f"Schema {name} successfully created.")


def _clone_options(session: "Session", words: Words) -> clone.Options:
    at, before = None, False
    moment = words.one_of("AT", "BEFORE")
    if moment:
        before = moment == "BEFORE"
        words.expect("(")
        words.expect("TIMESTAMP", "=>")
        expression, depth = "", 1
        while depth:
            token = words.next()
            depth += {"(": 1, ")": -1}.get(token, 0)
            expression += f" {token}" if depth else ""
        if re.fullmatch(r" *'[^']*' *", expression):
            raise beyond_time_travel("schema", "of an instant that is not cast to a timestamp")
        at = queries.instant(session, sqlglot.parse_one(expression, read="snowflake"))
    insufficient = words.accept("IGNORE", "TABLES", "WITH", "INSUFFICIENT", "DATA", "RETENTION")
    return clone.Options(at, before, insufficient, words.accept("IGNORE", "HYBRID", "TABLES"))


def _settings(words: Words, target: Schema | Database) -> None:
    """Read the settings of a schema or database, in any order."""
    while not words.ended:
        if words.accept("DATA_RETENTION_TIME_IN_DAYS", "="):
            target.retention = words.number()
            if target.transient and target.retention > 1:
                raise compilation_error(
                    "001008", "22023", f"invalid value [{target.retention}] for parameter 'DATA_RETENTION_TIME_IN_DAYS'"
                )
        elif words.accept("COMMENT", "="):
            target.comment = words.string()
        elif words.accept("WITH", "MANAGED", "ACCESS"):
            continue
        else:
            raise syntax_error(f"syntax error line 1 at position 0 unexpected '{words.peek()}'.")


def drop_schema(session: "Session", words: Words) -> Result:
    exists = words.accept("IF", "EXISTS")
    database, name = session.full(words.name(), 2)
    session.commit()
    try:
        schema = session.emulator.catalog.schema(database, name)
    except SnowflakeError:
        if exists:
            return status(f"Drop statement executed successfully ({name} already dropped).")
        raise
    for place in [schema.place, *(state.place for state in schema.past)]:
        session.connection.execute(f"drop schema {place} cascade")
    del session.emulator.catalog.databases[database].schemas[name]
    if (session.database, session.schema) == (database, name):
        session.schema = None
    return status(f"{name} successfully dropped.")


def alter_schema(session: "Session", words: Words) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/alter-schema"""
    exists = words.accept("IF", "EXISTS")
    database, name = session.full(words.name(), 2)
    session.commit()
    try:
        schema = session.emulator.catalog.schema(database, name)
    except SnowflakeError:
        if exists:
            return status(DONE)
        raise
    if words.accept("RENAME", "TO"):
        other = session.full(words.name(), 2)
        if other[1] in session.emulator.catalog.database(other[0]).schemas:
            raise already_exists(names.shown(*other))
        _move(session, schema, *other)
    elif words.accept("SWAP", "WITH"):
        there = session.emulator.catalog.schema(*session.full(words.name(), 2))
        here = (schema.database, schema.name)
        target = (there.database, there.name)
        _move(session, there, there.database, "#swapped#")
        _move(session, schema, *target)
        _move(session, there, *here)
    elif words.accept("SET"):
        _settings(words, schema)
    elif words.accept("UNSET"):
        schema.retention = None
    else:
        raise unsupported(words.sql)
    return status(DONE)


def _move(session: "Session", schema: Schema, database: str, name: str) -> None:
    """Give a schema another name; DuckDB has no word for it, so its tables are made anew under the new one."""
    catalog, execute = session.emulator.catalog, session.connection.execute
    target = Schema(**(vars(schema) | {"database": database, "name": name}))
    execute(f"create schema {target.place}")
    for table in sorted(schema.tables.values(), key=lambda table: table.kind):
        place = names.quote(names.stored(table.name))
        if table.kind == "TABLE":
            clone.copy_rows(session.connection, f"{schema.place}.{place}", f"{target.place}.{place}")
        else:
            execute(f"create view {target.place}.{place} as {table.view}")
    execute(f"drop schema {schema.place} cascade")
    del catalog.databases[schema.database].schemas[schema.name]
    schema.database, schema.name = database, name
    catalog.databases[database].schemas[name] = schema


def create_database(session: "Session", words: Words, replace: bool = False, transient: bool = False) -> Result:
    exists = words.accept("IF", "NOT", "EXISTS")
    name = words.name()[-1]
    if name in session.emulator.catalog.databases:
        if exists:
            return status(f"{name} already exists, statement succeeded.")
        if not replace:
            raise already_exists(name)
        drop_database(session, Words(names.quote(name)))
    database = session.emulator.create_database(name, session.role)
    database.transient = transient
    _settings(words, database)
    session.database, session.schema = name, "PUBLIC"
    return status(f"Database {name} successfully created.")


def alter_database(session: "Session", words: Words) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/alter-database"""
    words.accept("IF", "EXISTS")
    database = session.emulator.catalog.database(words.name()[-1])
    words.expect("SET")
    _settings(words, database)
    return status(DONE)


def drop_database(session: "Session", words: Words) -> Result:
    exists = words.accept("IF", "EXISTS")
    name = words.name()[-1]
    if exists and name not in session.emulator.catalog.databases:
        return status(f"Drop statement executed successfully ({name} already dropped).")
    for schema in list(session.emulator.catalog.database(name).schemas):
        drop_schema(session, Words(names.quote(name) + "." + names.quote(schema)))
    del session.emulator.catalog.databases[name]
    return status(f"{name} successfully dropped.")


def comment_on_schema(session: "Session", words: Words) -> Result:
    schema = session.emulator.catalog.schema(*session.full(words.name(), 2))
    words.expect("IS")
    schema.comment = words.string()
    return status(DONE)


def comment_on_database(session: "Session", words: Words) -> Result:
    database = session.emulator.catalog.database(words.name()[-1])
    words.expect("IS")
    database.comment = words.string()
    return status(DONE)
