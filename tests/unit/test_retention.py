"""Which clones have had their time."""

import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from history_assets.retention import Verdict, judge

Clones = dict[str, set[dt.date]]

TODAY = dt.date(2026, 11, 22)
DATES = st.dates(dt.date(2024, 1, 1), TODAY)
CLONES = st.dictionaries(st.sampled_from(["crm", "web shop"]), st.sets(DATES, min_size=1))
DAYS, MONTHS = st.integers(1, 800), st.integers(0, 30)


def dates(*texts: str) -> set[dt.date]:
    return {dt.date.fromisoformat(text) for text in texts}


def kept(verdicts: list[Verdict]) -> Clones:
    found: Clones = {}
    for verdict in verdicts:
        if verdict.kept_because:
            found.setdefault(verdict.schema, set()).add(verdict.date)
    return found


def month_ends(date: dt.date, months: int) -> dt.date:
    """Return the last day of the month that is some months after a date's."""
    month = date.year * 12 + date.month - 1 + months + 1
    return dt.date(month // 12, month % 12 + 1, 1) - dt.timedelta(days=1)


def test_each_clone_is_kept_for_what_is_said_of_it() -> None:
    clones = {"crm": dates("2026-08-31", "2026-09-02", "2026-09-03", "2026-10-05", "2026-11-02", "2026-11-12", "2026-11-22")}

    assert [verdict.said() for verdict in judge(clones, TODAY, days=10, months=2)] == [
        "crm 2026-08-31: dropped",
        "crm 2026-09-02: kept, because it is the first of 2026-09",
        "crm 2026-09-03: dropped",
        "crm 2026-10-05: kept, because it is the first of 2026-10",
        "crm 2026-11-02: kept, because it is the first of 2026-11",
        "crm 2026-11-12: kept, because it is not older than 10 days",
        "crm 2026-11-22: kept, because it is the newest of its schema",
    ]


def test_a_schema_that_is_cloned_no_more_keeps_its_newest() -> None:
    clones = {"crm": dates("2026-11-22"), "gone": dates("2024-01-01", "2024-01-02")}

    assert kept(judge(clones, TODAY, days=1, months=0)) == {"crm": dates("2026-11-22"), "gone": dates("2024-01-02")}


def test_no_month_keeps_its_first_where_no_months_are_set() -> None:
    clones = {"crm": dates("2026-11-01", "2026-11-22")}

    assert kept(judge(clones, TODAY, days=5, months=0)) == {"crm": dates("2026-11-22")}


@given(CLONES, DAYS, MONTHS)
def test_every_clone_gets_one_verdict_and_goes_exactly_when_no_rule_keeps_it(clones: Clones, days: int, months: int) -> None:
    verdicts = judge(clones, TODAY, days, months)

    assert [(verdict.schema, verdict.date) for verdict in verdicts] == sorted(
        (schema, date) for schema, found in clones.items() for date in found
    )
    for schema, found in clones.items():
        for date in found:
            first = not any(other < date and (other.year, other.month) == (date.year, date.month) for other in found)
            stays = (
                date == max(found)
                or date >= TODAY - dt.timedelta(days=days)
                or (first and months > 0 and month_ends(date, months) >= TODAY)
            )
            assert (date in kept(verdicts).get(schema, set())) is stays, (schema, date)


@given(CLONES, DAYS, MONTHS)
def test_what_is_left_is_left_when_it_is_asked_again(clones: Clones, days: int, months: int) -> None:
    left = kept(judge(clones, TODAY, days, months))

    assert left.keys() == clones.keys()
    assert kept(judge(left, TODAY, days, months)) == left


@given(CLONES, DAYS, MONTHS, st.integers(0, 60))
def test_what_is_dropped_one_day_would_be_dropped_on_every_later_one(
    clones: Clones, days: int, months: int, later: int
) -> None:
    """So a day on which nothing ran changes nothing of what is left in the end."""
    day_by_day = clones
    for day in range(later + 1):
        day_by_day = kept(judge(day_by_day, TODAY + dt.timedelta(days=day), days, months))

    assert day_by_day == kept(judge(clones, TODAY + dt.timedelta(days=later), days, months))
