"""Queries and DML: Snowflake's SQL into DuckDB's. Most is sqlglot's; here stand names, and what the two mean differently."""

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlglot
from sqlglot import exp

from tests.fakes.snowflake import functions, names, types
from tests.fakes.snowflake.errors import SnowflakeError, unsupported

Place = tuple[str, ...]
"""A DuckDB name, in stored parts."""


@dataclass(frozen=True)
class Context:
    """What a translation asks its session."""

    place: Callable[[exp.Table], Place]
    """Where a table is stored; raises where there is none, or the role may not see it."""
    function: Callable[[tuple[str, ...]], Place | None]
    """Where a table function is stored."""
    now: dt.datetime
    facts: dict[str, str | None]
    """CURRENT_ROLE and the like, by name without the CURRENT_."""


def exact_name(identifier: exp.Expr) -> str:
    """Return the name that an identifier means: as written where quoted, else in upper case."""
    return identifier.name if identifier.args.get("quoted") else identifier.name.upper()


def temporary_place(database: str, schema: str, name: str) -> Place:
    return ("temp", "main", "#.".join(names.stored(part) for part in (database, schema, name)))


def name_of(table: exp.Expr) -> tuple[str, ...]:
    """Return the exact parts of a table's name."""
    if isinstance(table, exp.Schema):
        table = table.this
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise unsupported(f"the name {table.sql(dialect='snowflake')}")
    parts = [table.args.get("catalog"), table.args.get("db"), table.this]
    return tuple(exact_name(part) for part in parts if part is not None)


def to_duckdb(tree: exp.Expr, context: Context) -> str:
    """Return DuckDB SQL for a parsed query, DML statement or expression; the tree is used up."""
    _name_columns(tree)
    places = {id(table): context.place(table) for table in tree.find_all(exp.Table) if is_stored(table)}
    tables = [table for table in tree.find_all(exp.Table) if id(table) in places]
    _table_functions(tree, context)
    for identifier in [found for found in tree.find_all(exp.Identifier) if not found.meta.get("stored")]:
        identifier.replace(exp.to_identifier(names.stored(exact_name(identifier)), quoted=True))
    for table in tables:
        _store(table, places[id(table)])
    for column in tree.find_all(exp.Column):
        column.set("db", None)
        column.set("catalog", None)
    root = exp.Paren(this=tree)
    for node in reversed(list(tree.walk(bfs=False))):
        replaced = _rewritten(node, context)
        if replaced is not node:
            node.replace(replaced)
    sql = root.this.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.IGNORE)
    return str(sql)


def is_stored(table: exp.Table) -> bool:
    """Whether a table expression names a table or view, not a CTE or a function."""
    if not isinstance(table.this, exp.Identifier):
        return False
    if table.args.get("db"):
        return True
    wanted, node = exact_name(table.this), table.parent
    while node is not None:
        with_ = node.args.get("with_")
        if with_ is not None and any(exact_name(cte.args["alias"].this) == wanted for cte in with_.expressions):
            return False
        node = node.parent
    return True


def _store(table: exp.Table, place: Place) -> None:
    """Point a table expression to where its rows are; it keeps its name as an alias."""
    if not table.args.get("alias") and not isinstance(table.parent, exp.Insert | exp.Schema):
        table.set("alias", exp.TableAlias(this=table.this.copy()))
    table.set("when", None)
    parts = [exp.to_identifier(part, quoted=True) for part in place]
    for key, part in zip(("this", "db", "catalog"), [*reversed(parts), None, None], strict=False):
        table.set(key, part)


def _name_columns(tree: exp.Expr) -> None:
    """Name a result's columns that have no name by their text, as Snowflake does."""
    select = tree
    while isinstance(select, exp.SetOperation | exp.Subquery):
        select = select.this
    if isinstance(select, exp.Select):
        for projection in list(select.expressions):
            if not isinstance(projection, exp.Alias | exp.Column | exp.Star | exp.Dot):
                title = projection.sql(dialect="snowflake")
                title = title if isinstance(projection, exp.Literal) else title.upper()
                projection.replace(exp.alias_(projection.copy(), title, quoted=True))


def _table_functions(tree: exp.Expr, context: Context) -> None:
    """FLATTEN, GENERATOR and SQL table functions, as subqueries that DuckDB understands."""
    for node in list(tree.find_all(exp.Lateral, exp.TableFromRows, exp.Table)):
        call = node.this
        parts: tuple[str, ...] = ()
        if isinstance(node, exp.Table):
            if isinstance(call, exp.Identifier):
                continue
            parts = tuple(exact_name(part) for part in (node.args.get("catalog"), node.args.get("db")) if part)
        while isinstance(call, exp.Dot):
            left, call = call.this, call.expression
            parts = _dotted(left)
        alias = node.args.get("alias")
        alias = exp.TableAlias(this=alias.this.copy() if alias and alias.this else exp.to_identifier("FLATTENED"))
        query: exp.Expr
        if isinstance(call, exp.Explode):
            query = _flatten(call)
        elif isinstance(call, exp.Generator):
            query = exp.select("range AS SEQ4").from_(f"range({call.args['rowcount'].name})", dialect="duckdb")
        elif isinstance(call, exp.Anonymous) and (place := context.function((*parts, call.name.upper()))):
            arguments = [argument.copy() for argument in call.expressions]
            target = exp.Table(this=exp.Anonymous(this=names.quote(place[1]), expressions=arguments))
            target.set("db", _as_stored(exp.to_identifier(place[0], quoted=True)))
            query = exp.Select(expressions=[exp.Star()], from_=exp.From(this=target))
        elif isinstance(node, exp.Table) and not isinstance(call, exp.Anonymous):
            continue
        else:
            raise unsupported(f"table function {node.sql(dialect='snowflake')}")
        node.replace(exp.Subquery(this=query, alias=alias))


def _as_stored(node: exp.Expr) -> exp.Expr:
    """Mark a name or a cast as DuckDB's, not to be translated."""
    node.meta["stored"] = True
    return node


def _dotted(node: exp.Expr) -> tuple[str, ...]:
    if isinstance(node, exp.Dot):
        return (*_dotted(node.this), exact_name(node.expression))
    return (exact_name(node),)


def _flatten(call: exp.Explode) -> exp.Select:
    """FLATTEN of a range or of a VARIANT: https://docs.snowflake.com/en/sql-reference/functions/flatten"""
    source = call.this.expression if isinstance(call.this, exp.Kwarg) else call.this
    if isinstance(source, exp.GenerateSeries):
        ends = [_as_stored(_cast(source.args[end].copy(), "BIGINT")) for end in ("start", "end")]
        values: exp.Expr = exp.func("range", *ends)
    else:
        values = _as_stored(_cast(source.copy(), "JSON[]"))
    flat = "select null as SEQ, null as KEY, null as PATH, generate_subscripts(source, 1) - 1 as INDEX, unnest(source) as VALUE"
    query = sqlglot.parse_one(f"{flat} from (select 0 as source) as flat", dialect="duckdb")
    next(query.find_all(exp.Subquery)).this.expressions[0].this.replace(values)
    assert isinstance(query, exp.Select)
    return query


def _rewritten(node: exp.Expr, context: Context) -> exp.Expr:
    """Return what stands for one node whose children are rewritten already."""
    rule = _RULES.get(type(node))
    if rule is not None:
        return rule(node)
    if isinstance(node, exp.CurrentTimestamp):
        kind = "TIMESTAMP" if node.args.get("sysdate") else "TIMESTAMPTZ"
        return _cast(exp.Literal.string(context.now.isoformat(sep=" ")), kind)
    if isinstance(node, exp.CurrentDate):
        return _cast(exp.Literal.string(context.now.date().isoformat()), "DATE")
    name = type(node).__name__.upper()
    if isinstance(node, exp.Anonymous):
        name = node.name.upper()
        if name in _TIMES:
            kind, safe = _TIMES[name]
            return _cast(node.expressions[0].copy(), kind, safe)
    if name.startswith("CURRENT") or name in ("LAST_QUERY_ID", "CURRENT_VERSION"):
        fact = re.sub("^CURRENT_?", "", name)
        if fact in context.facts:
            value = context.facts[fact]
            return _cast(exp.Null() if value is None else exp.Literal.string(value), "VARCHAR")
    return node


_TIMES = {
    f"{prefix}TO_TIMESTAMP{suffix}": (kind, bool(prefix))
    for prefix in ("", "TRY_")
    for suffix, kind in (("", "TIMESTAMP"), ("_NTZ", "TIMESTAMP"), ("_TZ", "TIMESTAMPTZ"), ("_LTZ", "TIMESTAMPTZ"))
}


def _cast(value: exp.Expr, duckdb_type: str, safe: bool = False) -> exp.Expr:
    kind = exp.TryCast if safe else exp.Cast
    return kind(this=value, to=exp.DataType.build(duckdb_type, dialect="duckdb"))


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=[argument.copy() for argument in arguments])


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
        return node.copy()
    if isinstance(node, exp.Literal | exp.Length | exp.Count) or (isinstance(node, exp.Anonymous) and node.name == "length"):
        return _cast(node.copy(), "VARCHAR")
    return _call("_text", node)


def _length(node: exp.Expr) -> exp.Expr:
    return _call("length", node.this) if _is_text(node.this) else node


def _joined(node: exp.Expr) -> exp.Expr:
    parts = node.expressions if isinstance(node, exp.Concat) else [node.this, node.expression]
    joined = _as_text(parts[0])
    for part in parts[1:]:
        joined = exp.DPipe(this=joined, expression=_as_text(part))
    return exp.Paren(this=joined) if isinstance(node, exp.Concat) else joined


def _typed(node: exp.Expr) -> exp.Expr:
    """Casts: https://docs.snowflake.com/en/sql-reference/data-type-conversion"""
    if node.meta.get("stored"):
        return node
    kind = types.of_snowflake(node.args["to"])
    if kind.name == "TEXT" and kind.length == types.TEXT_LENGTH:
        return _as_text(node.this)
    if kind.name == "VARIANT":
        return _call("_to_variant", node.this)
    if kind.name == "BINARY":
        return exp.Unhex(this=node.this.copy()) if _is_text(node.this) else node.this.copy()
    value = node.this.copy()
    if kind.name.startswith("TIMESTAMP") and isinstance(value, exp.Literal):
        kept = "" if kind.name == "TIMESTAMP_NTZ" else r"\1"
        value = exp.Literal.string(re.sub(r" ?(Z|[+-]\d\d:?\d\d)$", kept, value.name))
    return _cast(value, kind.duckdb, isinstance(node, exp.TryCast))


def _to_char(node: exp.Expr) -> exp.Expr:
    format_ = node.args.get("format")
    if format_ is None:
        return _as_text(node.this)
    if format_.name.lower() in ("hex", "utf-8"):
        return _call("hex" if format_.name.lower() == "hex" else "decode", node.this)
    return _call("strftime", node.this, exp.Literal.string(_strftime(format_.name)))


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
            return _cast(exp.Literal.string(functions.parse_json(node.this.name)), "JSON")
        except ValueError as problem:
            if node.args.get("safe"):
                return _cast(exp.Null(), "JSON")
            raise SnowflakeError("100069", "22P02", f"Error parsing JSON: {problem}") from None
    if node.args.get("safe"):
        return node
    return _cast(_call("json", node.this), "JSON")


def _object(node: exp.Expr) -> exp.Expr:
    pairs = [part for pair in node.expressions for part in (pair.this, pair.expression)]
    return _call("json_object", *pairs)


def _digest(node: exp.Expr) -> exp.Expr:
    length = node.args.get("length")
    if length is not None and length.name not in ("256", "0"):
        raise unsupported(f"SHA2 of {length.name} bits")
    return _call("sha256", _as_text(node.this))


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
    exp.JSONFormat: lambda node: _call("_to_json", node.this),
    exp.ParseJSON: _parsed,
    exp.ToVariant: lambda node: _call("_to_variant", node.this),
    exp.Typeof: lambda node: _call("_typeof", node.this),
    exp.Struct: _object,
    exp.ArgMax: lambda node: _call("arg_max_null", node.this, node.expression),
    exp.ArgMin: lambda node: _call("arg_min_null", node.this, node.expression),
    exp.Seq4: lambda node: exp.column(exp.to_identifier("SEQ4", quoted=True)),
    exp.SHA2: _digest,
    exp.Length: _length,
    exp.Merge: _merge,
    exp.Update: _update,
}
