"""What the simulated connectors have landed, night after night."""

import collections
import datetime as dt
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

FIRST = dt.datetime(2026, 11, 1, 22, 0, tzinfo=dt.UTC)
NIGHTS = [FIRST + dt.timedelta(days=night) for night in range(7)]
WINDOW = dt.timedelta(minutes=30)
SCHEMAS = {
    "salesforce": {"account", "contact", "opportunity", "opportunity_line_item"},
    "zendesk": {"user", "ticket", "ticket_tag", "ticket_field_history", "ticket_comment"},
    "stripe": {"customer", "charge", "invoice", "balance_transaction", "refund"},
    "shop_public": {"customer", "orders", "order_item", "cart", "stock_count"},
    "shop_billing": {"payment", "exchange_rate"},
    "fivetran_metadata": {"connection", "log"},
}
FILLS = {"salesforce": ["salesforce"], "zendesk": ["zendesk"], "stripe": ["stripe"], "shop": ["shop_public", "shop_billing"]}
FLAGS = ("_fivetran_deleted", "is_deleted")
Row = dict[str, Any]


class Table(NamedTuple):
    types: dict[str, str]
    key: tuple[str, ...]
    rows: list[Row]

    def by_key(self) -> dict[tuple[Any, ...], Row]:
        """Return the rows by declared key or surrogate, and where there is neither, by whole row and copy number."""
        key = self.key or (("_fivetran_id",) if "_fivetran_id" in self.types else tuple(self.types))
        copies = collections.Counter[tuple[Any, ...]]()
        found = {}
        for row in self.rows:
            values = tuple(row[name] for name in key)
            copies[values] += 1
            found[*values, copies[values]] = row
        return found


State = dict[str, Table]


def read(raw: Path) -> State:
    """Return every table of every schema, by ``schema.table``."""
    state = {}
    for path in sorted(raw.glob("*.duckdb")):
        with duckdb.connect(str(path), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            keys = dict(
                connection.execute(
                    "SELECT table_name, constraint_column_names FROM duckdb_constraints() WHERE constraint_type = 'PRIMARY KEY'"
                ).fetchall()
            )
            for (name,) in connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall():
                found = connection.execute(f'SELECT * FROM "{name}" ORDER BY ALL')
                types = {column: str(kind) for column, kind, *_ in found.description}
                rows = [dict(zip(types, row, strict=True)) for row in found.fetchall()]
                state[f"{path.stem}.{name}"] = Table(types, tuple(keys.get(name, ())), rows)
    return state


def without_stamp(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "_fivetran_synced"}


def dropped(row: Row) -> bool:
    return any(row.get(flag) for flag in FLAGS)


def operations(before: Table | None, after: Table) -> collections.Counter[str]:
    """Return what happened to a table by comparing it whole, in the words of Fivetran's log."""
    olds, news = before.by_key() if before else {}, after.by_key()
    counts = collections.Counter[str](DELETED=len(olds.keys() - news.keys()))
    for key, new in news.items():
        old = olds.get(key)
        if old is None or dropped(old) > dropped(new):
            counts["REPLACED_OR_INSERTED"] += 1
        elif dropped(new) > dropped(old):
            counts["DELETED"] += 1
        elif old != new and old | {"_fivetran_synced": new["_fivetran_synced"]} == new:
            counts["REPLACED_OR_INSERTED"] += 1
        elif old != new and any(old.get(name) != new[name] for name in new):
            counts["UPDATED"] += 1
    return +counts


def nights(states: list[State]) -> Iterator[tuple[State, State]]:
    return itertools.pairwise(states)


def vanished(states: list[State], table: str) -> Iterator[tuple[int, set[tuple[Any, ...]]]]:
    for night, (before, after) in enumerate(nights(states)):
        if table in before:
            yield night, before[table].by_key().keys() - after[table].by_key().keys()
