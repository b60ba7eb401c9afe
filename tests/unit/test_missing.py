"""What should be there, and what may be asked for again."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.dates import Cutoff
from history_assets.failures import Kind
from history_assets.missing import given_up, may_ask, window
from history_assets.records import Failed

CUTOFFS = Cutoff(zoneinfo.ZoneInfo("UTC"), dt.time(0))
NOW = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)


def day(number: int) -> dt.date:
    return dt.date(2026, 11, number)


def midnight(number: int) -> dt.datetime:
    return dt.datetime(2026, 11, number, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("days", "known", "reach", "first"),
    [
        pytest.param(30, [], midnight(1), 22, id="nothing was ever asked for"),
        pytest.param(30, [day(18), day(20)], midnight(1), 18, id="since the first date that is known"),
        pytest.param(3, [day(18)], midnight(1), 20, id="as many days as are made up for"),
        pytest.param(30, [day(18)], midnight(20), 20, id="what the warehouse reaches"),
        pytest.param(30, [day(18)], midnight(20) + dt.timedelta(seconds=1), 21, id="a cutoff just out of reach"),
        pytest.param(30, [day(18)], None, 22, id="a warehouse that reaches nowhere"),
        pytest.param(30, [day(18)], NOW, 22, id="a schema that is new"),
    ],
)
def test_the_window_goes_from_what_was_known_or_can_be_reached_to_the_newest(
    days: int, known: list[dt.date], reach: dt.datetime | None, first: int
) -> None:
    assert window(CUTOFFS, NOW, days, known, reach) == [day(number) for number in range(first, 23)]


def failed(minutes_ago: float, cause: str = "no grant", kind: Kind = Kind.FAILED) -> Failed:
    return Failed(NOW - dt.timedelta(minutes=minutes_ago), cause, kind)


@pytest.mark.parametrize(
    ("failures", "asked"),
    [
        ([], True),
        ([failed(4)], False),
        ([failed(5)], True),
        ([failed(19), failed(30)], False),
        ([failed(20), failed(30)], True),
        ([failed(600), failed(700)], True),
        ([failed(600), failed(700), failed(800)], False),
        ([failed(600, "another"), failed(700), failed(800)], True),
        ([failed(600), failed(700, "another"), failed(800), failed(900)], True),
        ([failed(600), failed(700), failed(800), failed(900, "another")], False),
        ([failed(119, kind=Kind.PASSING)] * 9, False),
        ([failed(120, kind=Kind.PASSING)] * 9, True),
        ([failed(600), failed(700), failed(800, kind=Kind.NOT_SETTLED)], True),
        ([failed(600, kind=Kind.NOTHING_YET)], False),
    ],
)
def test_what_failed_is_asked_for_again_after_a_while_but_not_after_three_times_the_same(
    failures: list[Failed], asked: bool
) -> None:
    assert may_ask(failures, NOW) is asked


@given(st.lists(st.tuples(st.floats(0, 10_000), st.sampled_from("ab"), st.sampled_from(list(Kind))), max_size=12))
def test_whatever_is_not_given_up_is_asked_for_within_two_hours(drawn: list[tuple[float, str, Kind]]) -> None:
    failures = [failed(minutes, cause, kind) for minutes, cause, kind in sorted(drawn)]

    assert may_ask(failures, NOW + dt.timedelta(hours=2)) is not given_up(failures)
