"""Every name rule, both ways: schema and table names to asset keys, dbt names and quoted SQL, and back.

Belongs here: pure functions from names to names. Does not belong here: anything that looks at a warehouse, a file or Dagster.

Names are data: a warehouse allows spaces, quotes, any case and any alphabet, while dbt and Dagster allow ASCII letters, digits
and underscores. One injective encoding bridges the two (``encode``/``decode``), so that two tables never share an asset.
"""

import functools
import re

_ESCAPE = re.compile(r"_x([0-9a-f]+)_")
_PLAIN = re.compile(r"[A-Za-z0-9]")

LONGEST_ENCODED = 200
"""Longest encoded ``schema__table``, in characters: dbt names a file after each, and file names end at 255 bytes."""


def quote(identifier: str) -> str:
    """Return a SQL identifier in double quotes; the one way by which a name enters a statement."""
    if "\0" in identifier:
        raise ValueError(f"found a NUL character in the name {identifier!r}: no warehouse allows one")
    return '"' + identifier.replace('"', '""') + '"'


def quote_literal(text: str) -> str:
    """Return a SQL string literal, for the few statements (ATTACH, COMMENT) that take no bound value."""
    return "'" + text.replace("'", "''") + "'"


@functools.lru_cache(maxsize=100_000)  # definitions ask for each name many times
def encode(name: str) -> str:
    """Return a name as ASCII letters, digits and underscores; injective, see ``decode``.

    Letters and digits stay. An underscore stays between two of them, unless an ``x`` follows. Every other character becomes
    ``_x<code point in hex>_``. So ``opportunity_line_item`` stays as it is and ``Größe`` is ``Gr_xf6__xdf_e``.
    """
    encoded = []
    for position, character in enumerate(name):
        before, after = name[position - 1 : position], name[position + 1 : position + 2]
        keep = _PLAIN.match(character) or (character == "_" and _PLAIN.match(before) and _PLAIN.match(after) and after != "x")
        encoded.append(character if keep else f"_x{ord(character):x}_")
    return "".join(encoded)


def decode(encoded: str) -> str:
    """Return the name that ``encode`` was given."""
    return _ESCAPE.sub(lambda escape: chr(int(escape.group(1), 16)), encoded)


def snapshot_name(schema: str, table: str) -> str:
    """Return the dbt name of a table's snapshot; injective, since ``encode`` never ends a part before a double underscore."""
    return f"{encode(schema)}__{encode(table)}"


def fivetran_key(schema: str) -> list[str]:
    """Return the asset key path of a landing schema."""
    return ["fivetran", encode(schema)]


def clone_key(schema: str) -> list[str]:
    """Return the asset key path of a schema's clones."""
    return ["clones", encode(schema)]


def history_key(schema: str, table: str) -> list[str]:
    """Return the asset key path of a table's history."""
    return ["history", encode(schema), encode(table)]


def table_name(schema: str, table: str) -> str:
    """Return a table's name as people write it, ``schema.table``; for reading and for settings, never for SQL."""
    return f"{schema}.{table}"


def refusal(schema: str, table: str) -> str | None:
    """Return why a table's name cannot be carried by dbt and Dagster, or nothing when it can."""
    if any(mark in name for name in (schema, table) for mark in ("{{", "{%", "{#")):
        return "its name holds Jinja marks, which dbt would render: rename or exclude it"
    if any("\r" in name for name in (schema, table)):
        return "its name holds a carriage return, which dbt would drop: rename or exclude it"
    if any(name != name.strip() for name in (schema, table)):
        return "its name begins or ends with white space, which dbt would drop: rename or exclude it"
    length = len(snapshot_name(schema, table))
    if length > LONGEST_ENCODED:
        return f"its encoded name has {length} characters, expected at most {LONGEST_ENCODED}: rename or exclude it"
    return None
