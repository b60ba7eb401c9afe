"""Dates in and out of Dagster's dynamic partitions, which it keeps in the order in which they were added."""

import datetime as dt
import itertools
import zoneinfo
from collections.abc import Sequence

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.dates import Cutoff
from history_assets.partitions import CLONE_DATES, PARTITIONS, dates_of, ranges

ZURICH = Cutoff(zoneinfo.ZoneInfo("Europe/Zurich"), dt.time(0))
NOON = dt.datetime(2026, 11, 22, 11, tzinfo=dt.UTC)

DATES = st.dates(dt.date(2026, 1, 1), dt.date(2026, 1, 31)).map(str)
STORED = st.lists(DATES, unique=True)


def held(found: Sequence[tuple[str, str]], stored: Sequence[str]) -> list[str]:
    """Return the keys that ranges hold, as Dagster reads a range."""
    return [key for first, last in found for key in stored[stored.index(first) : stored.index(last) + 1]]


@given(STORED, st.data())
def test_ranges_hold_exactly_the_wanted_keys_each_once(stored: list[str], data: st.DataObject) -> None:
    wanted = data.draw(st.lists(st.sampled_from(stored), unique=True) if stored else st.just([]))

    assert sorted(held(ranges(wanted, stored), stored)) == sorted(wanted)


@given(STORED, st.data())
def test_ranges_are_the_fewest(stored: list[str], data: st.DataObject) -> None:
    """Between any two of them lies a key that is not wanted."""
    wanted = data.draw(st.lists(st.sampled_from(stored), unique=True) if stored else st.just([]))

    found = ranges(wanted, stored)
    for (_, last), (first, _) in itertools.pairwise(found):
        between = stored[stored.index(last) + 1 : stored.index(first)]
        assert between
        assert not set(between) & set(wanted)


def test_a_wanted_key_that_is_not_stored_is_in_no_range() -> None:
    assert ranges(["2026-11-20", "2026-11-21"], ["2026-11-21"]) == [("2026-11-21", "2026-11-21")]


def test_ranges_follow_the_order_of_the_stored_keys() -> None:
    stored = ["2026-11-22", "2026-11-24", "2026-11-23", "2026-11-20", "2026-11-21"]

    assert ranges(["2026-11-20", "2026-11-23", "2026-11-22"], stored) == [
        ("2026-11-22", "2026-11-22"),
        ("2026-11-23", "2026-11-20"),
    ]


def dates_in_a_run(stored: Sequence[str], **tags: str) -> list[dt.date | str] | str:
    """Run an asset over the stored keys that tags name; returns its dates and the keys that are none, or what it fails with."""
    given: list[dt.date | str] = []

    @dg.multi_asset(specs=[dg.AssetSpec("asked")], partitions_def=CLONE_DATES, backfill_policy=dg.BackfillPolicy.single_run())
    def asked(context: dg.AssetExecutionContext) -> None:
        dates, refused = dates_of(context, ZURICH, NOON)
        given.extend(dates)
        given.extend(refused)

    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, stored)
        result = dg.materialize(
            [asked], instance=instance, tags={f"dagster/{name}": key for name, key in tags.items()}, raise_on_error=False
        )
    if result.success:
        return given
    failure = next(event.step_failure_data for event in result.all_node_events if event.is_step_failure)
    assert failure.user_failure_data
    assert failure.user_failure_data.label == "intentional-failure"
    return str(failure.user_failure_data.description)


def test_a_run_of_one_key_has_its_date() -> None:
    assert dates_in_a_run(["2026-11-22", "2026-11-21"], partition="2026-11-21") == [dt.date(2026, 11, 21)]


def test_a_range_of_keys_added_out_of_order_has_its_dates_oldest_first() -> None:
    stored = ["2026-11-18", "2026-11-22", "2026-11-20", "2026-11-21", "2026-11-19"]

    assert dates_in_a_run(stored, asset_partition_range_start="2026-11-22", asset_partition_range_end="2026-11-21") == [
        dt.date(2026, 11, 20),
        dt.date(2026, 11, 21),
        dt.date(2026, 11, 22),
    ]


def test_an_empty_range_fails_the_run() -> None:
    """First date after last, in the order of the keys: Dagster hands over nothing, and would call that a success."""
    stored = ["2026-11-21", "2026-11-20"]

    assert dates_in_a_run(stored, asset_partition_range_start="2026-11-20", asset_partition_range_end="2026-11-21") == (
        "found an empty range of clone dates: choose its first date before its last, in the order listed"
    )


@pytest.mark.parametrize("key", ["today", "2026-11-31", "2026-11-2", "20261122"])
def test_a_key_that_is_no_date_fails_the_run_by_name(key: str) -> None:
    assert dates_in_a_run([key], partition=key) == (
        f"found {key!r} where a clone date was expected: write it as YYYY-MM-DD, for example 2026-11-22"
    )


def test_a_date_to_come_fails_the_run_by_name() -> None:
    assert dates_in_a_run(["2026-11-23"], partition="2026-11-23") == (
        "found clone date 2026-11-23, whose cutoff 2026-11-22 23:00 UTC is in the future: "
        "the newest date that can be cloned is 2026-11-22"
    )


def test_a_key_of_no_use_stops_no_other() -> None:
    stored = ["2026-11-23", "2026-11-21", "today"]

    assert dates_in_a_run(stored, asset_partition_range_start="2026-11-23", asset_partition_range_end="today") == [
        dt.date(2026, 11, 21),
        "2026-11-23",
        "today",
    ]
