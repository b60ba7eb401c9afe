"""The point-in-time join: what was known of each row of a spine at that row's time, as SQL for any engine.

Belongs here: pure functions. Does not belong here: which nights and columns are meant (``history``), how a spine comes to the
engine, running statements (each engine's own module).

A spine is a relation with the columns ``k0``, ``k1`` … of its keys and ``known_at``, an instant in UTC without a zone. Of each
history the engine's ASOF join finds the last version of a key that began at or before that instant; its columns are shown if it
had not ended by then. Both ends of a version are cutoffs, so that nothing is seen before the night that saw it.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

from history_assets.errors import UsageError
from history_assets.naming import quote, table_name
from history_assets.warehouse.history_sql import held_in, others_held
from history_assets.warehouse.reading_sql import Answer
from history_assets.warehouse.statements import Dialect, HistoryTable, Statement, aware, instant
from history_assets.warehouse.values import Applied, AppliedColumn, Joined, SpineTable, SpineTimes

Run = Callable[[Statement], Sequence[Sequence[Any]]]
"""Runs a query, and returns its rows."""

ROW = "row_number_in_spine"
"""What a spine's rows are numbered by where they come from outside."""


@dataclasses.dataclass(frozen=True)
class Spine:
    """A spine as SQL refers to it: ``keys`` are the names of its key columns, in the order of ``k0``, ``k1`` …"""

    sql: str
    keys: Sequence[str]
    shown: Sequence[str] = ()
    values: tuple[Any, ...] = ()
    is_numbered: bool = False


def of_rows(relation: str, keys: Sequence[str]) -> Spine:
    """Return rows from outside as a spine; they keep their order, and need not be shown what they brought."""
    return Spine(relation, keys, is_numbered=True)


def of_table(dialect: Dialect, table: str, columns: Sequence[str], spine: SpineTable) -> Spine:
    """Return a table of the history's database, with all of its columns, as a spine."""
    keys = "".join(f"t.{quote(key)} as k{number}, " for number, key in enumerate(spine.keys))
    time = f"t.{quote(spine.time)}"
    if spine.days is None:
        text = f"(select t.*, {keys}{_known_at(dialect, time, spine.lag)} from {table} as t)"
        return Spine(text, spine.keys, columns)
    # A date stands for its cutoff, which only the rule of cutoffs knows.
    day, none = (
        f"select cast({value} as date) as day, cast({value} as {dialect.timestamp}) as moment" for value in ("?", "null")
    )
    days = " union all ".join([day] * len(spine.days)) or none
    text = f"(select t.*, {keys}d.moment as known_at from {table} as t left join ({days}) as d on d.day = {time})"
    values = tuple(value for date, moment in spine.days.items() for value in (str(date), instant(moment - spine.lag)))
    return Spine(text, spine.keys, columns, values)


def facts(dialect: Dialect, table: str, time: str, *, is_date: bool) -> Statement:
    """Return how many rows of a table have no time, and the last time of all."""
    last = quote(time) if is_date else dialect.utc(quote(time))
    return Statement(
        f"select sum(case when {quote(time)} is null then 1 else 0 end) as missing, max({last}) as last_time from {table}",
        compute=True,
    )


def days_of(table: str, time: str) -> Statement:
    """Return the dates that a table has in a column."""
    return Statement(f"select distinct {quote(time)} as day from {table}", compute=True)


def times(run: Run, dialect: Dialect, table: str, time: str, *, is_date: bool) -> SpineTimes:
    """Return what a table has in a column of times."""
    ((missing, last),) = run(facts(dialect, table, time, is_date=is_date))
    if not is_date:
        return SpineTimes(int(missing or 0), aware(last) if last else None, None)
    days = [day for (day,) in run(days_of(table, time)) if day is not None]
    return SpineTimes(int(missing or 0), None, sorted(days))


def repetition(spine: Spine, *, exactly: bool) -> Statement:
    """Return a key and time that several rows of a spine have; unless ``exactly``, whether there may be one, for much less."""
    names = ", ".join([*(f"k{number}" for number, _ in enumerate(spine.keys)), "known_at"])
    known = " or ".join(f"k{number} is not null" for number, _ in enumerate(spine.keys))
    if exactly:
        text = f"select {names} from {spine.sql} as spine where {known} group by {names} having count(*) > 1 limit 1"
    else:
        text = f"select 1 as one from (select hash({names}) as h from {spine.sql} as spine where {known}) as hashed "
        text += "having count(*) > count(distinct h)"
    return Statement(text, spine.values, compute=True)


def duplicates(ledger: str, joined: Joined) -> Statement:
    """Return how many copies of keys the nights that a spine may know of had at most."""
    values = (joined.night.schema, joined.night.table)
    return Statement(
        f"select max(duplicate_keys) as copies from {ledger} where schema_name = ? and table_name = ? and status = 'applied'",
        values,
        compute=True,
    )


def overlapping(dialect: Dialect, history: HistoryTable, joined: Joined) -> Statement:
    """Return a key by which a history has several rows at a time, as far as the spine may know of it."""
    names = ", ".join(f"j{number}" for number, _ in enumerate(joined.on))
    known = " and ".join(f"j{number} is not null" for number, _ in enumerate(joined.on))
    relation, values = _relation(dialect, history, joined, [])
    return Statement(
        f"select {names} from (select {names}, since, max(until) over (partition by {names} order by since "
        f"rows between unbounded preceding and 1 preceding) as taken_until from {relation} as versions where {known}) "
        "as ordered where taken_until > since limit 1",
        values,
        compute=True,
    )


def joined(dialect: Dialect, spine: Spine, histories: Sequence[tuple[HistoryTable, Joined]]) -> Answer:
    """Return the join; it shows what the spine is to show, and then what is known by it."""
    columns, joins, types = [f"s.{quote(name)}" for name in spine.shown], list[str](), dict[str, str]()
    values = list[Any](spine.values)
    for number, (history, each) in enumerate(histories):
        name = f"h{number}"
        relation, moments = _relation(dialect, history, each, list(each.columns.values()))
        values += moments
        equal = [f"s.k{list(spine.keys).index(key)} = {name}.j{position}" for position, key in enumerate(each.on)]
        joins.append(dialect.asof(f"{relation} as {name}", f"s.known_at >= {name}.since", " and ".join(equal)))
        for position, (label, column) in enumerate(each.columns.items()):
            # What had ended by then was known no more.
            columns.append(f"case when s.known_at < {name}.until then {name}.v{position} end as {quote(label)}")
            types[label] = _held_type(dialect, history, column)
    order = f" order by s.{ROW}" if spine.is_numbered else ""
    text = f"select {', '.join(columns) or '1 as one'} from {spine.sql} as s {' '.join(joins)}{order}"
    return Answer(Statement(text, tuple(values), compute=True), types)


def check(
    run: Run,
    dialect: Dialect,
    ledger: str,
    spine: Spine,
    histories: Sequence[tuple[HistoryTable, Joined]],
    *,
    repeated: bool,
) -> None:
    """Refuse keys by which a history has several rows at a time, and a spine that has a key and time in several rows."""
    for history, each in histories:
        name = table_name(each.night.schema, each.night.table)
        columns = ", ".join(column.name for column in each.on.values())
        if _by_its_key(dialect, history, each) and not run(duplicates(ledger, each))[0][0]:
            continue  # the gate, or the fold itself, has seen that each key is there once
        if found := run(overlapping(dialect, history, each)):
            raise UsageError(
                f"found several rows of {name} at a time with {columns} = {_told(found[0])}, expected one: "
                "name the columns that tell its rows apart"
            )
    if not repeated and run(repetition(spine, exactly=False)) and (found := run(repetition(spine, exactly=True))):
        raise UsageError(
            f"found several rows of the spine with {', '.join(spine.keys)} = {_told(found[0][:-1])} at {found[0][-1]} UTC, "
            "expected one: leave out the copies, or say repeated=True"
        )


def _by_its_key(dialect: Dialect, history: HistoryTable, joined: Joined) -> bool:
    """Say whether a history is joined by the one key that it had on every night, which never had another type."""
    keys = {night.key for night in joined.nights if night.columns}
    on = {column.name for column in joined.on.values()}
    plain = all(_value(dialect, history, joined.nights, column).startswith('"') for column in joined.on.values())
    return plain and len(keys) == 1 and keys != {()} and on >= set(*keys)


def _told(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _relation(
    dialect: Dialect, history: HistoryTable, joined: Joined, columns: Sequence[AppliedColumn]
) -> tuple[str, tuple[Any, ...]]:
    keys = [f"{_value(dialect, history, joined.nights, key)} as j{place}" for place, key in enumerate(joined.on.values())]
    values = [f"{_value(dialect, history, joined.nights, column)} as v{place}" for place, column in enumerate(columns)]
    until = f"coalesce(dbt_valid_to, cast('9999-12-31' as {dialect.timestamp})) as until"
    last = max((night.cutoff for night in joined.nights), default=joined.night.cutoff)
    wheres = [f"dbt_valid_from <= cast(? as {dialect.timestamp})"]
    if not joined.deleted and (marker := _marker(dialect, history, joined.nights)):
        wheres.append(f"not coalesce({marker}, false)")
    shown = ", ".join([*keys, *values, "dbt_valid_from as since", until])
    return f"(select {shown} from {history.sql} where {' and '.join(wheres)})", (instant(last),)


def _value(dialect: Dialect, history: HistoryTable, nights: Sequence[Applied], column: AppliedColumn) -> str:
    """Return a column's value of whichever night: of another type's column as of this one's, NULL where it is none."""
    held = history.columns or {}
    name, others = held_in(dialect, column, held), others_held(dialect, nights, column, held)
    if not others:
        return quote(name)
    kind = _held_type(dialect, history, column)
    converted = [dialect.loosely(f"cast({quote(other)} as varchar)", kind) for other in others]
    return f"coalesce({', '.join([quote(name), *converted])})"


def _held_type(dialect: Dialect, history: HistoryTable, column: AppliedColumn) -> str:
    held = history.columns or {}
    return held.get(dialect.fold(held_in(dialect, column, held)), column.type)


def _marker(dialect: Dialect, history: HistoryTable, nights: Sequence[Applied]) -> str | None:
    """Return what says of a row of whichever night that Fivetran marked it as deleted."""
    held = history.columns or {}
    found = {
        marker: quote(held_in(dialect, column, held))
        for marker in ("_fivetran_deleted", "is_deleted")
        for night in nights
        for column in night.columns
        if column.name.lower() == marker and column.type == "BOOLEAN"
    }
    return f"coalesce({', '.join(found.values())}, false)" if found else None


def _known_at(dialect: Dialect, time: str, lag: dt.timedelta) -> str:
    micros = lag // dt.timedelta(microseconds=1)
    known = dialect.utc(time)
    return f"{dialect.earlier(known, micros) if micros else known} as known_at"
