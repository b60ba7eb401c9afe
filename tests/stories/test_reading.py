"""Reading histories from Python: what a day was, what has changed since, what a key ever was, what was known of a spine's rows.

One story over one schema, folded once: tables whose rows, columns and types change from night to night. All that is read is
compared with the nights as they were landed, which stand here as Python's values.
"""

import collections
import dataclasses
import datetime as dt
import random
from collections.abc import Mapping, Sequence
from typing import Any

import hypothesis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from history_assets import dbt_run
from history_assets.errors import HistoryError, HistoryMissingError, UsageError
from history_assets.folding import Plan, night
from history_assets.history import History
from history_assets.refresh import refresh
from tests.stories.engines import Engine

DAYS = (1, 2, 3, 5, 6, 8)
"""The applied days of October 2026; the 4th and the 7th were never."""

LAST_MOMENT = dt.datetime(2026, 10, 10, tzinfo=dt.UTC)
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


@pytest.fixture(scope="module")
def told(engine: Engine) -> Engine:
    """The story, folded in one process of dbt."""
    keys = {f"crm.{name}": ("id",) for name in TABLES if name != "keyless"}
    settings, warehouse = engine.settings(gates=(), keys=keys), engine.warehouse(gates=(), keys=keys)
    project, nights = None, []
    for day in DAYS:
        landed = {name: landing(state) for name, states in TABLES.items() if (state := states[day])}
        engine.land("crm", f"{date(day) - dt.timedelta(days=1)}T20:00", landed, str(cutoff(day)))
        project = project or refresh(settings, warehouse).project.folder
        clone = warehouse.clone("crm", date(day), lambda day=day: cutoff(day))
        tables = tuple(("crm", name) for name in TABLES)
        nights.append(night(Plan(date(day), {"crm": clone}, tables, {}), tables, warehouse))
    assert project
    for result in dbt_run.fold(project, nights, settings, lambda _: None):
        assert (result.failed, result.error) == ({}, None)
    return engine


@pytest.fixture(scope="module")
def history(told: Engine) -> History:
    return History(told.warehouse())


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


def test_tables_and_dates_are_those_that_can_be_read(history: History) -> None:
    assert history.tables() == sorted(f"crm.{name}" for name in TABLES)
    assert history.dates("crm.account") == [date(day) for day in DAYS]
    assert history.dates("crm.contact") == [date(day) for day in DAYS if day != 5]


@pytest.mark.parametrize("name", TABLES)
def test_a_table_as_of_a_day_is_what_was_landed(history: History, name: str) -> None:
    for day in DAYS:
        state = TABLES[name][day]
        if state is None:
            with pytest.raises(HistoryMissingError, match="cloned then without it"):
                history.as_of(f"crm.{name}", date(day))
            continue
        for deleted in (False, True):
            found = history.as_of(f"crm.{name}", date(day), deleted=deleted)
            assert found.column_names == [*state.columns, "_fivetran_synced"]
            assert same(rows_of(found), seen(name, day, deleted=deleted))


@pytest.mark.parametrize(
    ("when", "day"),
    [
        ("2026-10-03", 3),
        (dt.date(2026, 10, 3), 3),
        (dt.datetime(2026, 10, 3, tzinfo=dt.UTC), 3),
        (dt.datetime(2026, 10, 2, 23, 59, 59, 999999, tzinfo=dt.UTC), 2),
        ("2026-10-04T12:00:00+00:00", 3),
        ("2026-10-05T01:00:00+02:00", 3),
        ("2026-10-05T02:00:00+02:00", 5),
        (LAST_MOMENT, 8),
    ],
)
def test_an_instant_means_the_newest_night_until_then(history: History, when: Any, day: int) -> None:
    assert same(rows_of(history.as_of("crm.account", when)), seen("account", day))


def test_columns_and_filters_are_as_asked(history: History) -> None:
    found = history.as_of("crm.account", "2026-10-02", columns=["value", "ID"], where={"id": [1, 2, 3], "later": 3})
    assert found.column_names == ["value", "id"]
    wanted = [row for row in seen("account", 2) if row["id"] in (1, 2, 3) and row["later"] == 3]
    assert same(rows_of(found), [{"value": row["value"], "id": row["id"]} for row in wanted])
    for value, kept in {None: [None], (None, 1): [None, 1, 1]}.items():
        rows = history.as_of("crm.keyless", "2026-10-05", where={"n": value})
        assert collections.Counter(rows["n"].to_pylist()) == collections.Counter(kept)
    assert history.as_of("crm.contact", "2026-10-06", columns=["id"], where={"value": "'; drop table x"}).num_rows == 0
    assert history.as_of("crm.keyless", "2026-10-05", where={"n": []}).num_rows == 0


@pytest.mark.parametrize("name", TABLES)
def test_changes_lead_from_one_day_to_the_other(history: History, name: str) -> None:
    """What is closed and opened, or was and is changed, is just what the days do not share."""
    for since in DAYS:
        for until in [day for day in DAYS if day >= since]:
            old, new = TABLES[name][since], TABLES[name][until]
            if old is None and new is None:
                continue
            found = history.changes(f"crm.{name}", date(since), date(until))
            mine = [changed_row(row) for row in found.to_pylist()]
            before, after = (collections.Counter(map(plain_row, seen(name, day))) for day in (since, until))
            assert collections.Counter(row for _, side, row in mine if side == "old") == before - after
            assert collections.Counter(row for _, side, row in mine if side == "new") == after - before
            assert {(change, side) for change, side, _ in mine} <= {
                ("closed", "old"),
                ("opened", "new"),
                ("changed", "old"),
                ("changed", "new"),
            }
            if name != "keyless" and old and new:
                keys = collections.defaultdict(list)
                for change, side, row in mine:
                    keys[dict(row)["id"]].append((change, side))
                gone, come = (dict.fromkeys(row["id"] for row in seen(name, day)) for day in (since, until))
                for key, said in keys.items():
                    both = [("changed", "old"), ("changed", "new")]
                    assert said == (
                        both if key in gone and key in come else [("closed", "old")] if key in gone else [("opened", "new")]
                    )


def plain_row(row: Row) -> frozenset[tuple[str, Any]]:
    return frozenset((name, value) for name, value in row.items() if value is not None)


def changed_row(row: Row) -> tuple[str, str, frozenset[tuple[str, Any]]]:
    helpers = ("_change", "_side", "dbt_valid_from", "dbt_valid_to", "_fivetran_synced")
    values = {name.partition("__as_")[0]: value for name, value in row.items() if name not in helpers and value is not None}
    return row["_change"], row["_side"], frozenset(values.items())


@pytest.mark.parametrize("name", [name for name in TABLES if name != "keyless"])
def test_the_versions_of_a_key_say_what_it_was_on_every_day(history: History, name: str) -> None:
    for key in range(7):
        found = history.versions(f"crm.{name}", key).to_pylist()
        assert found == history.versions(f"crm.{name}", {"id": key}).to_pylist()
        assert [row["dbt_valid_from"] for row in found] == sorted(row["dbt_valid_from"] for row in found)
        for day in DAYS:
            valid = [
                row
                for row in found
                if row["dbt_valid_from"] <= cutoff(day) and not (row["dbt_valid_to"] and row["dbt_valid_to"] <= cutoff(day))
            ]
            state = TABLES[name][day]
            wanted = [plain_row(row) for row in (state.rows if state else ()) if row["id"] == key]
            assert [changed_row({"_change": "", "_side": ""} | row)[2] for row in valid] == wanted


Spine = list[tuple[int | None, dt.datetime]]
MOMENTS = st.datetimes(dt.datetime(2026, 9, 29), dt.datetime(2026, 10, 10), timezones=st.just(dt.UTC))  # noqa: DTZ001
AT_CUTOFFS = st.sampled_from([cutoff(day) + dt.timedelta(microseconds=off) for day in DAYS for off in (-1, 0, 1)])
SPINES = st.lists(st.tuples(st.none() | st.integers(0, 7), MOMENTS | AT_CUTOFFS), max_size=12)
LAGS = (dt.timedelta(0), dt.timedelta(days=1), dt.timedelta(hours=7))
JOINED = ("account", "contact", 'od"d na.me')


def oracle(spine: Spine, lag: dt.timedelta, *, deleted: bool) -> list[list[Any]]:
    """Return what the clones say was known, looked up one by one."""
    last = max((moment - lag for _, moment in spine), default=LAST_MOMENT)
    found: list[list[Any]] = [[] for _ in spine]
    for name in JOINED:
        states = TABLES[name]
        known = [states[day] for day in DAYS if cutoff(day) <= last and states[day]] or [states[DAYS[0]]]
        assert known[-1]
        columns = [column for column in known[-1].columns if column != "id"]
        for row, (key, moment) in zip(found, spine, strict=True):
            nights = [day for day in DAYS if cutoff(day) <= moment - lag]
            there = seen(name, nights[-1], deleted=deleted) if nights else []
            ((match, *_), *_) = [[each for each in there if key is not None and each["id"] == key] or [{}]]
            for column in columns:
                value = match.get(column)
                row.append(str(value) if known[-1].columns[column] == "varchar" and value is not None else value)
    return found


def spine_table(spine: Spine) -> pa.Table:
    return pa.table(
        {
            "key": pa.array([key for key, _ in spine], pa.int64()),
            "moment": pa.array([moment for _, moment in spine], pa.timestamp("us", "UTC")),
            "label": pa.array(range(len(spine)), pa.int64()),
        }
    )


def check_spine(history: History, spine: Spine, lag: dt.timedelta, *, deleted: bool = False) -> None:
    rows = spine_table(spine)
    found = history.point_in_time(
        rows, {f"crm.{name}": {"key": "id"} for name in JOINED}, time="moment", lag=lag, deleted=deleted, repeated=True
    )
    assert found.select(rows.column_names) == rows
    assert [list(row.values())[3:] for row in found.to_pylist()] == oracle(spine, lag, deleted=deleted)


@hypothesis.settings(max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
@hypothesis.given(
    spine=SPINES, lag=st.sampled_from([dt.timedelta(0), dt.timedelta(days=1), dt.timedelta(hours=7)]), deleted=st.booleans()
)
def test_a_spine_sees_what_the_clones_say_was_known(
    history: History, engine_name: str, spine: Spine, lag: dt.timedelta, deleted: bool
) -> None:
    if engine_name != "duckdb":
        pytest.skip("the emulated account is asked once, about all keys and nights")
    check_spine(history, spine, lag, deleted=deleted)


def test_a_spine_over_all_keys_and_nights_sees_what_was_known(history: History) -> None:
    spine = [
        (key, cutoff(day) + off)
        for key in (*range(8), None)
        for day in (*DAYS, 4, 9)
        for off in (dt.timedelta(0), -dt.timedelta(microseconds=1))
    ]
    random.Random(0).shuffle(spine)
    check_spine(history, spine, dt.timedelta(0))
    check_spine(history, spine, dt.timedelta(hours=30), deleted=True)
    check_spine(history, [], dt.timedelta(0))


def test_a_column_that_tells_rows_apart_at_any_time_joins_as_a_key_does(history: History) -> None:
    """The versions of a row that has its value for several nights follow one another, and are no copies."""
    states = {day: state for day, state in TABLES["account"].items() if state}
    known = [(row["value"], cutoff(day), row["id"], row.get("late")) for day, state in states.items() for row in state.rows]
    assert {value for value, *_, late in known if late} & {value for value, *_, late in known if not late}

    found = history.point_in_time(
        spine_table([(value, moment) for value, moment, *_ in known]),
        {"crm.account": {"key": "value"}},
        time="moment",
        columns={"crm.account": ["id", "late"]},
        deleted=True,
    )

    assert [tuple(row.values()) for row in found.select(["key", "moment", "id", "late"]).to_pylist()] == known


def test_nothing_of_tomorrow_is_ever_seen(history: History) -> None:
    """Every value tells the day that it was landed for; the source's own dates are all of the day after."""
    moments = [cutoff(1) + dt.timedelta(hours=hours) for hours in range(0, 9 * 24, 5)]
    spine = spine_table([(key, moment) for moment in moments for key in range(6)])
    found = history.point_in_time(spine, {"crm.account": {"key": "id"}, "crm.contact": {"key": "id"}}, time="moment")
    values = [
        (row["moment"], int(row[name])) for row in found.to_pylist() for name in row if name.endswith("__value") and row[name]
    ]
    assert values
    assert [(moment, value) for moment, value in values if cutoff(value // 100) > moment] == []
    # And once more as it was before the later nights were known of.
    early = pa.concat_tables([spine.filter(pa.compute.less(spine["moment"], pa.scalar(cutoff(2), spine["moment"].type)))])
    assert "late" not in history.point_in_time(early, {"crm.account": {"key": "id"}}, time="moment").column_names


def test_dates_stand_for_their_cutoffs(history: History) -> None:
    spine = pa.table({"id": [1, 1, 2], "day": pa.array([date(3), date(4), date(1)])})
    found = history.point_in_time(spine, {"crm.account": "id"}, time="day")
    moments = pa.table({"id": [1, 1, 2], "day": pa.array([cutoff(3), cutoff(4), cutoff(1)])})
    assert found.drop_columns("day") == history.point_in_time(moments, {"crm.account": ["id"]}, time="day").drop_columns("day")


def test_a_table_is_a_spine(told: Engine, history: History) -> None:
    table, kind = told.table("crm", "spine"), "timestamptz" if told.folds_case else "timestamp_tz"
    told.execute(
        f'create table {table} ("id" bigint, "at" {kind}, "day" date)',
        *[f"insert into {table} values ({key}, '{cutoff(day)}', '{date(day)}')" for key in range(6) for day in (*DAYS, 4)],
    )
    try:
        rows = history.point_in_time("crm.spine", {"crm.account": "id"}, time="at", columns={"crm.account": ["value", "late"]})
        days = history.point_in_time("crm.spine", {"crm.account": "id"}, time="day", columns={"crm.account": ["value", "late"]})
        aside = history.point_in_time(
            rows.select(["id", "at"]), {"crm.account": "id"}, time="at", columns={"crm.account": ["value", "late"]}
        )
    finally:
        told.execute(f"drop table {table}")
    assert rows.num_rows == 6 * 7
    assert rows.column_names == ["id", "at", "day", "value", "late"]
    assert same(rows.to_pylist(), days.to_pylist())
    assert aside == rows.drop_columns("day")


def test_taken_names_get_their_tables(history: History) -> None:
    spine = pa.table({"id": [1], "at": pa.array([cutoff(8)]), "late": ["mine"]})
    found = history.point_in_time(spine, {"crm.account": "id", "crm.contact": "id"}, time="at")
    shown = ["value", "later", "late", "_fivetran_deleted"]
    assert found.column_names == [
        "id",
        "at",
        "late",
        *(f"{table}__{name}" for table in ("account", "contact") for name in shown),
    ]


class Frame:
    """A DataFrame as the library sees any: what hands over Arrow."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(requested_schema)


def test_a_frame_is_a_spine(history: History) -> None:
    spine = spine_table([(1, cutoff(3)), (2, cutoff(5))])
    on = {"crm.account": {"key": "id"}}
    assert history.point_in_time(Frame(spine), on, time="moment") == history.point_in_time(spine, on, time="moment")


def ask(history: History, spine: Any = None, on: Any = None, **options: Any) -> pa.Table:
    spine = spine if spine is not None else pa.table({"id": [1], "at": pa.array([cutoff(3)])})
    return history.point_in_time(spine, on or {"crm.account": "id"}, **{"time": "at"} | options)


WRONG: Mapping[str, tuple[Any, str]] = {
    "an unknown table": (
        lambda h: h.as_of("crm.acount", "2026-10-03"),
        "found no history of crm.acount: did you mean crm.account?",
    ),
    "a table in another case": (
        lambda h: h.as_of("CRM.ACCOUNT", "2026-10-03"),
        "found no history of CRM.ACCOUNT: did you mean crm.account?",
    ),
    "an unknown table, of no date": (
        lambda h: h.as_of("crm.acount"),
        "found no history of crm.acount: did you mean crm.account?",
    ),
    "another unknown table": (
        lambda h: h.dates("x"),
        'found no history of x: expected one of crm.account, crm.contact, crm.keyless, crm.od"d na.me',
    ),
    "a date between": (
        lambda h: h.as_of("crm.account", "2026-10-04"),
        "found no night 2026-10-04 in the history of crm.account: the nearest that it holds are 2026-10-03 and 2026-10-05",
    ),
    "a date before": (
        lambda h: h.changes("crm.account", "2026-09-01", "2026-10-01"),
        "found no night 2026-09-01 in the history of crm.account: the nearest that it holds is 2026-10-01",
    ),
    "an instant before": (
        lambda h: h.as_of("crm.account", "2026-09-30T23:00+00:00"),
        "found nothing known of crm.account at 2026-09-30 23:00:00 UTC: its first night is 2026-10-01",
    ),
    "a naive datetime": (
        lambda h: h.as_of("crm.account", dt.datetime(2026, 10, 3)),  # noqa: DTZ001
        "found 2026-10-03 00:00:00, which has no time zone: give an aware instant, or a clone date",
    ),
    "a naive text": (
        lambda h: h.as_of("crm.account", "2026-10-03T00:00:00"),
        "found 2026-10-03 00:00:00, which has no time zone: give an aware instant, or a clone date",
    ),
    "no date": (
        lambda h: h.as_of("crm.account", "yesterday evening"),
        "found 'yesterday evening', expected a clone date such as 2026-11-22 or an instant such as 2026-11-22T06:00:00+00:00",
    ),
    "an unknown column": (
        lambda h: h.as_of("crm.account", "2026-10-03", columns=["vaule"]),
        "found no column vaule in crm.account on 2026-10-03: expected one of value",
    ),
    "a column of another day": (
        lambda h: h.as_of("crm.account", "2026-10-03", where={'early"': 1}),
        'found no column early" in crm.account on 2026-10-03: '
        "expected one of id, value, later, _fivetran_deleted, _fivetran_synced",
    ),
    "changes backwards": (
        lambda h: h.changes("crm.account", "2026-10-05", "2026-10-03"),
        "found changes from 2026-10-05 to 2026-10-03: give the earlier one first",
    ),
    "a wrong key": (
        lambda h: h.versions("crm.account", {"name": 1}),
        "found the key {'name': 1} of crm.account, expected a value for each of id: give them as a mapping",
    ),
    "a scalar without a key": (
        lambda h: h.versions("crm.keyless", 1),
        "found the key 1 of crm.keyless, expected any of _fivetran_synced, n, v: give them as a mapping",
    ),
    "a wrong join": (
        lambda h: ask(h, on={"crm.account": {"id": "nope"}}),
        "found no column nope in crm.account on 2026-10-03: "
        "expected one of id, value, later, _fivetran_deleted, _fivetran_synced",
    ),
    "a join that multiplies": (
        lambda h: ask(h, pa.table({"v": ["a"], "at": pa.array([cutoff(3)])}), {"crm.keyless": "v"}),
        "found several rows of crm.keyless at a time with v = a, expected one: name the columns that tell its rows apart",
    ),
    "no key in the spine": (
        lambda h: ask(h, on={"crm.account": {"key": "id"}}),
        "found no column key in the spine: expected one of id, at",
    ),
    "naive times": (
        lambda h: ask(h, pa.table({"id": [1], "at": pa.array([dt.datetime(2026, 10, 3)])})),  # noqa: DTZ001
        "found at of type timestamp[us] in the spine, expected instants with a time zone, or dates",
    ),
    "missing times": (
        lambda h: ask(h, pa.table({"id": [1, 2], "at": pa.array([cutoff(3), None])})),
        "found 1 rows of the spine without at, expected one in each: fill or leave them out",
    ),
    "copies": (
        lambda h: ask(h, pa.table({"id": [1, 1], "at": pa.array([cutoff(3)] * 2)})),
        "found several rows of the spine with id = 1 at 2026-10-03 00:00:00 UTC, expected one: "
        "leave out the copies, or say repeated=True",
    ),
    "a look into the future": (
        lambda h: ask(h, lag=dt.timedelta(days=-1)),
        "found a lag of -1 day, 0:00:00, which would look into the future: expected none below zero",
    ),
    "no spine": (
        lambda h: ask(h, [1, 2]),
        "found a spine of type list, expected a pyarrow.Table, a DataFrame that hands over Arrow, as those of polars and "
        "pandas 2.2 do, or the name of a table",
    ),
    "no table": (
        lambda h: ask(h, 'crm.no "such'),
        "found no table crm.no \"such in the history's database: expected a spine as schema.table",
    ),
    "nothing to join": (
        lambda h: h.point_in_time(pa.table({}), {}, time="at"),
        "found no histories to join, expected some: {'schema.table': 'column'}",
    ),
    "columns as text": (
        lambda h: ask(h, columns={"crm.account": "value"}),
        "found 'value' for the columns of crm.account, expected a list of names, such as ['value']",
    ),
    "columns of no table": (
        lambda h: ask(h, columns=["value"]),
        "found columns=['value'], expected lists of names by table, such as {'crm.account': ['name']}",
    ),
    "several keys": (
        lambda h: h.versions("crm.account", [1, 2]),
        "found the key [1, 2] of crm.account, expected that of one row: ask for one after the other",
    ),
    "columns of another": (
        lambda h: ask(h, columns={"crm.contact": ["value"]}),
        "found columns of crm.contact, which is not joined: expected crm.account",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_makes_no_sense_is_refused_in_one_line(history: History, what: str) -> None:
    wrong, said = WRONG[what]
    with pytest.raises(HistoryError) as caught:
        wrong(history)
    assert str(caught.value) == said


def test_a_value_of_no_sense_is_refused_in_one_line(history: History) -> None:
    with pytest.raises((UsageError, HistoryError)) as caught:
        history.as_of("crm.account", "2026-10-03", where={"id": "one"})
    assert "\n" not in str(caught.value)


def test_pandas_values_and_frames_are_taken_as_what_they_hold(history: History) -> None:
    """However they came to be: an index that filtering has left is no column, an array is a list."""
    ids = pd.Series([1, 2, 1])
    plain = history.as_of("crm.account", "2026-10-03", where={"id": [1, 2]}).to_pylist()
    for values in (ids, ids.unique(), pa.array([1, 2])):
        assert by_id(history.as_of("crm.account", "2026-10-03", where={"id": values})) == sorted(
            plain, key=lambda row: row["id"]
        )
    for value in (ids[0], pa.array(ids)[0]):
        one = history.as_of("crm.account", "2026-10-03", where={"id": value}).to_pylist()
        assert one == [row for row in plain if row["id"] == 1]
    assert history.versions("crm.account", pa.array(ids)[0]).equals(history.versions("crm.account", 1))

    spine = pd.DataFrame({"id": [0, 1, 2], "at": [cutoff(3)] * 3})
    assert ask(history, spine[spine["id"] > 0]).equals(ask(history, pa.table({"id": [1, 2], "at": [cutoff(3)] * 2})))


def by_id(found: pa.Table) -> list[dict[str, object]]:
    return sorted(found.to_pylist(), key=lambda row: row["id"])


def functions(told: Engine, name: str) -> tuple[str, str]:
    """Return a table's function and its view as SQL refers to them."""
    return told.table("crm", f"{name}_as_of"), told.table("crm", f"{name}_current")


def called(told: Engine, call: str) -> str:
    return f"select * from {call}" if told.folds_case else f"select * from table({call})"


@pytest.fixture(scope="module")
def offered(told: Engine) -> Engine:
    """The story with its functions and views."""
    warehouse = told.warehouse()
    assert warehouse.keep_functions(warehouse.ledger()) == []
    return told


@pytest.mark.parametrize("name", TABLES)
def test_a_function_shows_what_a_day_was(offered: Engine, history: History, name: str) -> None:
    """With that day's columns on DuckDB; on Snowflake with the newest night's, which are NULL where the day had none."""
    function, _ = functions(offered, name)
    for day in DAYS:
        if TABLES[name][day] is None:
            continue
        for deleted, arguments in ((False, f"'{date(day)}'"), (True, f"'{date(day)}', deleted => true")):
            found = offered.query(called(offered, f"{function}({arguments})"))
            wanted = history.as_of(f"crm.{name}", date(day), deleted=deleted).to_pylist()
            if not offered.folds_case:
                newest = TABLES[name][DAYS[-1]]
                assert newest
                shown = [*newest.columns, "_fivetran_synced"]
                wanted = [{column: row.get(column) for column in shown} for row in wanted]
                if newest.columns.get("value") == "varchar":
                    wanted = [row | {"value": str(row["value"])} for row in wanted]
            assert collections.Counter(found) == collections.Counter(tuple(row.values()) for row in wanted)


@pytest.mark.parametrize("name", TABLES)
def test_a_view_shows_what_is_known_now(offered: Engine, history: History, name: str) -> None:
    _, view = functions(offered, name)
    found = offered.query(f"select * from {view}")
    wanted = history.as_of(f"crm.{name}", date(DAYS[-1])).to_pylist()
    assert collections.Counter(found) == collections.Counter(tuple(row.values()) for row in wanted)


@pytest.mark.parametrize(("day", "nearest"), [(4, "2026-10-03 and 2026-10-05"), (9, "2026-10-08")])
def test_a_function_refuses_a_date_that_was_never_applied(offered: Engine, day: int, nearest: str) -> None:
    function, _ = functions(offered, "account")
    said = f"found no night {date(day)} in the history of crm.account: the nearest that it holds are {nearest}"
    with pytest.raises(Exception, match=said):
        offered.query(called(offered, f"{function}('{date(day)}')"))


def test_only_what_has_changed_is_written(offered: Engine) -> None:
    """Nothing is sent for what is as it is to be; what a crash left out, or left old, is written by the next fold."""
    warehouse = offered.warehouse()
    functions_of = offered.ledger.replace("applied", "functions")
    whole = offered.query(f"select * from {functions_of} order by 2")
    assert [table for _, table, _ in whole] == sorted(TABLES)
    _, view = functions(offered, "account")
    offered.execute(f"drop view {view}")
    warehouse.keep_functions(warehouse.ledger())
    with pytest.raises(Exception, match="account_current"):
        offered.query(f"select * from {view}")  # it was not written again, since nothing has changed
    offered.execute(f"update {functions_of} set digest = 'old' where table_name = 'account'")
    warehouse.keep_functions(warehouse.ledger())
    assert offered.query(f"select count(*) from {view}")
    assert offered.query(f"select * from {functions_of} order by 2") == whole


def test_a_table_takes_the_name_of_a_view(offered: Engine) -> None:
    """The view gives way before the table is folded, and is not written again."""
    warehouse = offered.warehouse()
    ledger = warehouse.ledger()
    _, view = functions(offered, "account")
    warehouse.make_room(ledger, [("crm", "contact"), ("crm", "account_current")])
    with pytest.raises(Exception, match="account_current"):
        offered.query(f"select * from {view}")
    taken = [*ledger, dataclasses.replace(ledger[0], table="account_current", columns=())]
    assert warehouse.keep_functions(taken) == [
        "found a table crm.account_current, so that crm.account gets no view of that name: use account_as_of with the date"
    ]
    with pytest.raises(Exception, match="account_current"):
        offered.query(f"select * from {view}")
    assert warehouse.keep_functions(ledger) == []
    assert offered.query(f"select count(*) from {view}")
