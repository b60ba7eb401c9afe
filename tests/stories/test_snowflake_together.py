"""Promise 3 on Snowflake: two processes at one table, statements that fail, a process that is killed.

The nights are folded as a run folds them, by dbt in processes of their own; the account holds statements up, fails or kills.
"""

import concurrent.futures
import datetime as dt
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from history_assets import dbt_child, dbt_run
from history_assets.errors import ProjectError
from history_assets.folding import Plan, night
from history_assets.refresh import refresh
from history_assets.verification import verify
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.errors import SnowflakeError
from tests.fakes.snowflake.log import Statement
from tests.stories.account import Account

FIRST = dt.date(2026, 10, 1)
SYNCED = '"_FIVETRAN_SYNCED" timestamp_tz'
NIGHTS = (
    (
        f"create table ITEMS (SKU varchar, {SYNCED})",
        "insert into ITEMS (SKU) select 'a' union all select 'b'",
        f"create table ORDERS (ID number(38,0) primary key, NOTE varchar, {SYNCED})",
        "insert into ORDERS (ID, NOTE) select 1, 'old' union all select 2, 'old' union all select 3, 'old'",
    ),
    ("update ORDERS set NOTE = 'new' where ID = 2", "insert into ITEMS (SKU) select 'c'"),
    ("delete from ORDERS where ID = 3", "delete from ITEMS where SKU = 'a'"),
)
ITEMS, ORDERS = ("SHOP", "ITEMS"), ("SHOP", "ORDERS")
WHOLE = {
    "ORDERS": [(1, "old", 1, None), (2, "new", 2, None), (2, "old", 1, 2), (3, "old", 1, 3)],
    "ITEMS": [("a", 1, 3), ("b", 1, None), ("c", 2, None)],
}
"""The histories once all three nights are folded, in whatever order."""


class Shop:
    """An account with some nights of two tables cloned, none folded."""

    def __init__(self, account: Account, nights: Sequence[Sequence[str]] = NIGHTS) -> None:
        self.account = account
        self.emulator = account.emulator
        account.emulator.run("create schema RAW.SHOP data_retention_time_in_days = 90", at="2026-09-01")
        for number, statements in enumerate(nights):
            account.emulator.land("RAW.SHOP", f"{FIRST + dt.timedelta(days=number - 1)}T20:00", *statements)
        account.set_up()
        self.settings = account.settings(threads=1)
        self.warehouse = account.warehouse(threads=1)
        self.clones = []
        for number in range(len(nights)):
            date = FIRST + dt.timedelta(days=number)
            self.clones.append(self.warehouse.clone("SHOP", date, lambda: None))
        self.project = refresh(self.settings, self.warehouse).project.folder
        account.emulator.log.clear()

    def night(self, number: int, *tables: tuple[str, str]) -> dbt_child.Night:
        chosen = tables or (ITEMS, ORDERS)
        clone = self.clones[number]
        return night(Plan(clone.date, {"SHOP": clone}, chosen, {}), chosen, self.warehouse)

    def drop_orders(self) -> None:
        """Have a fourth night cloned, without one of the tables."""
        date = FIRST + dt.timedelta(days=len(self.clones))
        self.emulator.land("RAW.SHOP", f"{date - dt.timedelta(days=1)}T20:00", "drop table ORDERS")
        self.clones.append(self.warehouse.clone("SHOP", date, lambda: None))
        self.emulator.log.clear()

    def fold(self, *nights: dbt_child.Night) -> list[dbt_child.NightResult]:
        return dbt_run.fold(self.project, nights, self.settings, lambda _: None)

    def together(self, nights: Sequence[dbt_child.Night]) -> list[list[dbt_child.NightResult]]:
        """Fold each night in a process of its own; neither begins its transaction before both have read their facts."""
        both_know = threading.Barrier(len(nights), timeout=60)
        waited = set[int]()

        def wait(statement: Statement) -> None:
            if len(waited) < len(nights) and statement.session not in waited:
                waited.add(statement.session)
                both_know.wait()

        self.emulator.watch("^begin$", wait)
        with concurrent.futures.ThreadPoolExecutor(len(nights)) as pool:
            return list(pool.map(self.fold, nights))

    def seen(self) -> tuple[dict[str, Any], Any]:
        """Return the histories, and the ledger but for how many rows a night opened and closed, which may tell the order."""
        histories = {name: numbers(self.account.history(f'"SHOP"."{name}"')) for name in WHOLE}
        ledger = {table: [row[:3] for row in rows] for table, rows in self.account.ledger().items()}
        return histories, ledger

    def whole(self) -> dict[str, Any]:
        return {name: self.account.whole(f'"SHOP"."{name}"') for name in WHOLE}

    def problems(self) -> list[str | None]:
        return [finding.problem for finding in verify(self.warehouse) if finding.problem]


def numbers(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted((tuple(int(value) if hasattr(value, "as_tuple") else value for value in row) for row in rows), key=repr)


DONE = dbt_child.NightResult({}, None)
APPLIED = {
    "SHOP.ITEMS": [(1, "applied", 2), (2, "applied", 3), (3, "applied", 2)],
    "SHOP.ORDERS": [(1, "applied", 3), (2, "applied", 3), (3, "applied", 2)],
}
LEDGER = 'insert into "HISTORY"."_history_assets"'


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for them all, whose dbt project is the same each time."""
    return tmp_path_factory.mktemp("together") / "home"


@pytest.fixture
def shop(shared_home: Path) -> Iterator[Shop]:
    with Emulator() as emulator:
        yield Shop(Account(emulator, shared_home))


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[str]]:
    """The processes that were started, dbt's the last of them."""
    started: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen

    def start(*arguments: Any, **options: Any) -> subprocess.Popen[str]:
        started.append(popen(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", start)
    return started


def test_two_processes_that_fold_the_same_date_at_once_leave_what_one_leaves(shop: Shop) -> None:
    """The one that comes second finds the table folded, and is content."""
    assert shop.fold(shop.night(0)) == [DONE]

    assert shop.together([shop.night(1, ORDERS), shop.night(1, ORDERS)]) == [[DONE], [DONE]]

    assert [statement.kind for statement in shop.emulator.log].count("ROLLBACK") == 1
    assert shop.fold(shop.night(1), shop.night(2)) == [DONE, DONE]
    assert shop.seen() == (WHOLE, APPLIED)
    assert shop.problems() == []


@pytest.mark.slow
@pytest.mark.parametrize("dates", [(0, 1), (1, 2)], ids=str)
def test_two_processes_that_fold_two_dates_at_once_leave_what_one_after_the_other_leaves(
    dates: tuple[int, int], shop: Shop
) -> None:
    """The one that comes second folds again, on what the first left; also where neither found a history at first."""
    if 0 not in dates:
        assert shop.fold(shop.night(0)) == [DONE]

    assert shop.together([shop.night(number, ORDERS) for number in dates]) == [[DONE], [DONE]]

    assert [statement.kind for statement in shop.emulator.log].count("ROLLBACK") == 1
    assert shop.fold(*(shop.night(number) for number in range(3))) == [DONE] * 3
    assert shop.seen() == (WHOLE, APPLIED)
    assert shop.problems() == []


@pytest.mark.slow
def test_two_processes_that_hold_the_same_copy_back_at_once_write_it_down_once(shop: Shop) -> None:
    """The one that comes second finds that written already; both say what is wrong."""
    shop.drop_orders()
    assert shop.fold(shop.night(0)) == [DONE]

    results = shop.together([shop.night(3, ORDERS), shop.night(3, ORDERS)])

    said = [error for (result,) in results for error in result.failed.values()]
    assert len(said) == 2
    assert all("found no table SHOP.ORDERS in the clone of 2026-10-04" in error for error in said)
    assert [statement.kind for statement in shop.emulator.log].count("ROLLBACK") == 1
    assert shop.account.ledger()["SHOP.ORDERS"] == [(1, "applied", 3, 3, 0, None), (4, "quarantined", 0, 0, 0, ANY)]
    assert shop.problems() == []


def test_two_processes_that_fold_the_same_absent_table_at_once_write_it_down_once(shop: Shop) -> None:
    """It was never there before, so that there is no history that one could wait for."""
    shop.drop_orders()

    assert shop.together([shop.night(3, ORDERS), shop.night(3, ORDERS)]) == [[DONE], [DONE]]

    assert [statement.kind for statement in shop.emulator.log].count("ROLLBACK") == 1
    assert shop.account.ledger() == {"SHOP.ORDERS": [(4, "applied", 0, 0, 0, None)]}


@pytest.mark.slow
@pytest.mark.parametrize("pattern", [LEDGER, "^commit$"])
def test_a_statement_that_fails_takes_its_whole_table_back_and_no_other(pattern: str, shop: Shop) -> None:
    """The session stays open, with the transaction that the failure left in it; the next table is folded in the same one."""
    assert shop.fold(shop.night(0)) == [DONE]
    before, _ = shop.seen()
    shop.emulator.fail(pattern, SnowflakeError("000603", "XX000", "SQL execution internal error"))

    (result,) = shop.fold(shop.night(1))

    assert len(result.failed) == 1
    assert "internal error" in next(iter(result.failed.values()))
    histories, ledger = shop.seen()
    assert histories["ITEMS"] == before["ITEMS"]
    assert histories["ORDERS"] == [(1, "old", 1, None), (2, "new", 2, None), (2, "old", 1, 2), (3, "old", 1, None)]
    assert [row[0] for row in ledger["SHOP.ITEMS"]] == [1]
    assert [row[0] for row in ledger["SHOP.ORDERS"]] == [1, 2]
    assert shop.problems() == []
    assert shop.fold(shop.night(1), shop.night(2)) == [DONE, DONE]
    assert shop.seen() == (WHOLE, APPLIED)


@pytest.mark.parametrize("pattern", [rf"{LEDGER}.*'ORDERS'", pytest.param("^commit$", marks=pytest.mark.slow)])
def test_a_process_that_is_killed_leaves_nothing_half_done(
    pattern: str, shop: Shop, processes: list[subprocess.Popen[str]]
) -> None:
    """Between a late night's MERGE and its row in the ledger, and after that."""
    assert shop.fold(shop.night(0), shop.night(2)) == [DONE, DONE]
    before = shop.whole()
    shop.emulator.watch(pattern, once(lambda: os.kill(processes[-1].pid, signal.SIGKILL)))

    with pytest.raises(ProjectError, match="ended with -9"):
        shop.fold(shop.night(1, ORDERS))

    assert processes[-1].returncode == -signal.SIGKILL
    assert shop.whole() == before or pattern == "^commit$"  # a COMMIT that was sent may have arrived
    assert shop.problems() == []
    assert shop.fold(shop.night(1)) == [DONE]
    assert shop.seen() == (WHOLE, APPLIED)
    assert shop.problems() == []


def once(action: Callable[[], None]) -> Callable[[Statement], None]:
    done: list[bool] = []

    def act(_: Statement) -> None:
        if not done:
            done.append(True)
            action()

    return act
