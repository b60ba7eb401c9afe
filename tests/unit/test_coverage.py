"""Lost nights and large drops, from what clones and ledger say."""

import dataclasses
import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from history_assets.coverage import WINDOW, large_drops, lost_nights
from history_assets.warehouse.values import Applied, Status

EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
ROW = Applied(
    schema="crm",
    table="account",
    date=dt.date(2026, 11, 1),
    clone_id="1",
    cutoff=EPOCH,
    quiet_point=EPOCH,
    rows=0,
    opened=0,
    closed=0,
    columns=(),
    key=(),
    status=Status.APPLIED,
    problem=None,
    time_zone="UTC",
    cutoff_time="00:00",
)


def day(number: int) -> dt.date:
    """Return a date by its number; the first is 2026-11-01."""
    return dt.date(2026, 11, 1) + dt.timedelta(days=number - 1)


def row(number: int, table: str = "account", rows: int = 0, status: Status = Status.APPLIED) -> Applied:
    return dataclasses.replace(ROW, date=day(number), table=table, rows=rows, status=status)


def test_a_date_without_clone_and_history_is_lost() -> None:
    assert lost_nights([day(1), day(4)], [row(1), row(3)]) == {day(2): []}


def test_a_date_whose_clone_is_gone_needs_every_table_that_was_known_by_then() -> None:
    ledger = [row(1), row(1, "note"), row(2), row(3), row(3, "note"), row(3, "new")]

    assert lost_nights([day(4)], ledger) == {day(2): ["note"]}
    assert lost_nights([day(2), day(4)], ledger) == {}


def test_nothing_is_lost_of_a_schema_that_has_nothing() -> None:
    assert lost_nights([], []) == {}


@given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
def test_the_dates_that_are_lost_are_those_between_that_are_nowhere(cloned: set[int], folded: set[int]) -> None:
    there = cloned | folded
    between = range(max(min(there), max(there) - WINDOW.days + 1), max(there)) if there else range(0)

    lost = lost_nights([day(number) for number in cloned], [row(number) for number in folded])

    assert lost == {day(number): [] for number in between if number not in there}


def test_a_table_that_lost_more_than_its_share_is_named() -> None:
    ledger = [row(1, "half", 100), row(3, "half", 50), row(1, "more", 100), row(2, "more", 100), row(3, "more", 49)]
    ledger += [row(1, "few", 99), row(3, "few", 0), row(3, "new", 5), row(1, "old", 500), row(2, "old", 1)]

    assert large_drops(ledger, 0.5, 100) == ["crm.more has 49 rows on 2026-11-03, 51 fewer than on 2026-11-02"]


def test_a_copy_that_is_held_back_counts_as_the_newest_and_not_as_the_one_before() -> None:
    held_back = row(3, rows=0, status=Status.QUARANTINED)

    assert large_drops([row(2, rows=200), row(3, rows=200), held_back], 0.5, 100) == [
        "crm.account has 0 rows on 2026-11-03, 200 fewer than on 2026-11-02"
    ]
    assert large_drops([row(2, rows=200), held_back, row(4, rows=190)], 0.5, 100) == []


def test_a_schema_without_a_ledger_has_lost_nothing() -> None:
    assert large_drops([], 0.5, 100) == []
