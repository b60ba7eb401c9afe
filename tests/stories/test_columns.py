"""Columns that come, go, return, and change their type or name: what is versioned, and what each day gives back.

One story over one schema: the 10th, 11th, 12th and 14th in order, then the 13th, supplied late. Sync stamps move every night.
"""

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from history_assets.history import History
from tests.stories.engines.base import Engine, Rows, Stored
from tests.stories.tables import Night
from tests.stories.test_gates import Seen, Story

DAYS = (10, 11, 12, 13, 14)
PLAYED = (10, 11, 12, 14, 13)

AWKWARD = ("x__as_y", "select", 'qu"ote', "with space", "{{ jinja }}", "null", "v1", "synced", "ключ")
"""Names that a statement, a template or this project itself might stumble over."""


def awkward(names: tuple[str, ...], chosen: int) -> tuple[str, str]:
    columns = ", ".join('"' + name.replace('"', '""') + '" int' for name in names)
    return f"id int primary key, {columns}", f"values (1, 1, {chosen}, 3, 4, 5, 6, 7, 8, 9)"


LOUD = tuple(name.upper() if name.isascii() else name for name in AWKWARD)

NARROW = ("id int primary key, i integer, d decimal(8, 2), f float, e enum('a', 'b')", "values (1, 7, 1.50, 0.1, 'a')")
WIDE = ("id int primary key, i bigint, d decimal(12, 2), f double, e varchar", "values (1, 7, 1.50, 0.1::float, 'a')")

ADDED, DROPPED = "id int primary key, v varchar, w varchar", "id int primary key, v varchar"
THREE = "values (1, 'a'), (2, 'b'), (3, 'c')"
NUMBER, TEXT = "id int primary key, c integer", "id int primary key, c varchar"
OLD, NEW = "id int primary key, old varchar", "id int primary key, new varchar"

TABLES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "added": (
        (DROPPED, THREE),
        (ADDED, "values (1, 'a', 'x'), (2, 'b', null), (3, 'c', null)"),
        (DROPPED, THREE),
        (ADDED, "values (1, 'a', null), (2, 'b', 'y'), (3, 'c', null)"),
        (ADDED, "values (1, 'a', 'x'), (2, 'b', 'y'), (3, 'c', null)"),
    ),
    "empty_column": (
        (DROPPED, THREE),
        *[(ADDED, "values (1, 'a', null), (2, 'b', null), (3, 'c', null)")] * 3,
        (DROPPED, THREE),
    ),
    "widened": (NARROW, WIDE, NARROW, WIDE, WIDE),
    "flipped": (
        (NUMBER, "values (1, 7), (2, null)"),
        (TEXT, "values (1, '7'), (2, null)"),
        (NUMBER, "values (1, 7), (2, null)"),
        (TEXT, "values (1, 'seven'), (2, null)"),
        (NUMBER, "values (1, 7), (2, null)"),
    ),
    "renamed": ((OLD, "values (1, 'a')"), (OLD, "values (1, 'a')"), *[(NEW, "values (1, 'a')")] * 3),
    "awkward": (awkward(AWKWARD, 2), awkward(LOUD, 2), *[awkward(AWKWARD, 20)] * 3),
    "awkward_flipped": (
        ('"x__as_y" int, "a" int, "a__as_INTEGER" int, "a__as_NUMBER_0" int', "values (1, 2, 3, 4)"),
        (
            '"x__as_y" varchar, "a" varchar, "a__as_INTEGER" varchar, "a__as_NUMBER_0" varchar',
            "values ('1', '2', '3', '4')",
        ),
        *[('"x__as_y" int, "a" varchar, "a__as_INTEGER" int, "a__as_NUMBER_0" int', "values (1, '2', 3, 4)")] * 3,
    ),
    "cased": (*[('"É" int, "é" int', "values (1, 2)")] * 3, *[('"É" int, "é" int', "values (1, 3)")] * 2),
    "retyped_key": (
        ("id int primary key, v varchar", "values (1, 'a'), (2, 'b')"),
        *[("id varchar primary key, v varchar", "values ('1', 'a'), ('2', 'c')")] * 2,
        *[("id int primary key, v varchar", "values (1, 'a'), (2, 'c')")] * 2,
    ),
    "rekeyed": (
        ("id int primary key, other int", "values (1, 10), (2, 20)"),
        ("id int, other int", "values (1, 10), (1, 10), (2, 20)"),
        ("id int, other int primary key", "values (1, 10), (1, 20)"),
        ("id int, other int", "values (1, 10), (1, 10), (2, 20)"),
        ("id int primary key, other int", "values (1, 10), (2, 20)"),
    ),
    "key_dropped": (
        ("id int primary key, v varchar", "values (1, 'a'), (2, 'b')"),
        *[("v varchar primary key", "values ('a'), ('b')")] * 4,
    ),
    "restamped": (("id int primary key, v varchar", "values (1, 'a')"),) * 5,
    "restamped_copies": (
        ("v varchar", "values ('a'), ('a')"),
        ("v varchar", "values ('a'), ('a'), ('a')"),
        *[("v varchar", "values ('a'), ('a')")] * 3,
    ),
    "stamped_otherwise": (
        *[("id int primary key, v varchar", "values (1, 'a')")] * 2,
        ("id int primary key, v varchar, _fivetran_synced timestamp", "values (1, 'a')"),
        *[("id int primary key, v varchar", "values (1, 'a')")] * 2,
    ),
}
"""Each table on each of the days."""


@dataclasses.dataclass(frozen=True)
class Told:
    """What was seen after a run, and of every history its columns and, by their beginnings, its rows' stamps."""

    seen: Seen
    columns: Mapping[str, dict[str, str]]
    stamps: Mapping[str, Rows]


@dataclasses.dataclass(frozen=True)
class Last(Told):
    """What was told after the last run, and every day of every table."""

    as_of: Mapping[tuple[str, int], pa.Table]


def tell(story: Story, day: int) -> Told:
    tables: Night = {table: states[DAYS.index(day)] for table, states in TABLES.items()}
    story.land(day, tables, synced=stamp(day).isoformat())
    seen = story.run(day)
    histories = story.engine.histories("crm")
    columns = {table: stored.source for table, stored in histories.items()}
    return Told(seen, columns, {table: stamps_of(histories[table]) for table in TABLES if table != "stamped_otherwise"})


def stamps_of(history: Stored) -> Rows:
    """Return a history's stamps with the instants from which their rows hold, in order."""
    rows = sorted(history.values("dbt_valid_from", "dbt_scd_id", "_fivetran_synced"))
    return [(synced, since) for since, _, synced in rows]


def stamp(day: int) -> dt.datetime:
    return dt.datetime(2026, 10, day - 1, 20, tzinfo=dt.UTC)


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """Return an as-of table's rows but for the sync stamp, sorted."""
    return sorted((tuple(row.values()) for row in table.drop_columns("_fivetran_synced").to_pylist()), key=repr)


@pytest.fixture(scope="module")
def player(engine: Engine) -> Story:
    return Story(engine, gates=())


@pytest.fixture(scope="module")
def story(player: Story) -> dict[int, Told]:
    """Play it all; what was told after each day, by the day."""
    return {day: tell(player, day) for day in PLAYED}


@pytest.fixture(scope="module")
def last(player: Story, story: dict[int, Told]) -> Last:
    history, told = History(player.warehouse()), story[PLAYED[-1]]
    as_of = {(table, day): history.as_of(f"crm.{table}", dt.date(2026, 10, day)) for table in TABLES for day in DAYS}
    return Last(told.seen, told.columns, told.stamps, as_of)


def family(engine: Engine, kind: str) -> str:
    """Return what a column of a type is called where it is kept apart."""
    return engine.family(engine.type_of(kind))


def typed(engine: Engine, **kinds: str) -> dict[str, str]:
    """Return a history's columns of some types."""
    return {name: engine.stored(kind) for name, kind in kinds.items()}


@pytest.mark.parametrize("day", PLAYED)
def test_no_change_of_columns_stops_a_night_and_every_night_is_exact(day: int, story: dict[int, Told]) -> None:
    seen = story[day].seen
    assert seen.report.failures == ()
    assert seen.report.folded == len(TABLES)
    assert seen.problems == ()


def test_a_new_column_versions_only_rows_with_a_value_in_it(story: dict[int, Told]) -> None:
    assert story[11].seen.histories["added"] == [
        (1, "a", "x", 11, None),
        (1, "a", None, 10, 11),
        (2, "b", None, 10, None),
        (3, "c", None, 10, None),
    ]
    assert story[11].seen.ledger["added"][-1] == (11, "applied", 3, 1, 1, None)


def test_a_column_without_values_versions_nothing_when_it_comes_or_goes(last: Last) -> None:
    assert last.seen.histories["empty_column"] == [(1, "a", None, 10, None), (2, "b", None, 10, None), (3, "c", None, 10, None)]
    assert "w" not in last.as_of["empty_column", 10].column_names
    assert "w" in last.as_of["empty_column", 12].column_names
    assert "w" not in last.as_of["empty_column", 14].column_names


def test_a_dropped_column_is_null_from_that_day(story: dict[int, Told]) -> None:
    assert story[12].seen.histories["added"] == [
        (1, "a", "x", 11, 12),
        (1, "a", None, 10, 11),
        (1, "a", None, 12, None),
        (2, "b", None, 10, None),
        (3, "c", None, 10, None),
    ]


def test_as_of_shows_the_columns_that_the_day_had(last: Last) -> None:
    names = {day: last.as_of["added", day].column_names for day in DAYS}
    assert names == {
        day: ["id", "v", "w", "_fivetran_synced"] if day in (11, 13, 14) else ["id", "v", "_fivetran_synced"] for day in DAYS
    }
    assert rows_of(last.as_of["added", 11]) == [(1, "a", "x"), (2, "b", None), (3, "c", None)]
    assert rows_of(last.as_of["added", 12]) == [(1, "a"), (2, "b"), (3, "c")]


@pytest.mark.parametrize("table", TABLES)
def test_functions_and_views_show_what_as_of_does(last: Last, engine: Engine, table: str) -> None:
    """Each run leaves them as its columns ask for: on DuckDB with each day's own, on Snowflake with the newest day's."""
    function, view = (engine.table("crm", f"{table}_{suffix}") for suffix in ("as_of", "current"))
    for day in DAYS if engine.folds_case else DAYS[-1:]:
        call = f"{function}('2026-10-{day}')"
        found = engine.query(f"select * from {call}" if engine.folds_case else f"select * from table({call})")
        assert plainly(found) == plainly(last.as_of[table, day].to_pylist())
    assert plainly(engine.query(f"select * from {view}")) == plainly(last.as_of[table, DAYS[-1]].to_pylist())


def plainly(rows: Any) -> list[str]:
    """Return rows to be compared whatever object stands for UTC, and whether a number is a Decimal."""
    whole = [row.values() if isinstance(row, dict) else row for row in rows]
    return sorted(str([value.isoformat() if isinstance(value, dt.datetime) else str(value) for value in row]) for row in whole)


def test_a_column_that_comes_back_goes_on_in_the_same_column(last: Last, engine: Engine) -> None:
    """The late 13th falls between a day without the column and a day with it."""
    assert last.columns["added"] == typed(engine, id="INTEGER", v="VARCHAR", w="VARCHAR")
    assert last.seen.histories["added"] == [
        (1, "a", "x", 11, 12),
        (1, "a", "x", 14, None),
        (1, "a", None, 10, 11),
        (1, "a", None, 12, 14),
        (2, "b", "y", 13, None),
        (2, "b", None, 10, 13),
        (3, "c", None, 10, None),
    ]


def test_a_type_that_widens_within_its_family_versions_nothing(last: Last, engine: Engine) -> None:
    (row,) = last.seen.histories["widened"]
    assert row[-2:] == (10, None)
    assert last.columns["widened"] == typed(engine, id="INTEGER", i="BIGINT", d="DECIMAL(12,2)", f="DOUBLE", e="VARCHAR")


def test_as_of_gives_each_days_type_back(last: Last, engine: Engine) -> None:
    types = {day: [field.type for field in last.as_of["widened", day].schema][1:5] for day in DAYS}
    narrow = [engine.arrow(kind) for kind in ("INTEGER", "DECIMAL(8,2)", "FLOAT", "ENUM('a', 'b')")]
    wide = [engine.arrow(kind) for kind in ("BIGINT", "DECIMAL(12,2)", "DOUBLE", "VARCHAR")]
    assert types == {10: narrow, 11: wide, 12: narrow, 13: wide, 14: wide}


def test_a_type_that_leaves_its_family_has_a_column_per_family(story: dict[int, Told], engine: Engine) -> None:
    """The plain name is that of the newest applied night, a late night changes nothing of it."""
    apart = f"c__as_{family(engine, 'INTEGER')}"
    number = typed(engine, id="INTEGER", c="INTEGER", c__as_VARCHAR="VARCHAR")
    text = typed(engine, **{"id": "INTEGER", apart: "INTEGER", "c": "VARCHAR"})
    assert story[10].columns["flipped"] == typed(engine, id="INTEGER", c="INTEGER")
    assert story[11].columns["flipped"] == text
    assert story[12].columns["flipped"] == number
    assert story[14].columns["flipped"] == number
    assert story[13].columns["flipped"] == number
    assert story[13].seen.histories["flipped"] == [
        (1, 7, None, 10, 11),
        (1, 7, None, 12, 13),
        (1, 7, None, 14, None),
        (1, None, "7", 11, 12),
        (1, None, "seven", 13, 14),
        (2, None, None, 10, None),
    ]


def test_as_of_is_exact_and_typed_on_either_side_of_a_change_of_type(last: Last, engine: Engine) -> None:
    for day in DAYS:
        found = last.as_of["flipped", day]
        assert found.schema.field("c").type == engine.arrow("VARCHAR" if day in (11, 13) else "INTEGER"), day
        assert found.column_names == ["id", "c", "_fivetran_synced"]
    assert rows_of(last.as_of["flipped", 11]) == [(1, "7"), (2, None)]
    assert rows_of(last.as_of["flipped", 12]) == [(1, 7), (2, None)]
    assert rows_of(last.as_of["flipped", 13]) == [(1, "seven"), (2, None)]


def test_a_renamed_column_is_dropped_and_added(last: Last, engine: Engine) -> None:
    assert last.columns["renamed"] == typed(engine, id="INTEGER", old="VARCHAR", new="VARCHAR")
    assert last.seen.histories["renamed"] == [(1, "a", None, 10, 12), (1, None, "a", 12, None)]
    assert last.as_of["renamed", 11].column_names == ["id", "old", "_fivetran_synced"]
    assert last.as_of["renamed", 12].column_names == ["id", "new", "_fivetran_synced"]


def test_awkward_names_are_carried(last: Last) -> None:
    """As of a day they are written as they were that day."""
    assert list(last.columns["awkward"])[:10] == ["id", "x__as_y__as_is", *AWKWARD[1:]]
    assert last.as_of["awkward", 10].column_names == ["id", *AWKWARD, "_fivetran_synced"]
    assert last.as_of["awkward", 11].column_names == ["id", *LOUD, "_fivetran_synced"]
    assert rows_of(last.as_of["awkward", 10]) == rows_of(last.as_of["awkward", 11]) == [(1, 1, 2, 3, 4, 5, 6, 7, 8, 9)]
    assert rows_of(last.as_of["awkward", 12]) == [(1, 1, 20, 3, 4, 5, 6, 7, 8, 9)]


def test_the_case_of_a_name_versions_nothing_where_the_engine_folds_it(story: dict[int, Told], engine: Engine) -> None:
    """Where it does not, they are other columns: but for the first and the last, which have no case of ASCII's."""
    first, second, third = (1, 1, 2, 3, 4, 5, 6, 7, 8, 9), (1, *[None] * 8, 9), (1, 1, 20, 3, 4, 5, 6, 7, 8, 9)
    if engine.folds_case:
        loud: list[str] = []
        early, late = [(*first, 10, None)], [(*first, 10, 12), (*third, 12, None)]
    else:
        loud, none = ["X__AS_Y__as_is", *LOUD[1:-1]], [None] * 8
        early = [(*first, *none, 10, 11), (*second, 1, 2, 3, 4, 5, 6, 7, 8, 11, None)]
        late = [(*first, *none, 10, 11), (*third, *none, 12, None), (*second, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12)]
    assert list(story[13].columns["awkward"])[10:] == loud
    assert story[11].seen.histories["awkward"] == early
    assert story[13].seen.histories["awkward"] == late


def test_names_that_look_like_ours_never_meet_ours(last: Last, engine: Engine) -> None:
    """A source's own a__as_INTEGER beside an `a` that was an INTEGER."""
    assert set(last.columns["awkward_flipped"]) == {
        "x__as_y__as_is",
        "x__as_y__as_VARCHAR",
        "a",
        f"a__as_{family(engine, 'INTEGER')}",
        "a__as_INTEGER__as_is",
        "a__as_INTEGER__as_VARCHAR",
        "a__as_NUMBER_0__as_is",
        "a__as_NUMBER_0__as_VARCHAR",
    }
    assert rows_of(last.as_of["awkward_flipped", 10]) == [(1, 2, 3, 4)]
    assert rows_of(last.as_of["awkward_flipped", 11]) == [("1", "2", "3", "4")]
    assert rows_of(last.as_of["awkward_flipped", 12]) == [(1, "2", 3, 4)]
    assert [row[-2:] for row in last.seen.histories["awkward_flipped"]].count((12, None)) == 1
    assert len(last.seen.histories["awkward_flipped"]) == 3


def test_names_that_the_engine_tells_apart_are_told_apart(last: Last, engine: Engine) -> None:
    """None folds the case of other letters than ASCII's."""
    assert last.columns["cased"] == typed(engine, É="INTEGER", é="INTEGER")
    assert last.seen.histories["cased"] == [(1, 2, 10, 13), (1, 3, 13, None)]


def test_a_key_that_changes_its_type_versions_its_rows(last: Last, engine: Engine) -> None:
    assert last.columns["retyped_key"] == typed(engine, id="INTEGER", v="VARCHAR", id__as_VARCHAR="VARCHAR")
    assert last.seen.histories["retyped_key"] == [
        (1, "a", None, 10, 11),
        (1, "a", None, 13, None),
        (2, "b", None, 10, 11),
        (2, "c", None, 13, None),
        (None, "a", "1", 11, 13),
        (None, "c", "2", 11, 13),
    ]


def test_a_key_that_is_dropped_or_another_overnight_versions_only_what_changed(last: Last) -> None:
    assert last.seen.histories["rekeyed"] == [
        (1, 10, 10, None),
        (1, 10, 11, 12),
        (1, 10, 13, 14),
        (1, 20, 12, 13),
        (2, 20, 10, 12),
        (2, 20, 13, None),
    ]


def test_a_key_column_that_is_dropped_is_null_from_that_day(last: Last) -> None:
    assert last.seen.histories["key_dropped"] == [
        (1, "a", 10, 11),
        (2, "b", 10, 11),
        (None, "a", 11, None),
        (None, "b", 11, None),
    ]


def test_a_stamp_that_moves_versions_nothing(last: Last) -> None:
    assert last.seen.histories["restamped"] == [(1, "a", 10, None)]
    assert [synced for synced, _ in last.stamps["restamped"]] == [stamp(10)]
    assert last.seen.histories["restamped_copies"] == [("a", 10, None), ("a", 10, None), ("a", 11, 12)]


@pytest.mark.parametrize("table", [table for table in TABLES if table != "stamped_otherwise"])
def test_no_past_day_shows_a_later_stamp(table: str, last: Last) -> None:
    """And every row has one."""
    late = [(synced, valid_from) for synced, valid_from in last.stamps[table] if synced.replace(tzinfo=None) > valid_from]
    assert late == []


def test_a_stamp_of_another_type_versions_nothing_and_is_shown(last: Last) -> None:
    assert last.seen.histories["stamped_otherwise"][0][:2] == (1, "a")
    assert len(last.seen.histories["stamped_otherwise"]) == 1
    for day in DAYS:
        (found,) = last.as_of["stamped_otherwise", day].column("_fivetran_synced").to_pylist()
        assert found is not None, day
