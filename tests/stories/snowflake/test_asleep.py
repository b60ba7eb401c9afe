"""Sensors and schedules let warehouses sleep; and no token is in what the commands wrote."""

import datetime as dt
from typing import Any

import dagster as dg
import pytest

from history_assets.location import build_definitions
from tests.fakes.snowflake.log import Statement
from tests.stories.snowflake.story import NIGHTS, SYNCED, Snowflake

pytestmark = pytest.mark.xdist_group("snowflake")


def test_the_token_is_nowhere_in_what_the_commands_wrote(story: Snowflake) -> None:
    assert leaks(story, "oauth-token") == []


def leaks(story: Snowflake, secret: str) -> list[str]:
    """Return where a secret stands: in files of the home, Dagster's among them, in what was printed, in statements."""
    found = [str(path) for path in story.account.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    found += [name for name, moment in story.moments.items() if secret in moment.typed.out + moment.typed.err]
    return found + [
        statement.text for moment in story.moments.values() for statement in moment.typed.log if secret in statement.text
    ]


def test_sensors_and_the_schedule_wake_no_warehouse(story: Snowflake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded as Dagster loads them, over the instance that the nights were recorded in; they decide by that, and by SHOW."""
    account = story.account
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    before = len(account.emulator.log)

    definitions = build_definitions(account.settings())
    with dg.DagsterInstance.get() as instance:
        runs = [run for run in instance.get_runs() if run.job_name == "clones"]
        tick = definitions.resolve_schedule_def("nightly")(
            dg.build_schedule_context(instance, scheduled_execution_time=dt.datetime(2026, 10, 24, 1, tzinfo=dt.UTC))
        )
        sensor = definitions.resolve_sensor_def("fold_after_success")
        asked = []
        for run in runs:
            (event,) = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.RUN_SUCCESS).records
            context = dg.build_run_status_sensor_context(sensor.name, event.event_log_entry.dagster_event, instance, run)
            asked.append(len(list(sensor(context))))  # type: ignore[call-overload]

    assert [request.partition_key for request in tick] == ["2026-10-24"]  # type: ignore[union-attr]
    assert len(runs) == len(NIGHTS)
    assert set(asked) == {1}
    sent = account.emulator.log[before:]
    assert [statement.kind for statement in sent] == ["SHOW SCHEMAS", "SHOW SCHEMAS"]
    assert not any(statement.needs_warehouse for statement in sent)


@pytest.mark.slow
def test_noticing_drift_needs_no_warehouse(story: Snowflake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does the refresh that it leads to. Where nothing was written it is one statement."""
    account = story.account
    for name, value in account.environment.items():
        monkeypatch.setenv(name, value)
    sensor = build_definitions(account.settings(), now=lambda: dt.datetime(2026, 10, 24, tzinfo=dt.UTC)).resolve_sensor_def(
        "drift"
    )

    def tick(cursor: str | None) -> tuple[Any, str | None, list[Statement]]:
        """Return what is asked for, the next cursor, and what was sent."""
        before = len(account.emulator.log)
        with dg.DagsterInstance.get() as instance, dg.build_sensor_context(instance, cursor=cursor) as context:
            return sensor(context), context.cursor, list(account.emulator.log[before:])

    account.type("refresh")  # the nights' refreshes have told nobody
    asked, cursor, first = tick(None)
    again, cursor, second = tick(cursor)
    story.land(
        "2026-10-24T20:00",
        ("alter table ACCOUNT add column FAX varchar", "insert into KEYLESS (LABEL) select 'more'"),
        (f"create table NEW ({SYNCED})",),
    )
    drift, cursor, third = tick(cursor)
    typed = account.type("refresh")
    after, _, fourth = tick(cursor)

    assert (asked, again, after) == (dg.SkipReason("nothing has changed"),) * 3
    assert isinstance(drift, dg.RunRequest)
    assert typed.out.splitlines()[:-1] == ["new column CRM.ACCOUNT.FAX VARCHAR", "new table web shop.NEW (1 column)"]
    assert [statement.kind for statement in second] == ["SHOW TABLES"]
    for log in (first, second, third, typed.log, fourth):
        assert {statement.text.split()[0] for statement in log} == {"SHOW"}
        assert not any(statement.needs_warehouse for statement in log)
