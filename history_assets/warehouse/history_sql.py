"""The SQL that reads and checks histories, the same on every engine but for a few words.

Belongs here: statements as text and bound values, and the rule that says which column of a history holds which of a clone.
Does not belong here: running them, or looking up which tables and columns there are (each engine's own module).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from history_assets.inventory import SYNCED
from history_assets.naming import quote
from history_assets.warehouse.statements import Dialect, HistoryTable, Statement, instant
from history_assets.warehouse.values import Applied, AppliedColumn, Status

_EXAMPLES = 5
OURS = {"dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to"}
"""Columns that every history has besides its table's."""


def as_of(
    dialect: Dialect,
    history: HistoryTable,
    applied: Applied,
    *,
    deleted: bool,
    columns: Sequence[AppliedColumn] | None = None,
    wheres: Sequence[Statement] = (),
) -> Statement:
    """Return a table as it was at an applied date, or some of its columns; one that was absent that night has no rows.

    ``wheres`` are conditions on any of the day's columns.
    """
    found, values = _as_of(dialect, history, applied, applied.columns)
    conditions = list(wheres)
    if not deleted and (marker := deletion_marker(applied.columns)):
        conditions.append(Statement(f"not coalesce({quote(marker)}, false)"))
    if conditions or columns is not None:
        shown = "*" if columns is None else ", ".join(quote(column.name) for column in columns)
        found = f"select {shown} from ({found}) as found"
        values = (*values, *(value for condition in conditions for value in condition.values))
    if conditions:
        found = f"{found} where {' and '.join(condition.text for condition in conditions)}"
    return Statement(found, values, compute=True)


def differences(dialect: Dialect, history: HistoryTable, clone: str | None, applied: Applied) -> tuple[Statement, Statement]:
    """Compare the history as of an applied date with its clone, as multisets of rows.

    The first statement counts the rows that only one of them has, the second shows a few. ``clone`` is the clone's table, if
    it has one.
    """
    columns = [column for column in applied.columns if column.name.lower() != SYNCED]
    shown = [f"v{number}" for number in range(1, len(columns) + 1)]
    found, values = _as_of(dialect, history, applied, columns, [*shown, "n"], ["1"])
    sides = [found]
    if clone:
        taken = [f"{quote(column.name)} as {name}" for column, name in zip(columns, shown, strict=True)]
        sides.append(f"select {', '.join([*taken, '-1 as n'])} from {clone}")
    group = f" group by {', '.join(shown)}" if shown else ""
    surplus = (
        f"with surplus as (select {', '.join([*shown, 'sum(n) as rows_left'])} from ({' union all '.join(sides)}) as sides"
        f"{group} having sum(n) <> 0)"
    )
    counts = (
        "select coalesce(sum(case when rows_left > 0 then rows_left end), 0) as only_history, "
        "coalesce(sum(case when rows_left < 0 then -rows_left end), 0) as only_clone from surplus"
    )
    examples = f"select {', '.join(shown) or 'rows_left'} from surplus order by rows_left desc, 1 limit {_EXAMPLES}"
    return Statement(f"{surplus} {counts}", values, compute=True), Statement(f"{surplus} {examples}", values, compute=True)


def contradictions(
    dialect: Dialect, history: HistoryTable, ledger: str, newest: Applied, problems: Collection[str] | None = None
) -> Statement:
    """Return a statement that counts what a history says against itself or its ledger, a row per problem.

    Intervals must go forward, begin and end at applied cutoffs, be as long as they can be, have identifiers of their own, add
    up to the ledger's row counts, and not meet in a key that its clone had once. ``problems`` chooses some of these.
    """
    checks = {name: sql for name, sql in _checks(dialect, history, newest).items() if problems is None or name in problems}
    nights = f"select * from {ledger} where schema_name = ? and table_name = ? and status = 'applied'"
    counts = [f"select '{name}' as problem, count(*) as found from ({sql}) as wrong" for name, sql in checks.items()]
    return Statement(f"with nights as ({nights}) {' union all '.join(counts)}", (newest.schema, newest.table), compute=True)


def problems_of(dialect: Dialect, history: HistoryTable, newest: Applied) -> list[str]:
    """Return the problems that ``contradictions`` would look for."""
    return list(_checks(dialect, history, newest))


def newest_applied(ledger: Sequence[Applied]) -> Applied | None:
    """Return the last applied night of a table's ledger rows, or nothing."""
    return max((row for row in ledger if row.status is Status.APPLIED), key=lambda row: row.cutoff, default=None)


def lost(ledger: Sequence[Applied]) -> list[str]:
    """Return what is to be said of a history whose table is gone."""
    applied = [row for row in ledger if row.status is Status.APPLIED]
    return [f"its table is gone, the ledger has {len(applied)} nights of it"] if any(row.rows for row in applied) else []


def said(problem: str, count: int) -> str:
    """Return a line about a problem that was found."""
    return f"found {count} {problem}, expected none"


def _checks(dialect: Dialect, history: HistoryTable, newest: Applied) -> dict[str, str]:
    table = history.sql
    checks = {
        "rows whose interval does not go forward": f"select 1 as one from {table} where dbt_valid_from >= dbt_valid_to",
        "rows that begin or end when no night was applied": (
            f"select 1 as one from {table} where dbt_valid_from is null "
            "or dbt_valid_from not in (select cutoff from nights) or dbt_valid_to not in (select cutoff from nights)"
        ),
        "identifiers that rows share": f"select 1 as one from {table} group by dbt_scd_id having count(*) > 1",
        "rows that end where an equal one begins": _adjoining(history),
        "nights with another number of rows than the ledger says": (
            "with edges as ("
            f"select dbt_valid_from as moment, 1 as step from {table} "
            f"union all select dbt_valid_to, -1 from {table} where dbt_valid_to is not null "
            "union all select cutoff, 0 from nights), "
            "counted as (select moment, sum(sum(step)) over (order by moment) as held from edges group by moment) "
            "select 1 as one from counted join nights on nights.cutoff = counted.moment where counted.held <> nights.row_count"
        ),
    }
    if key := _held_key(dialect, history, newest):
        # The end of time is a year that every engine can write.
        checks["rows that overlap in a key that their clone had once"] = (
            "with ordered as (select dbt_valid_from, "
            f"max(coalesce(dbt_valid_to, cast('9999-12-31' as {dialect.timestamp}))) over ("
            f"partition by {key} order by dbt_valid_from rows between unbounded preceding and 1 preceding) as taken_until "
            f"from {table}) "
            "select 1 as one from ordered join nights on nights.cutoff = ordered.dbt_valid_from "
            "where taken_until > ordered.dbt_valid_from and nights.duplicate_keys = 0 "
            "and nights.key_columns = (select max_by(key_columns, cutoff) from nights)"
        )
    return checks


def _as_of(
    dialect: Dialect,
    history: HistoryTable,
    applied: Applied,
    columns: Collection[AppliedColumn],
    names: Sequence[str] = (),
    extra: Sequence[str] = (),
) -> tuple[str, tuple[Any, ...]]:
    names = names or [quote(column.name) for column in columns]
    if history.columns is None:
        nothing = [f"null as {name}" for name in names] or ["1 as one"]
        return f"select {', '.join(nothing)} where 1 = 0", ()
    values = [value_of(dialect, column, history.columns) for column in columns]
    shown = [f"{value} as {name}" for value, name in zip([*values, *extra], names, strict=True)]
    moment = f"cast(? as {dialect.timestamp})"
    found = (
        f"select {', '.join(shown) or '1 as one'} from {history.sql} "
        # DuckDB reads this a good deal faster than a test for NULL or a later end.
        f"where dbt_valid_from <= {moment} and coalesce(dbt_valid_to, cast('9999-12-31' as {dialect.timestamp})) > {moment}"
    )
    return found, (instant(applied.cutoff),) * 2


def value_of(dialect: Dialect, column: AppliedColumn, held: Mapping[str, str], of: str = "") -> str:
    """Return the value of a clone's column, typed as it was, out of a history (``of``) with columns of these types."""
    name = held_in(dialect, column, held)
    stored = f"{of}.{quote(name)}" if of else quote(name)
    # Fivetran's stamp keeps the type that it had first, which another night's may not hold.
    if column.name.lower() == SYNCED and held.get(dialect.fold(name)) != column.type:
        return dialect.loosely(stored, column.type)
    return f"cast({stored} as {column.type})"


def held_in(dialect: Dialect, column: AppliedColumn, held: Collection[str]) -> str:
    """Return the history's column that holds a column of a clone; macros/columns.sql says how these are named."""
    apart = f"{column.name}__as_{column.family}"
    return apart if dialect.fold(apart) in held else plain_name(column.name)


def others_held(dialect: Dialect, nights: Iterable[Applied], column: AppliedColumn, held: Collection[str]) -> list[str]:
    """Return the history's columns that hold a column's values of other types, as some nights had it."""
    found = dict.fromkeys(
        held_in(dialect, other, held)
        for night in nights
        for other in night.columns
        if dialect.fold(other.name) == dialect.fold(column.name)
    )
    found.pop(held_in(dialect, column, held), None)
    return list(found)


def plain_name(name: str) -> str:
    """Return what a history calls a column of one type; a name that looks like one of ours is kept apart from them."""
    return f"{name}__as_is" if "__as_" in name.lower() else name


def _adjoining(history: HistoryTable) -> str:
    columns = [name for name in history.columns or () if name.lower() not in OURS | {SYNCED}]
    names = "".join(f"{quote(name)}, " for name in columns)
    return (
        f"select {names}dbt_valid_to from {history.sql} where dbt_valid_to is not null "
        f"intersect select {names}dbt_valid_from from {history.sql}"
    )


def _held_key(dialect: Dialect, history: HistoryTable, newest: Applied) -> str:
    if not newest.columns:
        return ""
    # A part of the key whose type has changed lies in several columns.
    parts = [dialect.fold(name) for name in newest.key]
    columns = [
        name
        for name in history.columns or ()
        if any(name == plain_name(part) or name.startswith(f"{part}{dialect.fold('__as_')}") for part in parts)
    ]
    return ", ".join(quote(name) for name in columns)


def deletion_marker(columns: Sequence[AppliedColumn]) -> str | None:
    """Return the column by which Fivetran marks the rows that are deleted, if there is one."""
    # Application connectors such as Salesforce's mark deletion in is_deleted, the others in _fivetran_deleted.
    booleans = {column.name.lower(): column.name for column in columns if column.type == "BOOLEAN"}
    return booleans.get("_fivetran_deleted") or booleans.get("is_deleted")
