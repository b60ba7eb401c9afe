"""Reading and checking history tables of the embedded engine, over a connection to ``history.duckdb``.

Belongs here: SQL that reads histories. Does not belong here: writing them, which is dbt's (``dbt_project/macros``).
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import duckdb

from history_assets.inventory import SYNCED
from history_assets.naming import quote
from history_assets.warehouse.base import LEDGER_SCHEMA, Applied, AppliedColumn, Difference, Status
from history_assets.warehouse.duckdb_files import has_table, naive

if TYPE_CHECKING:
    import pyarrow as pa

_EXAMPLES = 5
_OPEN = "dbt_valid_from <= $1 and (dbt_valid_to is null or dbt_valid_to > $1)"


def as_of(connection: duckdb.DuckDBPyConnection, applied: Applied, *, deleted: bool) -> "pa.Table":
    """Return a table as it was at an applied date; one that was absent that night has no columns and no rows."""
    select = _as_of(connection, applied, applied.columns)
    if not deleted and (marker := _deletion_marker(applied.columns)):
        select = f"select * from ({select}) where {quote(marker)} is not true"
    return connection.execute(select, [naive(applied.cutoff)]).to_arrow_table()


def difference(connection: duckdb.DuckDBPyConnection, applied: Applied) -> Difference:
    """Compare the history as of an applied date with its clone, attached as ``clone``: rows as a multiset."""
    columns = [column for column in applied.columns if column.name.lower() != SYNCED]
    found = _as_of(connection, applied, columns)
    there = has_table(connection, "main", applied.table, "clone")
    names = ", ".join(quote(column.name) for column in columns) or "1"
    expected = f"select {names} from clone.main.{quote(applied.table)}" if there else f"select * from ({found}) where false"
    moment = [naive(applied.cutoff)]
    only = [f"({one}) except all ({other})" for one, other in ((found, expected), (expected, found))]
    counts = [connection.execute(f"select count(*) from ({each})", moment).fetchall()[0][0] for each in only]
    if not any(counts):
        return Difference(0, 0, ())
    rows = [row for each in only for row in connection.execute(f"select * from ({each}) limit {_EXAMPLES}", moment).fetchall()]
    return Difference(counts[0], counts[1], tuple(rows[:_EXAMPLES]))


def contradictions(connection: duckdb.DuckDBPyConnection, ledger: Sequence[Applied]) -> list[str]:
    """Return what a table's history says against itself or its ledger, one line each.

    ``ledger`` holds all of the table's rows. Intervals must go forward, begin and end at applied cutoffs, be as long as they
    can be, have identifiers of their own, add up to the ledger's row counts, and not meet in a key that its clone had once.
    """
    applied = [row for row in ledger if row.status is Status.APPLIED]
    if not applied:
        return []
    newest = max(applied, key=lambda row: row.cutoff)
    schema, table = newest.schema, newest.table
    if not has_table(connection, schema, table):
        return [f"its table is gone, the ledger has {len(applied)} nights of it"] if any(row.rows for row in applied) else []
    history = f"{quote(schema)}.{quote(table)}"
    nights = f"select * from {quote(LEDGER_SCHEMA)}.applied where schema_name = $1 and table_name = $2 and status = 'applied'"
    checks = {
        "rows whose interval does not go forward": f"select 1 from {history} where dbt_valid_from >= dbt_valid_to",
        "rows that begin or end when no night was applied": (
            f"select 1 from {history} where dbt_valid_from is null or dbt_valid_from not in (select cutoff from nights) "
            "or dbt_valid_to not in (select cutoff from nights)"
        ),
        "identifiers that rows share": f"select 1 from {history} group by dbt_scd_id having count(*) > 1",
        "rows that end where an equal one begins": _adjoining(connection, schema, table),
        "nights with another number of rows than the ledger says": f"""
            with edges as (
              select dbt_valid_from as moment, 1 as step from {history}
              union all select dbt_valid_to, -1 from {history} where dbt_valid_to is not null
              union all select cutoff, 0 from nights
            ),
            counted as (select moment, sum(sum(step)) over (order by moment) as row_count from edges group by moment)
            select 1 from counted join nights on nights.cutoff = counted.moment where counted.row_count <> nights.row_count""",
    }
    if key := _held_key(connection, newest):
        checks["rows that overlap in a key that their clone had once"] = f"""
            with ordered as (
              select dbt_valid_from, max(coalesce(dbt_valid_to, 'infinity'::timestamp)) over (
                partition by {key} order by dbt_valid_from rows between unbounded preceding and 1 preceding) as taken_until
              from {history}
            )
            select 1 from ordered join nights on nights.cutoff = ordered.dbt_valid_from
            where taken_until > ordered.dbt_valid_from and nights.duplicate_keys = 0
              and nights.key_columns = (select arg_max(key_columns, cutoff) from nights)"""
    found = []
    for problem, sql in checks.items():
        counting = f"with nights as ({nights}) select count(*) from ({sql})"
        (count,) = connection.execute(counting, [schema, table]).fetchall()[0]
        if count:
            found.append(f"found {count} {problem}, expected none")
    return found


def _as_of(connection: duckdb.DuckDBPyConnection, applied: Applied, columns: Collection[AppliedColumn]) -> str:
    if not has_table(connection, applied.schema, applied.table):
        return "select 1 where $1 is null"
    held = _columns(connection, applied.schema, applied.table)
    shown = ", ".join(
        # Fivetran's stamp keeps the type that it had first, which another night's may not hold.
        f"{'try_cast' if _folded(column.name) == SYNCED else 'cast'}({quote(_held(column, held))} as {column.type}) "
        f"as {quote(column.name)}"
        for column in columns
    )
    return f"select {shown or '1'} from {quote(applied.schema)}.{quote(applied.table)} where {_OPEN}"


def _held(column: AppliedColumn, held: Collection[str]) -> str:
    """Return the history's column that holds a column of a clone; macros/columns.sql says how these are named."""
    apart = f"{column.name}__as_{column.family}"
    return apart if _folded(apart) in held else _plain(column.name)


def _plain(name: str) -> str:
    return f"{name}__as_is" if "__as_" in name.lower() else name


def _folded(name: str) -> str:
    """Return a name as DuckDB compares it: A and a are one to it, É and é are not."""
    return name.encode().lower().decode()


def _columns(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> list[str]:
    rows = connection.execute(
        "select column_name from duckdb_columns() "
        "where database_name = current_database() and schema_name = ? and table_name = ?",
        [schema, table],
    ).fetchall()
    return [_folded(name) for (name,) in rows]


def _adjoining(connection: duckdb.DuckDBPyConnection, schema: str, table: str) -> str:
    ours = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")
    columns = [name for name in _columns(connection, schema, table) if name not in ours and name != SYNCED]
    names = "".join(f"{quote(name)}, " for name in columns)
    history = f"{quote(schema)}.{quote(table)}"
    return (
        f"select {names}dbt_valid_to from {history} where dbt_valid_to is not null "
        f"intersect select {names}dbt_valid_from from {history}"
    )


def _held_key(connection: duckdb.DuckDBPyConnection, newest: Applied) -> str:
    if not newest.columns:
        return ""
    # A part of the key whose type has changed lies in several columns.
    held = _columns(connection, newest.schema, newest.table)
    parts = [_folded(name) for name in newest.key]
    columns = [name for name in held if any(name == _plain(part) or name.startswith(f"{part}__as_") for part in parts)]
    return ", ".join(quote(name) for name in columns)


def _deletion_marker(columns: Sequence[AppliedColumn]) -> str | None:
    # Application connectors such as Salesforce's mark deletion in is_deleted, the others in _fivetran_deleted.
    booleans = {column.name.lower(): column.name for column in columns if column.type == "BOOLEAN"}
    return booleans.get("_fivetran_deleted") or booleans.get("is_deleted")
