"""A clone that can only show now is made only where now still is the cutoff."""

import csv
import datetime as dt
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.errors import CloneError, NotSettledError
from history_assets.fivetran.completions import Seen, logged
from history_assets.fivetran.log import Log, logged_of, syncs_of, written_between
from history_assets.fivetran.quiet import instant_of, quiet_point
from history_assets.fivetran.syncs import Sync, SyncStatus
from history_assets.warehouse.values import SyncEvent

SHARED = Path(__file__).parents[3] / "shared" / "data" / "fivetran"
FAILURE = SyncStatus.FAILURE
CUTOFF = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)


def at(minutes: int) -> dt.datetime:
    return CUTOFF + dt.timedelta(minutes=minutes)


def sync(started: int, ended: int | None, *, failed: SyncStatus | None = None, connection: str = "c") -> Sync:
    if ended is None:
        return Sync(connection, at(started), None, None)
    return Sync(connection, at(started), at(ended), failed or SyncStatus.SUCCESSFUL)


def quiet_now(schema: str, syncs: list[Sync], cutoff: dt.datetime) -> dt.datetime:
    """The quiet point on an engine that cannot reach back."""
    return instant_of(schema, cutoff, quiet_point(syncs, cutoff, at(60), None))


def quiet_before(schema: str, syncs: list[Sync], cutoff: dt.datetime) -> dt.datetime:
    """The quiet point on an engine that can."""
    return instant_of(schema, cutoff, quiet_point(syncs, cutoff, at(60), at(-24 * 60)))


@pytest.mark.parametrize(
    "syncs",
    [
        [],
        [sync(-60, -50)],
        [sync(-60, 0)],
        [sync(-90, -80, failed=FAILURE), sync(-60, -50)],
        [sync(-60, -50), sync(-40, -30, connection="other")],
    ],
)
def test_the_cutoff_is_quiet_after_a_success_with_nothing_since(syncs: list[Sync]) -> None:
    assert quiet_now("s", syncs, CUTOFF) == CUTOFF


@pytest.mark.parametrize(
    ("syncs", "because"),
    [
        ([sync(-60, -50), sync(0, 5)], "has begun since"),
        ([sync(3, None)], "has begun since"),
        ([sync(-10, 1)], "ran at that time"),
        ([sync(-10, None)], "ran at that time"),
        ([sync(-60, -50, failed=FAILURE)], "the last before, failed"),
        ([sync(-60, -50), sync(-70, -65, failed=FAILURE, connection="other")], "the last before, failed"),
    ],
)
def test_else_it_says_why_it_cannot(syncs: list[Sync], because: str) -> None:
    with pytest.raises(CloneError, match=rf"cannot clone s as it was at 2026-11-22 00:00 UTC, because .*{because}"):
        quiet_now("s", syncs, CUTOFF)


@pytest.mark.parametrize(
    ("syncs", "quiet"),
    [
        ([], 0),
        ([sync(-60, -50)], 0),
        # One that begins at the very cutoff may have written by then.
        ([sync(-60, -50), sync(0, 5)], -50),
        ([sync(-60, 0)], 0),
        ([sync(3, None)], 0),
        ([sync(-60, -50), sync(-10, 1)], -50),
        ([sync(-60, -50), sync(-10, -5, failed=FAILURE)], -50),
        ([sync(-60, -50), sync(-40, -30), sync(-10, 1)], -30),
        # Another connection's sync ran at the end of the last, so that the one before it is the quiet one.
        ([sync(-60, -50), sync(-40, -30), sync(-10, 1), sync(-35, -25, connection="other")], -25),
        ([sync(-60, -50), sync(-40, -30), sync(-35, 2, connection="other")], -50),
        ([sync(-60, -50), sync(-70, -65, failed=FAILURE, connection="other"), sync(-20, -15, connection="other")], 0),
        ([sync(-90, -80), sync(-70, -65, failed=FAILURE, connection="other"), sync(-20, 5)], -80),
    ],
)
def test_where_the_past_can_be_reached_the_last_whole_state_is_quiet(syncs: list[Sync], quiet: int) -> None:
    assert quiet_before("s", syncs, CUTOFF) == at(quiet)


@pytest.mark.parametrize(
    ("syncs", "because"),
    [
        ([sync(-10, None)], "ran at that time"),
        ([sync(0, 5)], "ran at that time"),
        ([sync(-60, -50, failed=FAILURE)], "the last before, failed"),
    ],
)
def test_where_nothing_was_ever_whole_it_says_so(syncs: list[Sync], because: str) -> None:
    with pytest.raises(CloneError, match=rf"because .*{because}, and there was no instant before.*clone a later date"):
        quiet_before("s", syncs, CUTOFF)


def test_while_a_sync_that_began_before_still_runs_it_is_too_early_to_say() -> None:
    says = r"cannot clone s .* yet, because the sync of c from 2026-11-21 23:50 UTC still runs: clone it when that is over"
    with pytest.raises(NotSettledError, match=says) as refused:
        quiet_before("s", [sync(-60, -50), sync(-10, None)], CUTOFF)
    assert refused.value.passing


def test_a_connection_is_known_in_any_case() -> None:
    """Fivetran writes SALESFORCE on Snowflake for a connection named salesforce."""
    started = [SyncEvent("id", "salesforce", at(-5), "sync_start", None, None)]

    assert syncs_of("SALESFORCE", Log(started)) == [Sync("salesforce", at(-5), None, None)]
    assert syncs_of("PG_PUBLIC", Log([SyncEvent("id", "pg", at(-5), "sync_start", None, None)])) is not None


def event(minutes: int, name: str, data: str | None = None, connection: str = "id", known_as: str = "s") -> SyncEvent:
    return SyncEvent(connection, known_as, at(minutes), name, None, data)


SUCCESS = '{"status":"SUCCESSFUL"}'


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event(1, "sync_start"), event(2, "sync_end", SUCCESS)], [sync(1, 2, connection="s")]),
        ([event(1, "sync_start"), event(2, "sync_end")], [sync(1, 2, connection="s")]),
        (
            [event(1, "sync_start"), event(2, "sync_end", '{"status":"FAILURE_WITH_TASK"}')],
            [sync(1, 2, connection="s", failed=SyncStatus.FAILURE_WITH_TASK)],
        ),
        ([event(1, "sync_start")], [sync(1, None, connection="s")]),
        (
            [event(1, "sync_start"), event(5, "sync_start"), event(6, "sync_end", SUCCESS)],
            [sync(1, 5, connection="s", failed=SyncStatus.INCOMPLETE), sync(5, 6, connection="s")],
        ),
        ([event(1, "sync_end", SUCCESS)], []),
        (
            [event(1, "sync_start"), event(2, "sync_end", '"{\\"status\\":\\"CANCELED\\"}"')],
            [sync(1, 2, connection="s", failed=SyncStatus.CANCELED)],
        ),
        # The connection is listed twice.
        (2 * [event(1, "sync_start"), event(2, "sync_end", SUCCESS)], [sync(1, 2, connection="s")]),
        (
            [event(1, "sync_start"), event(2, "records_modified", "no json"), event(3, "sync_end", SUCCESS)],
            [sync(1, 3, connection="s")],
        ),
    ],
)
def test_starts_and_ends_make_syncs(events: list[SyncEvent], expected: list[Sync]) -> None:
    assert syncs_of("s", Log(events)) == expected


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from(["sync_start", "sync_end", "records_modified"])), max_size=30))
def test_a_sync_wrote_what_was_written_from_its_start_to_its_end(happened: list[tuple[int, str]]) -> None:
    events = [event(minute, what, '{"schema": "S", "count": 3}') for minute, what in happened]
    writes = [minute for minute, what in happened if what == "records_modified"]

    for _, one, rows in logged_of("s", Log(events)):
        assert rows == 3 * sum(one.started <= at(minute) <= (one.ended or at(minute)) for minute in writes)


def test_a_long_log_is_read_in_no_time() -> None:
    """As long as it is, each event is looked at once or twice: a sensor has a minute for it."""
    syncs = [
        each
        for minute in range(0, 60_000, 4)
        for each in (
            event(minute, "sync_start"),
            event(minute + 1, "records_modified", '{"schema": "s", "count": 3}'),
            event(minute + 2, "sync_end", SUCCESS),
        )
    ]
    began = time.process_time()
    told, _ = logged(syncs, ["s"], {"c": Seen(at(0), at(0))}, at(60_000))

    assert time.process_time() - began < 5
    assert {each.rows for each in told} == {3}
    assert len(told) == 15_000


HOSTILE_DATA = [
    *("[" * 100_000, '{"a":' * 100_000, "NaN", "[]", "7", '"x"', "\x00", '{"schema": {"schema": "s"}, "table": 1, "count": 2}'),
    *('{"schema": "s", "table": ["t"], "count": "x"}', '{"schema": "s", "count": 1e400}', '{"schema": "s", "count": [1]}'),
    *('{"schema": "s", "count": ' + "9" * 5000 + "}", f'{{"schema": "s", "count": "{"9" * 5000}"}}', '{"schema": null}'),
    *('{"schema": "s", "count": -5}', '{"schema": "s", "count": true}'),
]


@pytest.mark.parametrize("data", HOSTILE_DATA, ids=range(len(HOSTILE_DATA)))
def test_what_makes_no_sense_in_a_log_says_nothing(data: str) -> None:
    """And what does is read beside it."""
    good = '{"schema":"s","table":"t","count":"3"}'
    written = [event(2, "records_modified", data), event(3, "records_modified", good), event(3, "alter_table", data)]
    events = [event(-2, "sync_start"), event(-1, "sync_end", SUCCESS), event(1, "sync_start"), *written]
    events += [event(4, "sync_end", SUCCESS), event(9, "extract_summary")]

    assert syncs_of("s", Log(events)) == [sync(-2, -1, connection="s"), sync(1, 4, connection="s")]
    assert [rows for *_, rows in logged_of("s", Log(events))] == [0, 3]
    assert written_between("s", Log(events), at(0), at(5)) == {"t"}


@pytest.mark.parametrize("status", ["5", "{}", '["SUCCESSFUL"]', "true", '""', '"SUCCESSFUL; drop"'])
def test_a_status_that_makes_no_sense_is_no_success(status: str) -> None:
    ended = event(2, "sync_end", f'{{"status": {status}}}')

    assert syncs_of("s", Log([event(1, "sync_start"), ended])) == [sync(1, 2, connection="s", failed=SyncStatus.INCOMPLETE)]


def test_a_schema_belongs_to_the_connections_that_write_it_or_bear_its_name() -> None:
    events = [
        event(1, "sync_start", connection="1", known_as="shop"),
        event(2, "records_modified", '{"schema":"shop_public","table":"t"}', connection="1", known_as="shop"),
        event(3, "sync_start", connection="2", known_as="shop_public.sheet"),
        event(4, "sync_start", connection="3", known_as="shop_billing"),
        event(5, "sync_start", connection="4", known_as="shop_b"),
    ]

    assert [each.connection for each in syncs_of("shop_public", Log(events)) or ()] == ["shop", "shop_public.sheet"]
    assert [each.connection for each in syncs_of("shop_billing", Log(events)) or ()] == ["shop_billing"]


def test_without_better_evidence_the_longest_prefix_owns_a_schema() -> None:
    events = [
        event(1, "sync_start", connection="1", known_as="shop"),
        event(2, "sync_start", connection="2", known_as="shop_eu"),
        event(3, "sync_start", connection="3", known_as="sho"),
    ]

    assert [each.connection for each in syncs_of("shop_eu_public", Log(events)) or ()] == ["shop_eu"]
    assert [each.connection for each in syncs_of("shop_us", Log(events)) or ()] == ["shop"]
    assert syncs_of("shopify", Log(events)) is None


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no Fivetran sample data in {SHARED}")
def test_a_real_log_is_read() -> None:
    """The public sample has two whole syncs, of a connection that is named otherwise than the schema it writes."""
    with (SHARED / "fivetran_log" / "log.csv").open() as file:
        events = [
            SyncEvent(
                row["connection_id"],
                row["connection_id"],
                dt.datetime.fromisoformat(row["time_stamp"]).replace(tzinfo=dt.UTC),
                row["message_event"],
                row["sync_id"],
                row["message_data"],
            )
            for row in csv.DictReader(file)
        ]

    days = [dt.datetime(2021, 12, day, tzinfo=dt.UTC) for day in (9, 10)]
    start, end = dt.timedelta(hours=14, minutes=26, seconds=5.907), dt.timedelta(hours=14, minutes=27, seconds=0.504)
    assert syncs_of("instagram_business", Log(events)) == [
        Sync("this_connection", day + start, day + end, SyncStatus.SUCCESSFUL) for day in days
    ]
    assert syncs_of("salesforce", Log(events)) is None
