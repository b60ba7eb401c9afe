"""Statements on sessions, schemas, databases, warehouses and grants, read word by word."""

import re
from collections.abc import Callable
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
from tests.fakes.snowflake.results import Result, status
from tests.fakes.snowflake.words import Words

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session

Command = Callable[["Session", Words], Result]
DONE = "Statement executed successfully."


def find(words: Words) -> Command | None:
    """Return what runs a statement, its first words read; nothing for what is left to sqlglot."""
    for beginning, command in _COMMANDS.items():
        if words.accept(*beginning.split()):
            return command
    return None


def _create_schema(session: "Session", words: Words, replace: bool = False, transient: bool = False) -> Result:
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


def _drop_schema(session: "Session", words: Words) -> Result:
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


def _alter_schema(session: "Session", words: Words) -> Result:
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


def _create_database(session: "Session", words: Words, replace: bool = False, transient: bool = False) -> Result:
    exists = words.accept("IF", "NOT", "EXISTS")
    name = words.name()[-1]
    if name in session.emulator.catalog.databases:
        if exists:
            return status(f"{name} already exists, statement succeeded.")
        if not replace:
            raise already_exists(name)
        _drop_database(session, Words(names.quote(name)))
    database = session.emulator.create_database(name, session.role)
    database.transient = transient
    _settings(words, database)
    session.database, session.schema = name, "PUBLIC"
    return status(f"Database {name} successfully created.")


def _drop_database(session: "Session", words: Words) -> Result:
    exists = words.accept("IF", "EXISTS")
    name = words.name()[-1]
    if exists and name not in session.emulator.catalog.databases:
        return status(f"Drop statement executed successfully ({name} already dropped).")
    for schema in list(session.emulator.catalog.database(name).schemas):
        _drop_schema(session, Words(names.quote(name) + "." + names.quote(schema)))
    del session.emulator.catalog.databases[name]
    return status(f"{name} successfully dropped.")


def _comment_on_schema(session: "Session", words: Words) -> Result:
    schema = session.emulator.catalog.schema(*session.full(words.name(), 2))
    words.expect("IS")
    schema.comment = words.string()
    return status(DONE)


def _comment_on_database(session: "Session", words: Words) -> Result:
    database = session.emulator.catalog.database(words.name()[-1])
    words.expect("IS")
    database.comment = words.string()
    return status(DONE)


def _use(session: "Session", words: Words) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/use"""
    catalog = session.emulator.catalog
    kind = words.one_of("ROLE", "WAREHOUSE", "DATABASE", "SCHEMA", "SECONDARY ROLES")
    name = words.name()
    if kind == "SECONDARY ROLES":
        return status(DONE)
    missing = compilation_error("002043", "02000", "Object does not exist, or operation cannot be performed.")
    if kind == "ROLE":
        if name[-1] not in catalog.roles:
            raise missing
        session.role = name[-1]
    elif kind == "WAREHOUSE":
        if name[-1] not in catalog.warehouses:
            raise missing
        session.warehouse = name[-1]
    else:
        full = name if kind == "DATABASE" or (not kind and len(name) == 1) else session.full(name, 2)
        if full[0] not in catalog.databases or (len(full) == 2 and full[1] not in catalog.databases[full[0]].schemas):
            raise missing
        session.database = full[0]
        session.schema = full[1] if len(full) == 2 else "PUBLIC" if "PUBLIC" in catalog.databases[full[0]].schemas else None
    return status(DONE)


def _alter_session(session: "Session", words: Words) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/alter-session"""
    if words.accept("UNSET"):
        while not words.ended:
            session.parameters.pop(words.next().upper(), None)
            words.accept(",")
        return status(DONE)
    words.expect("SET")
    while not words.ended:
        key = words.next().upper()
        words.expect("=")
        session.parameters[key] = words.string() if words.peek()[:1] in "'$" else words.next()
        words.accept(",")
    return status(DONE)


def _begin(session: "Session", words: Words) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/begin"""
    session.in_transaction = True
    return status(DONE)


def _commit(session: "Session", words: Words) -> Result:
    session.commit()
    return status(DONE)


def _rollback(session: "Session", words: Words) -> Result:
    session.rollback()
    return status(DONE)


def _grant(session: "Session", words: Words) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/grant-privilege"""
    for grant in _grants(session, words, "TO"):
        if grant not in session.emulator.catalog.grants:
            session.emulator.catalog.grants.append(grant)
    return status(DONE)


def _revoke(session: "Session", words: Words) -> Result:
    gone = {(grant.privilege, grant.kind, grant.name, grant.role) for grant in _grants(session, words, "FROM")}
    kept = [
        grant for grant in session.emulator.catalog.grants if (grant.privilege, grant.kind, grant.name, grant.role) not in gone
    ]
    session.emulator.catalog.grants[:] = kept
    return status(DONE)


def _grants(session: "Session", words: Words, preposition: str) -> list[Grant]:
    at = session.emulator.now
    if words.accept("ROLE"):
        role = words.name()[-1]
        words.expect(preposition)
        words.one_of("ROLE", "USER")
        return [Grant("USAGE", "ROLE", names.shown(role), words.name()[-1], at)]
    privileges, phrase = [], ""
    while not words.accept("ON"):
        if words.accept(","):
            privileges.append(phrase)
            phrase = ""
        else:
            phrase = f"{phrase} {words.next().upper()}".strip()
    privileges.append(phrase)
    many = words.one_of("FUTURE", "ALL")
    kind = words.next().upper()
    objects = [(f"{many} {kind}".strip(), kind if kind == "ACCOUNT" else "")]
    if many:
        words.expect("IN")
        words.one_of("SCHEMA", "DATABASE")
    if kind != "ACCOUNT":
        name = words.name()
        objects = _existing(session, kind, name) if many == "ALL" else [(objects[0][0], names.shown(*name))]
    words.expect(preposition)
    words.accept("ROLE")
    role = words.name()[-1]
    return [Grant(privilege, kind, name, role, at) for privilege in privileges for kind, name in objects]


def _existing(session: "Session", kinds: str, name: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return what ON ALL TABLES IN SCHEMA and the like mean at the time: kinds and names."""
    held = session.emulator.catalog.database(name[0]).schemas.values()
    schemas = [schema for schema in held if len(name) == 1 or schema.name == name[1]]
    if kinds == "SCHEMAS":
        return [("SCHEMA", schema.shown) for schema in schemas]
    return [
        (table.kind, names.shown(schema.database, schema.name, table.name))
        for schema in schemas
        for table in schema.tables.values()
        if f"{table.kind}S" == kinds
    ]


def _create_role(session: "Session", words: Words) -> Result:
    words.accept("IF", "NOT", "EXISTS")
    name = words.name()[-1]
    if name not in session.emulator.catalog.roles:
        session.emulator.catalog.roles.append(name)
    return status(f"Role {name} successfully created.")


def _create_warehouse(session: "Session", words: Words) -> Result:
    words.accept("IF", "NOT", "EXISTS")
    name = words.name()[-1]
    session.emulator.catalog.warehouses.setdefault(name, "SUSPENDED")
    session.warehouse = name
    return status(f"Warehouse {name} successfully created.")


def _accepted(session: "Session", words: Words) -> Result:
    """What is neither kept nor asked for by anything here, such as users and integrations."""
    return status(DONE)


def _with(command: Callable[..., Result], **options: bool) -> Command:
    return lambda session, words: command(session, words, **options)


_COMMANDS: dict[str, Command] = {
    "CREATE SCHEMA": _create_schema,
    "CREATE TRANSIENT SCHEMA": _with(_create_schema, transient=True),
    "CREATE OR REPLACE SCHEMA": _with(_create_schema, replace=True),
    "CREATE OR REPLACE TRANSIENT SCHEMA": _with(_create_schema, replace=True, transient=True),
    "DROP SCHEMA": _drop_schema,
    "ALTER SCHEMA": _alter_schema,
    "CREATE DATABASE": _create_database,
    "CREATE TRANSIENT DATABASE": _with(_create_database, transient=True),
    "CREATE OR REPLACE DATABASE": _with(_create_database, replace=True),
    "DROP DATABASE": _drop_database,
    "COMMENT ON SCHEMA": _comment_on_schema,
    "COMMENT ON DATABASE": _comment_on_database,
    "USE": _use,
    "ALTER SESSION": _alter_session,
    "BEGIN": _begin,
    "START TRANSACTION": _begin,
    "COMMIT": _commit,
    "ROLLBACK": _rollback,
    "GRANT": _grant,
    "REVOKE": _revoke,
    "CREATE ROLE": _create_role,
    "CREATE OR REPLACE ROLE": _create_role,
    "CREATE WAREHOUSE": _create_warehouse,
    "CREATE OR REPLACE WAREHOUSE": _create_warehouse,
    "CREATE USER": _accepted,
    "ALTER USER": _accepted,
    "ALTER WAREHOUSE": _accepted,
    "CREATE NETWORK POLICY": _accepted,
}
