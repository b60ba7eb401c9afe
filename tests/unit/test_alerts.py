"""Somebody is told of what went wrong, once for each cause, and a channel that is out of reach harms nothing."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg
import pytest
from pydantic import SecretStr

from history_assets.alerts import Channels, Event, Message, Sort, Told, alert, events_of, messages, send
from history_assets.automation import alert_sensors
from history_assets.failures import NO_STEP, Kind, Problem, failure
from history_assets.settings import Settings
from tests.fakes.channel import Channel

NOW = dt.datetime(2026, 11, 22, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


def said(*events: Event, webserver: str | None = "ui:3000") -> list[Message]:
    return messages(events, {}, NOW, webserver)[0]


def titles_and_bodies(*events: Event, webserver: str | None = "ui:3000") -> list[tuple[str, str]]:
    return [(message.title, message.body) for message in said(*events, webserver=webserver)]


def test_a_message_names_the_asset_the_reason_the_remedy_and_a_link() -> None:
    assert titles_and_bodies(Event(Sort.FAILED, "clones/crm", "cannot clone crm", "2026-11-22", "run-id")) == [
        (
            "history_assets: failed: clones/crm",
            "asset: clones/crm, 2026-11-22\n"
            "reason: cannot clone crm\n"
            "remedy: mend what the reason names, then: history-assets run --date 2026-11-22\n"
            "link: http://ui:3000/runs/run-id",
        )
    ]
    assert titles_and_bodies(
        Event(Sort.HELD_BACK, "history/crm/account", "no rows", "2026-11-22", "run-id"), webserver=None
    ) == [
        (
            "history_assets: held back: history/crm/account",
            "asset: history/crm/account, 2026-11-22\n"
            "reason: no rows\n"
            "remedy: look at the copy; if it is right as it is: history-assets run --date 2026-11-22 --allow GATE\n"
            "link: run run-id in the Dagster UI",
        )
    ]
    assert titles_and_bodies(Event(Sort.SENSOR, "fold_after_success", "KeyError: 'x'")) == [
        (
            "history_assets: sensor fails: fold_after_success",
            "asset: fold_after_success\n"
            "reason: KeyError: 'x'\n"
            "remedy: look at the sensor's ticks in the Dagster UI, under Automation\n"
            "link: http://ui:3000/automation",
        )
    ]


def test_what_has_one_cause_is_one_message() -> None:
    down = [Event(Sort.FAILED, f"clones/s{n}", f"no answer after {n} s", f"2026-11-2{n % 3}") for n in range(7)]
    other = Event(Sort.FAILED, "clones/crm", "cannot clone crm")

    first, second = said(*down, other)

    assert first.title == "history_assets: failed: clones/s0, clones/s1, clones/s2, clones/s3, clones/s4 and 2 more"
    assert "2026-11-20..2026-11-22\n" in first.body
    assert second.title == "history_assets: failed: clones/crm"


def test_a_cause_is_told_once_until_it_was_away_for_a_week() -> None:
    told: dict[str, Told] = {}
    told_on = []
    for day in [0, 1, 2, 8, 16, 17]:
        news, told = messages(
            [Event(Sort.FAILED, "clones/crm", f"cannot clone crm as of day {day}")], told, NOW + day * DAY, None
        )
        told_on += [day] * len(news)

    assert told_on == [0, 16]
    assert told == {"failed: clones/crm: cannot clone crm as of day #": Told(Sort.FAILED, "clones/crm", None, NOW + 17 * DAY)}


def test_another_asset_of_a_cause_that_was_told_is_news() -> None:
    """By itself; those that share a cause in one run share a message."""
    first = [Event(Sort.FAILED, f"clones/{name}", f"cannot clone {name}: no answer") for name in ("crm", "web_x20_shop")]
    second = [*first, Event(Sort.FAILED, "clones/billing", "cannot clone billing: no answer")]

    one, told = messages(first, {}, NOW, None)
    other, _ = messages(second, told, NOW + DAY, None)

    assert [message.title for message in one] == ["history_assets: failed: clones/crm, clones/web_x20_shop"]
    assert [message.title for message in other] == ["history_assets: failed: clones/billing"]


def test_what_stops_one_sensor_and_then_another_is_told_once() -> None:
    one, told = messages([Event(Sort.SENSOR, "syncs", "found 401")], {}, NOW, None)
    other, _ = messages([Event(Sort.SENSOR, name, "found 401") for name in ("syncs", "healing")], told, NOW, None)

    assert [[message.title for message in each] for each in (one, other)] == [["history_assets: sensor fails: syncs"], []]


PROBLEMS = [
    Problem("clones/crm", "2026-11-22", "cannot clone crm"),
    Problem("history/crm/account", "2026-11-22", "no rows", Kind.HELD_BACK),
    Problem("clones/shop", "2026-11-22", "shop still syncs", Kind.NOT_SETTLED),
    Problem("clones/new", "2026-11-22", "nothing had been synced", Kind.NOTHING_YET),
]


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as instance:
        yield instance


@pytest.fixture
def instance(shared_instance: dg.DagsterInstance) -> dg.DagsterInstance:
    """A persistent instance in which nothing was told."""
    shared_instance.wipe()
    assert shared_instance.daemon_cursor_storage is not None
    shared_instance.daemon_cursor_storage.set_cursor_values({"history_assets/alerts/told": "{}"})
    return shared_instance


def failed(instance: dg.DagsterInstance, error: Exception) -> dg.ExecuteInProcessResult:
    @dg.op
    def work() -> None:
        raise error

    @dg.job(name="anything")
    def job() -> None:
        work()

    return job.execute_in_process(instance=instance, raise_on_error=False)


def events(result: dg.ExecuteInProcessResult) -> list[Event]:
    steps = [event for event in result.all_node_events if event.is_step_failure]
    return events_of(result.dagster_run, steps)


def test_a_run_tells_of_each_of_its_problems_but_not_of_waiting(instance: dg.DagsterInstance) -> None:
    result = failed(instance, failure("3 of 9 failed", PROBLEMS))

    assert events(result) == [
        Event(Sort.FAILED, "clones/crm", "cannot clone crm", "2026-11-22", result.run_id),
        Event(Sort.HELD_BACK, "history/crm/account", "no rows", "2026-11-22", result.run_id),
    ]


def test_a_run_that_fails_in_another_way_tells_of_its_step(instance: dg.DagsterInstance) -> None:
    told, broken = failed(instance, dg.Failure("the disk is full")), failed(instance, KeyError("x"))

    assert events(told) == [Event(Sort.FAILED, "work", "the disk is full", run_id=told.run_id)]
    assert events(broken) == [Event(Sort.FAILED, "work", "KeyError: 'x'", run_id=broken.run_id)]
    assert events_of(told.dagster_run, []) == [Event(Sort.FAILED, "anything", NO_STEP, run_id=told.run_id)]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Channel]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    receiver = Channel()
    yield receiver
    receiver.close()


def test_a_channel_that_is_out_of_reach_keeps_no_other_from_being_told(receiver: Channel) -> None:
    gone = Channel()
    gone.close()
    warnings: list[str] = []

    assert send(
        Message("title", "body", frozenset()), Channels([gone.url, SecretStr("nope://word"), receiver.url]), warnings.append
    )

    assert [(message["title"], message["message"]) for message in receiver.received] == [("title", "body")]
    assert warnings == [
        "found channel 1 of HISTORY_ALERT_URLS (json) out of reach: this was not sent to it: title",
        "found no way to send to channel 2 of HISTORY_ALERT_URLS (nope): expected an address that apprise knows",
    ]


@pytest.fixture
def settings(receiver: Channel) -> Settings:
    return Settings(alert_urls=(receiver.url,))


NONE = dg.SkipReason("nothing that is news")


def test_what_nobody_took_is_news_again(receiver: Channel, settings: Settings, instance: dg.DagsterInstance) -> None:
    event = Event(Sort.FAILED, "clones/crm", "cannot clone crm")
    warnings: list[str] = []

    receiver.status = 500
    sent = [alert(instance, [event], NOW, settings, warnings.append)]
    receiver.status = 200
    sent += [alert(instance, [event], NOW, settings, warnings.append) for _ in range(3)]

    assert sent == [NONE, dg.SkipReason("history_assets: failed: clones/crm"), NONE, NONE]
    assert len(receiver.titles) == 2
    assert len(warnings) == 1


def test_a_state_that_is_over_for_an_hour_is_news_when_it_comes_again(
    receiver: Channel, settings: Settings, instance: dg.DagsterInstance
) -> None:
    fails = [Event(Sort.SENSOR, "syncs", "found 401")]
    other = [Event(Sort.FAILED, "clones/crm", "cannot clone crm", "2026-11-22")]
    for minutes, found in ((0, fails), (10, fails), (20, []), (69, fails), (130, []), (131, fails)):
        alert(instance, found, NOW + dt.timedelta(minutes=minutes), settings, pytest.fail, {Sort.SENSOR, Sort.CHECK})
        alert(instance, other, NOW + dt.timedelta(minutes=minutes), settings, pytest.fail)

    sensor, run = "history_assets: sensor fails: syncs", "history_assets: failed: clones/crm"
    assert receiver.titles == [sensor, run, sensor]


@pytest.mark.parametrize(
    ("made", "hours", "again"), [(None, 40, 1), ("2026-11-21", 40, 1), ("2026-11-22", 40, 2), ("2026-11-23", 20, 1)]
)
def test_what_failed_and_has_succeeded_since_is_news_when_it_fails_again(
    made: str | None, hours: int, again: int, receiver: Channel, settings: Settings, instance: dg.DagsterInstance
) -> None:
    """Unless it succeeded for an older date only, or comes and goes every night."""
    now = dt.datetime.now(dt.UTC)
    alert(instance, [Event(Sort.FAILED, "clones/crm", "cannot clone", "2026-11-22")], now, settings, pytest.fail)
    if made:
        instance.report_runless_asset_event(dg.AssetMaterialization(["clones", "crm"], partition=made))
    later = now + dt.timedelta(hours=hours)
    alert(instance, [Event(Sort.FAILED, "clones/crm", "cannot clone", "2026-11-24")], later, settings, pytest.fail)

    assert receiver.titles == ["history_assets: failed: clones/crm"] * again


def test_the_sensor_tells_of_a_failed_run_and_of_its_cause_once(receiver: Channel, instance: dg.DagsterInstance) -> None:
    (sensor,) = alert_sensors(Settings(alert_urls=(receiver.url,)), lambda: NOW)
    found = []
    for _ in range(2):
        result = failed(instance, failure("3 of 9 failed", PROBLEMS))
        (event,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE]
        context = dg.build_run_status_sensor_context("alert", event, instance, result.dagster_run).for_run_failure()
        found.append(sensor(context))  # type: ignore[operator]

    titles = ["history_assets: failed: clones/crm", "history_assets: held back: history/crm/account"]
    assert receiver.titles == titles
    assert found == [dg.SkipReason("; ".join(titles)), NONE]


def test_without_channels_there_is_no_sensor() -> None:
    assert alert_sensors(Settings(), lambda: NOW) == []
