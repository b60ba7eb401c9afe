"""Queries and DML: Snowflake's SQL into DuckDB's. Most is sqlglot's; here stand names, and what the two mean differently."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import sqlglot
from sqlglot import exp

from tests.fakes.snowflake import names
from tests.fakes.snowflake.errors import unsupported
from tests.fakes.snowflake.rewriting import as_stored, cast, rewritten

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
    _table_functions(tree, context)
    places = [(table, context.place(table)) for table in tree.find_all(exp.Table) if is_stored(table)]
    for identifier in [found for found in tree.find_all(exp.Identifier) if not found.meta.get("stored")]:
        identifier.replace(exp.to_identifier(names.stored(exact_name(identifier)), quoted=True))
    for table, place in places:
        _store(table, place)
    for column in tree.find_all(exp.Column):
        column.set("db", None)
        column.set("catalog", None)
    root = exp.Paren(this=tree)
    for node in reversed(list(tree.walk(bfs=False))):
        replaced = rewritten(node, context.now, context.facts)
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
        elif isinstance(call, exp.Anonymous) and (place := context.function((*parts, _called(call)))):
            arguments = [_argument(argument.copy()) for argument in call.expressions]
            target = exp.Table(this=exp.Anonymous(this=names.quote(place[1]), expressions=arguments))
            target.set("db", as_stored(exp.to_identifier(place[0], quoted=True)))
            query = exp.Select(expressions=[exp.Star()], from_=exp.From(this=target))
        elif isinstance(node, exp.Table) and not isinstance(call, exp.Anonymous):
            continue
        else:
            raise unsupported(f"table function {node.sql(dialect='snowflake')}")
        node.replace(exp.Subquery(this=query, alias=alias))


def _called(call: exp.Anonymous) -> str:
    return exact_name(call.this) if isinstance(call.this, exp.Identifier) else call.name.upper()


def _argument(argument: exp.Expr) -> exp.Expr:
    """An argument by name, as DuckDB writes it."""
    if isinstance(argument, exp.Kwarg):
        named = exp.to_identifier(names.stored(argument.this.name.upper()), quoted=True)
        return exp.PropertyEQ(this=as_stored(named), expression=argument.expression)
    return argument


def _dotted(node: exp.Expr) -> tuple[str, ...]:
    if isinstance(node, exp.Dot):
        return (*_dotted(node.this), exact_name(node.expression))
    return (exact_name(node),)


def _flatten(call: exp.Explode) -> exp.Select:
    """FLATTEN of a range or of a VARIANT: https://docs.snowflake.com/en/sql-reference/functions/flatten"""
    source = call.this.expression if isinstance(call.this, exp.Kwarg) else call.this
    if isinstance(source, exp.GenerateSeries):
        ends = [as_stored(cast(source.args[end].copy(), "BIGINT")) for end in ("start", "end")]
        values: exp.Expr = exp.func("range", *ends)
    else:
        values = as_stored(cast(source.copy(), "JSON[]"))
    flat = "select null as SEQ, null as KEY, null as PATH, generate_subscripts(source, 1) - 1 as INDEX, unnest(source) as VALUE"
    query = sqlglot.parse_one(f"{flat} from (select 0 as source) as flat", dialect="duckdb")
    next(query.find_all(exp.Subquery)).this.expressions[0].this.replace(values)
    assert isinstance(query, exp.Select)
    return query
