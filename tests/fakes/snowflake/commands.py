"""Statements on sessions, warehouses and roles, and which statement is read word by word rather than by sqlglot."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.fakes.snowflake import grants, schemas
from tests.fakes.snowflake.errors import compilation_error
from tests.fakes.snowflake.results import DONE, Result, status
from tests.fakes.snowflake.words import Words

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session

Command = Callable[["Session", Words], Result]


def find(words: Words) -> Command | None:
    """Return what runs a statement, its first words read; nothing for what is left to sqlglot."""
    for beginning, command in _COMMANDS.items():
        if words.accept(*beginning.split()):
            return command
    return None


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
    "CREATE SCHEMA": schemas.create_schema,
    "CREATE TRANSIENT SCHEMA": _with(schemas.create_schema, transient=True),
    "CREATE OR REPLACE SCHEMA": _with(schemas.create_schema, replace=True),
    "CREATE OR REPLACE TRANSIENT SCHEMA": _with(schemas.create_schema, replace=True, transient=True),
    "DROP SCHEMA": schemas.drop_schema,
    "ALTER SCHEMA": schemas.alter_schema,
    "CREATE DATABASE": schemas.create_database,
    "CREATE TRANSIENT DATABASE": _with(schemas.create_database, transient=True),
    "CREATE OR REPLACE DATABASE": _with(schemas.create_database, replace=True),
    "ALTER DATABASE": schemas.alter_database,
    "DROP DATABASE": schemas.drop_database,
    "COMMENT ON SCHEMA": schemas.comment_on_schema,
    "COMMENT ON DATABASE": schemas.comment_on_database,
    "USE": _use,
    "ALTER SESSION": _alter_session,
    "BEGIN": _begin,
    "START TRANSACTION": _begin,
    "COMMIT": _commit,
    "ROLLBACK": _rollback,
    "GRANT": grants.grant,
    "REVOKE": grants.revoke,
    "CREATE ROLE": _create_role,
    "CREATE OR REPLACE ROLE": _create_role,
    "CREATE WAREHOUSE": _create_warehouse,
    "CREATE OR REPLACE WAREHOUSE": _create_warehouse,
    "CREATE USER": _accepted,
    "ALTER USER": _accepted,
    "ALTER WAREHOUSE": _accepted,
    "CREATE NETWORK POLICY": _accepted,
}
