"""Snowflake's functions that DuckDB lacks or means otherwise, as DuckDB macros."""

import json
from typing import Any

import duckdb

# A value as text, as TO_VARCHAR writes it under the account's default formats: timestamps to the millisecond, floats without
# ".0", bytes in hex, strings inside a VARIANT without quotes.
_TEXT = """
create or replace macro _text(x) as case typeof(x)
    when 'VARCHAR' then cast(x as varchar)
    when 'JSON' then json_extract_string(to_json(x), '$')
    when 'DOUBLE' then _float_text(try_cast(cast(x as varchar) as double))
    when 'TIMESTAMP' then strftime(try_cast(cast(x as varchar) as timestamp), '%Y-%m-%d %H:%M:%S.%g')
    when 'TIMESTAMP WITH TIME ZONE'
        then strftime(try_cast(cast(x as varchar) as timestamptz) at time zone 'UTC', '%Y-%m-%d %H:%M:%S.%g +0000')
    when 'BLOB' then hex(try_cast(cast(x as varchar) as blob))
    else cast(x as varchar) end
"""
_MACROS = [
    """create or replace macro _float_text(x) as case
        when isnan(x) then 'NaN' when isinf(x) then regexp_replace(cast(x as varchar), 'inf.*', 'inf')
        else regexp_replace(cast(x as varchar), '\\.0$', '') end""",
    _TEXT,
    "create or replace macro _to_json(x) as cast(to_json(x) as varchar)",
    "create or replace macro _to_variant(x) as cast(to_json(x) as json)",
    """create or replace macro _typeof(x) as case json_type(to_json(x))
        when 'BIGINT' then 'INTEGER' when 'UBIGINT' then 'INTEGER'
        when 'DOUBLE' then 'DECIMAL' when 'NULL' then 'NULL_VALUE' else json_type(to_json(x)) end""",
]


def install(connection: duckdb.DuckDBPyConnection) -> None:
    """Put the macros where every connection to the same DuckDB finds them."""
    for macro in _MACROS:
        connection.execute(macro)


def parse_json(value: str) -> str:
    """Return JSON as a VARIANT writes it: keys in order, no spaces, whole numbers without a point.

    Only literals come by here; DuckDB's own ``json`` keeps the order of the keys of what stands in a column.
    """
    parsed = json.loads(value, parse_float=_number, parse_constant=_refuse)
    return json.dumps(parsed, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _number(digits: str) -> float | int:
    number = float(digits)
    return int(number) if number.is_integer() and abs(number) < 1e15 else number


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
