"""What this project must be allowed on Snowflake: which privileges, which are missing, and a script that gives them.

Belongs here: pure functions over what SHOW GRANTS says. Does not belong here: asking it (``snowflake_checks``), printing
(``cli``).
"""

import dataclasses
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from history_assets.credentials import exact_name
from history_assets.naming import quote
from history_assets.settings import Settings
from history_assets.warehouse.snowflake_sql import path
from history_assets.warehouse.values import Check

_PART = re.compile(r'"((?:[^"]|"")*)"|([^".]+)')


@dataclasses.dataclass(frozen=True)
class Privilege:
    """A privilege on an object, such as USAGE on the DATABASE ("RAW",)."""

    name: str
    kind: str
    on: tuple[str, ...]

    @property
    def object(self) -> str:
        """The object as SQL refers to it."""
        return f"{self.kind} {path(*self.on)}"


def privileges(rows: Iterable[Mapping[str, Any]]) -> set[Privilege]:
    """Return what SHOW GRANTS, or SHOW FUTURE GRANTS, says is granted; a future object has no name of its own."""
    found = set()
    for row in rows:
        kind = str(row.get("granted_on") or row.get("grant_on")).replace("_", " ")
        parts = tuple(quoted.replace('""', '"') or plain for quoted, plain in _PART.findall(str(row["name"])))
        found.add(Privilege(str(row["privilege"]), kind, tuple(part for part in parts if not part.startswith("<"))))
    return found


def inherited_roles(granted: Iterable[Privilege]) -> set[str]:
    """Return the roles whose privileges a role has as well."""
    return {each.on[0] for each in granted if each.kind == "ROLE" and each.name == "USAGE" and each.on}


def needed(settings: Settings, warehouse: str) -> list[Privilege]:
    """Return what is needed, but for the landing schemas and their tables."""
    databases = [
        Privilege(name, "DATABASE", (database,))
        for database in (settings.clone_database, settings.database)
        for name in ("USAGE", "CREATE SCHEMA")
    ]
    return [
        Privilege("USAGE", "WAREHOUSE", (warehouse,)),
        Privilege("USAGE", "DATABASE", (settings.raw_database,)),
        *databases,
    ]


def check_privileges(wanted: Iterable[Privilege], granted: Collection[Privilege], role: str) -> Iterator[Check]:
    """Return a check per privilege, whose remedy is the GRANT that is missing."""
    for each in wanted:
        yield Check(
            f"{each.name} on {each.object}", _has(granted, each), f"GRANT {each.name} ON {each.object} TO ROLE {quote(role)}"
        )


def needed_by_scripts(settings: Settings, warehouse: str) -> list[Privilege]:
    """Return what the role of scripts needs, but for the histories that are there already."""
    return [Privilege("USAGE", "WAREHOUSE", (warehouse,)), Privilege("USAGE", "DATABASE", (settings.database,))]


def check_future_histories(settings: Settings, future: Collection[Privilege], role: str) -> Iterator[Check]:
    """Return the checks that the role of scripts may read every history that there will be."""
    for name, kind in (("USAGE", "SCHEMA"), ("SELECT", "TABLE")):
        yield Check(
            f"{name} on future {kind}S in DATABASE {quote(settings.database)} for ROLE {quote(role)}",
            _has(future, Privilege(name, kind, (settings.database,))),
            f"GRANT {name} ON FUTURE {kind}S IN DATABASE {quote(settings.database)} TO ROLE {quote(role)}",
        )


def check_tables(settings: Settings, schema: str, tables: Collection[str], granted: Collection[Privilege], role: str) -> Check:
    """Return the check that each table of a landing schema can be cloned, which takes SELECT."""
    raw = settings.raw_database
    lacking = [name for name in tables if not _has(granted, Privilege("SELECT", "TABLE", (raw, schema, name)))]
    of_them = f", but not on {len(lacking)} of them" if lacking else ""
    return Check(
        f"SELECT on {len(tables)} tables in SCHEMA {path(raw, schema)}{of_them}",
        not lacking,
        f"GRANT SELECT ON ALL TABLES IN SCHEMA {path(raw, schema)} TO ROLE {quote(role)}",
    )


def check_future(settings: Settings, schemas: Collection[str], future: Collection[Privilege], role: str) -> Iterator[Check]:
    """Return the checks that schemas and tables which Fivetran makes some day will be allowed too."""
    raw = settings.raw_database
    by_schema = bool(schemas) and all(_has(future, Privilege("SELECT", "TABLE", (raw, schema))) for schema in schemas)
    for name, kind, ok in (("USAGE", "SCHEMA", False), ("SELECT", "TABLE", by_schema)):
        yield Check(
            f"{name} on future {kind}S in DATABASE {quote(raw)}",
            ok or _has(future, Privilege(name, kind, (raw,))),
            f"GRANT {name} ON FUTURE {kind}S IN DATABASE {quote(raw)} TO ROLE {quote(role)}",
        )


def check_time_travel(settings: Settings, schema: str, tables: Collection[Mapping[str, Any]]) -> Check:
    """Return the check that every table of a landing schema remembers a day at least."""
    raw = path(settings.raw_database, schema)
    forgetful = [row["name"] for row in tables if str(row.get("retention_time")) == "0"]
    return Check(
        f"Time Travel of {len(tables)} tables in SCHEMA {raw}" + (f", but not of {len(forgetful)}" if forgetful else ""),
        not forgetful,
        "; ".join(f"ALTER TABLE {raw}.{quote(name)} SET DATA_RETENTION_TIME_IN_DAYS = 1" for name in forgetful),
    )


def setup_script(settings: Settings, user: str, role: str, warehouse: str) -> str:
    """Return a script that makes warehouse, databases, role and user, and grants the role what it needs and no more."""
    raw, clones, history = (quote(name) for name in (settings.raw_database, settings.clone_database, settings.database))
    to = f"TO ROLE {quote(role)}"
    readers = "".join(f"GRANT USAGE ON DATABASE {clones} TO ROLE {quote(reader)};\n" for reader in settings.clone_readers)
    return f"""\
-- Run this once, with a role that may create all of it and grant on what Fivetran lands, such as ACCOUNTADMIN.

-- Only folding and reading histories need a warehouse; it stops by itself a minute later.
CREATE WAREHOUSE IF NOT EXISTS {quote(warehouse)}
  WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = 60 AUTO_RESUME = TRUE INITIALLY_SUSPENDED = TRUE;
CREATE DATABASE IF NOT EXISTS {clones};
CREATE DATABASE IF NOT EXISTS {history};
CREATE ROLE IF NOT EXISTS {quote(role)};
GRANT ROLE {quote(role)} TO ROLE SYSADMIN;

GRANT USAGE ON WAREHOUSE {quote(warehouse)} {to};

-- What Fivetran lands: to be read and cloned, never changed. A schema with future grants of its own on tables ignores those
-- of its database: there, grant ON FUTURE TABLES IN SCHEMA as well.
GRANT USAGE ON DATABASE {raw} {to};
GRANT USAGE ON ALL SCHEMAS IN DATABASE {raw} {to};
GRANT USAGE ON FUTURE SCHEMAS IN DATABASE {raw} {to};
GRANT SELECT ON ALL TABLES IN DATABASE {raw} {to};
GRANT SELECT ON FUTURE TABLES IN DATABASE {raw} {to};

-- The role owns what it makes in these, and nothing else.
GRANT USAGE, CREATE SCHEMA ON DATABASE {clones} {to};
GRANT USAGE, CREATE SCHEMA ON DATABASE {history} {to};
{readers}
-- A user that logs in by key alone. It has no default warehouse, so that nothing wakes one unasked. Make the key with
--   openssl genrsa 2048 | openssl pkcs8 -topk8 -v2 aes256 -out history_assets.p8
--   openssl rsa -in history_assets.p8 -pubout
-- and put the lines between BEGIN and END of the second here:
CREATE USER IF NOT EXISTS {quote(user)}
  TYPE = SERVICE DEFAULT_ROLE = {quote(role)} RSA_PUBLIC_KEY = '<public key>';
GRANT ROLE {quote(role)} TO USER {quote(user)};
{_script_role(settings, user, warehouse) if settings.script_role else ""}"""


def _script_role(settings: Settings, user: str, warehouse: str) -> str:
    history, role = quote(settings.database), quote(exact_name(settings.script_role or ""))
    granted = "\n".join(
        f"GRANT {name} ON {which} {kind}S IN DATABASE {history} TO ROLE {role};"
        for name, kind in (("USAGE", "SCHEMA"), ("SELECT", "TABLE"), ("SELECT", "VIEW"), ("USAGE", "FUNCTION"))
        for which in ("ALL", "FUTURE")
    )
    return f"""
-- What scripts log in as, by the same key: it reads histories and nothing else, and the user's other roles add nothing to it.
CREATE ROLE IF NOT EXISTS {role};
GRANT USAGE ON WAREHOUSE {quote(warehouse)} TO ROLE {role};
GRANT USAGE ON DATABASE {history} TO ROLE {role};
{granted}
GRANT ROLE {role} TO USER {quote(user)};
ALTER USER {quote(user)} SET DEFAULT_SECONDARY_ROLES = ();
"""


def _has(granted: Collection[Privilege], wanted: Privilege) -> bool:
    return wanted in granted or dataclasses.replace(wanted, name="OWNERSHIP") in granted
