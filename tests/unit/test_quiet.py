"""The quiet point agrees with a clock that ticks through every minute of every connection."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from history_assets.fivetran.quiet import Cannot, NotSettled, quiet_point
from history_assets.fivetran.syncs import Sync, SyncStatus

ZERO = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
LAST = 14


def at(minute: int) -> dt.datetime:
    return ZERO + dt.timedelta(minutes=minute)


@st.composite
def timelines(draw: st.DrawFn) -> list[Sync]:
    """The syncs of up to three connections, one at a time each; the last of each may still run."""
    syncs = []
    for connection in range(draw(st.integers(0, 3))):
        times = sorted(draw(st.sets(st.integers(0, LAST), max_size=8)))
        for started, ended in zip(times[::2], [*times[1::2], None], strict=False):
            status = draw(st.sampled_from(SyncStatus)) if ended is not None else None
            syncs.append(Sync(f"c{connection}", at(started), None if ended is None else at(ended), status))
    return draw(st.permutations(syncs))


def states(syncs: list[Sync]) -> list[bool]:
    """Return, for every minute, whether the schema was whole then: after what ended in it and what began in it."""
    whole = {sync.connection: True for sync in syncs}
    found = []
    for minute in range(LAST + 2):
        for sync in syncs:
            if sync.ended == at(minute):
                whole[sync.connection] = sync.status is SyncStatus.SUCCESSFUL
        for sync in syncs:
            if sync.started == at(minute):
                whole[sync.connection] = False
        found.append(all(whole.values()))
    return found


def oracle(syncs: list[Sync], cutoff: int, now: int, reach: int | None) -> int | type:
    """Say minute by minute what ``quiet_point`` works out; an instant, or the kind of answer that there is instead."""
    whole = states(syncs)
    if now < cutoff:
        return NotSettled
    if reach is None:
        return cutoff if whole[cutoff] and all(sync.started < at(cutoff) for sync in syncs) else Cannot
    if cutoff < reach:
        return Cannot
    ends = {minute for minute in range(cutoff) for sync in syncs if sync.succeeded and sync.ended == at(minute)}
    quiet = [minute for minute in {cutoff, *ends} if whole[minute]]
    if not quiet or max(quiet) < reach:
        return Cannot
    runs = any(sync.ended is None and sync.started <= at(cutoff) for sync in syncs)
    return NotSettled if runs else max(quiet)


MINUTES = st.integers(0, LAST)


@hypothesis_settings(max_examples=1000)
@given(timelines(), MINUTES, MINUTES, st.none() | MINUTES)
def test_it_is_what_the_clock_says(syncs: list[Sync], cutoff: int, now: int, reach: int | None) -> None:
    found = quiet_point(syncs, at(cutoff), at(now), None if reach is None else at(reach))

    expected = oracle(syncs, cutoff, now, reach)
    assert (found if isinstance(found, dt.datetime) else type(found)) == (
        at(expected) if isinstance(expected, int) else expected
    )


@hypothesis_settings(max_examples=500)
@given(
    st.lists(st.builds(Sync, st.sampled_from("ab"), MINUTES.map(at), st.none() | MINUTES.map(at), st.sampled_from(SyncStatus))),
    MINUTES,
    st.none() | MINUTES,
)
def test_whatever_is_said_of_syncs_none_is_cut_in_two(syncs: list[Sync], cutoff: int, reach: int | None) -> None:
    """Also where connections overlap themselves, as no log should have it."""
    found = quiet_point(syncs, at(cutoff), at(LAST), None if reach is None else at(reach))

    if isinstance(found, dt.datetime):
        assert found <= at(cutoff)
        assert reach is None or found >= at(reach)
        assert [sync for sync in syncs if sync.started <= found and (sync.ended is None or sync.ended > found)] == []


OK, RUNNING = Sync("c", at(1), at(2), SyncStatus.SUCCESSFUL), Sync("c", at(4), None, None)
OVER = Sync("c", at(4), at(7), SyncStatus.SUCCESSFUL)
NAMED = "the sync of c from 2026-11-22 00:04 UTC"
RAN, LATER = f"{NAMED} ran at that time", "clone a later date"


@pytest.mark.parametrize(
    ("syncs", "now", "reach", "found"),
    [
        ([OK], 4, 0, NotSettled("that instant has not come yet")),
        ([OK, RUNNING], 6, 0, NotSettled(f"{NAMED} still runs")),
        ([OK, Sync("c", at(5), None, None)], 6, 0, NotSettled("the sync of c from 2026-11-22 00:05 UTC still runs")),
        ([OK, OVER], 8, 0, at(2)),
        ([OK, Sync("c", at(5), at(7), SyncStatus.SUCCESSFUL)], 8, 0, at(2)),
        (
            [OK, OVER],
            8,
            6,
            Cannot("that is before 2026-11-22 00:06 UTC, the earliest instant within reach", "clone a later date"),
        ),
        (
            [OK, OVER],
            8,
            3,
            Cannot(
                f"{RAN}, and the last whole state before, of 2026-11-22 00:02 UTC, is out of reach since 2026-11-22 00:03 UTC",
                LATER,
            ),
        ),
        # Waiting would not help: what ran then ran then, however it ends.
        (
            [OK, RUNNING],
            6,
            None,
            Cannot(f"{RAN}, and this engine cannot reach back in time", "clone the next date"),
        ),
        (
            [RUNNING],
            6,
            0,
            Cannot(
                f"{NAMED} ran at that time, and there was no instant before at which every sync had succeeded",
                "clone a later date",
                begun=False,
            ),
        ),
    ],
)
def test_it_says_why(syncs: list[Sync], now: int, reach: int | None, found: dt.datetime | NotSettled | Cannot) -> None:
    assert quiet_point(syncs, at(5), at(now), None if reach is None else at(reach)) == found
