"""Partition keys that somebody adds in the UI: none becomes a path or SQL, each fails by name, and stops nothing else."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from history_assets.jobs import CLONES_JOB, SNAPSHOTS_JOB, range_tags
from history_assets.location import build_definitions
from history_assets.naming import clone_key, history_key
from history_assets.nights import open_instance
from history_assets.partitions import PARTITIONS
from history_assets.refresh import refresh
from history_assets.retention import forget_dates
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.stories.hostile import KINDS

DAY = "2026-11-20"
NOW = dt.datetime(2026, 11, 20, 1, tzinfo=dt.UTC)
KEYS = (
    *KINDS.values(),
    "2026-11-20'; drop table crm.account; --",
    "9999-99-99",
    "9999-12-31",
    "0001-01-01",
    "\uff12\uff10\uff12\uff16-11-20",
    "2026-11-20\n",
    " 2026-11-20",
    "2026-11-20..2026-11-21",
    "2026-11-31",
    " ",
    "!zzz",
    "zzz",
    "x" * 100_000,
)
SCRIPT = """# /// script
# [tool.history-assets]
# after = ["crm.*"]
# feeds = ["clones/billing"]
# ///
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, dg.DagsterInstance]]:
    """A home with a night, and an instance to which the keys were added before it and after it."""
    home = tmp_path_factory.mktemp("around") / "home"
    landing = Landing(home)
    table = "create table account (id int primary key, _fivetran_synced timestamptz)"
    for schema in ("billing", "crm"):
        landing.execute(schema, "2026-11-19T22:00", table, "insert into account values (1, now())")
    (home.parent / "scripts").mkdir()
    (home.parent / "scripts" / "model.py").write_text(SCRIPT)
    settings = Settings(home=home, scripts=home.parent / "scripts", clone_retention_days=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTORY_HOME", str(home))
        refresh(settings, DuckDBWarehouse(settings))
        with open_instance(settings) as instance:
            instance.add_dynamic_partitions(PARTITIONS, [*KEYS[::2], DAY, *KEYS[1::2]])
            yield settings, instance


def run(installed: tuple[Settings, dg.DagsterInstance], name: str, date: str, last: str | None = None) -> list[str]:
    """Run a job for a partition key, or a range of keys, and return the errors of its steps."""
    settings, instance = installed
    job = build_definitions(settings, now=lambda: NOW).resolve_job_def(name)
    asked: dict[str, Any] = {"tags": range_tags(date, last)} if last else {"partition_key": date}
    done = job.execute_in_process(instance=instance, raise_on_error=False, **asked)
    failed = [event.step_failure_data.error for event in done.all_node_events if event.is_step_failure]
    assert done.success == (not failed)
    return [error.message for error in failed if error]


def test_a_date_beside_them_is_cloned_and_folded(installed: tuple[Settings, dg.DagsterInstance]) -> None:
    assert run(installed, CLONES_JOB, DAY) == []
    assert run(installed, SNAPSHOTS_JOB, DAY) == []


@pytest.mark.parametrize(("job", "of_each"), [(CLONES_JOB, "clones failed"), (SNAPSHOTS_JOB, "tables were not folded")])
def test_a_range_over_them_does_its_dates_and_names_the_others(
    job: str, of_each: str, installed: tuple[Settings, dg.DagsterInstance]
) -> None:
    """Nothing is recorded of a key that is none."""
    key, instance = KEYS[::2][-1], installed[1]
    (said,) = run(installed, job, key, DAY)

    assert f"2 of 4 {of_each}: found " in said
    assert said.count("where a clone date was expected") == 1
    asset = clone_key("crm") if job == CLONES_JOB else history_key("crm", "account")
    assert instance.get_materialized_partitions(dg.AssetKey(asset)) == {DAY}


@pytest.mark.parametrize("job", [CLONES_JOB, SNAPSHOTS_JOB])
@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_a_run_over_one_fails_by_its_name_in_a_line(key: str, job: str, installed: tuple[Settings, dg.DagsterInstance]) -> None:
    (said,) = run(installed, job, key)

    shown = key if len(key) <= 60 else f"{key[:60]}…"
    assert f"found {shown!r} where a clone date was expected: " in said
    assert len(said) < 300


def test_nothing_is_made_of_them(installed: tuple[Settings, dg.DagsterInstance]) -> None:
    home = installed[0].home

    assert sorted(path.name for path in home.parent.iterdir()) == ["home", "scripts"]
    clones = [home / "clones" / schema / f"{DAY}.duckdb" for schema in ("billing", "crm")]
    assert sorted((home / "clones").rglob("*.duckdb")) == clones
    assert {row.date for row in DuckDBWarehouse(installed[0]).ledger(None, None)} == {dt.date.fromisoformat(DAY)}


def test_no_sensor_and_no_schedule_stumbles_over_them(
    installed: tuple[Settings, dg.DagsterInstance], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor asks for one of them; somebody has even reported a history of theirs."""
    settings, instance = installed
    monkeypatch.setenv("DAGSTER_HOME", str(settings.home / "dagster"))
    definitions = build_definitions(settings, now=lambda: NOW)
    asked: list[str | None] = []
    cursors: dict[str, str | None] = {}
    plain = [sensor for sensor in definitions.sensors or () if not isinstance(sensor, dg.RunStatusSensorDefinition)]
    for again in range(2):
        for sensor in plain:
            assert isinstance(sensor, dg.SensorDefinition)
            with (
                dg.build_sensor_context(instance, cursor=cursors.get(sensor.name), definitions=definitions) as context,
                dg.partition_loading_context(dynamic_partitions_store=instance),
            ):
                ticked = sensor.evaluate_tick(context)
            cursors[sensor.name] = ticked.cursor
            asked += [request.partition_key for request in ticked.run_requests or ()]
        if not again:
            reported(instance, dg.AssetKey(history_key("crm", "account")), KEYS)
            reported(instance, dg.AssetKey(["scripts", "model"]), KEYS)
    for schedule in definitions.schedules or ():
        assert isinstance(schedule, dg.ScheduleDefinition)
        with dg.build_schedule_context(instance, scheduled_execution_time=NOW) as context:
            asked += [request.partition_key for request in schedule.evaluate_tick(context).run_requests or ()]

    assert {"refresh_scripts", "healing", "drift"} <= set(cursors)
    assert set(asked) & set(KEYS) == set()


def reported(instance: dg.DagsterInstance, key: dg.AssetKey, partitions: tuple[str, ...]) -> None:
    """Have a run record partitions of an asset."""

    @dg.op
    def record(context: dg.OpExecutionContext) -> None:
        for partition in partitions:
            context.log_event(dg.AssetMaterialization(key, partition=partition))

    @dg.job
    def job() -> None:
        record()

    assert job.execute_in_process(instance=instance).success


def test_retention_leaves_them_and_forgets_what_is_over(installed: tuple[Settings, dg.DagsterInstance]) -> None:
    settings, instance = installed
    warehouse = DuckDBWarehouse(settings)
    for schema in ("billing", "crm"):
        clone = warehouse.find_clone(schema, dt.date.fromisoformat(DAY))
        assert clone is not None
        warehouse.drop_clone(clone)

    assert forget_dates(warehouse, instance, dt.date(2026, 12, 24)) == [DAY]
    assert set(instance.get_dynamic_partitions(PARTITIONS)) == set(KEYS)
