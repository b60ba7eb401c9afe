"""What a command costs on Snowflake: how many statements of which kind, and which of them need a warehouse."""

import collections
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from history_assets import dbt_files, dbt_run
from history_assets.credentials import SnowflakeCredentials
from history_assets.drift import changes
from history_assets.folding import plan
from history_assets.location import build_definitions
from history_assets.partitions import PARTITIONS
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.sighting import look
from history_assets.warehouse import snowflake_sql
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from tests.warehouse.recording import RecordingSessions, refused, table

DATE = dt.date(2026, 11, 22)
NOON = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
SCHEMAS = ["CRM", "SHOP", "ZENDESK"]


@pytest.fixture
def sessions() -> RecordingSessions:
    return RecordingSessions({name: [table("A", "ID"), table("B", "ID")] for name in SCHEMAS})


@pytest.fixture
def warehouse(make_settings: Callable[..., Settings], sessions: RecordingSessions) -> SnowflakeWarehouse:
    who = SnowflakeCredentials(account="a", user="u", role="HISTORIAN", warehouse="w", token="t", authenticator="oauth")
    return SnowflakeWarehouse(make_settings(engine="snowflake", snowflake=who), sessions)  # type: ignore[arg-type]


@pytest.fixture
def definitions(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> dg.Definitions:
    refresh(warehouse.settings, warehouse)
    definitions = build_definitions(warehouse.settings, warehouse=warehouse, now=lambda: NOON)
    sessions.sent.clear()
    return definitions


def counted(sessions: RecordingSessions) -> dict[str, int]:
    words = (statement.text.split(" IN ")[0].split(' "')[0] for statement in sessions.sent)
    return dict(collections.Counter(words))


def test_a_refresh_needs_no_warehouse(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables that only have a history are found by SHOW; the ledger says more, but not for nothing."""
    monkeypatch.setattr(dbt_run, "parse", lambda folder, settings: (folder / "target").mkdir())
    sessions.databases["HISTORY"] = {
        "GONE": {"comment": "", "tables": [table("OLD", "ID")]},
        "_history_assets": {"comment": "", "tables": [table("applied")]},
    }

    found = refresh(warehouse.settings, warehouse).inventory

    assert {(schema, each.name) for schema, each in found.tables()} == {
        ("GONE", "OLD"),
        *((schema, name) for schema in SCHEMAS for name in ("A", "B")),
    }
    assert counted(sessions) == {"SHOW TERSE SCHEMAS": 1, "SHOW TABLES": 4, "SHOW COLUMNS": 3, "SHOW PRIMARY KEYS": 3}


def test_a_nights_clones_are_one_statement_per_schema_and_a_constant_number_of_show(
    definitions: dg.Definitions, sessions: RecordingSessions
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [str(DATE)])
        job = definitions.resolve_job_def("clones")
        result = job.execute_in_process(instance=instance, partition_key=str(DATE))

        assert result.success
        assert counted(sessions) == {
            "SHOW TERSE SCHEMAS": 1,  # whether there is a log of Fivetran's
            "SHOW SCHEMAS": 4,  # one for whether a clone was made by another cutoff
            "SHOW TABLES": 6,
            "CREATE TRANSIENT SCHEMA": 3,
            "ALTER SCHEMA": 6,
        }
        assert not any(statement.compute for statement in sessions.sent)

        sessions.sent.clear()
        assert job.execute_in_process(instance=instance, partition_key=str(DATE)).success
        assert counted(sessions) == {"SHOW SCHEMAS": 5}


def test_a_look_at_the_clones_that_fails_stops_none(definitions: dg.Definitions, sessions: RecordingSessions) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [str(DATE)])
        sessions.fail("SHOW SCHEMAS", refused(2003, "Database 'CLONES' does not exist"))
        job = definitions.resolve_job_def("clones")

        assert job.execute_in_process(instance=instance, partition_key=str(DATE)).success


def test_sensors_and_schedules_wake_no_warehouse(
    definitions: dg.Definitions, sessions: RecordingSessions, tmp_path: Path
) -> None:
    """They decide by what Dagster has recorded, and by SHOW; the run decides by the ledger."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.add_dynamic_partitions(PARTITIONS, [str(DATE)])
        result = definitions.resolve_job_def("clones").execute_in_process(instance=instance, partition_key=str(DATE))
        sessions.sent.clear()

        schedule = definitions.resolve_schedule_def("nightly")
        tick = schedule(dg.build_schedule_context(instance, scheduled_execution_time=NOON + dt.timedelta(days=1)))
        (event,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_SUCCESS]
        context = dg.build_run_status_sensor_context("fold_after_success", event, instance, result.dagster_run)
        asked = list(definitions.resolve_sensor_def("fold_after_success")(context))  # type: ignore[call-overload]

    (request,) = tick  # type: ignore[misc]
    assert request.partition_key == str(DATE + dt.timedelta(days=1))
    assert [len(request.asset_selection) for request in asked] == [6]
    assert counted(sessions) == {"SHOW SCHEMAS": 1, "SHOW TERSE SCHEMAS": 1}
    assert not any(statement.compute for statement in sessions.sent)


def test_loading_definitions_asks_snowflake_nothing(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    refresh(warehouse.settings, warehouse)
    sessions.sent.clear()

    build_definitions(warehouse.settings, warehouse=warehouse)

    assert sessions.sent == []
    assert dbt_files.current(warehouse.settings.home) is not None


def test_a_fold_finds_all_of_a_dates_clones_at_once(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    for schema in SCHEMAS:
        warehouse.clone(schema, DATE, lambda: None)
    sessions.sent.clear()

    found = plan(warehouse, [(schema, name) for schema in SCHEMAS for name in ("A", "B")], DATE)

    assert len(found.tables) == 6
    assert sessions.texts == ["SHOW SCHEMAS LIKE '%__20261122' IN DATABASE \"CLONES\" LIMIT 10000"]


def test_noticing_drift_costs_one_statement_and_three_for_each_schema_to_look_at(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions
) -> None:
    """Those that were written, and each once an hour: a new column leaves no trace in what SHOW TABLES says."""
    known = warehouse.inventory()
    cursor: str | None = None

    def looked(now: dt.datetime) -> tuple[list[str], list[str]]:
        """Return what has changed, and the schemas that were read to know."""
        nonlocal cursor
        sessions.sent.clear()
        sight = look(warehouse, known, cursor, now)
        cursor = sight.cursor
        read = [name for name in SCHEMAS if f'SHOW COLUMNS IN SCHEMA "RAW"."{name}"' in sessions.texts]
        assert len(sessions.sent) == 1 + 3 * len(read)
        assert not any(statement.compute for statement in sessions.sent)
        return [change.line() for change in changes(known, sight.raw)], read

    assert looked(NOON) == ([], SCHEMAS)
    assert looked(NOON) == ([], [])
    sessions.databases["RAW"]["SHOP"]["tables"][0]["rows"] += 1
    assert looked(NOON) == ([], ["SHOP"])
    assert looked(NOON) == ([], [])
    sessions.databases["RAW"]["SHOP"]["tables"].append(table("C", "ID"))
    assert looked(NOON) == (["new table SHOP.C (2 columns)"], ["SHOP"])
    # Until a refresh has seen it.
    assert looked(NOON) == (["new table SHOP.C (2 columns)"], ["SHOP"])
    sessions.databases["RAW"]["SHOP"]["tables"].pop()
    assert looked(NOON) == ([], ["SHOP"])
    sessions.databases["RAW"]["CRM"]["tables"][0] = table("A", "ID", "NEW")
    within_the_hour = [looked(NOON + dt.timedelta(minutes=minutes)) for minutes in range(5, 65, 5)]
    assert sorted(name for _, read in within_the_hour for name in set(read) - {"CRM"}) == ["SHOP", "ZENDESK"]
    assert within_the_hour[-1] == (["new column CRM.A.NEW VARCHAR"], ["CRM"])


def test_more_tables_than_a_page_holds_are_marked_schema_by_schema(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = warehouse.marks(NOON)
    monkeypatch.setattr(snowflake_sql, "PAGE", 4)
    sessions.sent.clear()

    assert warehouse.marks(NOON) == few
    assert counted(sessions) == {"SHOW TABLES": 4, "SHOW TERSE SCHEMAS": 1}
