"""Names: what an identifier means on Snowflake, and how DuckDB is told it.

Snowflake compares names exactly, DuckDB without regard to ASCII case. So a name with lower-case letters is stored with its case
written behind it, and "a" and "A" are two columns here as they are there.
"""

import re


def stored(name: str) -> str:
    """Return the DuckDB name of an exact Snowflake name; no two names give one that DuckDB takes for the same."""
    if not re.search("[a-z#]", name):
        return name
    case = sum(1 << position for position, letter in enumerate(name) if "a" <= letter <= "z")
    return f"{name}#{case:x}"


def exact(name: str) -> str:
    """Return the Snowflake name of a stored one; the inverse of ``stored``."""
    return name.rsplit("#", 1)[0] if "#" in name else name


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def stored_schema(database: str, schema: str, state: int | None = None) -> str:
    """Return the one DuckDB schema, quoted, that holds a schema's tables, or those of a recorded state of it."""
    return quote(f"{stored(database)}#.{stored(schema)}" + ("" if state is None else f"#@{state}"))


def shown(*parts: str) -> str:
    """Return a dotted name as Snowflake's messages write it: quoted only where it has to be."""
    return ".".join(part if re.fullmatch("[A-Z_][A-Z0-9_$]*", part) else quote(part) for part in parts)
