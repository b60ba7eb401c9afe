"""Values that a client binds on the server (paramstyle qmark or numeric), written into the statement as literals."""

import datetime as dt
import re
from typing import Any

from tests.fakes.snowflake.errors import unsupported
from tests.fakes.snowflake.names import text

_PLACEHOLDER = re.compile(r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*"|\$\$.*?\$\$|--[^\n]*|/\*.*?\*/|\?|:\d+\b""", re.DOTALL)


def bound(sql: str, bindings: dict[str, dict[str, Any]]) -> str:
    """Return a statement with its ``?`` and ``:1`` filled in; those in strings, names and comments stay."""
    if not bindings:
        return sql
    arrays = [binding for binding in bindings.values() if isinstance(binding["value"], list)]
    if arrays:
        return _many(sql, bindings, len(arrays[0]["value"]))
    position = 0

    def fill(found: re.Match[str]) -> str:
        nonlocal position
        if found.group() == "?":
            position += 1
            return _literal(bindings[str(position)])
        if re.fullmatch(r":\d+", found.group()):
            return _literal(bindings[found.group()[1:]])
        return found.group()

    return _PLACEHOLDER.sub(fill, sql)


def _many(sql: str, bindings: dict[str, dict[str, Any]], rows: int) -> str:
    """Return an INSERT of one row that arrays are bound to as one of as many rows as these have values."""
    found = re.fullmatch(r"(?is)(insert\s+into\s+.*?\svalues\s*)(\(.*\))\s*", sql)
    if not found:
        raise unsupported("arrays of bound values but in an INSERT")
    each = [{name: binding | {"value": binding["value"][row]} for name, binding in bindings.items()} for row in range(rows)]
    return found[1] + ", ".join(bound(found[2], one) for one in each)


def _literal(binding: dict[str, Any]) -> str:
    kind, value = binding["type"], binding["value"]
    if value is None:
        return "NULL"
    if kind in ("FIXED", "REAL"):
        return str(value)
    if kind == "BOOLEAN":
        return str(value).lower()
    if kind == "DATE":
        return f"{text(_moment(int(value) * 1_000_000).date().isoformat())}::date"
    if kind in ("TIMESTAMP_NTZ", "TIMESTAMP_LTZ", "TIMESTAMP_TZ"):
        moment = _moment(int(str(value).split()[0]))
        suffix = "" if kind == "TIMESTAMP_NTZ" else " +00:00"
        return f"{text(moment.strftime('%Y-%m-%d %H:%M:%S.%f') + suffix)}::{kind.lower()}"
    return text(str(value)).replace("\\", "\\\\") + ("::binary" if kind == "BINARY" else "")


def _moment(nanoseconds: int) -> dt.datetime:
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=nanoseconds // 1000)
