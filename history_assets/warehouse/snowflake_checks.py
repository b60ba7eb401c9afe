"""Looking at what must be there and allowed on Snowflake, in the order in which the rest depends on it.

Belongs here: asking who may do what. Does not belong here: what is needed, and what an answer comes to (``snowflake_setup``).
"""

import contextlib
from collections.abc import Callable, Iterator

from history_assets.credentials import exact_name
from history_assets.inventory import Inventory
from history_assets.naming import quote
from history_assets.settings import Settings
from history_assets.warehouse import snowflake_setup, snowflake_sql
from history_assets.warehouse.snowflake_catalog import Catalog
from history_assets.warehouse.snowflake_errors import SnowflakeError
from history_assets.warehouse.snowflake_session import Sessions, credentials, tag
from history_assets.warehouse.snowflake_setup import Privilege
from history_assets.warehouse.values import Check


def checks(catalog: Catalog, inventory: Callable[[], Inventory]) -> Iterator[Check]:
    """Look at all that must be there and allowed; ``inventory`` is asked for once a role is there."""
    settings, sessions = catalog.settings, catalog.sessions
    who = sessions.identity()
    yield Check(f"a login to {who.account} as {who.user}", True)
    wanted = exact_name(credentials(settings).role)
    yield Check(f"the role {wanted}", who.role == wanted, f"GRANT ROLE {quote(wanted)} TO USER {quote(who.user)}")
    if who.role is None:
        return
    role, warehouse = who.role, exact_name(credentials(settings).warehouse)
    granted, whole = _granted(sessions, role)
    yield from snowflake_setup.check_privileges(snowflake_setup.needed(settings, warehouse), granted, role)
    schemas = inventory().schemas
    yield Check(
        f"{len(schemas)} schemas of Fivetran in DATABASE {quote(settings.raw_database)}",
        bool(schemas),
        f"GRANT USAGE ON ALL SCHEMAS IN DATABASE {quote(settings.raw_database)} TO ROLE {quote(role)}",
    )
    for schema in schemas:
        tables = catalog.base_tables(settings.raw_database, schema.name, tag("doctor", schema.name))
        names = [row["name"] for row in tables]
        if whole:  # else a grant that is not listed may be there all the same
            yield snowflake_setup.check_tables(settings, schema.name, names, granted, role)
        yield snowflake_setup.check_time_travel(settings, schema.name, tables)
    future = snowflake_setup.privileges(sessions.rows(snowflake_sql.show_future_grants(role), tag("doctor")))
    yield from snowflake_setup.check_future(settings, [schema.name for schema in schemas], future, role)
    if settings.script_role:
        yield from _script_role_checks(settings, sessions, exact_name(settings.script_role), who.user, warehouse)


def _script_role_checks(settings: Settings, sessions: Sessions, role: str, user: str, warehouse: str) -> Iterator[Check]:
    query_tag = tag("doctor")
    try:
        future = snowflake_setup.privileges(sessions.rows(snowflake_sql.show_future_grants(role), query_tag))
    except SnowflakeError as error:
        remedy = f"CREATE ROLE IF NOT EXISTS {quote(role)}; GRANT ROLE {quote(role)} TO USER {quote(user)}"
        yield Check(f"the role {role} of scripts, which says {error.said}", False, remedy)
        return
    granted, _ = _granted(sessions, role)
    yield from snowflake_setup.check_privileges(snowflake_setup.needed_by_scripts(settings, warehouse), granted, role)
    yield from snowflake_setup.check_future_histories(settings, future, role)


def _granted(sessions: Sessions, role: str) -> tuple[set[Privilege], bool]:
    """Return what is granted to a role, to those whose privileges it has as well, and to everyone; and if that is all."""
    found, seen, todo, whole = set[Privilege](), set[str](), {role, "PUBLIC"}, True
    while todo - seen:
        name = sorted(todo - seen)[0]
        seen.add(name)
        with contextlib.suppress(SnowflakeError):  # of a role that may not be looked at, nothing is known
            rows = sessions.rows(snowflake_sql.show_grants(name), tag("doctor"))
            found |= snowflake_setup.privileges(rows)
            whole = whole and len(rows) < snowflake_sql.PAGE
        todo |= snowflake_setup.inherited_roles(found)
    return found, whole
