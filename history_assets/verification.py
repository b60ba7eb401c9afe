"""Proving promise 1: for every applied night whose clone is kept, the history as of that night is the clone.

Belongs here: what is compared with what. Does not belong here: the comparison itself (``warehouse/``).
"""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Collection, Iterator, Sequence

from history_assets.naming import table_name
from history_assets.warehouse.base import Applied, Clone, Difference, Warehouse


@dataclasses.dataclass(frozen=True)
class Finding:
    """What verification says of one table and date; no ``problem`` means that history and clone are the same."""

    schema: str
    table: str
    date: dt.date
    problem: str | None


def verify(warehouse: Warehouse, schemas: Collection[str] | None = None, date: dt.date | None = None) -> Iterator[Finding]:
    """Compare every applied night with its clone, where that still exists, and say what was found of each."""
    ledger = sorted(warehouse.ledger(schemas, date), key=lambda row: (row.date, row.schema, row.table))
    for (night, schema), rows in itertools.groupby(ledger, key=lambda row: (row.date, row.schema)):
        clone = warehouse.find_clone(schema, night)
        if clone:  # else it is forgotten, and nothing is left to compare with
            yield from _verify_clone(clone, list(rows), warehouse)


def _verify_clone(clone: Clone, rows: Sequence[Applied], warehouse: Warehouse) -> Iterator[Finding]:
    folded = [row for row in rows if row.clone_id == clone.clone_id]
    differences = dict(zip(folded, warehouse.differences(clone, folded), strict=True))
    for row in rows:
        name = f"{table_name(row.schema, row.table)} as of {row.date}"
        yield Finding(row.schema, row.table, row.date, _problem(name, differences.get(row)))


def _problem(name: str, found: Difference | None) -> str | None:
    if found is None:
        return f"{name}: the clone was made again after it was folded: run the date again"
    if not (found.only_history or found.only_clone):
        return None
    rows = "; ".join(str(example) for example in found.examples)
    return f"{name}: {found.only_history} rows only in history, {found.only_clone} only in the clone, such as {rows}"
