"""What a night changed, as Markdown for Dagster's pages.

Belongs here: how changes read, and how few of them are looked up, so that a night of thousands of tables does not pay for as
many previews. Does not belong here: the SQL (``reading_sql``), or what an asset's event says besides (``snapshots``).

All that comes from a source is escaped: whatever it is, it stands in its cell as it is.
"""

import datetime as dt
import itertools
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from history_assets.errors import HistoryError, shortened
from history_assets.markdown import escaped
from history_assets.naming import table_name
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.reading_sql import NightChanges
from history_assets.warehouse.values import Applied

TABLES = 20
"""How many tables' rows are looked up in a run, and how many tables of a schema are named: as many as anybody reads."""

LARGEST = 100_000
"""Changed rows of a table beyond which nobody sorts them to find the first."""

AT_ONCE = 999
"""Characters of Markdown that Dagster's pages show at once; more of it only opens on demand."""

_CELLS = 4
_LONGEST = 40

Night = tuple[str, str, dt.date]
"""A table's night: schema, table, date."""

Row = Sequence[str | None]
"""``opened`` or ``closed``, then the values."""


def row_changes(warehouse: Warehouse, ledger: Collection[Applied], widths: Collection[Applied]) -> dict[Night, str]:
    """Return the first changed rows of some tables' nights, the newest nights first, as Markdown.

    ``widths`` has the nights at which the columns of tables changed.
    """
    count = warehouse.settings.rows_shown()
    if not count:
        return {}
    changed = [row for row in ledger if 0 < row.opened + row.closed <= LARGEST]
    changed.sort(key=lambda row: (-row.date.toordinal(), table_name(row.schema, row.table)))

    def said(row: Applied) -> str:
        earlier = [each for each in widths if (each.schema, each.table) == (row.schema, row.table) and each.cutoff < row.cutoff]
        before = max(earlier, key=lambda each: each.cutoff, default=row)
        try:
            # A row that became another is two; one character more says that a value is longer.
            found = warehouse.ask(NightChanges(row, before, 2 * count, _LONGEST + 1))
        except HistoryError as error:
            return f"cannot be shown: {escaped(str(error))}"
        rows = list(zip(*(column.to_pylist() for column in found.columns), strict=True))
        return rows_table(found.column_names[1:], row.key, rows, count)

    chosen = changed[:TABLES]
    with ThreadPoolExecutor(warehouse.settings.threads) as pool:
        texts = pool.map(said, chosen)
        return {night_of(row): text for row, text in zip(chosen, texts, strict=True)}


def night_of(row: Applied) -> Night:
    """Return the table's night that a row of the ledger is about."""
    return row.schema, row.table, row.date


def rows_table(columns: Sequence[str], key: Collection[str], rows: Sequence[Row], count: int) -> str:
    """Return the first changes of a table, those of a key side by side, as a Markdown table: a line for each key."""
    keys = [place for place, name in enumerate(columns, 1) if name in key]
    others = [place for place, _ in enumerate(columns, 1) if place not in keys]
    lines = []
    for _, group in itertools.groupby(enumerate(rows), lambda each: [each[1][place] for place in keys] if keys else each[0]):
        sides = [row for _, row in group]
        if keys and [side[0] for side in sides] == ["closed", "opened"]:
            old, new = sides
            differing = [place for place in others if old[place] != new[place]]
            cells = [f"{escaped(columns[place - 1])}: {_value(old[place])} → {_value(new[place])}" for place in differing]
            lines.append(["changed", *(_value(new[place]) for place in keys), _few(cells)])
            continue
        for side in sides:
            cells = [f"{escaped(columns[place - 1])}: {_value(side[place])}" for place in others if side[place] is not None]
            lines.append([str(side[0]), *(_value(side[place]) for place in keys), _few(cells)])
    return _table(["", *(escaped(columns[place - 1]) for place in keys), "values"], lines[:count])


def tables_table(rows: Collection[Applied]) -> str:
    """Return which tables of a schema a night changed most, by how many rows, and which were held back, as Markdown."""
    changed = sorted((row for row in rows if row.opened or row.closed), key=lambda row: (-row.opened - row.closed, row.table))
    lines = [[escaped(row.table), f"{row.opened:,}", f"{row.closed:,}", f"{row.rows:,}"] for row in changed[:TABLES]]
    said = [f"{len(changed)} of {len(rows)} tables changed."]
    said += [f"Held back: {escaped(row.problem)}" for row in rows if row.problem][:TABLES]
    return "\n\n".join([*said, *([_table(["table", "opened", "closed", "rows"], lines)] if lines else [])])


def _value(text: str | None) -> str:
    return "*NULL*" if text is None else escaped(shortened(text, _LONGEST))


def _few(cells: Sequence[str]) -> str:
    return ", ".join(cells[:_CELLS]) + (f" and {len(cells) - _CELLS} more" if len(cells) > _CELLS else "")


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return as many of the lines, but at least one, as are shown at once."""
    text = "\n".join(_line(cells) for cells in [head, ["---"] * len(head), *lines[:1]])
    for cells in lines[1:]:
        if len(text) + len(line := _line(cells)) >= AT_ONCE:
            break
        text += f"\n{line}"
    return text


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
