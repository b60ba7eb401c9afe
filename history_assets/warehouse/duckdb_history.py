"""Reading and checking history tables of the embedded engine, over a connection to ``history.duckdb``.

Belongs here: running what ``history_sql`` and ``ledger_sql`` say, on files. Does not belong here: writing histories, which is
dbt's (``dbt_project/macros``).
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import duckdb

from history_assets.errors import UsageError
from history_assets.naming import quote
from history_assets.warehouse import history_sql, ledger_sql
from history_assets.warehouse.duckdb_files import has_table
from history_assets.warehouse.reading_sql import Answer
from history_assets.warehouse.statements import Dialect, HistoryTable, Statement
from history_assets.warehouse.values import LEDGER_SCHEMA, Applied, Carried, Clone, Difference, Question

if TYPE_CHECKING:
    import pyarrow as pa

DIALECT = Dialect(
    timestamp="timestamp",
    # A and a are one to DuckDB, É and é are not.
    fold=lambda name: name.encode().lower().decode(),
    loosely=lambda value, kind: f"try_cast({value} as {kind})",
    rows_of=lambda value, names: (
        "select unnest(each) from (select unnest("
        f"from_json({value}, '{json.dumps([dict.fromkeys(names, 'VARCHAR')])}')) as each)"
    ),
    utc=lambda value: f"timezone('UTC', {value})",
    earlier=lambda value, micros: f"{value} - to_microseconds({micros})",
    asof=lambda relation, at_or_before, equal: f"asof left join {relation} on {equal} and {at_or_before}",
)
LEDGER = f"{quote(LEDGER_SCHEMA)}.applied"


def of_ledger(connection: duckdb.DuckDBPyConnection, statement: Statement) -> list[dict[str, Any]]:
    """Return what is read of the ledger, by column; nothing where there is none yet."""
    if not has_table(connection, LEDGER_SCHEMA, "applied"):
        return []
    rows = run(connection, statement)
    names = [name for name, *_ in rows.description or ()]
    return [dict(zip(names, row, strict=True)) for row in rows.fetchall()]


def carry(connection: duckdb.DuckDBPyConnection, clones: Mapping[str, Clone], tables: Sequence[Carried]) -> None:
    """Enter tables into the ledger as unchanged; see ``Warehouse.carry``."""
    for statement in ledger_sql.carry(DIALECT, LEDGER, clones, tables):
        run(connection, statement)


def ask(connection: duckdb.DuckDBPyConnection, question: Question) -> "pa.Table":
    """Return what the SQL of a question answers."""
    answer: Answer = question.ask(DIALECT, history_table(connection, question.about))
    return table(connection, answer.statement)


def difference(connection: duckdb.DuckDBPyConnection, applied: Applied, clone_name: str) -> Difference:
    """Compare the history as of an applied date with its clone, attached under a plain name: rows as a multiset."""
    held = has_table(connection, "main", applied.table, clone_name)
    clone = f"{quote(clone_name)}.main.{quote(applied.table)}" if held else None
    counting, showing = history_sql.differences(DIALECT, history_table(connection, applied), clone, applied)
    counts = run(connection, counting).fetchall()[0]
    if not any(counts):
        return Difference(0, 0, ())
    return Difference(int(counts[0]), int(counts[1]), tuple(run(connection, showing).fetchall()))


def contradictions(connection: duckdb.DuckDBPyConnection, ledger: Sequence[Applied]) -> list[str]:
    """Return what a table's history says against itself or its ledger, one line each; ``ledger`` holds all of its rows."""
    newest = history_sql.newest_applied(ledger)
    if newest is None:
        return []
    history = history_table(connection, newest)
    if history.columns is None:
        return history_sql.lost(ledger)
    found = []
    for problem in history_sql.problems_of(DIALECT, history, newest):  # one at a time, for the sake of memory
        statement = history_sql.contradictions(DIALECT, history, LEDGER, newest, [problem])
        found += [history_sql.said(*row) for row in run(connection, statement).fetchall() if row[1]]
    return found


def table(connection: duckdb.DuckDBPyConnection, statement: Statement) -> "pa.Table":
    """Return the rows of a query."""
    try:
        return run(connection, statement).to_arrow_table()
    except (duckdb.ConversionException, duckdb.BinderException) as error:
        said = str(error).splitlines()[0]
        raise UsageError(f"found a value that its column cannot be compared with, expected one of its type: {said}") from error


def run(connection: duckdb.DuckDBPyConnection, statement: Statement) -> duckdb.DuckDBPyConnection:
    """Run a statement."""
    return connection.execute(statement.text, list(statement.values))


def history_table(connection: duckdb.DuckDBPyConnection, applied: Applied) -> HistoryTable:
    """Return a history and the columns that it has."""
    rows = connection.execute(
        "select column_name, data_type from duckdb_columns() "
        "where database_name = current_database() and schema_name = ? and table_name = ?",
        [applied.schema, applied.table],
    ).fetchall()
    columns = {DIALECT.fold(name): kind for name, kind in rows}
    return HistoryTable(f"{quote(applied.schema)}.{quote(applied.table)}", columns or None)
