"""What a function, a cast or an operator means on Snowflake, in DuckDB's words; node by node."""

import datetime as dt
import re
from collections.abc import Callable
from typing import Any

from sqlglot import exp

from tests.fakes.snowflake import functions, types
from tests.fakes.snowflake.errors import SnowflakeError, unsupported


def as_stored(node: exp.Expr) -> exp.Expr:
    """Mark a name or a cast as DuckDB's, not to be translated."""
    node.meta["stored"] = True
    return node


def rewritten(node: exp.Expr, now: dt.datetime, facts: dict[str, str | None]) -> exp.Expr:
    """Return what stands for one node whose children are rewritten already."""
    rule = _RULES.get(type(node))
    if rule is not None:
        return rule(node)
    if isinstance(node, exp.CurrentTimestamp):
        kind = "TIMESTAMP" if node.args.get("sysdate") else "TIMESTAMPTZ"
        return cast(exp.Literal.string(now.isoformat(sep=" ")), kind)
    if isinstance(node, exp.CurrentDate):
        return cast(exp.Literal.string(now.date().isoformat()), "DATE")
    name = type(node).__name__.upper()
    if isinstance(node, exp.Anonymous):
        name = node.name.upper()
        if name in _TIMES:
            kind, safe = _TIMES[name]
            return cast(node.expressions[0].copy(), kind, safe)
    if name.startswith("CURRENT") or name in ("LAST_QUERY_ID", "CURRENT_VERSION"):
        fact = re.sub("^CURRENT_?", "", name)
        if fact in facts:
            value = facts[fact]
            return cast(exp.Null() if value is None else exp.Literal.string(value), "VARCHAR")
    return node


_TIMES = {
    f"{prefix}TO_TIMESTAMP{suffix}": (kind, bool(prefix))
    for prefix in ("", "TRY_")
    for suffix, kind in (("", "TIMESTAMP"), ("_NTZ", "TIMESTAMP"), ("_TZ", "TIMESTAMPTZ"), ("_LTZ", "TIMESTAMPTZ"))
}


def cast(value: exp.Expr, duckdb_type: str, safe: bool = False) -> exp.Expr:
    kind = exp.TryCast if safe else exp.Cast
    return kind(this=value, to=exp.DataType.build(duckdb_type, dialect="duckdb"))


def call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


_TEXTS = (exp.DPipe, exp.SHA2, exp.Lower, exp.Upper, exp.Trim, exp.Replace, exp.Substring, exp.RegexpReplace, exp.SplitPart)


def _is_text(node: exp.Expr) -> bool:
    """Whether a value is known to be text already; what is not known costs a CASE over all types."""
    if isinstance(node, exp.Literal):
        return bool(node.is_string)
    if isinstance(node, exp.Paren | exp.Coalesce):
        return all(_is_text(part) for part in (node.this, *node.expressions))
    if isinstance(node, exp.Case):
        results = [branch.args["true"] for branch in node.args["ifs"]] + [node.args.get("default")]
        return all(result is None or isinstance(result, exp.Null) or _is_text(result) for result in results)
    if isinstance(node, exp.Cast):
        return node.to.is_type("text", "varchar")
    return isinstance(node, _TEXTS) or (isinstance(node, exp.Anonymous) and node.name in ("_text", "_to_json", "sha256"))


def _as_text(node: exp.Expr) -> exp.Expr:
    if _is_text(node):
        return node
    if isinstance(node, exp.Literal | exp.Length | exp.Count) or (isinstance(node, exp.Anonymous) and node.name == "length"):
        return cast(node, "VARCHAR")
    return call("_text", node)


def _length(node: exp.Expr) -> exp.Expr:
    return call("length", node.this) if _is_text(node.this) else node


def _joined(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Concat):
        return _halved([_as_text(part) for part in node.expressions])
    return exp.DPipe(this=_as_text(node.this), expression=_as_text(node.expression))


def _halved(parts: list[exp.Expr]) -> exp.Expr:
    """Join texts as a tree: DuckDB's time for a chain of them grows with the square of its length."""
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return exp.Paren(this=exp.DPipe(this=_halved(parts[:middle]), expression=_halved(parts[middle:])))


def _typed(node: exp.Expr) -> exp.Expr:
    """Casts: https://docs.snowflake.com/en/sql-reference/data-type-conversion"""
    if node.meta.get("stored"):
        return node
    kind = types.of_snowflake(node.args["to"])
    if kind.name == "TEXT" and kind.length == types.TEXT_LENGTH:
        return _as_text(node.this)
    if kind.name == "VARIANT":
        return call("_to_variant", node.this)
    if kind.name == "BINARY":
        return exp.Unhex(this=node.this.copy()) if _is_text(node.this) else node.this.copy()
    value = node.this.copy()
    if kind.name.startswith("TIMESTAMP") and isinstance(value, exp.Literal):
        kept = "" if kind.name == "TIMESTAMP_NTZ" else r"\1"
        value = exp.Literal.string(re.sub(r" ?(Z|[+-]\d\d:?\d\d)$", kept, value.name))
    elif kind.name.startswith("TIMESTAMP") and _is_text(value):
        # DuckDB reads no space before an offset; either drops it where the type has none.
        value = call("regexp_replace", value, exp.Literal.string(r" ([+-]\d\d:?\d\d)$"), exp.Literal.string(r"\1"))
    return cast(value, kind.duckdb, isinstance(node, exp.TryCast))


def _to_char(node: exp.Expr) -> exp.Expr:
    format_ = node.args.get("format")
    if format_ is None:
        return _as_text(node.this)
    if format_.name.lower() in ("hex", "utf-8"):
        return call("hex" if format_.name.lower() == "hex" else "decode", node.this)
    return call("strftime", node.this, exp.Literal.string(_strftime(format_.name)))


def _strftime(snowflake_format: str) -> str:
    """Return a timestamp format as DuckDB writes it; sqlglot may have half translated it already."""
    parts = {"YYYY": "%Y", "MM": "%m", "DD": "%d", "HH24": "%H", "MI": "%M", "SS": "%S", "FF3": "%g", "FF6": "%f", "FF9": "%n"}
    pattern = "|".join(parts) + "|TZH:TZM|TZHTZM"
    zones = {"TZH:TZM": "+00:00", "TZHTZM": "+0000"}
    return re.sub(pattern, lambda found: (parts | zones)[found.group().upper()], snowflake_format, flags=re.IGNORECASE).replace(
        '"', ""
    )


def _parsed(node: exp.Expr) -> exp.Expr:
    if isinstance(node.this, exp.Literal):
        try:
            return cast(exp.Literal.string(functions.parse_json(node.this.name)), "JSON")
        except ValueError as problem:
            if node.args.get("safe"):
                return cast(exp.Null(), "JSON")
            raise SnowflakeError("100069", "22P02", f"Error parsing JSON: {problem}") from None
    if node.args.get("safe"):
        return node
    return cast(call("json", node.this), "JSON")


def _object(node: exp.Expr) -> exp.Expr:
    pairs = [part for pair in node.expressions for part in (pair.this, pair.expression)]
    return call("json_object", *pairs)


def _digest(node: exp.Expr) -> exp.Expr:
    length = node.args.get("length")
    if length is not None and length.name not in ("256", "0"):
        raise unsupported(f"SHA2 of {length.name} bits")
    return call("sha256", _as_text(node.this))


def _merge(node: exp.Expr) -> exp.Expr:
    """DuckDB wants the columns that a MERGE writes without their table's name."""
    for when in node.args["whens"].expressions:
        then = when.args["then"]
        if isinstance(then, exp.Update):
            for assignment in then.expressions:
                assignment.this.set("table", None)
        elif isinstance(then, exp.Insert) and isinstance(then.this, exp.Tuple):
            for column in then.this.expressions:
                column.set("table", None)
    return node


def _asof(node: exp.Expr) -> exp.Expr:
    """ASOF JOIN keeps rows that nothing matches: https://docs.snowflake.com/en/sql-reference/constructs/asof-join"""
    matched = node.args.get("match_condition")
    if matched is not None:
        node.set("match_condition", None)
        node.set("side", "LEFT")
        node.set("on", exp.and_(node.args["on"], matched, copy=False) if node.args.get("on") else matched)
    return node


def _update(node: exp.Expr) -> exp.Expr:
    for assignment in node.expressions:
        if isinstance(assignment, exp.EQ):
            assignment.this.set("table", None)
    return node


_RULES: dict[type[exp.Expr], Callable[[Any], exp.Expr]] = {
    exp.Cast: _typed,
    exp.TryCast: _typed,
    exp.ToChar: _to_char,
    exp.Concat: _joined,
    exp.DPipe: _joined,
    exp.JSONFormat: lambda node: call("_to_json", node.this),
    exp.ParseJSON: _parsed,
    exp.ToVariant: lambda node: call("_to_variant", node.this),
    exp.Typeof: lambda node: call("_typeof", node.this),
    exp.Struct: _object,
    exp.ArgMax: lambda node: call("arg_max_null", node.this, node.expression),
    exp.ArgMin: lambda node: call("arg_min_null", node.this, node.expression),
    exp.Seq4: lambda node: exp.column(exp.to_identifier("SEQ4", quoted=True)),
    exp.SHA2: _digest,
    exp.Length: _length,
    exp.Merge: _merge,
    exp.Update: _update,
    exp.Join: _asof,
}
