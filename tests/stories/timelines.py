"""Timelines: what a table may look like night after night, and the history that must come of it.

A timeline is drawn by Hypothesis as plain text values, so that the oracle here needs no engine: it steps through the nights and
writes down, for every whole row, from when to when how many copies there were. All that it is told of an engine is which types
are of one family.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence

import hypothesis
from hypothesis import strategies as st

NIGHTS = 6

DOMAINS: Mapping[str, tuple[str, ...]] = {
    "TINYINT": ("0", "1", "127"),
    "INTEGER": ("0", "1", "-2147483648"),
    "BIGINT": ("0", "1", "9223372036854775807"),
    "HUGEINT": ("1", "-170141183460469231731687303715884105727"),
    "UTINYINT": ("0", "1", "255"),
    "UBIGINT": ("1", "18446744073709551615"),
    "FLOAT": ("0.5", "-2.25", "nan"),
    "DOUBLE": ("0.5", "-2.25", "nan", "inf", "-inf", "1e+300"),
    "DECIMAL(4,2)": ("1.50", "-0.01"),
    "DECIMAL(18,2)": ("1.50", "-0.01", "1234567890123456.78"),
    "DECIMAL(18,3)": ("1.500", "2.125"),
    "VARCHAR": ("", "a", "b", "A", "ünï→", "it's", 'say "hi"', "a:1", "NULL", "null", " a"),
    "ENUM('a', 'b')": ("a", "b"),
    "BOOLEAN": ("true", "false"),
    "DATE": ("2026-01-01", "1969-12-31"),
    "TIMESTAMP": ("2026-01-01 00:00:00", "1969-12-31 23:59:59.999999"),
    "TIMESTAMP WITH TIME ZONE": ("2026-01-01 00:00:00+00", "2026-03-29 01:00:00.000001+00"),
    "JSON": ('{"a":1}', "[]", "null"),
    "BLOB": ("\\x00\\xFF", "abc"),
    "VARCHAR[]": ("[]", "[a, NULL]"),
}
NAMES = ("a", "b", "Key", "with space", 'qu"ote', "select", "x__as_y", "123", "true", "ключ")

Row = tuple[str | None, ...]


@dataclasses.dataclass(frozen=True)
class State:
    """A table on one night: columns as (name, type), the columns of its key, and rows as text."""

    columns: tuple[tuple[str, str], ...]
    key: tuple[str, ...]
    rows: tuple[Row, ...]


Timeline = tuple[State | None, ...]
"""A table's state on each night; nothing where it was absent."""

Value = tuple[tuple[str, str], str]
Identity = frozenset[Value]
"""A whole row: its values that are not NULL, each under its column's name and family of types."""

History = collections.Counter[tuple[Identity, int, int | None]]
"""Rows with the night from which and the night until which they held, each with its number of copies."""


Family = Callable[[str], str]
"""What returns the family of a type: types of one family share a column."""


def identities(state: State | None, family: Family) -> collections.Counter[Identity]:
    """Return a night's whole rows with their number of copies."""
    if state is None:
        return collections.Counter()
    named = [(name.lower(), family(kind)) for name, kind in state.columns]
    return collections.Counter(
        frozenset((column, value) for column, value in zip(named, row, strict=True) if value is not None) for row in state.rows
    )


def history_of(applied: Mapping[int, State | None], family: Family) -> History:
    """Return the history of the nights that were applied, in maximal intervals; nights are numbers."""
    history: History = collections.Counter()
    open_since: dict[tuple[Identity, int], int] = {}
    for night in sorted(applied):
        there = {(row, copy) for row, copies in identities(applied[night], family).items() for copy in range(copies)}
        for gone in set(open_since) - there:
            history[gone[0], open_since.pop(gone), night] += 1
        for new in there - set(open_since):
            open_since[new] = night
    for (row, _), since in open_since.items():
        history[row, since, None] += 1
    return history


@st.composite
def timelines(draw: st.DrawFn) -> Timeline:
    """Draw a table's nights: rows inserted, updated, deleted and back again, columns added, dropped, back and retyped."""
    names = draw(st.permutations(NAMES))
    width = draw(st.integers(1, 4))
    columns = [(name, draw(st.sampled_from(sorted(DOMAINS)))) for name in names[:width]]
    key = tuple(name for name, _ in columns[: draw(st.integers(0, min(width, 2)))])
    rows = draw(st.lists(_row(columns), max_size=5))
    seen = list(rows)
    nights: list[State | None] = [State(tuple(columns), key, tuple(rows))]
    while len(nights) < NIGHTS:
        for change in draw(st.lists(st.sampled_from(_CHANGES), max_size=4)):
            columns, rows = change(draw, columns, rows, seen, names)
            seen += [row for row in rows if row not in seen]
        rows = [row for row in rows if len(row) == len(columns)]
        there = {name for name, _ in columns}
        state = State(tuple(columns), tuple(name for name in key if name in there), tuple(rows))
        nights.append(None if draw(st.integers(0, 9)) == 0 else state)
    return tuple(nights)


def collect(count: int, seed: int, holds: Callable[[str, str], bool]) -> list[Timeline]:
    """Return that many different timelines of values of types that an engine ``holds``, the same for the same seed."""
    found: dict[Timeline, None] = {}
    while len(found) < count:

        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=max(count, 100),
            database=None,
            deadline=None,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(timelines())
        def gather(timeline: Timeline) -> None:
            if all(holds(kind, value) for kind, value in values(timeline)):
                found.setdefault(timeline)

        gather()
        seed += 1_000_003
    return list(found)[:count]


def values(timeline: Timeline) -> set[tuple[str, str]]:
    """Return the values that a timeline holds, each after its type."""
    return {
        (kind, value)
        for state in timeline
        if state is not None
        for row in state.rows
        for value, (_, kind) in zip(row, state.columns, strict=True)
        if value is not None
    }


Columns = list[tuple[str, str]]
Rows = list[Row]


def _row(columns: Sequence[tuple[str, str]]) -> st.SearchStrategy[Row]:
    return st.tuples(*(st.none() | st.sampled_from(DOMAINS[kind]) for _, kind in columns))


def _insert(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    return columns, [*rows, draw(_row(columns))]


def _copy(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    return columns, [*rows, draw(st.sampled_from(rows))] if rows else rows


def _return(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    fitting = [row for row in seen if len(row) == len(columns) and _fits(row, columns)]
    return columns, [*rows, draw(st.sampled_from(fitting))] if fitting else rows


def _update(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    if not rows:
        return columns, rows
    at, which = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(columns) - 1))
    value = draw(st.none() | st.sampled_from(DOMAINS[columns[which][1]]))
    changed = (*rows[at][:which], value, *rows[at][which + 1 :])
    return columns, [*rows[:at], changed, *rows[at + 1 :]]


def _delete(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    if not rows:
        return columns, rows
    at = draw(st.integers(0, len(rows) - 1))
    return columns, [*rows[:at], *rows[at + 1 :]]


def _empty(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    return columns, []


def _add_column(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    free = [name for name in names if name not in {column for column, _ in columns}]
    kind = draw(st.sampled_from(sorted(DOMAINS)))
    values = [draw(st.none() | st.sampled_from(DOMAINS[kind])) for _ in rows]
    if not free or len(columns) > 4:
        return columns, rows
    return [*columns, (free[0], kind)], [(*row, value) for row, value in zip(rows, values, strict=True)]


def _drop_column(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    if len(columns) == 1:
        return columns, rows
    at = draw(st.integers(0, len(columns) - 1))
    return [*columns[:at], *columns[at + 1 :]], [(*row[:at], *row[at + 1 :]) for row in rows]


def _retype(draw: st.DrawFn, columns: Columns, rows: Rows, seen: Rows, names: Sequence[str]) -> tuple[Columns, Rows]:
    at = draw(st.integers(0, len(columns) - 1))
    name, _ = columns[at]
    kind = draw(st.sampled_from(sorted(DOMAINS)))

    def keep(value: str | None) -> str | None:
        return value if value in DOMAINS[kind] else draw(st.none() | st.sampled_from(DOMAINS[kind]))

    return [*columns[:at], (name, kind), *columns[at + 1 :]], [(*row[:at], keep(row[at]), *row[at + 1 :]) for row in rows]


def _fits(row: Row, columns: Iterable[tuple[str, str]]) -> bool:
    return all(value is None or value in DOMAINS[kind] for value, (_, kind) in zip(row, columns, strict=True))


_CHANGES = (_insert, _insert, _copy, _return, _return, _update, _update, _delete, _empty, _add_column, _drop_column, _retype)
