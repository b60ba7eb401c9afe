"""What the history's database offers beside each table to those who read in SQL: a function as of a date, a view of now.

Belongs here: what they show, and when they have to be written anew; pure functions of the ledger. Does not belong here: an
engine's own words for them (``duckdb_functions``, ``snowflake_functions``).

Columns are taken from the ledger alone, since it says how a history is laid out: the plain name belongs to the newest night's
type of a column, other types' values lie in ``<column>__as_<family>``.
"""

import collections
import dataclasses
import hashlib
import itertools
import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from history_assets.inventory import SYNCED
from history_assets.naming import quote
from history_assets.warehouse.history_sql import deletion_marker, plain_name, value_of
from history_assets.warehouse.statements import Dialect
from history_assets.warehouse.values import Applied, AppliedColumn, Status

_VERSION = 2
"""Of what is written for the same columns: raise it to have all written anew."""

_MIXED = "of several types"


@dataclasses.dataclass(frozen=True)
class Offer:
    """What is to be there beside a table: ``sets`` are the nights at which its columns changed, by cutoff, the first included.

    ``held`` has the history's columns; without a ``view`` there is none, since a table has its name.
    """

    schema: str
    table: str
    sets: Sequence[Applied]
    held: Mapping[str, str]
    has_view: bool

    @property
    def function(self) -> str:
        """The function's name."""
        return suffixed(self.table, "_as_of")

    @property
    def view(self) -> str:
        """The view's name."""
        return suffixed(self.table, "_current")

    @property
    def digest(self) -> str:
        """What differs once any of it has to be written anew."""
        sets = [[str(night.date), [dataclasses.astuple(column) for column in night.columns]] for night in self.sets]
        said = json.dumps([_VERSION, sets, sorted(self.held.items()), self.has_view])
        return hashlib.sha256(said.encode()).hexdigest()


def suffixed(table: str, suffix: str) -> str:
    """Return a name beside a table's: in upper case where that is, so that neither needs quotes on Snowflake."""
    return table + (suffix.upper() if table == table.upper() and table != table.lower() else suffix)


def offers(dialect: Dialect, ledger: Iterable[Applied]) -> list[Offer]:
    """Return what is to be there beside each table, given the nights at which its columns changed, of some schemas."""
    rows = collections.defaultdict[tuple[str, str], list[Applied]](list)
    names = collections.defaultdict[str, set[str]](set)
    for row in ledger:
        names[row.schema].add(dialect.fold(row.table))
        if row.status is Status.APPLIED and row.columns:
            rows[row.schema, row.table].append(row)
    found = []
    for (schema, table), nights in sorted(rows.items()):
        nights.sort(key=lambda night: night.cutoff)
        sets = nights[:1] + [night for before, night in itertools.pairwise(nights) if night.columns != before.columns]
        has_view = dialect.fold(suffixed(table, "_current")) not in names[schema]
        found.append(Offer(schema, table, sets, _layout(dialect, sets), has_view))
    return found


def in_the_way(dialect: Dialect, ledger: Collection[Applied], tables: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the tables whose views have the names of tables that are folded for the first time."""
    known = {(row.schema, row.table) for row in ledger}
    new = {(schema, dialect.fold(table)) for schema, table in tables if (schema, table) not in known}
    return sorted((schema, table) for schema, table in known if (schema, dialect.fold(suffixed(table, "_current"))) in new)


def no_view(offer: Offer) -> str:
    """Return why a table has no view."""
    return (
        f"found a table {offer.schema}.{offer.view}, so that {offer.schema}.{offer.table} gets no view of that name: "
        f"use {offer.function} with the date"
    )


def shown(dialect: Dialect, offer: Offer, night: Applied) -> str:
    """Return a night's columns, typed as they were, as a select list over the history ``h``."""
    return ", ".join(f"{value_of(dialect, column, offer.held, 'h')} as {quote(column.name)}" for column in night.columns)


def is_there(dialect: Dialect, offer: Offer, night: Applied) -> str | None:
    """Return the condition by which a row of a night is not marked as deleted, if rows are marked at all."""
    marker = deletion_marker(night.columns)
    columns = [column for column in night.columns if column.name == marker]
    return f"not coalesce({value_of(dialect, columns[0], offer.held, 'h')}, false)" if columns else None


def night_of(schema: str, table: str, said: str, ledger: str, day: str, error: str, source: str = "") -> str:
    """Return a query of the one cutoff of a date, which fails where the table was not read that day.

    ``schema``, ``table``, ``day`` and ``said``, which the nearest nights are told after, are expressions, ``error`` what makes
    a text, ``{}``, into a failure. The text tells what was found, so that it cannot be made before any row is read. ``source``
    is joined to the ledger.
    """
    before, after = (
        f"cast({which}(case when clone_date {than} {day} then clone_date end) as varchar)"
        for which, than in (("max", "<"), ("min", ">"))
    )
    nearest = f"coalesce({before} || ' and ' || {after}, {before}, {after})"
    failed = error.format(f"'found no night ' || cast(max({day}) as varchar) || {said} || {nearest}")
    return (
        f"select case when count(case when clone_date = {day} then 1 end) > 0 "
        f"then max(case when clone_date = {day} then cutoff end) else {failed} end as cutoff from {ledger}{source} "
        f"where schema_name = {schema} and table_name = {table} and status = 'applied' and columns <> '[]'"
    )


def stale(dialect: Dialect, ledger: Iterable[Applied], written: Mapping[tuple[str, str], str]) -> list[Offer]:
    """Return what is not yet there, or not as it is to be, given the digests of what was written."""
    return [offer for offer in offers(dialect, ledger) if written.get((offer.schema, offer.table)) != offer.digest]


def current(dialect: Dialect, offer: Offer, table: str) -> str:
    """Return the query of a table's view: the rows that are there, with the columns of the newest night."""
    newest = offer.sets[-1]
    there = is_there(dialect, offer, newest)
    condition = f" and {there}" if there else ""
    return f"select {shown(dialect, offer, newest)} from {table} as h where h.dbt_valid_to is null{condition}"


def _layout(dialect: Dialect, sets: Sequence[Applied]) -> dict[str, str]:
    """Return the columns that a history has, with the types that matter for reading them."""
    families = collections.defaultdict[str, dict[str, AppliedColumn]](dict)
    for night in sets:
        for column in night.columns:
            known = families[dialect.fold(column.name)]
            # The newest comes last.
            known.pop(column.family, None)
            known[column.family] = column
    held: dict[str, str] = {}
    for known in families.values():
        *apart, newest = known.values()
        if newest.name.lower() == SYNCED:
            types = {column.type for night in sets for column in night.columns if column.name.lower() == SYNCED}
            held[dialect.fold(newest.name)] = newest.type if len(types) == 1 else _MIXED
            continue
        held[dialect.fold(plain_name(newest.name))] = newest.type
        held |= {dialect.fold(f"{column.name}__as_{column.family}"): column.type for column in apart}
    return held
