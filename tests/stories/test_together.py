"""Two processes at one history: they take turns, and the one that waits too long says for what."""

import datetime as dt
import multiprocessing
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import duckdb
import pytest

from history_assets import dbt_child, dbt_run
from history_assets.errors import InUseError, WarehouseError
from history_assets.folding import Plan, night
from history_assets.nights import run_night
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.verification import verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing

FIRST = dt.date(2026, 11, 1)
ORDERS = (("shop", "orders"),)
NIGHTS = (
    "create table orders as select range as id, 'old' as note, timestamptz '2026-10-31' as _fivetran_synced from range(50)",
    "update orders set note = 'new' where id % 3 = 0",
    "delete from orders where id % 5 = 0",
)


class Shop:
    """A home with three nights of a table cloned, none folded."""

    def __init__(self, home: Path) -> None:
        self.settings = Settings(home=home, threads=1, keys={"shop.orders": ("id",)})
        self.warehouse = DuckDBWarehouse(self.settings)
        landing = Landing(home)
        self.nights = []
        for number, statement in enumerate(NIGHTS):
            date = FIRST + dt.timedelta(days=number)
            cutoff = self.settings.cutoffs().at(date)
            landing.execute("shop", f"{date - dt.timedelta(days=1)} 20:00", statement)
            clone = self.warehouse.clone("shop", date, lambda cutoff=cutoff: cutoff)
            self.nights.append(night(Plan(date, {"shop": clone}, ORDERS, {}), ORDERS, self.warehouse))
        self.project = refresh(self.settings, self.warehouse).project.folder

    def fold(self, *numbers: int, **changed: Any) -> None:
        settings = self.settings.model_copy(update=changed)
        results = dbt_run.fold(self.project, [self.nights[number] for number in numbers], settings, lambda _: None)
        assert results == [dbt_child.NightResult({}, None)] * len(numbers)

    def together(self, *nights: int) -> list[int | None]:
        """Fold each night in a process of its own, all at once, and return how the processes ended."""
        # A run's process is no fork of a process that has DuckDB open.
        spawn = multiprocessing.get_context("spawn")
        processes = [spawn.Process(target=_fold, args=(self.project, self.settings, self.nights[number])) for number in nights]
        for process in processes:
            process.start()
        for process in processes:
            process.join(120)
        return [process.exitcode for process in processes]

    def history(self) -> tuple[list[Any], list[Any]]:
        """Return the whole history table and the whole ledger."""
        with duckdb.connect(str(self.warehouse.history), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            rows = connection.execute("from shop.orders order by all").fetchall()
            return rows, connection.execute("from _history_assets.applied order by all").fetchall()

    def start_over(self) -> None:
        self.warehouse.history.unlink(missing_ok=True)


def _fold(project: Path, settings: Settings, night: dbt_child.Night) -> None:
    assert dbt_run.fold(project, [night], settings, lambda _: None) == [dbt_child.NightResult({}, None)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("home"))


@pytest.fixture
def shop(made: Shop) -> Shop:
    """None of its nights folded."""
    made.start_over()
    return made


def test_two_processes_that_fold_the_same_date_at_once_leave_what_one_of_them_leaves(shop: Shop) -> None:
    shop.fold(1)
    alone = shop.history()
    shop.start_over()

    assert shop.together(1, 1) == [0, 0]

    assert shop.history() == alone


def test_two_processes_that_fold_two_dates_of_a_table_at_once_leave_what_one_after_the_other_leaves(shop: Shop) -> None:
    shop.fold(0)
    shop.fold(1, 2)
    rows, ledger = shop.history()
    shop.start_over()
    shop.fold(0)

    assert shop.together(2, 1) == [0, 0]

    found, applied = shop.history()
    assert found == rows
    # A row's number, and how many rows a night opened and closed, are as of when it was folded: they alone may tell the order.
    assert sorted(row[:2] + row[3:8] + row[10:] for row in applied) == sorted(row[:2] + row[3:8] + row[10:] for row in ledger)
    assert [finding.problem for finding in verify(shop.warehouse) if finding.problem] == []


def test_a_fold_waits_for_a_history_that_another_process_has_open(shop: Shop) -> None:
    held = duckdb.connect(str(shop.warehouse.history))
    let_go = threading.Timer(5, held.close)
    let_go.start()
    began = time.monotonic()

    shop.fold(0, lock_timeout=60)

    assert time.monotonic() - began > 5
    assert len(shop.history()[0]) == 50


def test_a_fold_that_waits_longer_than_its_bound_says_in_one_line_which_file_is_in_use(shop: Shop) -> None:
    with duckdb.connect(str(shop.warehouse.history)), pytest.raises(WarehouseError) as refused:
        shop.fold(0, lock_timeout=1)

    said = str(refused.value)
    assert said.startswith(f"found {shop.warehouse.history} still in use by another process after 1 s: wait for it to finish")
    assert "\n" not in said
    assert "HISTORY_LOCK_TIMEOUT" in said

    shop.fold(0)
    assert len(shop.history()[0]) == 50


def test_what_is_folded_is_told_though_the_functions_beside_it_have_to_wait(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HISTORY_HOME", str(shop.settings.home))
    monkeypatch.setenv("DAGSTER_HOME", str(shop.settings.home / "dagster"))
    in_use = Mock(side_effect=InUseError("found the file in use"))
    monkeypatch.setattr(shop.warehouse, "keep_functions", in_use)

    night = run_night(shop.settings, shop.warehouse, FIRST)

    assert in_use.called
    assert (night.folded, night.failures) == (1, ())
