"""A clone date stands for one instant, in every zone, on every day of the year."""

import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.dates import Cutoff, parse_date, parse_dates
from history_assets.errors import UsageError

ZONES = ["UTC", "Europe/Zurich", "America/New_York", "America/Sao_Paulo", "Africa/Cairo", "Asia/Kathmandu", "Pacific/Apia"]
DATES = st.dates(dt.date(2005, 1, 1), dt.date(2030, 12, 31))
TIMES = st.times().map(lambda time: time.replace(second=0, microsecond=0))


def cutoff(zone: str = "UTC", time: dt.time = dt.time(0)) -> Cutoff:
    return Cutoff(zoneinfo.ZoneInfo(zone), time)


def utc(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("zone", "date", "expected"),
    [
        ("UTC", "2026-11-22", "2026-11-22T00:00"),
        ("Europe/Zurich", "2026-11-22", "2026-11-21T23:00"),
        ("Europe/Zurich", "2026-07-01", "2026-06-30T22:00"),
        ("America/New_York", "2026-03-08", "2026-03-08T05:00"),
        ("America/New_York", "2026-03-09", "2026-03-09T04:00"),
    ],
)
def test_cutoff_is_local_midnight_as_utc(zone: str, date: str, expected: str) -> None:
    assert cutoff(zone).at(parse_date(date)) == utc(expected)


def test_a_midnight_that_daylight_saving_skips_is_the_first_instant_after() -> None:
    """Cairo's clocks go from 00:00 to 01:00 on 26 April 2024."""
    for minute in (0, 30):
        assert cutoff("Africa/Cairo", dt.time(0, minute)).at(parse_date("2024-04-26")) == utc("2024-04-25T22:00")


def test_a_time_that_comes_twice_is_the_first() -> None:
    assert cutoff("Europe/Zurich", dt.time(2, 30)).at(parse_date("2026-10-25")) == utc("2026-10-25T00:30")


@given(st.sampled_from(ZONES), DATES, TIMES)
def test_cutoffs_ascend_with_their_dates(zone: str, date: dt.date, time: dt.time) -> None:
    rule = cutoff(zone, time)

    assert rule.at(date) <= rule.at(date + dt.timedelta(days=1))
    assert rule.at(date).tzinfo is dt.UTC


@given(st.sampled_from(ZONES), DATES, TIMES, st.integers(0, 86_400))
def test_latest_is_the_newest_date_that_has_come(zone: str, date: dt.date, time: dt.time, later: int) -> None:
    rule = cutoff(zone, time)
    now = rule.at(date) + dt.timedelta(seconds=later)
    latest = rule.latest(now)

    assert rule.at(latest) <= now < rule.at(latest + dt.timedelta(days=1))


@pytest.mark.parametrize(
    "text",
    [
        *("2026-13-01", "2026-1-1", "20261122", "yesterday", "", "2026-11-22T00:00", "2026-W47-7", "../../x", "2026-11-22\n"),
        "x" * 100_000,
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="expected: write it as YYYY-MM-DD") as refused:
        parse_date(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31", "9999-01-01", "9999-12-31"])
def test_what_is_too_early_or_too_late_is_refused_as_that(text: str) -> None:
    with pytest.raises(UsageError, match=f"found '{text}' where .* expected: give one from 1970-01-01 to 9998-12-31"):
        parse_date(text)


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
@pytest.mark.parametrize("date", ["1970-01-01", "9998-12-31"])
def test_every_date_has_a_cutoff_and_days_around_it(date: str, zone: str) -> None:
    rule = cutoff(zone)
    quarter = dt.timedelta(days=90)

    assert rule.at(parse_date(date)) - quarter < rule.at(parse_date(date)) < rule.at(parse_date(date)) + quarter


def test_a_date_to_come_is_refused_with_the_newest_that_can_be_had() -> None:
    rule = cutoff("Europe/Zurich")
    rule.check_past(parse_date("2026-11-22"), utc("2026-11-21T23:00"))

    with pytest.raises(UsageError, match="in the future: the newest date that can be cloned is 2026-11-21"):
        rule.check_past(parse_date("2026-11-22"), utc("2026-11-21T22:59"))


def test_a_range_names_each_of_its_dates() -> None:
    assert [str(date) for date in parse_dates("2026-02-27..2026-03-02")] == [
        *("2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"),
    ]
    assert parse_dates("2026-03-02") == parse_dates("2026-03-02..2026-03-02") == [dt.date(2026, 3, 2)]


@pytest.mark.parametrize("text", ["2026-03-02..", "..2026-03-02", "2026-03-02..2026-03-01", "2026-03-01...2026-03-02", ""])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"found '.*'"):
        parse_dates(text)
