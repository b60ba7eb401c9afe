"""Which syncs have ended since the last look: each is told once, and none is lost, whatever fails in between."""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.errors import FivetranUnreachableError
from history_assets.fivetran.completions import Completion, Seen, listed, logged, recall, remember, settled
from history_assets.fivetran.syncs import Connection, Sync, SyncStatus
from history_assets.warehouse.values import SyncEvent

START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
GOOD, BAD = SyncStatus.SUCCESSFUL, SyncStatus.FAILURE


def at(minute: int) -> dt.datetime:
    return START + minute * MINUTE


def connection(schema: str, syncs: Sequence[Sync], now: dt.datetime, **changed: object) -> Connection:
    """Return a connection as it is listed at an instant."""
    ended = {
        status: max((each.ended for each in syncs if each.ended and each.ended <= now and each.status is status), default=None)
        for status in (GOOD, BAD)
    }
    state = (
        "syncing" if any(each.started <= now and (each.ended is None or each.ended > now) for each in syncs) else "scheduled"
    )
    usual = Connection(
        id=f"id_{schema}",
        schema=schema,
        service="salesforce",
        paused=False,
        setup_state="connected",
        sync_state=state,
        update_state="on_schedule",
        is_historical_sync=False,
        created_at=START - dt.timedelta(days=1),
        succeeded_at=ended[GOOD],
        failed_at=ended[BAD],
        sync_frequency=5,
    )
    return dataclasses.replace(usual, **changed)  # type: ignore[arg-type]


@st.composite
def days(draw: st.DrawFn) -> dict[str, list[Sync]]:
    """Draw the syncs of up to three connections, none of which runs two at a time."""
    drawn = {}
    for name in ("crm", "shop", "web")[: draw(st.integers(1, 3))]:
        # Alternately how long it waits and how long it runs; even minutes, for looks to come between.
        spans = draw(st.lists(st.integers(1, 20), min_size=2, max_size=12))
        instants = [at(2 * minute) for minute in itertools.accumulate(spans)]
        pairs = zip(instants[::2], instants[1::2], strict=False)
        drawn[name] = [Sync(name, start, end, draw(st.sampled_from([GOOD, GOOD, BAD]))) for start, end in pairs]
    return drawn


@given(
    day=days(),
    minutes=st.sets(st.integers(0, 260), min_size=2, max_size=12),
    failing=st.sets(st.tuples(st.integers(0, 10), st.sampled_from(["crm", "shop", "web"]))),
)
def test_every_sync_that_ends_after_the_first_look_is_told_once(
    day: dict[str, list[Sync]], minutes: set[int], failing: set[tuple[int, str]]
) -> None:
    """Also where looks are hours apart, and histories cannot be read at some of them."""
    looks = [at(2 * minute + 1) for minute in sorted(minutes)]
    told: list[Completion] = []
    memory = recall(None)
    for number, now in enumerate(looks):
        fails = {name for look, name in failing if look == number and number < len(looks) - 1}

        def history(asked: Connection, since: dt.datetime, until: dt.datetime, fails: set[str] = fails) -> list[Sync]:
            if asked.schema in fails:
                raise FivetranUnreachableError("not now")
            return [
                each if each.ended and each.ended <= until else dataclasses.replace(each, ended=None, status=None)
                for each in day[asked.schema]
                if since <= each.started < until
            ]

        connections = [connection(name, syncs, now) for name, syncs in day.items()]
        completions, after = listed(connections, list(day), memory, now, history, lambda _: None)
        told += completions if number else []
        memory = recall(remember(after))

    expected = [
        (f"id_{name}", (name,), sync.ended, sync.status)
        for name, syncs in day.items()
        for sync in syncs
        if sync.ended and looks[0] < sync.ended <= looks[-1]
    ]
    assert sorted((each.connection, each.schemas, each.ended, each.status) for each in told) == sorted(expected)


def no_history(*_: object) -> list[Sync]:
    raise AssertionError("a history was read")


def test_a_first_look_tells_of_the_last_syncs_and_reads_no_history() -> None:
    syncs = [Sync("crm", at(1), at(2), GOOD), Sync("crm", at(3), at(4), GOOD), Sync("crm", at(5), at(6), BAD)]

    told, _ = listed([connection("crm", syncs, at(10))], ["crm"], {}, at(10), no_history, pytest.fail)

    assert told == [Completion("id_crm", ("crm",), at(4), GOOD), Completion("id_crm", ("crm",), at(6), BAD)]


def test_looks_in_close_succession_read_no_history() -> None:
    syncs = [Sync("crm", at(1), at(2), GOOD), Sync("crm", at(3), at(4), GOOD)]
    _, memory = listed([connection("crm", syncs, at(3))], ["crm"], {}, at(3), no_history, pytest.fail)

    told, memory = listed([connection("crm", syncs, at(4))], ["crm"], memory, at(4), no_history, pytest.fail)

    assert told == [Completion("id_crm", ("crm",), at(4), GOOD)]
    assert listed([connection("crm", syncs, at(5))], ["crm"], memory, at(5), no_history, pytest.fail)[0] == []


def test_a_schema_that_is_found_later_has_its_last_sync_told_then() -> None:
    syncs = [Sync("crm", at(1), at(2), GOOD)]
    told, memory = listed([connection("crm", syncs, at(3))], ["shop"], {}, at(3), no_history, pytest.fail)

    assert (told, memory) == ([], {})
    assert listed([connection("crm", syncs, at(9))], ["crm"], memory, at(9), no_history, pytest.fail)[0] == [
        Completion("id_crm", ("crm",), at(2), GOOD)
    ]


def test_one_connection_fills_several_schemas() -> None:
    syncs = [Sync("db", at(1), at(2), GOOD)]
    listing = [connection("db", syncs, at(3), service="postgres")]

    told, _ = listed(listing, ["db_public", "db_sales", "other"], {}, at(3), no_history, pytest.fail)

    assert told == [Completion("id_db", ("db_public", "db_sales"), at(2), GOOD)]


def test_a_history_that_fails_is_warned_of_and_holds_up_no_other() -> None:
    syncs = {name: [Sync(name, at(1), at(2), GOOD), Sync(name, at(70), at(71), GOOD)] for name in ("crm", "shop")}
    first = [connection(name, each, at(3)) for name, each in syncs.items()]
    _, memory = listed(first, list(syncs), {}, at(3), no_history, pytest.fail)

    def history(asked: Connection, since: dt.datetime, until: dt.datetime) -> list[Sync]:
        if asked.schema == "crm":
            raise FivetranUnreachableError("found no answer of Fivetran")
        return [each for each in syncs[asked.schema] if since <= each.started < until]

    warned: list[str] = []
    later = [connection(name, each, at(80)) for name, each in syncs.items()]
    told, memory = listed(later, list(syncs), memory, at(80), history, warned.append)

    assert told == [Completion("id_shop", ("shop",), at(71), GOOD, at(70))]
    assert warned == [
        "found no sync history of crm: its syncs are reported when there is one (found no answer of Fivetran)",
    ]
    told, _ = listed(later, list(syncs), memory, at(81), lambda *_: syncs["crm"], warned.append)
    assert told == [Completion("id_crm", ("crm",), at(71), GOOD, at(70))]


def test_a_sync_that_its_history_lacks_for_a_while_is_told_at_the_next_look() -> None:
    syncs = [Sync("crm", at(1), at(2), GOOD), Sync("crm", at(70), at(71), GOOD), Sync("crm", at(75), at(80), GOOD)]
    _, memory = listed([connection("crm", syncs, at(3))], ["crm"], {}, at(3), no_history, pytest.fail)

    listing = [connection("crm", syncs, at(81))]
    told, memory = listed(listing, ["crm"], memory, at(81), lambda *_: syncs[:2], pytest.fail)
    assert [each.ended for each in told] == [at(71)]

    told, memory = listed([connection("crm", syncs, at(82))], ["crm"], memory, at(82), no_history, pytest.fail)
    assert [each.ended for each in told] == [at(80)]
    assert listed([connection("crm", syncs, at(83))], ["crm"], memory, at(83), no_history, pytest.fail)[0] == []


def test_no_more_than_some_histories_are_read_at_a_time_and_all_have_their_turn() -> None:
    names = [f"s{number:03}" for number in range(60)]
    syncs = {name: [Sync(name, at(1), at(2), GOOD), Sync(name, at(70), at(71), GOOD)] for name in names}
    _, memory = listed([connection(n, s, at(3)) for n, s in syncs.items()], names, {}, at(3), no_history, pytest.fail)
    listing = [connection(name, each, at(80)) for name, each in syncs.items()]
    told: list[str] = []
    reads: list[int] = []
    for minute in range(80, 84):
        asked: list[str] = []

        def history(each: Connection, since: dt.datetime, until: dt.datetime, asked: list[str] = asked) -> list[Sync]:
            asked.append(each.schema)
            return [sync for sync in syncs[each.schema] if since <= sync.started < until]

        completions, memory = listed(listing, names, memory, at(minute), history, pytest.fail)
        told += [schema for each in completions for schema in each.schemas]
        reads.append(len(asked))

    assert sorted(told) == names
    assert reads == [25, 25, 10, 0]


def event(minute: int, what: str, data: str | None = None, connection: str = "c1", name: str = "crm") -> SyncEvent:
    return SyncEvent(connection, name, at(minute), what, None, data)


def test_the_log_tells_of_each_sync_once_with_its_rows() -> None:
    events = [
        event(1, "sync_start"),
        event(2, "records_modified", '{"schema":"crm","table":"a","count":3,"operationType":"REPLACED_OR_INSERTED"}'),
        event(2, "records_modified", '{"schema":"crm","table":"b","count":4,"operationType":"DELETED"}'),
        event(3, "sync_end", '{"status":"SUCCESSFUL"}'),
        event(4, "sync_start"),
        event(5, "sync_end", '{"status":"FAILURE_WITH_TASK"}'),
        event(6, "sync_start"),
    ]
    told, memory = logged(events, ["crm", "shop"], {"c0": Seen(at(0), at(0))}, at(7))

    assert told == [
        Completion("c1", ("crm",), at(3), GOOD, at(1), 7),
        Completion("c1", ("crm",), at(5), SyncStatus.FAILURE_WITH_TASK, at(4), 0),
    ]
    more = [*events, event(8, "sync_end", '{"status":"SUCCESSFUL"}')]
    assert logged(more, ["crm", "shop"], recall(remember(memory)), at(9))[0] == [
        Completion("c1", ("crm",), at(8), GOOD, at(6), 0)
    ]


def test_a_first_look_at_a_log_tells_of_the_last_syncs_alone() -> None:
    events = [
        each
        for minute in (1, 4)
        for name in ("c1", "c2")
        for each in (
            event(minute, "sync_start", None, name, f"{name}_db"),
            event(minute + 1, "sync_end", None, name, f"{name}_db"),
        )
    ]
    told, memory = logged(events, ["c1_db", "c2_db"], {}, at(7))

    assert [(each.connection, each.schemas, each.ended) for each in told] == [
        ("c1", ("c1_db",), at(5)),
        ("c2", ("c2_db",), at(5)),
    ]
    assert logged(events, ["c1_db", "c2_db"], memory, at(8))[0] == []


@given(day=days(), cutoff=st.integers(0, 260), minute=st.integers(0, 260))
def test_a_schema_that_is_said_to_have_settled_has(day: dict[str, list[Sync]], cutoff: int, minute: int) -> None:
    """And at the latest once a sync has ended after the cutoff, or none runs, it is said to have."""
    now, limit = at(2 * minute + 1), at(2 * cutoff + 1)
    connections = [connection(name, syncs, now) for name, syncs in day.items()]
    for name, syncs in day.items():
        running = [each for each in syncs if each.ended and each.started <= now < each.ended]
        before = [each for each in running if each.started < limit]
        if settled(connections, name, limit):
            assert before == [] or now < limit
        else:
            assert running != [] or not any(each.ended and each.ended <= now and each.status is GOOD for each in syncs)


def test_a_schema_whose_first_sync_has_not_ended_has_not_settled() -> None:
    """Nor has one that was not there yet; for both there is nothing to clone."""
    first = [Sync("crm", at(1), at(9), GOOD)]

    assert [settled([connection("crm", first, at(minute))], "crm", at(5)) for minute in (8, 9)] == [False, True]
    assert not settled([connection("crm", first, at(9), created_at=at(5))], "crm", at(5))
    other = connection("crm", [Sync("crm", at(0), at(1), GOOD)], at(9), id="other")
    assert settled([connection("crm", first, at(9), created_at=at(5)), other], "crm", at(5))
