"""Fivetran's API is asked sparingly, waits as it is told to, and never gives the secret away."""

import datetime as dt
import logging
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from history_assets.errors import FivetranError, FivetranUnreachableError
from history_assets.fivetran.api import FivetranApi
from history_assets.fivetran.syncs import Connection, Sync, SyncStatus, filling
from tests.fakes.fivetran import GROUP, SECRET, FakeFivetran, Fault

NOW = dt.datetime(2026, 11, 22, 1, tzinfo=dt.UTC)
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@pytest.fixture
def fivetran(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeFivetran]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeFivetran() as fivetran:
        yield fivetran


class Waits(list[float]):
    """How long was waited, without waiting."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def api(fivetran: FakeFivetran, waits: Waits) -> FivetranApi:
    return FivetranApi(fivetran.credentials(), waits)


def test_a_connection_is_read_whole(fivetran: FakeFivetran, api: FivetranApi) -> None:
    fivetran.connect(
        "google_sheets.plan",
        service="google_sheets",
        paused=True,
        failed_at="2026-11-21T08:00:00Z",
        succeeded_at="2026-11-20T08:00:00.5Z",
        status={"setup_state": "broken", "sync_state": "paused", "update_state": "delayed", "is_historical_sync": True},
    )

    assert api.connections() == [
        Connection(
            id=f"id_google_sheets_plan_{GROUP}",
            schema="google_sheets.plan",
            service="google_sheets",
            paused=True,
            setup_state="broken",
            sync_state="paused",
            update_state="delayed",
            is_historical_sync=True,
            created_at=dt.datetime(2024, 1, 1, 11, 22, 33, 12345, tzinfo=dt.UTC),
            succeeded_at=dt.datetime(2026, 11, 20, 8, 0, 0, 500000, tzinfo=dt.UTC),
            failed_at=dt.datetime(2026, 11, 21, 8, tzinfo=dt.UTC),
            sync_frequency=360,
        )
    ]


def test_a_thousand_connections_are_one_request_and_more_are_paged(fivetran: FakeFivetran, api: FivetranApi) -> None:
    for number in range(2001):
        fivetran.connect(f"s{number}")

    assert [each.schema for each in api.connections()] == [f"s{number}" for number in range(2001)]
    path = f"/v1/groups/{GROUP}/connections"
    assert [asked for asked, _ in fivetran.requests] == 3 * [path]
    assert [parameters["limit"] for _, parameters in fivetran.requests] == 3 * ["1000"]
    assert ["cursor" in parameters for _, parameters in fivetran.requests] == [False, True, True]


def test_every_group_is_listed(fivetran: FakeFivetran, waits: Waits) -> None:
    fivetran.connect("crm")
    fivetran.connect("shop", group="other")

    found = FivetranApi(fivetran.credentials(groups=(GROUP, "other")), waits).connections()

    assert [each.schema for each in found] == ["crm", "shop"]


def test_a_history_is_asked_for_a_week_at_a_time(fivetran: FakeFivetran, api: FivetranApi) -> None:
    fivetran.connect("crm")
    statuses = ["COMPLETED", "FAILURE", "CANCELED", "RESCHEDULED", "INCOMPLETE", "PAUSED", "of the future"]
    for day, status in enumerate(statuses, -14):
        fivetran.sync("crm", NOW + day * DAY, NOW + day * DAY + HOUR, status)
    fivetran.sync("crm", NOW - HOUR, None)
    (connection,) = api.connections()
    fivetran.syncs[connection.id].append({"sync_id": "planned", "start": None, "end": None})

    found = api.sync_history(connection, NOW - 15 * DAY, NOW)

    whole, half = SyncStatus.SUCCESSFUL, SyncStatus.INCOMPLETE
    expected = [whole, SyncStatus.FAILURE, SyncStatus.CANCELED, SyncStatus.RESCHEDULED, half, half, half]
    assert found == [
        *(
            Sync("crm", NOW + day * DAY, NOW + day * DAY + HOUR, status)
            for day, status in zip(range(-14, -7), expected, strict=True)
        ),
        Sync("crm", NOW - HOUR, None, None),
    ]
    assert len(fivetran.requests) == 1 + 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(status: int, fivetran: FakeFivetran, api: FivetranApi, waits: Waits) -> None:
    fivetran.connect("crm")
    fivetran.faults.extend(2 * [Fault(status)])

    assert [each.schema for each in api.connections()] == ["crm"]
    assert len(fivetran.requests) == 3
    assert len(waits) == 2


def test_it_waits_for_as_long_as_it_is_told_to(fivetran: FakeFivetran, api: FivetranApi, waits: Waits) -> None:
    fivetran.faults.extend([Fault(429, {"Retry-After": "37"}), Fault(429, {"Retry-After": "2"})])

    assert api.connections() == []
    assert waits == [37, 2]


def test_but_not_for_an_hour(fivetran: FakeFivetran, api: FivetranApi, waits: Waits) -> None:
    fivetran.faults.append(Fault(429, {"Retry-After": "3600"}))

    with pytest.raises(FivetranUnreachableError, match=r"found 429 from Fivetran for GET .*: try again later"):
        api.connections()
    assert waits == []


def test_after_five_attempts_it_says_so(fivetran: FakeFivetran, api: FivetranApi, waits: Waits) -> None:
    fivetran.faults.extend(9 * [Fault(502, body="<html>Bad gateway</html>")])

    with pytest.raises(
        FivetranUnreachableError, match=f"found 502 from Fivetran for GET /groups/{GROUP}/connections: t"
    ) as error:
        api.connections()
    assert error.value.passing
    assert (len(fivetran.requests), len(waits)) == (5, 4)


def test_nobody_there_is_the_same(fivetran: FakeFivetran, api: FivetranApi, waits: Waits) -> None:
    fivetran.close()

    with pytest.raises(FivetranUnreachableError, match=r"found no answer of Fivetran to GET .* \(ConnectionError\)"):
        api.connections()
    assert len(waits) == 4


def test_an_answer_that_does_not_come_is_not_waited_for(
    fivetran: FakeFivetran, api: FivetranApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_assets.fivetran.api._TIMEOUT", (1, 0.2))
    fivetran.faults.append(Fault(seconds=1))
    fivetran.connect("crm")

    assert [each.schema for each in api.connections()] == ["crm"]
    assert len(fivetran.requests) == 2


def test_a_glance_is_soon_over_however_many_requests_it_takes(
    fivetran: FakeFivetran, api: FivetranApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick that is ended by Dagster leaves its thread running, and enough of them fill the code server."""
    monkeypatch.setattr("history_assets.fivetran.api._GLANCE", 0.5)
    fivetran.connect("crm")
    (crm,) = api.connections()
    fivetran.faults.extend(9 * [Fault(seconds=20)])
    glance, began = api.glance(), time.monotonic()

    with pytest.raises(FivetranUnreachableError, match="found no answer of Fivetran") as error:
        glance.connections()
    with pytest.raises(FivetranUnreachableError, match=r"found no time left to GET /connections/.*within 0\.5 s"):
        glance.sync_history(crm, NOW - DAY, NOW)

    assert time.monotonic() - began < 9  # where one answer takes 20, and is given up after 15 if nothing hurries
    assert error.value.passing


def test_a_glance_waits_no_longer_than_it_may_take(fivetran: FakeFivetran, api: FivetranApi, waits: Waits) -> None:
    fivetran.faults.append(Fault(429, {"Retry-After": "50"}))

    with pytest.raises(FivetranUnreachableError, match="found 429"):
        api.glance().connections()
    assert waits == []


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(403), r"found 403 .*\(as was asked for\): give the key's user access to the groups of FIVETRAN_GROUP_ID"),
        (Fault(302, {"Location": "https://example.com"}), "expected 200, look at FIVETRAN_API_URL"),
        (Fault(200, body="<html>"), "found 200 from Fivetran .* without data"),
        (Fault(200, body='{"data": {"items": [1]}}'), "found no page of items"),
        (Fault(200, body='{"data": {"items": [{"id": "x"}]}}'), r"found an item .* cannot be read \(KeyError\('schema'\)\)"),
        (Fault(200, body="[" * 200_000), "found 200 from Fivetran .* without data"),
        (Fault(403, body="[" * 200_000), r"found 403 from Fivetran for GET /groups/\w+/connections: give"),
        (Fault(200, body='{"data": {"items": [], "next_cursor": ["x"]}}'), "found no page of items"),
        (Fault(200, body='{"data": {"items": [], "next_cursor": {"x": 1}}}'), "found no page of items"),
    ],
)
def test_what_cannot_pass_is_refused_at_once(
    fault: Fault, says: str, fivetran: FakeFivetran, api: FivetranApi, waits: Waits
) -> None:
    fivetran.faults.append(fault)

    with pytest.raises(FivetranError, match=says) as error:
        api.connections()
    assert not error.value.passing
    assert waits == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"id": None}, "NoneType where a name was expected"),
        ({"id": ""}, "str where a name was expected"),
        ({"id": ".."}, "an id that names another path"),
        ({"schema": ["crm"]}, "list where a name was expected"),
        ({"schema": "x" * 1_000_000}, "str where a name was expected"),
        ({"service": 7}, "int where a name was expected"),
        ({"created_at": 1}, "argument must be str"),
        ({"succeeded_at": "'; drop table t; --"}, "Invalid isoformat string"),
        ({"succeeded_at": "0001-01-01T00:00:00+14:00"}, "date value out of range"),
        ({"failed_at": "y" * 1_000_000}, "Invalid isoformat string: 'yyy"),
        ({"status": "syncing"}, "'str' object has no attribute 'get'"),
    ],
)
def test_a_connection_that_makes_no_sense_is_refused_in_a_short_line(
    changed: dict[str, Any], says: str, fivetran: FakeFivetran, api: FivetranApi
) -> None:
    """It may be one whose sync would tear a clone, so that it cannot be left out either."""
    fivetran.connections[GROUP].append({"id": "id", "schema": "crm", "service": "salesforce"} | changed)

    with pytest.raises(FivetranError, match=re.escape(says)) as error:
        api.connections()
    assert len(str(error.value)) < 1_200
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("frequency", ["60", 0, -5, True, 1.5, 10**30, [60]])
def test_a_frequency_that_makes_no_sense_is_none(frequency: Any, fivetran: FakeFivetran, api: FivetranApi) -> None:
    fivetran.connect("crm", sync_frequency=frequency)

    assert [each.sync_frequency for each in api.connections()] == [None]


HOSTILE = [
    ".*",
    "crm|shop",
    "(a+)+$",
    "[",
    "%",
    "_",
    "\\",
    "x'; drop table t; --",
    "../../etc",
    "two\nlines",
    "{{ 1 }}",
    "é\u202e",
]


def test_hostile_names_fill_their_own_schemas_alone(fivetran: FakeFivetran, api: FivetranApi) -> None:
    for name in HOSTILE:
        fivetran.connect(name, service="postgres")
    found = api.connections()

    assert [each.schema for each in found] == HOSTILE
    assert {name: [each.schema for each in filling(f"{name}_public", found)] for name in HOSTILE} == {
        name: [name] for name in HOSTILE
    }
    assert filling("crm_public", found) == []


def test_a_hostile_id_asks_for_its_own_history_alone(fivetran: FakeFivetran, api: FivetranApi) -> None:
    names = ["../groups/other", "x/../../y", "x?limit=1&cursor=2", "x#y", "a b\n", "%2e%2e/x", "x@evil.example"]
    for name in names:
        fivetran.connect("crm", id=name)

    for connection in api.connections():
        assert api.sync_history(connection, NOW - DAY, NOW) == []
    asked = [
        unquote(path) for path, parameters in fivetran.requests[1:] if set(parameters) == {"start_time", "end_time", "limit"}
    ]
    assert asked == [f"/v1/connections/{name}/sync-history" for name in names]


def test_a_server_that_pages_for_ever_is_left(fivetran: FakeFivetran, api: FivetranApi) -> None:
    """Though each of its cursors is another."""
    fivetran.faults.extend(Fault(200, body=f'{{"data": {{"items": [], "next_cursor": "{n}"}}}}') for n in range(200))

    with pytest.raises(FivetranError, match=r"found more than 100 pages .*: expected an end"):
        api.connections()
    assert len(fivetran.requests) == 100


def test_an_unknown_group_is_refused_by_name(fivetran: FakeFivetran, waits: Waits) -> None:
    with pytest.raises(FivetranError, match=r"found 404 .* GET /groups/nope/connections .*: set FIVETRAN_GROUP_ID"):
        FivetranApi(fivetran.credentials(groups=("nope",)), waits).connections()


def test_the_secret_shows_nowhere(fivetran: FakeFivetran, waits: Waits, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = FivetranApi(fivetran.credentials(secret="of-somebody-else"), waits)

    with pytest.raises(FivetranError, match=r"found 401 .*: set FIVETRAN_API_KEY and FIVETRAN_API_SECRET") as error:
        wrong.connections()
    fivetran.connect("crm")
    right = FivetranApi(fivetran.credentials(), waits)
    right.connections()

    shown: list[Any] = [error.value, repr(error.value), error.value.__cause__, caplog.text, vars(wrong), right.credentials]
    assert [text for text in map(str, shown) if "of-somebody-else" in text or SECRET in text or "the-key" in text] == []
