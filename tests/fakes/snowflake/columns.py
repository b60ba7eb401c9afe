"""Columns as statements declare them: names, types, defaults, keys."""

from typing import TYPE_CHECKING

from sqlglot import exp

from tests.fakes.snowflake import names, translate, types
from tests.fakes.snowflake.catalog import Key, Table
from tests.fakes.snowflake.errors import SnowflakeError

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session


def name_in(node: exp.Expr) -> str:
    """Return the exact name that a column reference or definition bears."""
    while not isinstance(node, exp.Identifier):
        node = node.this
    return translate.exact_name(node)


def stored_in(node: exp.Expr) -> str:
    """Return a column's name as DuckDB is told it."""
    return names.quote(names.stored(name_in(node)))


def exactly_typed(session: "Session", select: str, titles: list[str]) -> str:
    """Give what a query makes the types that Snowflake has: one whole number, VARIANT in place of lists and structs."""
    described = session.connection.execute(f"describe {select}").fetchall()
    listed = []
    for position, (name, kind, *_) in enumerate(described):
        title = titles[position] if position < len(titles) else names.quote(name)
        listed.append(f"cast({names.quote(name)} as {types.of_duckdb(kind).duckdb}) as {title}")
    return f"select {', '.join(listed)} from ({select}) as made"


def definitions(session: "Session", schema: exp.Expr, table: Table) -> str:
    """Return a table's declared columns as DuckDB is told them; keys are noted and not enforced."""
    declared = [part for part in schema.expressions if isinstance(part, exp.ColumnDef)]
    for part in schema.expressions:
        note_key(session, part, table)
    keys = table.key.columns if table.key else []
    written = [definition(session, part, table, name_in(part) in keys) for part in declared]
    return ", ".join(written)


def note_key(session: "Session", part: exp.Expr, table: Table) -> None:
    """Keep the primary key that a column or a constraint declares."""
    primary = part.find(exp.PrimaryKey)
    if isinstance(part, exp.ColumnDef) and part.find(exp.PrimaryKeyColumnConstraint):
        table.key = Key("SYS_CONSTRAINT_KEY", [name_in(part)], session.emulator.now)
    elif primary is not None:
        title = translate.exact_name(part.this) if isinstance(part, exp.Constraint) else "SYS_CONSTRAINT_KEY"
        table.key = Key(title, [name_in(column) for column in primary.expressions], session.emulator.now)


def definition(session: "Session", part: exp.ColumnDef, table: Table, in_key: bool = False) -> str:
    """Return one column as DuckDB is told it, and note of its type what DuckDB's does not tell."""
    kind = types.of_snowflake(part.args["kind"])
    note_type(table, name_in(part), kind)
    sql = f"{stored_in(part)} {kind.duckdb}"
    default = part.find(exp.DefaultColumnConstraint)
    if default is not None:
        sql += f" default {translate.to_duckdb(default.this.copy(), session.context())}"
    not_null = part.find(exp.NotNullColumnConstraint)
    return sql + (" not null" if in_key or (not_null is not None and not not_null.args.get("allow_null")) else "")


def note_type(table: Table, name: str, kind: types.Type) -> None:
    described = {"TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE"}.get(kind.duckdb, kind.duckdb)
    if kind == types.of_duckdb(described):
        table.types.pop(name, None)
    else:
        table.types[name] = kind


def check_alteration(name: str, old: types.Type, new: types.Type) -> None:
    """Refuse every change of type but longer texts and more digits before the point.

    https://docs.snowflake.com/en/sql-reference/sql/alter-table-column
    """
    if old.name == new.name and old.scale == new.scale and old.name in ("TEXT", "NUMBER", "BINARY"):
        if (old.length or 0) <= (new.length or 0):
            return
        reason = "reducing the byte-length of a varchar is not supported"
    elif old == new:
        return
    else:
        reason = "changing the type is not supported"
    raise SnowflakeError(
        "002108",
        "22000",
        f"SQL compilation error: cannot change column {name} from type {old.sql} to {new.sql} because {reason}.",
    )
