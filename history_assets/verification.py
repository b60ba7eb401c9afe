"""Proving promise 1, and putting right what is wrong.

Belongs here: what is compared with what, and which nights are folded again. Does not belong here: the comparison itself
(``warehouse/``), the folding (``folding``).
"""

import collections
import dataclasses
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from history_assets import dbt_files
from history_assets.errors import HistoryMissingError, ProjectError, UsageError, WarehouseError
from history_assets.folding import fold, plan
from history_assets.inventory import SYNCED
from history_assets.naming import table_name
from history_assets.progress import Watch, unwatched
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Applied, Clone, Difference, Status

_LONG = 8
"""Columns of a row above which its key says more than all of it."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """What verification says of one table, on one date or as a whole; no ``problem`` means that nothing is wrong."""

    schema: str
    table: str
    date: dt.date | None
    problem: str | None


def check_asked(warehouse: Warehouse, schemas: Collection[str] | None, date: dt.date | None, now: dt.datetime) -> None:
    """Refuse to verify what cannot be there: schemas without histories, a date that lies ahead, anything where nothing is."""
    known = [schema.name for schema in warehouse.histories().schemas]
    if not known:
        raise HistoryMissingError(f"found no histories in {warehouse.place}: run a night first")
    if unknown := sorted(set(schemas or ()) - set(known)):
        raise UsageError(f"found no histories of schema {', '.join(unknown)}: expected one of {', '.join(known)}")
    if date:
        warehouse.settings.cutoffs().check_past(date, now)


def verify(
    warehouse: Warehouse,
    schemas: Collection[str] | None = None,
    date: dt.date | None = None,
    watch: Watch = unwatched,
) -> Iterator[Finding]:
    """Check histories, and say what was found of each: each applied night against its clone, where that is kept, and then,
    unless only a ``date`` is asked for, each table against itself and its ledger.
    """
    nights: dict[tuple[dt.date, str], list[Applied]] = collections.defaultdict(list)
    tables: dict[tuple[str, str], list[Applied]] = collections.defaultdict(list)
    for row in warehouse.ledger(schemas, date):
        tables[row.schema, row.table].append(row)
        if row.status is Status.APPLIED:
            nights[row.date, row.schema].append(row)
    total, done = sum(map(len, nights.values())) + (len(tables) if date is None else 0), 0
    for (night, schema), rows in sorted(nights.items()):
        watch("comparing with clones", done, total)
        done += len(rows)
        try:
            if clone := warehouse.find_clone(schema, night):  # else it is forgotten, and nothing is left to compare with
                yield from verify_clone(warehouse, clone, rows)
        except WarehouseError as error:
            if error.passing:
                raise
            for row in rows:
                yield Finding(schema, row.table, night, f"{table_name(schema, row.table)} as of {night}: {error}")
    if date is None:
        for (schema, table), rows in sorted(tables.items()):
            watch("looking at histories", done, total)
            done += 1
            said = "; ".join(warehouse.contradictions(rows))
            yield Finding(schema, table, None, f"{table_name(schema, table)}: {said}" if said else None)


def verify_clone(warehouse: Warehouse, clone: Clone, rows: Sequence[Applied]) -> Iterator[Finding]:
    """Compare histories with a clone, given what the ledger says of its date; tables that are not applied are passed over."""
    applied = [row for row in rows if row.status is Status.APPLIED]
    folded = [row for row in applied if row.clone_id == clone.clone_id]
    differences: Mapping[Applied, Difference] = dict(zip(folded, warehouse.differences(clone, folded), strict=True))
    for row in applied:
        name = f"{table_name(row.schema, row.table)} as of {row.date}"
        yield Finding(row.schema, row.table, row.date, _problem(name, row, differences.get(row)))


def unfolded(warehouse: Warehouse, clone: Clone, rows: Sequence[Applied]) -> list[Finding]:
    """Return the tables of a clone that are not folded from it, each with why, given what the ledger says of its date."""
    by_table = collections.defaultdict[str, list[Applied]](list)
    for row in rows:
        by_table[row.table].append(row)
    held = {table.name for table in warehouse.read_clone(clone).tables}
    found = []
    for table in sorted(held | by_table.keys()):
        said = {row.status: row for row in by_table[table]}
        applied, name = said.get(Status.APPLIED), f"{table_name(clone.schema, table)} as of {clone.date}"
        if applied and applied.clone_id == clone.clone_id:
            continue
        if quarantined := said.get(Status.QUARANTINED):
            reason = f"{name} is held back: {quarantined.problem}"
        elif applied:
            reason = f"{name} was folded from a clone that was replaced since: run the date again"
        else:
            reason = f"{name} is not folded: run the date again"
        found.append(Finding(clone.schema, table, clone.date, reason))
    return found


def repair(
    warehouse: Warehouse, findings: Collection[Finding], say: Callable[[str], Any], watch: Watch = unwatched
) -> list[str]:
    """Fold every kept clone of the tables that have a problem again, whatever their histories say, and return what failed.

    Nights whose clones are gone keep what the history says of them.
    """
    project = dbt_files.current(warehouse.settings.home)
    if project is None:
        raise ProjectError("found no generated dbt project: run `history-assets refresh` first")
    wrong = sorted({(finding.schema, finding.table) for finding in findings if finding.problem})
    kept = warehouse.clone_dates()
    dates = sorted({date for schema, _ in wrong for date in kept.get(schema, ())})
    plans = [each for each in (plan(warehouse, wrong, date) for date in dates) if each.tables]
    results = fold(project, warehouse, plans, say, force=True, watch=watch)
    return [
        f"{date}: {said}"
        for date, result in results.items()
        for said in (*result.failed.values(), *([result.error] if result.error else []))
    ]


def _problem(name: str, row: Applied, found: Difference | None) -> str | None:
    if found is None:
        return f"{name}: the clone was made again after it was folded: run the date again"
    if not (found.only_history or found.only_clone):
        return None
    examples = "; ".join(dict.fromkeys(_example(row, example) for example in found.examples))
    return f"{name}: {found.only_history} rows only in history, {found.only_clone} only in the clone, such as {examples}"


def _example(row: Applied, values: Sequence[Any]) -> str:
    """Return a row that differs as people read it: by its key where it is long and has one."""
    compared = [column.name for column in row.columns if column.name.lower() != SYNCED]
    named = dict(zip(compared, values, strict=True)) if len(compared) == len(values) else {}
    if len(values) <= _LONG or not all(part in named for part in row.key) or not row.key:
        return str(tuple(values))
    return ", ".join(f"{part}={named[part]!r}" for part in row.key)
