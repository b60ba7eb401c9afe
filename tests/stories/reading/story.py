"""The story that is read: one schema, folded once, whose tables' rows, columns and types change from night to night.

All that is read is compared with the nights as they were landed, which stand here as Python's values.
"""

import dataclasses
import datetime as dt
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from history_assets.history import History

DAYS = (1, 2, 3, 5, 6, 8)
"""The applied days of October 2026; the 4th and the 7th were never."""

LAST_MOMENT = dt.datetime(2026, 10, 10, tzinfo=dt.UTC)
"""After every night."""

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class State:
    """A table on a night: the types of its columns by name, and its rows."""

    columns: Mapping[str, str]
    rows: tuple[Row, ...]


def drawn(seed: int, *, retyped: bool) -> dict[int, State | None]:
    """Return a table's nights: keys that come and go, values that change, soft deletions, columns that come and go.

    ``later`` has the source's own date of each value, which is the day after the night that sees it.
    """
    chance = random.Random(seed)
    nights: dict[int, State | None] = {}
    rows: dict[int, Row] = {}
    for number, day in enumerate(DAYS):
        for key in range(6):
            if chance.random() < 0.25:
                rows.pop(key, None)
            elif chance.random() < 0.5:
                rows[key] = {"id": key, "value": day * 100 + key, "later": day + 1, "removed": chance.random() < 0.2}
        columns = {"id": "int", "value": "varchar" if retyped and number >= 3 else "int", "later": "int"}
        columns |= {"early": "int"} if number < 2 else {}
        columns |= {"late": "varchar"} if number >= 4 else {}
        columns |= {"_fivetran_deleted": "boolean"}
        made = []
        for row in rows.values():
            value = str(row["value"]) if columns["value"] == "varchar" else row["value"]
            whole = {
                **row,
                "value": value,
                "early": row["value"] + 1,
                "late": f"l{row['id']}",
                "_fivetran_deleted": row["removed"],
            }
            made.append({name: whole[name] for name in columns})
        nights[day] = State(columns, tuple(made))
    if seed % 2:
        nights[DAYS[3]] = None  # dropped, and back
    return nights


TABLES: Mapping[str, Mapping[int, State | None]] = {
    "account": drawn(2, retyped=False),
    "contact": drawn(3, retyped=True),
    'od"d na.me': drawn(4, retyped=True),
    "keyless": {
        day: State({"v": "varchar", "n": "int"}, tuple({"v": "a", "n": each} for each in (1, 1, None, day)[: 2 + day % 3]))
        for day in DAYS
    },
}


def cutoff(day: int) -> dt.datetime:
    return dt.datetime(2026, 10, day, tzinfo=dt.UTC)


def date(day: int) -> dt.date:
    return dt.date(2026, 10, day)


def landing(state: State) -> tuple[str, str | None]:
    columns = ", ".join(f"{name} {kind}" for name, kind in state.columns.items())
    values = ", ".join(f"({', '.join(map(literal, row.values()))})" for row in state.rows)
    return columns, f"values {values}" if values else None


def literal(value: Any) -> str:
    if value is None:
        return "null"
    return f"'{value}'" if isinstance(value, str) else str(value).lower()


def seen(name: str, day: int, *, deleted: bool = False) -> list[Row]:
    """Return a table's rows of a day as they are read."""
    state = TABLES[name][day]
    rows = state.rows if state else ()
    return [row for row in rows if deleted or not row.get("_fivetran_deleted")]


def rows_of(found: pa.Table) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "_fivetran_synced"} for row in found.to_pylist()]


def same(one: Sequence[Row], other: Sequence[Row]) -> bool:
    return sorted(map(repr, map(dict.items, one))) == sorted(map(repr, map(dict.items, other)))


def ask(history: History, spine: Any = None, on: Any = None, **options: Any) -> pa.Table:
    spine = spine if spine is not None else pa.table({"id": [1], "at": pa.array([cutoff(3)])})
    return history.point_in_time(spine, on or {"crm.account": "id"}, **{"time": "at"} | options)
