"""The functions and views beside the histories show in SQL what Python reads."""

import collections
import dataclasses

import pytest

from history_assets.history import History
from tests.stories.engines.base import Engine
from tests.stories.reading.story import DAYS, TABLES, date

pytestmark = pytest.mark.xdist_group("reading")


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
