"""A table that is said not to have changed has not, whatever stamps and logs leave out."""

import datetime as dt
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.fivetran.log import Log, written_between
from history_assets.unchanged import Chain, State, is_unchanged
from history_assets.warehouse.values import Applied, Stamp, Status, SyncEvent

START = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
MARGIN = 6
COLUMNS = (("id", "INTEGER"), ("v", "VARCHAR"))


def at(hour: float) -> dt.datetime:
    return START + hour * HOUR


def state(quiet: float, stamp: tuple[float, float] | None, columns: Sequence[tuple[str, str]] = COLUMNS) -> State:
    known = Stamp(at(stamp[0]), at(stamp[1])) if stamp else None
    return State("clone", at(quiet), tuple(columns), ("id",), known)


writes = st.lists(st.tuples(st.integers(0, 90), st.integers(0, MARGIN), st.booleans()), max_size=6)
"""Statements by when they begin, how long they run, and whether they change anything."""
Writes = list[tuple[int, int, bool]]


def stamp_at(made: Writes, instant: int) -> int:
    """Return what a warehouse shows: when the statement that was committed last began, changing anything or not."""
    done = sorted((begun + taken, begun) for begun, taken, _ in made if begun + taken <= instant)
    return done[-1][1] if done else -50


def content_at(made: Writes, instant: int) -> int:
    return sum(changes and begun + taken <= instant for begun, taken, changes in made)


@given(made=writes, quiet=st.tuples(*[st.integers(0, 90)] * 2), late=st.tuples(*[st.integers(0, 30)] * 2))
def test_a_table_of_the_same_old_stamp_is_the_same(made: Writes, quiet: tuple[int, int], late: tuple[int, int]) -> None:
    """However late its stamps are read, and with statements that are committed long after they began."""
    first, second = sorted(quiet)
    before, now = (state(each, (-60, stamp_at(made, each + more))) for each, more in zip((first, second), late, strict=True))

    if is_unchanged("t", before, now, None, MARGIN * HOUR):
        assert content_at(made, first) == content_at(made, second)


def test_a_table_that_was_left_alone_is_unchanged() -> None:
    assert is_unchanged("t", state(24, (-60, 17)), state(48, (-60, 17)), None, MARGIN * HOUR)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (state(24, (-60, 18)), state(48, (-60, 18))),
        (state(24, (-60, 17)), state(48, (-60, 30))),
        (state(24, (-60, 17)), state(48, (10, 17))),
        (state(24, (18, 17)), state(48, (18, 17))),
        (state(24, (-60, 17)), state(48, (-60, 17), COLUMNS[:1])),
        (state(24, (-60, 17)), state(48, None, ())),
        (state(24, None, ()), state(48, (-60, 17))),
        (state(24, None), state(48, None)),
        (state(48, (-60, 17)), state(24, (-60, 17))),
    ],
    ids=["young", "altered", "made again", "new", "column gone", "gone", "back", "nothing known", "backwards"],
)
def test_one_that_may_have_changed_is_not(before: State, now: State) -> None:
    assert not is_unchanged("t", before, now, None, MARGIN * HOUR)


def test_a_table_that_is_absent_on_both_nights_is_unchanged() -> None:
    assert is_unchanged("t", state(24, None, ()), state(48, None, ()), None, MARGIN * HOUR)


def applied(day: int, status: Status = Status.APPLIED) -> Applied:
    moment = at(24 * day)
    known = (f"clone {day}", moment, moment, 1, 0, 0, (), ("id",), status, None, "UTC", "00:00")
    return Applied("crm", "t", moment.date(), *known)


def test_the_night_before_goes_by_dates_and_is_an_applied_one() -> None:
    chain = Chain([applied(9), applied(1), applied(5, Status.QUARANTINED)])

    def before(day: int) -> str | None:
        found = chain.before(at(24 * day).date())
        return found and found.clone_id

    assert [before(day) for day in (1, 2, 6, 9, 10)] == [None, "clone 1", "clone 1", "clone 1", "clone 9"]
    chain.add(at(24 * 4).date(), State.applied(applied(4)))
    assert [before(day) for day in (4, 6, 10)] == ["clone 1", "clone 4", "clone 9"]


def event(hour: float, name: str, connection: str = "crm", **data: str) -> SyncEvent:
    return SyncEvent(connection, connection, at(hour), name, None, json.dumps(data))


def sync(start: float, *tables: str, status: str = "SUCCESSFUL") -> list[SyncEvent]:
    writes = [event(start + 0.1, "records_modified", schema="crm", table=table) for table in tables]
    return [event(start, "sync_start"), *writes, event(start + 1, "sync_end", status=status)]


LATER = [event(100, "sync_start", "other")]
BEFORE = sync(1, "account")


@pytest.mark.parametrize(
    ("events", "written"),
    [
        ([*BEFORE, *sync(20, "account", "NOTE"), *LATER], {"account", "note"}),
        ([*BEFORE, *sync(20), *LATER], set()),
        ([*BEFORE, *LATER], set()),
        ([*BEFORE, *sync(20), event(20.5, "alter_table", table="crm.note", type="ADD_COLUMN"), *LATER], {"note", "crm.note"}),
        ([*BEFORE, *sync(50, "account"), *LATER], set()),
        ([*BEFORE, *sync(20, "account")], None),
        ([*sync(20, "account"), *LATER], None),
        ([*sync(1), *sync(20), *LATER], None),
        ([*BEFORE, *sync(20, status="FAILURE"), *LATER], None),
        ([*BEFORE, *sync(20)[:1], *LATER], None),
        ([*BEFORE, *sync(47.5), *LATER], None),
        ([event(1, "sync_start", "other"), *LATER], None),
    ],
    ids=[
        *("written", "nothing written", "no sync", "altered", "afterwards", "ends too early", "begins too late"),
        *("tells of no write", "failed", "never ended", "cut in two", "another's"),
    ],
)
def test_the_log_tells_what_was_written_only_where_it_tells_all(events: list[SyncEvent], written: set[str] | None) -> None:
    assert written_between("crm", Log(events), at(10), at(48)) == written
