"""Connections that fall silent."""

import dataclasses
import datetime as dt

import pytest

from history_assets.fivetran.completions import Seen
from history_assets.fivetran.silence import silent, silent_by_log
from history_assets.fivetran.syncs import Connection
from history_assets.syncing import LogTeller
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.values import SyncEvent

NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)


def ago(hours: float) -> dt.datetime:
    return NOW - dt.timedelta(hours=hours)


USUAL = Connection(
    id="id",
    schema="crm",
    service="salesforce",
    paused=False,
    setup_state="connected",
    sync_state="scheduled",
    update_state="on_schedule",
    is_historical_sync=False,
    created_at=ago(10_000),
    succeeded_at=ago(19.1),
    failed_at=None,
    sync_frequency=360,
)


def test_a_connection_is_silent_after_three_of_its_pauses_and_an_hour() -> None:
    (found,) = silent([USUAL], NOW)

    assert found.name == "crm"
    assert found.reason == "no sync of crm has ended since 2026-11-21 16:54 UTC, expected one about every 6 hours"


@pytest.mark.parametrize(
    "changed",
    [
        {"succeeded_at": ago(18.9)},
        {"failed_at": ago(1)},
        {"sync_frequency": 1440},
        {"paused": True},
        {"setup_state": "incomplete"},
        {"sync_state": "syncing"},
        {"sync_frequency": None},
        {"succeeded_at": None, "created_at": ago(2)},
    ],
)
def test_one_that_ends_syncs_or_is_not_to_is_not(changed: dict[str, object]) -> None:
    assert list(silent([dataclasses.replace(USUAL, **changed)], NOW)) == []  # type: ignore[arg-type]


def test_one_that_never_synced_is_silent_since_it_was_made() -> None:
    (found,) = silent([dataclasses.replace(USUAL, succeeded_at=None, created_at=ago(48))], NOW)

    assert found.reason == "no sync of crm has ended since 2026-11-20 12:00 UTC, expected one about every 6 hours"


def synced(hours_ago: float) -> list[SyncEvent]:
    return [
        SyncEvent("c", "crm", ago(hours_ago + 0.1), "sync_start", None, None),
        SyncEvent("c", "crm", ago(hours_ago), "sync_end", None, '{"status":"SUCCESSFUL"}'),
    ]


@pytest.mark.parametrize(
    ("hours", "reasons"),
    [
        ([30.9, 24.9, 18.9], []),
        ([31.1, 25.1, 19.1], ["no sync of crm has ended since 2026-11-21 16:54 UTC, expected one about every 6 hours"]),
        ([80, 19.1], []),
        ([90], []),
        ([], []),
    ],
)
def test_by_the_log_the_usual_pause_is_the_median_of_the_last(hours: list[float], reasons: list[str]) -> None:
    events = [event for each in hours for event in synced(each)]

    assert [each.reason for each in silent_by_log(events, ["crm", "shop"], NOW)] == reasons


def test_no_look_reads_more_of_a_log_than_says_something(warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a connection that is no more, the last sync stays in memory for ever."""
    asked = list[float]()

    def read(since: dt.datetime, *, wait: bool) -> list[SyncEvent]:
        assert not wait, "a sensor's look ends soon, whoever writes the log"
        asked.append((NOW - since) / dt.timedelta(days=1))
        return []

    monkeypatch.setattr(warehouse, "sync_events", read)
    teller = LogTeller(warehouse)

    teller.look(["crm"], {}, NOW, pytest.fail)
    teller.look(["crm"], {"gone": Seen(ago(20_000), ago(20_000)), "c": Seen(ago(24), ago(1))}, NOW, pytest.fail)
    list(teller.silent(["crm"], NOW))

    assert asked == [90, 31, 31]
