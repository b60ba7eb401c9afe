"""What a schema's clones and its ledger say of its nights: which were lost, and which tables shrank.

Belongs here: pure functions over what is known without looking at a row. Does not belong here: comparing rows
(``verification``), holding a copy back before it is folded (``dbt_project/macros/gates.sql``).
"""

import collections
import datetime as dt
from collections.abc import Collection, Sequence

from history_assets.naming import table_name
from history_assets.warehouse.values import Applied, Status

WINDOW = dt.timedelta(days=30)
"""How many dates, the newest among them, a lost night is looked for in."""


def lost_nights(clones: Collection[dt.date], ledger: Sequence[Applied]) -> dict[dt.date, list[str]]:
    """Return the recent dates of a schema that have no clone and no history, each with the tables that lack it, all where none.

    A date without a clone needs every table that the ledger knows up to then: a clone that is gone was folded before.
    """
    known = set(clones) | {row.date for row in ledger}
    if not known:
        return {}
    newest = max(known)
    first = max(min(known), newest - WINDOW + dt.timedelta(days=1))
    since: dict[str, dt.date] = {}
    said = collections.defaultdict[dt.date, set[str]](set)
    for row in ledger:
        since[row.table] = min(row.date, since.get(row.table, row.date))
        said[row.date].add(row.table)
    lost = {}
    for date in (first + dt.timedelta(days=day) for day in range((newest - first).days + 1)):
        missing = sorted(table for table, begun in since.items() if begun <= date and table not in said[date])
        if date not in clones and (missing or not said[date]):
            lost[date] = missing if said[date] else []
    return lost


def large_drops(ledger: Sequence[Applied], share: float, rows: int) -> list[str]:
    """Return the tables of a schema whose newest copy lacks more than a ``share`` of the rows of the copy applied before it.

    Copies of fewer than ``rows`` rows say nothing. One that is held back counts as a copy.
    """
    newest = max((row.date for row in ledger), default=None)
    drops = []
    by_table = collections.defaultdict[str, list[Applied]](list)
    for row in ledger:
        by_table[row.table].append(row)
    for table, entries in sorted(by_table.items()):
        # Of a copy that is held back beside an older one that is applied, the newer is what there is.
        now = next((row for row in sorted(entries, key=lambda row: row.status is Status.APPLIED) if row.date == newest), None)
        applied = [row for row in entries if row.status is Status.APPLIED and newest and row.date < newest]
        before = max(applied, key=lambda row: row.date, default=None)
        if now and before and before.rows >= rows and before.rows - now.rows > share * before.rows:
            name = table_name(now.schema, table)
            drops.append(f"{name} has {now.rows} rows on {now.date}, {before.rows - now.rows} fewer than on {before.date}")
    return drops
