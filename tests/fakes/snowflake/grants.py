"""Grants: recorded as they are made, and shown; what a role may do is not enforced by them."""

from typing import TYPE_CHECKING

from tests.fakes.snowflake import names
from tests.fakes.snowflake.catalog import Grant
from tests.fakes.snowflake.listing import Rows
from tests.fakes.snowflake.results import DONE, Result, status
from tests.fakes.snowflake.words import Words

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session


def grant(session: "Session", words: Words) -> Result:
    """https://docs.snowflake.com/en/sql-reference/sql/grant-privilege"""
    for grant in _read(session, words, "TO"):
        if grant not in session.emulator.catalog.grants:
            session.emulator.catalog.grants.append(grant)
    return status(DONE)


def revoke(session: "Session", words: Words) -> Result:
    gone = {(grant.privilege, grant.kind, grant.name, grant.role) for grant in _read(session, words, "FROM")}
    kept = [
        grant for grant in session.emulator.catalog.grants if (grant.privilege, grant.kind, grant.name, grant.role) not in gone
    ]
    session.emulator.catalog.grants[:] = kept
    return status(DONE)


def _read(session: "Session", words: Words, preposition: str) -> list[Grant]:
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


def rows(session: "Session", words: Words) -> Rows:
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


def future_rows(session: "Session", words: Words) -> Rows:
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
