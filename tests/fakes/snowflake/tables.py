"""DDL of tables, views and SQL table functions. All of it commits first, as Snowflake's does."""

from typing import TYPE_CHECKING

import sqlglot
from sqlglot import exp

from tests.fakes.snowflake import clone, columns, names, queries, translate, types
from tests.fakes.snowflake.catalog import Table
from tests.fakes.snowflake.errors import SnowflakeError, already_exists, did_not_exist, unsupported
from tests.fakes.snowflake.results import Result, status

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session

Name = tuple[str, str, str]


def run(session: "Session", tree: exp.Expr) -> Result:
    """Run one DDL statement on a table, a view or a function."""
    session.commit()
    if isinstance(tree, exp.Create):
        kind = tree.kind
        if kind == "FUNCTION":
            return _create_function(session, tree)
        if kind in ("TABLE", "VIEW"):
            return _create(session, tree, kind)
    elif isinstance(tree, exp.Drop):
        return _drop(session, tree)
    elif isinstance(tree, exp.Alter) and tree.args.get("kind") in ("TABLE", "VIEW"):
        return _alter(session, tree)
    elif isinstance(tree, exp.TruncateTable):
        for table in tree.expressions:
            found, place = session.table_place(_name(session, table))
            found.altered = session.emulator.now
            session.connection.execute(f"delete from {_dotted(place)}")
        return status("Statement executed successfully.")
    elif isinstance(tree, exp.Comment):
        return _comment(session, tree)
    raise unsupported(tree.sql(dialect="snowflake")[:200])


def _name(session: "Session", node: exp.Expr) -> Name:
    database, schema, name = session.full(translate.name_of(node))
    return database, schema, name


def _dotted(place: translate.Place) -> str:
    return ".".join(names.quote(part) for part in place)


def _create(session: "Session", tree: exp.Create, kind: str) -> Result:
    name = _name(session, tree.this)
    schema = session.emulator.catalog.schema(*name[:2])
    properties = list(tree.args["properties"].expressions) if tree.args.get("properties") else []
    temporary = any(isinstance(found, exp.TemporaryProperty) for found in properties)
    place = translate.temporary_place(*name) if temporary else (session.place(*name[:2]), names.stored(name[2]))
    known = session.temporary if temporary else {(*name[:2], key): table for key, table in schema.tables.items()}
    if name in known and not tree.args.get("replace"):
        if tree.args.get("exists"):
            return status(f"{name[2]} already exists, statement succeeded.")
        raise already_exists(names.shown(*name))
    now = session.emulator.now
    table = Table(name[2], now, now, session.role, kind)
    table.transient = schema.transient or any(isinstance(found, exp.TransientProperty) for found in properties)
    for found in properties:
        if isinstance(found, exp.SchemaCommentProperty):
            table.comment = found.this.name
        elif isinstance(found, exp.Property) and found.name.upper() == "DATA_RETENTION_TIME_IN_DAYS":
            table.retention = int(found.args["value"].name)
    sql = _body(session, tree, table, kind)
    session.connection.execute("begin")
    try:
        if name in known:
            session.connection.execute(f"drop {known[name].kind} {_dotted(place)}")
        for part in sql:
            session.connection.execute(
                part.replace("\0", f"create {'temporary ' if temporary else ''}{kind} {_dotted(place)}", 1)
            )
        session.connection.execute("commit")
    except Exception:
        session.connection.execute("rollback")
        raise
    if temporary:
        session.temporary[name] = table
    else:
        schema.tables[name[2]] = table
    return status(f"{kind.title()} {name[2]} successfully created.")


def _body(session: "Session", tree: exp.Create, table: Table, kind: str) -> list[str]:
    """Return the statements that make a table, with NUL in place of CREATE and its name."""
    clone_of = tree.args.get("clone")
    if clone_of is not None:
        return _clone_body(session, clone_of, table)
    if isinstance(tree.expression, exp.Query):
        select = translate.to_duckdb(tree.expression, session.context())
        titles = [columns.stored_in(column) for column in tree.this.expressions] if isinstance(tree.this, exp.Schema) else []
        if kind == "VIEW":
            listed = f" ({', '.join(titles)})" if titles else ""
            table.view = select
            return [f"\0{listed} as {select}"]
        return [f"\0 as {columns.exactly_typed(session, select, titles)}"]
    if isinstance(tree.expression, exp.Table) or tree.args.get("expression"):
        raise unsupported("CREATE TABLE LIKE")
    return [f"\0 ({columns.definitions(session, tree.this, table)})"]


def _clone_body(session: "Session", clone_of: exp.Expr, table: Table) -> list[str]:
    source, when = clone_of.this, clone_of.this.args.get("when") or clone_of.args.get("when")
    name = _name(session, source)
    found, place = session.table_place(name)
    if when is not None:
        options = clone.Options(at=queries.instant(session, when.args["expression"]))
        if options.at and options.at < found.created:
            raise did_not_exist(names.shown(*name))
        place = queries.place_at(session, name, found, when)
    copied = clone.cloned(found, found, table.transient, session.emulator.now)
    table.key, table.types, table.comment = copied.key, copied.types, table.comment or copied.comment
    return [f"\0 as select * from {_dotted(place)}"]


def _drop(session: "Session", tree: exp.Drop) -> Result:
    kind = (tree.args.get("kind") or "TABLE").upper()
    if kind not in ("TABLE", "VIEW"):
        raise unsupported(tree.sql(dialect="snowflake"))
    name = _name(session, tree.args["tables"][0])
    if name in session.temporary:
        kind = session.temporary.pop(name).kind
        session.connection.execute(f"drop {kind} {_dotted(translate.temporary_place(*name))}")
        return status(f"{name[2]} successfully dropped.")
    try:
        table = session.emulator.catalog.table(session.role, *name)
    except SnowflakeError:
        if tree.args.get("exists"):
            return status(f"Drop statement executed successfully ({name[2]} already dropped).")
        raise
    session.connection.execute(f"drop {table.kind} {_dotted((session.place(*name[:2]), names.stored(name[2])))}")
    del session.emulator.catalog.schema(*name[:2]).tables[name[2]]
    return status(f"{name[2]} successfully dropped.")


def _alter(session: "Session", tree: exp.Alter) -> Result:
    name = _name(session, tree.this)
    try:
        table, place = session.table_place(name)
    except SnowflakeError:
        if tree.args.get("exists"):
            return status("Statement executed successfully.")
        raise
    table.altered = session.emulator.now
    for action in tree.args["actions"]:
        _alter_once(session, name, table, _dotted(place), action)
    return status("Statement executed successfully.")


def _alter_once(session: "Session", name: Name, table: Table, place: str, action: exp.Expr) -> None:
    execute = session.connection.execute
    if isinstance(action, exp.ColumnDef):
        there = " if not exists" if action.args.get("exists") else ""
        definition = columns.definition(session, action, table)
        nullable = definition.removesuffix(" not null")
        execute(f"alter table {place} add column{there} {nullable}")
    elif isinstance(action, exp.RenameColumn):
        old, new = (columns.name_in(action.args[end]) for end in ("this", "to"))
        execute(f"alter table {place} rename column {names.quote(names.stored(old))} to {names.quote(names.stored(new))}")
        if old in table.types:
            table.types[new] = table.types.pop(old)
        if table.key:
            table.key.columns = [new if column == old else column for column in table.key.columns]
    elif isinstance(action, exp.AlterColumn) and action.args.get("dtype"):
        column = columns.name_in(action.this)
        kind = types.of_snowflake(action.args["dtype"])
        described = {names.exact(row[0]): row[1] for row in execute(f"describe {place}").fetchall()}
        if column in described:
            columns.check_alteration(column, table.types.get(column, types.of_duckdb(described[column])), kind)
        execute(f"alter table {place} alter column {columns.stored_in(action.this)} set data type {kind.duckdb}")
        columns.note_type(table, column, kind)
    elif isinstance(action, exp.AlterColumn) and action.args.get("allow_null") is not None:
        column = columns.stored_in(action.this)
        execute(f"alter table {place} alter column {column} {'drop' if action.args.get('drop') else 'set'} not null")
    elif isinstance(action, exp.Drop) and action.args.get("kind") == "COLUMN":
        there = " if exists" if action.args.get("exists") else ""
        column = columns.stored_in(action.args["tables"][0])
        execute(f"alter table {place} drop column{there} {column}")
    elif isinstance(action, exp.AlterRename):
        _rename(session, name, action)
    elif isinstance(action, exp.SwapTable):
        _swap(session, name, _name(session, action.this))
    elif isinstance(action, exp.AlterSet):
        for item in action.find_all(exp.Property, exp.SchemaCommentProperty):
            setting = item.name.upper()
            if setting == "DATA_RETENTION_TIME_IN_DAYS":
                table.retention = int(item.args["value"].name)
            elif setting == "COMMENT" or isinstance(item, exp.SchemaCommentProperty):
                table.comment = (item.args.get("value") or item.this).name
    elif isinstance(action, exp.AddConstraint):
        columns.note_key(session, action.expressions[0], table)
    else:
        raise unsupported(f"ALTER TABLE … {action.sql(dialect='snowflake')}")


def _rename(session: "Session", name: Name, action: exp.Expr) -> None:
    target = _name(session, action.this)
    if target[:2] != name[:2]:
        raise unsupported("ALTER TABLE … RENAME into another schema")
    schema = session.emulator.catalog.schema(*name[:2])
    if target[2] in schema.tables:
        raise already_exists(names.shown(*target))
    old, new = (names.quote(names.stored(part)) for part in (name[2], target[2]))
    session.connection.execute(f"alter table {schema.place}.{old} rename to {new}")
    schema.tables[target[2]] = schema.tables.pop(name[2])
    schema.tables[target[2]].name = target[2]


def _swap(session: "Session", one: Name, other: Name) -> None:
    if one[:2] != other[:2]:
        raise unsupported("ALTER TABLE … SWAP WITH another schema's")
    schema = session.emulator.catalog.schema(*one[:2])
    first, second = (names.quote(names.stored(name[2])) for name in (one, other))
    for old, new in ((first, '"swapped#"'), (second, first), ('"swapped#"', second)):
        session.connection.execute(f"alter table {schema.place}.{old} rename to {new}")
    schema.tables[one[2]], schema.tables[other[2]] = schema.tables[other[2]], schema.tables[one[2]]
    for name in (one[2], other[2]):
        schema.tables[name].name = name


def _comment(session: "Session", tree: exp.Comment) -> Result:
    if str(tree.args["kind"]).upper() in ("TABLE", "VIEW"):
        session.table_place(_name(session, tree.this))[0].comment = tree.args["expression"].name
    return status("Statement executed successfully.")


def _parameter(column: exp.Expr) -> str:
    """Return an argument of a function, with its default, as DuckDB's macros have it."""
    default = column.find(exp.DefaultColumnConstraint)
    return columns.stored_in(column) + (f" := {default.this.sql(dialect='duckdb')}" if default else "")


def _typed_arguments(body: exp.Expr, parameters: list[exp.Expr]) -> exp.Expr:
    """Have a function's arguments taken as of their declared types, which those of DuckDB's macros lack."""
    kinds = {columns.name_in(parameter): parameter.args["kind"] for parameter in parameters}
    for column in list(body.find_all(exp.Column)):
        if not column.table and (kind := kinds.get(columns.name_in(column))):
            column.replace(exp.Cast(this=column.copy(), to=kind.copy()))
    return body


def _create_function(session: "Session", tree: exp.Create) -> Result:
    """SQL table functions: https://docs.snowflake.com/en/developer-guide/udf/sql/udf-sql-tabular-functions"""
    definition = tree.this
    name = _name(session, definition.this)
    returned = tree.find(exp.ReturnsProperty)
    if returned is None or not returned.args.get("is_table"):
        raise unsupported("functions other than SQL table functions")
    body = _typed_arguments(sqlglot.parse_one(tree.expression.name, read="snowflake"), definition.expressions)
    titles = [columns.stored_in(column) for column in returned.this.expressions]
    parameters = [_parameter(column) for column in definition.expressions]
    select = translate.to_duckdb(body, session.context())
    place = f"{session.emulator.catalog.schema(*name[:2]).place}.{names.quote(names.stored(name[2]))}"
    session.connection.execute(
        f"create or replace macro {place}({', '.join(parameters)}) as table "
        f"select * from ({select}) as made({', '.join(titles)})"
    )
    # Snowflake compiles a body at once, DuckDB where it is called.
    session.connection.execute(f"explain select * from {place}({', '.join(['null'] * len(parameters))})")
    session.emulator.catalog.schema(*name[:2]).functions[name[2]] = tree.expression.name
    return status(f"Function {name[2]} successfully created.")
