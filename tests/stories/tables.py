"""Tables of a night, written once as DuckDB defines them, and how either engine is told to make them.

Snowflake's are made of DuckDB's: the same names, exact; types that hold the same values; the values themselves. Does not belong
here: landing them (``engines``).
"""

import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import duckdb

from history_assets.naming import quote
from history_assets.warehouse.snowflake_sql import literal

Night = Mapping[str, tuple[str, str | None]]
"""Tables of a night: the definitions of the columns, and the rows but for the stamp as VALUES or SELECT.

``_fivetran_synced`` need not be among the columns, unless it has another type than it always has.
"""


def definitions(tables: Night, synced: str) -> list[str]:
    """Return the statements that make tables in DuckDB."""
    statements = []
    for table, (columns, rows) in tables.items():
        stamped = columns if "_fivetran_synced" in columns else f"{columns}, _fivetran_synced timestamptz"
        statements.append(f"create table {quote(table)} ({stamped})")
        if rows:
            statements.append(f"insert into {quote(table)} select *, timestamptz '{synced}' from ({rows})")
    return statements


def duckdb_value(kind: str, text: str) -> Any:
    """Return what DuckDB reads of a column of a type that holds a value given as text."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        ((value,),) = connection.execute(f"select cast($1 as {kind})", [text]).fetchall()
    return value


def snowflake_definitions(tables: Night, synced: str) -> list[str]:
    """Return the statements that make the same tables in Snowflake."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for statement in definitions(tables, synced):
            connection.execute(statement)
        keys = dict(
            connection.execute(
                "select table_name, constraint_column_names from duckdb_constraints() where constraint_type = 'PRIMARY KEY'"
            ).fetchall()
        )
        return [statement for table in tables for statement in _snowflake_table(connection, table, keys.get(table, ()))]


def _snowflake_table(connection: duckdb.DuckDBPyConnection, table: str, key: Sequence[str]) -> Iterator[str]:
    columns = [row[:2] for row in connection.execute(f"describe {quote(table)}").fetchall()]
    kinds = [snowflake_type(kind) for _, kind in columns]
    parts = [f"{quote(name)} {kind}" for (name, _), kind in zip(columns, kinds, strict=True)]
    if key:
        parts.append(f"primary key ({', '.join(map(quote, key))})")
    yield f"create table {quote(table)} ({', '.join(parts)})"
    read = ", ".join(f"{quote(name)}::varchar" if kind.startswith("ENUM") else quote(name) for name, kind in columns)
    rows = connection.execute(f"select {read} from {quote(table)}").fetchall()
    if rows:
        written = (", ".join(map(snowflake_value, row, kinds)) for row in rows)
        yield f"insert into {quote(table)} {' union all '.join(f'select {values}' for values in written)}"


DIGITS = {"TINYINT": 3, "UTINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "UBIGINT": 20, "HUGEINT": 38}
_TYPES = {
    "FLOAT": "FLOAT",
    "DOUBLE": "FLOAT",
    "BOOLEAN": "BOOLEAN",
    "DATE": "DATE",
    "TIMESTAMP": "TIMESTAMP_NTZ",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP_TZ",
    "JSON": "VARIANT",
    "BLOB": "BINARY",
    "VARCHAR[]": "ARRAY",
}


def snowflake_type(kind: str) -> str:
    """Return the Snowflake type of a column whose DuckDB type is given."""
    if kind in DIGITS:
        return f"NUMBER({DIGITS[kind]},0)"
    if kind.startswith("DECIMAL"):
        return kind.replace("DECIMAL", "NUMBER")
    return "VARCHAR" if kind == "VARCHAR" or kind.startswith("ENUM") else _TYPES[kind]


def snowflake_value(value: Any, kind: str) -> str:
    """Return a value as Snowflake's SQL writes it."""
    if value is None:
        return f"cast(null as {kind})"
    if kind in ("VARIANT", "ARRAY"):
        return f"parse_json({literal(value if isinstance(value, str) else json.dumps(value))})::{kind}"
    if isinstance(value, bytes):
        return f"to_binary('{value.hex()}', 'hex')"
    if isinstance(value, dt.datetime) and value.tzinfo:
        return f"{literal(f'{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f} +00:00')}::timestamp_tz"
    return f"{literal(repr(value) if isinstance(value, float) else str(value))}::{kind}"


def plain(value: Any) -> Any:
    """Return a value that Snowflake gave as DuckDB gives it: whole numbers as int."""
    return int(value) if isinstance(value, Decimal) and value.as_tuple().exponent == 0 else value
