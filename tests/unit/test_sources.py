"""Runs learn of syncs from the API where it is configured, else from the log, else from nobody; and never clone blindly."""

import csv
import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from history_assets.clones import clone_schema
from history_assets.errors import CloneError, FivetranUnreachableError, NotSettledError
from history_assets.fivetran.api import FivetranApi
from history_assets.fivetran.sources import ApiSource, Known, LogSource, QuietPoints, known_of, open_source
from history_assets.fivetran.syncs import Connection, Sync, SyncStatus, filling
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from history_assets.warehouse.values import Clone
from tests.fakes.fivetran import FakeFivetran, Fault
from tests.landing import Landing

SEEDS = Path(__file__).parents[3] / "shared" / "data" / "fivetran" / "fivetran_log"
DATE = dt.date(2026, 11, 22)
CUTOFF = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
NOW = CUTOFF + HOUR


def connection(schema: str, service: str = "salesforce", **changed: object) -> Connection:
    listed: dict[str, object] = {"paused": False, "setup_state": "connected", "sync_state": "scheduled", "created_at": None}
    listed |= {"update_state": "on_schedule", "is_historical_sync": False, "sync_frequency": 360}
    listed |= {"succeeded_at": None, "failed_at": None} | changed
    return Connection(id=f"id_{schema}", schema=schema, service=service, **listed)  # type: ignore[arg-type]


def test_connections_fill_the_schema_of_their_name_and_databases_those_with_their_prefix() -> None:
    shop, shop_eu, billing = connection("shop", "postgres_rds"), connection("shop_eu", "mysql"), connection("shop_billing")
    sheet, other, prefix = connection("shop_billing.plan", "google_sheets"), connection("sho", "postgres"), connection("pay")
    everything = [shop, shop_eu, billing, sheet, other, prefix]

    assert filling("SHOP_BILLING", everything) == [billing, sheet, shop]
    assert filling("shop_eu_public", everything) == [shop, shop_eu]
    assert filling("pay_out", everything) == [prefix]
    assert filling("shopify", everything) == []


def sync(started: float, ended: float | None, status: SyncStatus = SyncStatus.SUCCESSFUL) -> Sync:
    """A sync by hours from the cutoff."""
    end = None if ended is None else CUTOFF + ended * HOUR
    return Sync("crm", CUTOFF + started * HOUR, end, status if end else None)


SINCE = CUTOFF - DAY
BEFORE = SINCE - DAY
AFTER_FIRST = dt.timedelta(microseconds=1)
HISTORICAL = {"is_historical_sync": True, "sync_state": "rescheduled"}


@pytest.mark.parametrize(
    ("listed", "history", "known"),
    [
        ({}, [], Known((), SINCE, NOW)),
        ({"paused": True, "sync_state": "paused", "succeeded_at": BEFORE}, [], Known((), SINCE, NOW)),
        (
            {"setup_state": "broken", "succeeded_at": BEFORE - DAY, "failed_at": BEFORE},
            [],
            Known((Sync("crm", BEFORE, BEFORE, SyncStatus.FAILURE),), SINCE, NOW),
        ),
        # Its last sync ended since, and began before: it may have run at any time.
        ({"succeeded_at": NOW}, [], Known((), NOW, NOW)),
        (
            {"succeeded_at": CUTOFF - HOUR},
            [sync(-2, -1)],
            Known((sync(-2, -1),), CUTOFF - 2 * HOUR + AFTER_FIRST, NOW),
        ),
        ({"succeeded_at": CUTOFF - HOUR, "created_at": SINCE}, [sync(-2, -1)], Known((sync(-2, -1),), SINCE, NOW)),
        (
            {"sync_state": "syncing", "succeeded_at": BEFORE},
            [],
            Known((Sync("crm", BEFORE, None, None),), NOW, NOW),
        ),
        (
            {"sync_state": "syncing", "succeeded_at": CUTOFF - HOUR, "created_at": SINCE},
            [sync(-2, -1)],
            Known((sync(-2, -1), sync(-1, None)), SINCE, NOW),
        ),
        # It has ended since it was listed.
        (
            {"sync_state": "syncing", "succeeded_at": BEFORE, "created_at": SINCE},
            [sync(-2, 1)],
            Known((sync(-2, 1),), SINCE, NOW),
        ),
        (
            HISTORICAL | {"created_at": SINCE},
            [sync(-2, -1, SyncStatus.RESCHEDULED)],
            Known((sync(-2, None),), SINCE, NOW),
        ),
        (
            {"created_at": SINCE},
            [sync(-3, None), sync(-2, -1)],
            Known((sync(-3, -2, SyncStatus.INCOMPLETE), sync(-2, -1)), SINCE, NOW),
        ),
    ],
)
def test_the_list_fills_in_what_a_history_leaves_open(listed: dict[str, object], history: list[Sync], known: Known) -> None:
    assert known_of(connection("crm", **listed), history, SINCE, NOW, CUTOFF + HOUR / 2) == known


@pytest.fixture
def fivetran(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeFivetran]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeFivetran() as fivetran:
        yield fivetran


Ask = Callable[..., dt.datetime | None]


@pytest.fixture
def ask(fivetran: FakeFivetran) -> Ask:
    """Ask for the quiet point of a schema, on an engine that can reach back."""

    def ask(schema: str, now: dt.datetime = NOW) -> dt.datetime | None:
        warehouse = SnowflakeWarehouse(Settings(engine="snowflake"))
        source = ApiSource(FivetranApi(fivetran.credentials(), lambda _: None))
        return QuietPoints(warehouse, source, lambda: now).of(schema, DATE)

    return ask


def test_a_usual_night_costs_one_request_a_connection(fivetran: FakeFivetran, ask: Ask) -> None:
    fivetran.connect("crm")
    fivetran.connect("shop")
    for hours in (-31, -7, -1):
        fivetran.sync("crm", CUTOFF + hours * HOUR, CUTOFF + (hours + 0.5) * HOUR)

    assert ask("crm") == CUTOFF
    assert [path.split("/")[-1] for path, _ in fivetran.requests] == ["connections", "sync-history"]


def test_it_looks_further_back_until_it_knows(fivetran: FakeFivetran, ask: Ask) -> None:
    """A connection has failed for three weeks; what it had brought before is what was known."""
    fivetran.connect("crm")
    fivetran.sync("crm", CUTOFF - 21 * DAY, CUTOFF - 21 * DAY + HOUR)
    for days in range(-20, 0):
        fivetran.sync("crm", CUTOFF + days * DAY, CUTOFF + days * DAY + HOUR, "FAILURE")

    assert ask("crm") == CUTOFF - 21 * DAY + HOUR


def test_a_sync_that_began_before_all_that_was_looked_at_is_found(fivetran: FakeFivetran, ask: Ask) -> None:
    """A historical sync of ten days ended after the cutoff: a short look back would not have seen it begin."""
    fivetran.connect("crm")
    fivetran.sync("crm", CUTOFF - 11 * DAY, CUTOFF - 11 * DAY + HOUR)
    fivetran.sync("crm", CUTOFF - 10 * DAY, CUTOFF + HOUR / 2)

    assert ask("crm") == CUTOFF - 11 * DAY + HOUR


def test_two_connections_of_a_schema_both_count(fivetran: FakeFivetran, ask: Ask) -> None:
    fivetran.connect("sheets.plan")
    fivetran.connect("sheets.budget")
    fivetran.sync("sheets.plan", CUTOFF - 5 * HOUR, CUTOFF - 4 * HOUR)
    fivetran.sync("sheets.budget", CUTOFF - 9 * HOUR, CUTOFF - 8 * HOUR)
    fivetran.sync("sheets.budget", CUTOFF - HOUR, CUTOFF + HOUR / 2)

    assert ask("sheets") == CUTOFF - 4 * HOUR


def test_a_sync_under_way_is_waited_for(fivetran: FakeFivetran, ask: Ask) -> None:
    fivetran.connect("crm")
    fivetran.sync("crm", CUTOFF - 5 * HOUR, CUTOFF - 4 * HOUR)
    fivetran.sync("crm", CUTOFF - HOUR, None)

    with pytest.raises(NotSettledError, match="the sync of crm from 2026-11-21 23:00 UTC still runs"):
        ask("crm")


def test_so_is_a_historical_sync_between_two_of_its_parts(fivetran: FakeFivetran, ask: Ask) -> None:
    crm = fivetran.connect("crm")
    fivetran.sync("crm", CUTOFF - 5 * HOUR, CUTOFF - 4 * HOUR)
    fivetran.sync("crm", CUTOFF - 2 * HOUR, CUTOFF - HOUR, "RESCHEDULED")
    crm["status"] |= HISTORICAL

    with pytest.raises(NotSettledError, match="the sync of crm from 2026-11-21 22:00 UTC still runs"):
        ask("crm")


def test_a_schema_that_no_connection_fills_is_nobodys_to_wait_for(fivetran: FakeFivetran, ask: Ask) -> None:
    fivetran.connect("crm")

    assert ask("shop") is None
    assert ask("crm") == CUTOFF


@pytest.fixture
def over_api(fivetran: FakeFivetran, make_settings: Callable[..., Settings], landing: Landing) -> DuckDBWarehouse:
    """The embedded engine, with a schema that a connection fills, and the API to ask."""
    landing.execute("crm", "2026-11-21T20:00", "create table account (id int, _fivetran_synced timestamptz)")
    return DuckDBWarehouse(make_settings(fivetran=fivetran.credentials()))


def cloned(warehouse: DuckDBWarehouse) -> object:
    quiet = QuietPoints(warehouse, open_source(warehouse, CUTOFF), lambda: NOW)
    return clone_schema(quiet, "crm", [DATE], replace=False)[DATE]


def test_the_embedded_engine_goes_by_the_api_where_it_is_configured(fivetran: FakeFivetran, over_api: DuckDBWarehouse) -> None:
    fivetran.connect("crm")
    fivetran.sync("crm", CUTOFF - HOUR, CUTOFF + HOUR / 2)

    torn = cloned(over_api)

    assert type(torn) is CloneError
    assert "ran at that time, and this engine cannot reach back in time: clone the next date" in str(torn)
    assert over_api.clone_dates() == {}

    fivetran.syncs.clear()
    fivetran.sync("crm", CUTOFF - HOUR, CUTOFF - HOUR / 2)
    clone = cloned(over_api)
    assert isinstance(clone, Clone)
    assert clone.quiet_point == CUTOFF


def test_an_api_that_does_not_answer_fails_the_clone_and_may_be_tried_again(
    fivetran: FakeFivetran, over_api: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_assets.fivetran.api._ATTEMPTS", 1)
    fivetran.faults.append(Fault(503))

    failed = cloned(over_api)

    assert isinstance(failed, FivetranUnreachableError)
    assert failed.passing
    assert over_api.clone_dates() == {}


def test_one_schema_waits_for_an_api_that_is_down_and_the_others_do_not(fivetran: FakeFivetran) -> None:
    waits: list[float] = []
    source = ApiSource(FivetranApi(fivetran.credentials(), waits.append))
    fivetran.close()

    for schema in ("crm", "shop", "pay"):
        with pytest.raises(FivetranUnreachableError):
            source.known(schema, SINCE, NOW)
    assert len(waits) == 4


def test_without_an_api_the_log_tells(warehouse: DuckDBWarehouse) -> None:
    assert isinstance(open_source(warehouse, CUTOFF), LogSource)


@pytest.mark.skipif(not SEEDS.is_dir(), reason=f"no Fivetran sample data in {SEEDS}")
@pytest.mark.parametrize("word", ["connection", "connector"])
def test_a_real_log_tells_once_of_each_sync_under_old_and_new_names(
    word: str, landing: Landing, warehouse: DuckDBWarehouse
) -> None:
    """The sample lists its connection twice, once as deleted; its ids differ between the two lists."""
    with duckdb.connect(str(landing.file("fivetran_log"))) as raw:
        for table in (word, "log"):
            with (SEEDS / f"{table}.csv").open() as file:
                assert next(csv.reader(file))
            raw.execute(f"create table {table} as from read_csv('{SEEDS / table}.csv', all_varchar = true)")
        raw.execute("alter table log alter time_stamp type timestamptz using (time_stamp || '+00')::timestamptz")
        if word == "connector":
            raw.execute("alter table log rename connection_id to connector_id")
            raw.execute("update log set connector_id = 'this_connector' where connector_id = 'this_connection'")

    floor = dt.datetime(2021, 12, 1, tzinfo=dt.UTC)
    known = LogSource(warehouse, floor).known("instagram_business", CUTOFF, NOW)

    days = [dt.datetime(2021, 12, day, 14, tzinfo=dt.UTC) for day in (9, 10)]
    start, end = dt.timedelta(minutes=26, seconds=5.907), dt.timedelta(minutes=27, seconds=0.504)
    name = f"this_{word}"
    expected = tuple(Sync(name, day + start, day + end, SyncStatus.SUCCESSFUL) for day in days)
    assert known
    assert (known.syncs, known.certain) == (expected, floor)
    assert known.until >= days[-1] + end
    assert LogSource(warehouse, CUTOFF).known("instagram_business", CUTOFF, NOW) is None


def test_a_log_is_read_once_for_all_schemas_and_again_when_it_went_on(
    landing: Landing, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded engine clones what is now: a sync that begins between two clones of a run is seen by the second."""
    landing.execute(
        "fivetran_log",
        "2026-11-21T20:00",
        "create table connection as select 'id' as connection_id, 'crm' as connection_name",
        "create table log (connection_id varchar, time_stamp timestamptz, message_event varchar, message_data varchar)",
        "insert into log values ('id', '2026-11-21 20:00:00+00', 'sync_start', null), "
        "('id', '2026-11-21 21:00:00+00', 'sync_end', null)",
    )
    reads: list[dt.datetime | None] = []
    read = warehouse.sync_events
    monkeypatch.setattr(warehouse, "sync_events", lambda since: reads.append(since) or read(since))
    source = LogSource(warehouse, SINCE)
    ended = Sync("crm", CUTOFF - 4 * HOUR, CUTOFF - 3 * HOUR, SyncStatus.SUCCESSFUL)

    assert [source.known("crm", SINCE, NOW), source.known("shop", SINCE, NOW)] == [
        Known((ended,), SINCE, CUTOFF - 3 * HOUR),
        None,
    ]
    assert reads == [SINCE]

    landing.execute(
        "fivetran_log", "2026-11-21T20:00", "insert into log values ('id', '2026-11-21 23:00:00+00', 'sync_start', null)"
    )

    running = Sync("crm", CUTOFF - HOUR, None, None)
    assert source.known("crm", SINCE, NOW) == Known((ended, running), SINCE, CUTOFF - HOUR)
    assert reads == [SINCE, SINCE]


class EndingLog:
    """A log that ends at an instant; what it tells of is one sync."""

    def __init__(self, until: dt.datetime) -> None:
        self._until = until

    def known(self, schema: str, since: dt.datetime, now: dt.datetime) -> Known | None:
        return Known((sync(-3, -2),), since, self._until)


@pytest.mark.parametrize(
    ("until", "hours", "expected"),
    [
        (0, 1, None),
        (
            -1,
            1,
            (NotSettledError, "because Fivetran's log, which ends at 2026-11-21 23:00 UTC, does not tell what ran"),
        ),
        (-1, 35, (NotSettledError, "clone it when that is over")),
        (-1, 36, (CloneError, "see that its Platform Connector syncs, or set FIVETRAN_API_KEY and clone the date again")),
    ],
)
def test_a_log_that_ends_before_a_cutoff_does_not_tell_of_it(
    until: int, hours: int, expected: tuple[type[CloneError], str] | None
) -> None:
    """It is waited for, but not for ever; the engine can reach back meanwhile."""
    warehouse = SnowflakeWarehouse(Settings(engine="snowflake"))
    quiet = QuietPoints(warehouse, EndingLog(CUTOFF + until * HOUR), lambda: CUTOFF + hours * HOUR)
    if expected is None:
        assert quiet.of("crm", DATE) == CUTOFF
        return
    with pytest.raises(CloneError) as found:
        quiet.of("crm", DATE)
    assert type(found.value) is expected[0]
    assert expected[1] in str(found.value)
