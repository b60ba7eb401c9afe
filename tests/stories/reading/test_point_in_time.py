"""What was known of a spine's rows, beside the clones looked up one by one."""

import datetime as dt
import random
from typing import Any

import hypothesis
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from history_assets.history import History
from tests.stories.engines.base import Engine
from tests.stories.reading.story import DAYS, LAST_MOMENT, TABLES, cutoff, date, same, seen

pytestmark = pytest.mark.xdist_group("reading")

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
@hypothesis.given(spine=SPINES, lag=st.sampled_from(LAGS), deleted=st.booleans())
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
