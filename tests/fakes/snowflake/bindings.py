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


def _literal(binding: dict[str, Any]) -> str:
    kind, value = binding["type"], binding["value"]
    if value is None:
        return "NULL"
    if isinstance(value, list):
        raise unsupported("arrays of bound values")
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
