"""Checkpoints are made between tables, whatever the threads, and never keep them for long."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets import dbt_child
from history_assets.dbt_checkpoints import AT_MOST, LEAST, PER_COLUMN, Checkpoints, due


@given(st.integers(1, 40), st.integers(1, 6), st.integers(1, 8))
def test_one_is_made_every_so_many_tables_while_none_is_under_way(tables: int, threads: int, every: int) -> None:
    under_way, made = set[str](), list[set[str]]()
    checkpoints = Checkpoints(lambda: made.append(set(under_way)), every, patience=10)

    def fold(table: str) -> None:
        checkpoints.began(table)
        under_way.add(table)
        under_way.discard(table)
        checkpoints.ended(table, 1)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(fold, map(str, range(tables))))

    assert made == [set()] * len(made)
    # Those that were under way when one became due are folded before it.
    assert tables // (every + threads - 1) <= len(made) <= tables // every


@given(st.lists(st.integers(0, 900), max_size=40), st.integers(1, 2_000_000_000))
def test_what_tables_keep_until_the_next_is_within_what_duckdb_may_take(columns: list[int], limit: int) -> None:
    made, kept, most = 0, 0, []

    def checkpoint() -> None:
        nonlocal made, kept
        made, kept = made + 1, 0

    checkpoints = Checkpoints(checkpoint, due(limit))
    for number, each in enumerate(columns):
        most.append(kept)  # a table that is under way keeps what it needs, whatever that is
        checkpoints.began(str(number))
        kept += each * PER_COLUMN
        checkpoints.ended(str(number), each)

    assert all(each < max(limit / 2, LEAST * PER_COLUMN) and each < AT_MOST for each in most)
    assert made <= sum(columns) // due(limit)


def test_dbt_tells_of_each_table_by_the_columns_of_its_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which has four of its own; that of a table without any is looked at, too."""
    counts = {"a": LEAST - 10, "b": 0, "c": 1, "d": LEAST}
    nodes = {f"snapshot.{name}": SimpleNamespace(name=name, unique_id=f"snapshot.{name}", schema="crm") for name in counts}
    tables = {
        name: {"columns": [{"name": str(each), "type": "INTEGER"} for each in range(count)]} for name, count in counts.items()
    }
    done: list[str] = []
    monkeypatch.setattr(dbt_child._Housekeeping, "_execute", lambda _, sql: done.append(sql))
    keeping = dbt_child._Housekeeping(memory_limit=1)
    keeping.begin(SimpleNamespace(nodes=nodes), {"run": {"clone_date": "2026-11-20"}, "tables": tables})
    made = {}

    for name in counts:
        for kind in ("NodeStart", "NodeFinished"):
            node = SimpleNamespace(unique_id=f"snapshot.{name}", node_relation=SimpleNamespace(schema="crm"))
            keeping(SimpleNamespace(info=SimpleNamespace(name=kind), data=SimpleNamespace(node_info=node)))
        made[name] = [sql for sql in done if sql == "checkpoint"]

    assert {name: len(each) for name, each in made.items()} == {"a": 0, "b": 0, "c": 1, "d": 2}
    assert done[-1] == 'detach database if exists "clone of crm on 2026-11-20"'


def test_without_a_limit_a_checkpoint_waits_for_hundreds_of_tables_of_ten_columns_and_no_more() -> None:
    assert (due(None), due(8_000_000_000), due(500_000_000), due(150_000_000)) == (4654, 4654, 2272, 1500)


def test_a_table_that_takes_long_keeps_the_others_for_a_moment_only() -> None:
    made: list[float] = []
    checkpoints = Checkpoints(lambda: made.append(time.monotonic()), every=1, patience=0.05)
    checkpoints.began("long")
    checkpoints.began("short")
    checkpoints.ended("short", 1)
    began = threading.Thread(target=checkpoints.began, args=["next"])

    began.start()
    began.join(10)

    assert not began.is_alive()
    assert made == []
    checkpoints.ended("next", 1)
    checkpoints.ended("long", 1)
    assert len(made) == 1


def test_one_that_fails_is_told_and_the_next_is_made() -> None:
    tries: list[int] = []

    def checkpoint() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError("no room")

    checkpoints = Checkpoints(checkpoint, every=1)
    checkpoints.began("a")
    with pytest.raises(OSError, match="no room"):
        checkpoints.ended("a", 1)
    checkpoints.began("b")
    checkpoints.ended("b", 1)

    assert len(tries) == 2
