"""Queries and DML: translated, run, counted, and DuckDB's errors told in Snowflake's words."""

import datetime as dt
import re
from typing import TYPE_CHECKING

import duckdb
from sqlglot import exp

from tests.fakes.snowflake import clone, names, results, translate, types
from tests.fakes.snowflake.catalog import Table
from tests.fakes.snowflake.errors import SnowflakeError, beyond_time_travel, compilation_error
from tests.fakes.snowflake.results import Result

if TYPE_CHECKING:
    from tests.fakes.snowflake.session import Session


def run(session: "Session", tree: exp.Expr) -> Result:
    """Run a query or a DML statement."""
    if isinstance(tree, exp.Query):
        return _select(session, tree)
    table, place = session.table_place(_target(tree))
    if not isinstance(tree, exp.Insert) or tree.args.get("overwrite"):
        session.lock_table(place)
    table.altered = session.emulator.now
    if isinstance(tree, exp.Insert) and tree.args.get("overwrite"):
        tree.set("overwrite", False)
        session.write(f"delete from {'.'.join(map(names.quote, place))}")
    if isinstance(tree, exp.Merge):
        return _merge(session, tree)
    sql = translate.to_duckdb(tree, session.context())
    affected = session.write(sql)[0][0]
    if isinstance(tree, exp.Insert):
        return results.counts(results.INSERT, inserted=affected)
    if isinstance(tree, exp.Update):
        return results.counts(results.UPDATE, updated=affected)
    return results.counts(results.DELETE, deleted=affected)


def _target(tree: exp.Expr) -> tuple[str, ...]:
    return translate.name_of(tree.this)


def _select(session: "Session", tree: exp.Expr) -> Result:
    cursor = session.connection.execute(translate.to_duckdb(tree, session.context()))
    columns = [(names.exact(column[0]), types.of_duckdb(str(column[1]))) for column in cursor.description or []]
    return Result(columns, statement_type=results.SELECT, table=cursor.to_arrow_table())


def _merge(session: "Session", tree: exp.Merge) -> Result:
    """MERGE is DuckDB's own, but that a row of the target may be met by one row of the source only.

    https://docs.snowflake.com/en/sql-reference/sql/merge#duplicate-join-behavior
    """
    whens = tree.args["whens"].expressions
    changing = [when for when in whens if when.args.get("matched")]
    if changing:
        target = tree.this.copy()
        if not target.args.get("alias"):
            target.set("alias", exp.TableAlias(this=target.this.copy()))
        row = exp.column("ROWID", target.args["alias"].this.copy())
        met = exp.select("1").from_(target).join(tree.args["using"].copy(), on=tree.args["on"].copy())
        if all(when.args.get("condition") for when in changing):
            met = met.where(exp.or_(*(when.args["condition"].copy() for when in changing)))
        met = met.group_by(row).having("count(*) > 1").limit(1)
        if session.connection.execute(translate.to_duckdb(met, session.context())).fetchall():
            raise SnowflakeError("100090", "42P18", "Duplicate row detected during DML action")
    kinds = {type(when.args["then"]).__name__ for when in whens}
    sql = translate.to_duckdb(tree, session.context())
    actions = [action for (action,) in session.write(f"{sql} returning merge_action")]
    numbers = {"inserted": actions.count("INSERT")} if "Insert" in kinds else {}
    if "Update" in kinds:
        numbers["updated"] = actions.count("UPDATE")
    if kinds - {"Insert", "Update"}:
        numbers["deleted"] = actions.count("DELETE")
    return results.counts(results.MERGE, **numbers)


def place_at(session: "Session", name: tuple[str, ...], table: Table, when: exp.Expr) -> translate.Place:
    """Return where a table is stored as it was at an instant: https://docs.snowflake.com/en/sql-reference/constructs/at-before"""
    catalog, now = session.emulator.catalog, session.emulator.now
    schema = catalog.schema(*name[:2])
    options = clone.Options(at=instant(session, when.args["expression"]), before=when.name.upper() == "BEFORE")
    state = clone.state_at(catalog, schema, options, now)
    if table.name not in state.tables or not clone.within_retention(catalog, schema, table, options, now):
        raise beyond_time_travel("table", names.shown(*name))
    return (state.place[1:-1].replace('""', '"'), names.stored(table.name))


def instant(session: "Session", expression: exp.Expr) -> dt.datetime:
    """Return what a TIMESTAMP => expression says: https://docs.snowflake.com/en/sql-reference/constructs/at-before"""
    sql = translate.to_duckdb(expression.copy(), session.context())
    (found,) = session.connection.execute(
        f"select strftime(cast({sql} as timestamptz), '%Y-%m-%d %H:%M:%S.%f')"
    ).fetchone() or (None,)
    return dt.datetime.fromisoformat(str(found)).replace(tzinfo=dt.UTC)


def error_of(error: duckdb.Error) -> SnowflakeError:
    """Return the error that Snowflake would give for what DuckDB refused; the text is DuckDB's, names made exact."""
    message = re.sub(r"#[0-9a-f]+\b", "", str(error)).split("\n\nLINE")[0].strip()
    if isinstance(error, duckdb.BinderException | duckdb.CatalogException):
        if found := re.search(
            r'column "?([^"]+?)"? not found|does not have a column with name "([^"]+)"|column "([^"]+)" was not found',
            message,
            re.IGNORECASE,
        ):
            return compilation_error(
                "000904", "42000", f"error line 1 at position 0\ninvalid identifier '{found[1] or found[2] or found[3]}'"
            )
        if found := re.search(r"Function with name (\S+) does not exist", message, re.IGNORECASE):
            return compilation_error("002140", "42601", f"Unknown function {found[1].upper()}")
        return compilation_error("002043", "02000", message)
    if isinstance(error, duckdb.ParserException):
        return compilation_error("001003", "42000", message)
    if isinstance(error, duckdb.ConstraintException):
        return SnowflakeError("100072", "22000", message)
    if isinstance(error, duckdb.ConversionException | duckdb.OutOfRangeException | duckdb.InvalidInputException):
        return SnowflakeError("100038", "22018", message)
    if isinstance(error, duckdb.TransactionException):
        return SnowflakeError(
            "000625", "57014", f"Statement has locked table in a transaction that has not committed: {message}"
        )
    return SnowflakeError("000603", "XX000", f"SQL execution internal error: {message}")
