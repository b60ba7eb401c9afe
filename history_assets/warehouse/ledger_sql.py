"""The SQL that reads the ledger and enters unchanged tables into it, the same on every engine but for a few words.

Belongs here: statements as text and bound values, and what a row of the ledger comes to. Does not belong here: running them
(each engine's own module), or entering what is folded, which is dbt's (``dbt_project/macros``).
"""

import datetime as dt
import functools
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from history_assets.warehouse.statements import Dialect, Statement, aware, instant
from history_assets.warehouse.values import Applied, AppliedColumn, Carried, Clone, Dates, Stamp, Status


def select_ledger(ledger: str, schemas: Collection[str] | None, date: dt.date | Dates | None, table: str | None) -> Statement:
    """Read the ledger, ordered by schema, table and date, as ``Warehouse.ledger`` says."""
    wheres, values = [], list[Any]()
    if schemas is not None:
        wheres.append(_among(schemas))
        values += sorted(schemas)
    if date is not None:
        wheres.append("clone_date between cast(? as date) and cast(? as date)")
        values += [str(each) for each in (date if isinstance(date, tuple) else (date, date))]
    if table is not None:
        wheres.append("concat(schema_name, '.', table_name) = ?")
        values.append(table)
    where = f" where {' and '.join(wheres)}" if wheres else ""
    # All its columns: one that was begun by an older version lacks some until it is folded into.
    text = f"select * from {ledger}{where} order by schema_name, table_name, clone_date"
    return Statement(text, tuple(values), compute=True)


def select_applied_before(ledger: str, schemas: Collection[str] | None, date: dt.date) -> Statement:
    """Read, of each table of some schemas, the entry that is applied next before a date."""
    among = "" if schemas is None else f" and {_among(schemas)}"
    # Of thousands of nights, the few that are asked for are found without a look at what is wide.
    text = (
        f"select * from {ledger} where status = 'applied' and (schema_name, table_name, cutoff) in "
        f"(select schema_name, table_name, max(cutoff) from {ledger} "
        f"where status = 'applied'{among} and clone_date < cast(? as date) group by schema_name, table_name)"
    )
    return Statement(text, (*sorted(schemas or ()), str(date)), compute=True)


def select_column_nights(ledger: str, schemas: Collection[str]) -> Statement:
    """Read, of each table of some schemas, the applied nights whose columns are not those of the one before."""
    known = (
        f"select schema_name, table_name, cutoff, md5(columns) as of_columns from {ledger} "
        f"where status = 'applied' and {_among(schemas)}"
    )
    changed = (
        f"select schema_name, table_name, cutoff from ({known}) as known "
        "qualify lag(of_columns) over (partition by schema_name, table_name order by cutoff) is distinct from of_columns"
    )
    text = f"select * from {ledger} where status = 'applied' and (schema_name, table_name, cutoff) in ({changed})"
    return Statement(text, tuple(sorted(schemas)), compute=True)


def select_tables(ledger: str) -> Statement:
    """List the tables of which a night was applied, as ``schema.table``."""
    names = "concat(schema_name, '.', table_name)"
    return Statement(f"select distinct {names} as name from {ledger} where status = 'applied' order by 1", compute=True)


def select_rules(ledger: str) -> Statement:
    """Read by which rules of cutoffs the history was built: time zone and time of day."""
    return Statement(f"select distinct time_zone, cutoff_time from {ledger}", compute=True)


def carry(dialect: Dialect, ledger: str, clones: Mapping[str, Clone], tables: Sequence[Carried]) -> list[Statement]:
    """Enter tables into the ledger as ``Warehouse.carry`` says: statements for one transaction.

    What is deleted makes two transactions that write the same table wait for each other, as in macros/snapshot.sql.
    """
    date, cutoff = {(clone.date, clone.cutoff) for clone in clones.values()}.pop()
    told = [_told_of(each, clones[each.schema]) for each in tables]
    moment = f"cast(? as {dialect.timestamp})"
    forget = (
        f"delete from {ledger} where cutoff = {moment} and status = 'quarantined' and (schema_name, table_name) in "
        f"(select schema_name, table_name from ({dialect.rows_of('?', _TOLD)}) as told)"
    )
    enter = (
        f"insert into {ledger} ({', '.join(_ENTERED)}) "
        f"select {', '.join(_ENTERED.values())} "
        f"from (select told.*, cast(? as date) as clone_date, {moment} as cutoff from ({dialect.rows_of('?', _TOLD)}) as told) "
        "as told join ("
        "select schema_name, table_name, max(entry) as newest_entry, "
        f"count(case when cutoff = {moment} then 1 end) as there, "
        f"max(case when status = 'applied' and cutoff < {moment} then cutoff end) as cutoff_before "
        f"from {ledger} group by schema_name, table_name) as known "
        "on known.schema_name = told.schema_name and known.table_name = told.table_name "
        f"join {ledger} as before on before.schema_name = known.schema_name and before.table_name = known.table_name "
        "and before.cutoff = known.cutoff_before "
        "where before.status = 'applied' and known.there = 0 and before.clone_id = told.clone_before"
    )
    known, at = json.dumps(told), instant(cutoff)
    return [
        Statement("begin", compute=True),
        Statement(forget, (at, known), compute=True),
        Statement(enter, (str(date), at, known, at, at), compute=True),
        Statement("commit", compute=True),
    ]


def _among(schemas: Collection[str]) -> str:
    return f"schema_name in ({', '.join('?' * len(schemas)) or 'null'})"


def _told_of(each: Carried, clone: Clone) -> dict[str, str]:
    known = {"schema_name": each.schema, "table_name": each.table, "clone_before": each.before, "clone_id": clone.clone_id}
    if each.stamp:
        known |= {"source_created": instant(each.stamp.created), "source_altered": instant(each.stamp.altered)}
    return known | {"quiet_point": instant(clone.quiet_point)}


_TOLD = ("schema_name", "table_name", "clone_before", "clone_id", "quiet_point", "source_created", "source_altered")
"""What is told of a table that is entered as unchanged; all of it text."""

_ENTERED = {
    "schema_name": "told.schema_name",
    "table_name": "told.table_name",
    "entry": "known.newest_entry + 1",
    "clone_date": "told.clone_date",
    "clone_id": "told.clone_id",
    "cutoff": "told.cutoff",
    **{name: f"cast(told.{name} as timestamp)" for name in ("quiet_point", "source_created", "source_altered")},
    "row_count": "before.row_count",
    "opened": "0",
    "closed": "0",
    **{name: f"before.{name}" for name in ("columns", "key_columns", "duplicate_keys", "status", "problem")},
    **{name: f"before.{name}" for name in ("time_zone", "cutoff_time")},
    "unchanged": "true",
}


def applied_of(row: Mapping[str, Any]) -> Applied:
    """Return a row of the ledger, given by the names of its columns."""
    stamp = (row.get("source_created"), row.get("source_altered"))
    return Applied(
        schema=row["schema_name"],
        table=row["table_name"],
        date=row["clone_date"],
        clone_id=row["clone_id"],
        cutoff=aware(row["cutoff"]),
        quiet_point=aware(row["quiet_point"]),
        rows=row["row_count"],
        opened=row["opened"],
        closed=row["closed"],
        columns=_columns_of(row["columns"]),
        key=tuple(json.loads(row["key_columns"])),
        status=Status(row["status"]),
        problem=row["problem"],
        time_zone=row["time_zone"],
        cutoff_time=row["cutoff_time"],
        unchanged=bool(row.get("unchanged")),
        stamp=Stamp(aware(stamp[0]), aware(stamp[1])) if stamp[0] and stamp[1] else None,
    )


_REMEMBERED = 1 << 13
"""Sets of columns of which the text is kept: one of each table is enough, whose nights mostly have the same."""


@functools.lru_cache(_REMEMBERED)
def _columns_of(written: str) -> tuple[AppliedColumn, ...]:
    return tuple(_shared_column(column["name"], column["type"], column["family"]) for column in json.loads(written))


@functools.cache
def _shared_column(name: str, kind: str, family: str, /) -> AppliedColumn:
    return AppliedColumn(name, kind, family)
