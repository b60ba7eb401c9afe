"""What can be asked of histories, each as the SQL that answers it on any engine.

Belongs here: pure functions of the ledger's rows and a history's columns. Does not belong here: the join to a spine
(``spine_sql``), running statements (each engine's own module), or deciding which nights are meant (``history``).

Across nights a column may have had several types. Its values then lie in several columns of the history, and are shown in
several: under the column's name in the newest night's type, under ``<column>__as_<family>`` in the others'.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from history_assets.inventory import SYNCED
from history_assets.naming import quote
from history_assets.warehouse import history_sql
from history_assets.warehouse.history_sql import deletion_marker, held_in
from history_assets.warehouse.statements import Dialect, HistoryTable, Statement, instant
from history_assets.warehouse.values import Applied, AppliedColumn, Question

INTERVAL = ("dbt_valid_from", "dbt_valid_to")
_TEXTS = ("VARCHAR", "TEXT", "STRING", "CHAR")


@dataclasses.dataclass(frozen=True)
class Answer:
    """A query, and the types of its columns by name as far as they are known."""

    statement: Statement
    types: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Shown:
    """A column as it is shown: under which name, and which column of which nights' clones it is."""

    name: str
    column: AppliedColumn


@dataclasses.dataclass(frozen=True)
class AsOf(Question):
    """A table as it was at an applied date, or some of it: ``where`` has the values that columns may have."""

    night: Applied
    columns: Sequence[AppliedColumn] | None = None
    where: Sequence[tuple[AppliedColumn, Sequence[Any]]] = ()
    deleted: bool = False

    @property
    def about(self) -> Applied:
        return self.night

    def ask(self, dialect: Dialect, history: HistoryTable) -> Answer:
        wheres = [_one_of(quote(column.name), column.type, values) for column, values in self.where]
        statement = history_sql.as_of(dialect, history, self.night, deleted=self.deleted, columns=self.columns, wheres=wheres)
        return Answer(statement, {column.name: column.type for column in self.night.columns})


@dataclasses.dataclass(frozen=True)
class Versions(Question):
    """Every version of the rows of a key, oldest first, over all applied nights."""

    nights: Sequence[Applied]
    key: Mapping[str, Any]

    @property
    def about(self) -> Applied:
        return self.nights[0]

    def ask(self, dialect: Dialect, history: HistoryTable) -> Answer:
        held = history.columns or {}
        shown = shown_columns(dialect, self.nights)
        values, types = _physical(dialect, shown, held)
        wheres = []
        for name, value in self.key.items():
            families = [each.column for each in shown if dialect.fold(each.column.name) == dialect.fold(name)]
            wheres.append(_in_columns(dialect, families, held, value))
        named = [f"{value} as {quote(each.name)}" for value, each in zip(values, shown, strict=True)]
        return Answer(
            Statement(
                f"select {', '.join([*named, *INTERVAL])} from {history.sql} "
                f"where {' and '.join(where.text for where in wheres)} order by dbt_valid_from, dbt_valid_to",
                tuple(value for where in wheres for value in where.values),
                compute=True,
            ),
            types,
        )


@dataclasses.dataclass(frozen=True)
class Changes(Question):
    """How a table differs between two applied nights: the rows that only one of them has.

    ``key`` pairs the row that a key had with the one that it has; without one, rows only come and go.
    """

    since: Applied
    until: Applied
    key: Sequence[str]
    deleted: bool = False

    @property
    def about(self) -> Applied:
        return self.until if self.until.columns else self.since

    def ask(self, dialect: Dialect, history: HistoryTable) -> Answer:
        held = history.columns or {}
        shown = shown_columns(dialect, [self.since, self.until])
        values, types = _physical(dialect, shown, held)
        change, side = helper("_change", shown), helper("_side", shown)
        names = [f"v{number}" for number, _ in enumerate(shown)]
        compared = [name for name, each in zip(names, shown, strict=True) if each.name.lower() != SYNCED] or ["1"]
        old, new = (self._there(dialect, night, held) for night in (self.since, self.until))
        taken = ", ".join([f"{value} as {name}" for value, name in zip(values, names, strict=True)] + list(INTERVAL))
        keys = [name for name, each in zip(names, shown, strict=True) if each.name in self.key]
        paired = "false"
        if keys:
            by_key = f"over (partition by {', '.join(keys)})"
            known = " and ".join(f"{key} is not null" for key in keys)
            paired = f"min(side) {by_key} <> max(side) {by_key} and {known}"
        told = [f"{name} as {quote(each.name)}" for name, each in zip(names, shown, strict=True)]
        text = (
            f"with sides as (select 'old' as side, {taken} from {history.sql} where {old.text} and not ({new.text}) "
            f"union all select 'new' as side, {taken} from {history.sql} where {new.text} and not ({old.text})), "
            # What left and came back the same has not changed; rows are told apart by how many of them there are.
            f"copies as (select *, row_number() over (partition by side, {', '.join(compared)} order by dbt_valid_from) "
            "as copy from sides), "
            f"twins as (select *, count(*) over (partition by {', '.join(compared)}, copy) as met from copies), "
            f"paired as (select *, {paired} as is_paired from twins where met = 1) "
            f"select case when is_paired then 'changed' when side = 'old' then 'closed' else 'opened' end as {quote(change)}, "
            f"side as {quote(side)}, {', '.join([*told, *INTERVAL])} from paired "
            f"order by {', '.join([*(keys or ['dbt_valid_from']), 'side desc'])}"
        )
        moments = (*old.values, *new.values, *new.values, *old.values)
        return Answer(Statement(text, moments, compute=True), types | {change: "VARCHAR", side: "VARCHAR"})

    def _there(self, dialect: Dialect, night: Applied, held: Mapping[str, str]) -> Statement:
        moment = f"cast(? as {dialect.timestamp})"
        text = f"dbt_valid_from <= {moment} and (dbt_valid_to is null or dbt_valid_to > {moment})"
        if not self.deleted and (marker := deletion_marker(night.columns)):
            column = next(each for each in night.columns if each.name == marker)
            text += f" and not coalesce({quote(held_in(dialect, column, held))}, false)"
        return Statement(text, (instant(night.cutoff),) * 2)


@dataclasses.dataclass(frozen=True)
class NightChanges(Question):
    """The first rows that an applied night opened or closed, those of a key side by side, the closed one first.

    ``before`` has the columns of the night before. Which of both comes first, the values after it as texts, none of them longer
    than ``longest``; the stamp of the sync is left out.
    """

    night: Applied
    before: Applied
    limit: int
    longest: int

    @property
    def about(self) -> Applied:
        return self.night

    def ask(self, dialect: Dialect, history: HistoryTable) -> Answer:
        every = shown_columns(dialect, [self.night, self.before] if self.before is not self.night else [self.night])
        shown = [each for each in every if each.name.lower() != SYNCED]
        values, _ = _physical(dialect, shown, history.columns or {})
        side, moment = helper("_side", shown), f"cast(? as {dialect.timestamp})"
        names = [f"v{number}" for number, _ in enumerate(shown)]
        taken = "".join(f", {value} as {name}" for value, name in zip(values, names, strict=True))
        order = [*(name for name, each in zip(names, shown, strict=True) if each.name in self.night.key), "side"]
        texts = "".join(
            f", left(cast({name} as varchar), {self.longest}) as {quote(each.name)}"
            for name, each in zip(names, shown, strict=True)
        )
        at = instant(self.night.cutoff)
        return Answer(
            Statement(
                f"with turned as (select case when dbt_valid_from = {moment} then 'opened' else 'closed' end as side{taken} "
                f"from {history.sql} where dbt_valid_from = {moment} or dbt_valid_to = {moment}) "
                f"select side as {quote(side)}{texts} from turned order by {', '.join(order)} limit {int(self.limit)}",
                (at, at, at),
                compute=True,
            ),
            dict.fromkeys([side, *(each.name for each in shown)], "VARCHAR"),
        )


def shown_columns(dialect: Dialect, nights: Sequence[Applied]) -> list[Shown]:
    """Return the columns that any of some nights had, the newest night's first, those of another type under another name."""
    found: dict[tuple[str, str], Shown] = {}
    named: set[str] = set()
    for night in sorted(nights, key=lambda night: night.cutoff, reverse=True):
        for column in night.columns:
            folded = dialect.fold(column.name)
            # The stamp has one column for good, whatever its type.
            family = "" if column.name.lower() == SYNCED else column.family
            if (folded, family) in found:
                continue
            name = column.name
            while dialect.fold(name) in named:
                name = f"{name}__as_{column.family}"
            named.add(dialect.fold(name))
            found[folded, family] = Shown(name, column)
    return list(found.values())


def helper(name: str, shown: Sequence[Shown]) -> str:
    """Return a name for a column of ours that no column of the source has."""
    taken = {each.name.lower() for each in shown}
    while name in taken:
        name = f"_{name}"
    return name


def matches(value: Any, kind: str) -> str:
    """Return the placeholder of a value that is compared with a column of a type: text is read as of that type."""
    if isinstance(value, str):
        return f"cast(? as {kind})"
    return "cast(? as varchar)" if kind.startswith(_TEXTS) else "?"


def _one_of(expression: str, kind: str, values: Sequence[Any]) -> Statement:
    known = [value for value in values if value is not None]
    parts = []
    if known:
        parts.append(Statement(f"{expression} in ({', '.join(matches(value, kind) for value in known)})", tuple(known)))
    if len(known) < len(values):
        parts.append(Statement(f"{expression} is null"))
    return _any_of(parts)


def _in_columns(dialect: Dialect, families: Sequence[AppliedColumn], held: Mapping[str, str], value: Any) -> Statement:
    names = [held_in(dialect, column, held) for column in families]
    if value is None:
        return Statement(" and ".join(f"{quote(name)} is null" for name in names))
    parts = []
    for name, column in zip(names, families, strict=True):
        kind = held.get(dialect.fold(name), column.type)
        # Another night's type may not be able to hold it.
        shown = dialect.loosely("?", kind) if isinstance(value, str) else matches(value, kind)
        parts.append(Statement(f"{quote(name)} = {shown}", (value,)))
    return _any_of(parts)


def _any_of(parts: Sequence[Statement]) -> Statement:
    values = tuple(value for part in parts for value in part.values)
    return Statement(f"({' or '.join(part.text for part in parts) or '1 = 0'})", values)


def _physical(dialect: Dialect, shown: Sequence[Shown], held: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Return where columns are held, and their types as they are stored, which hold every night's values."""
    names = [held_in(dialect, each.column, held) for each in shown]
    types = {each.name: held.get(dialect.fold(name), each.column.type) for each, name in zip(shown, names, strict=True)}
    return [quote(name) for name in names], types
