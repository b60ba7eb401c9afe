"""Events that are stored many at a time are those that Dagster stores one by one."""

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.utils import make_new_run_id

from history_assets.event_log import BATCH_VARIABLE, ENGINES, BatchingEventLogStorage, log_materializations

KEYS = [dg.AssetKey(["history", "crm", f"t{number}"]) for number in range(7)]
DATES = ["2026-11-20", "2026-11-21"]
CONFIGURATION = Path(__file__).parents[2] / "history_assets" / "dagster.yaml"


@dg.multi_asset(
    specs=[dg.AssetSpec(key, skippable=True) for key in KEYS],
    partitions_def=dg.StaticPartitionsDefinition(DATES),
    can_subset=True,
)
def histories(context: dg.AssetExecutionContext) -> Iterator[Any]:
    yield from ()
    made = (
        dg.AssetMaterialization(key, partition=context.partition_key, metadata={"rows": number}, tags={"of": str(number)})
        for number, key in enumerate(KEYS)
    )
    log_materializations(context, made)
    context.log_event(dg.AssetObservation(KEYS[0], partition=context.partition_key, metadata={"folded": "all"}))
    log_materializations(context, [])


@dg.asset_check(asset=KEYS[0])
def exact() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True)


def stored(instance: dg.DagsterInstance, run_id: str) -> list[tuple[Any, ...]]:
    entries = [record.event_log_entry for record in instance.get_records_for_run(run_id).records]
    return [
        (entry.dagster_event_type, entry.step_key, entry.dagster_event and entry.dagster_event.asset_key) for entry in entries
    ]


def told(instance: dg.DagsterInstance) -> dict[str, Any]:
    """Run two dates, and return all that the instance then says of them but for ids and times."""
    definitions = dg.Definitions(assets=[histories], asset_checks=[exact])
    runs = [
        definitions.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance, partition_key=date)
        for date in DATES
    ]
    assert all(run.success for run in runs)
    found: dict[str, Any] = {run.dagster_run.tags["dagster/partition"]: stored(instance, run.run_id) for run in runs}
    for key in KEYS:
        events = [record.asset_materialization for record in instance.fetch_materializations(key, 9).records]
        found[key.to_user_string()] = [(each.partition, each.metadata, each.tags) for each in events if each]
        (asset,) = instance.get_asset_records([key])
        last = asset.asset_entry.last_materialization_record
        found[f"last of {key.to_user_string()}"] = last and (last.partition_key, last.asset_materialization)
        found[f"dates of {key.to_user_string()}"] = sorted(instance.get_materialized_partitions(key))
        found[f"planned of {key.to_user_string()}"] = len(
            instance.event_log_storage.get_event_records(
                dg.EventRecordsFilter(dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED, key)
            )
        )
    found["tagged"] = instance.get_event_tags_for_asset(KEYS[3])
    found["observed"] = [record.partition_key for record in instance.fetch_observations(KEYS[0], 9).records]
    checked = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(KEYS[0], "exact"), 9)
    found["checked"] = [record.status for record in checked]
    return found


def test_what_servers_write_is_its_owners_alone(tmp_path: Path) -> None:
    """Webserver and daemon load nothing of this project but its storage; a folder may have been made by hand."""
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    shutil.copy(CONFIGURATION, home / "dagster.yaml")
    opened = "import os; os.umask(0o022); import dagster; dagster.DagsterInstance.get().get_dynamic_partitions('clone_date')"
    subprocess.run([sys.executable, "-c", opened], env=os.environ | {"DAGSTER_HOME": str(home)}, check=True)

    (index,) = home.glob("history/runs/index.db")
    assert stat.S_IMODE(index.stat().st_mode) == 0o600
    # What Dagster opens before it looks at our storage was made as the process was, in a folder that nobody else can enter.
    assert {path.parts[-2] for path in home.rglob("*.db")} == {"history", "runs", "schedules"}
    assert [path for path in home.iterdir() if path.is_dir() and stat.S_IMODE(path.stat().st_mode) & 0o077] == []


@pytest.mark.parametrize("batch", ["0", "3", "500"])
def test_what_is_stored_in_batches_is_what_dagster_stores(batch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(CONFIGURATION, home / "dagster.yaml")
    (tmp_path / "usual").mkdir()
    with dg.DagsterInstance.local_temp(str(tmp_path / "usual")) as usual:
        expected = told(usual)

    monkeypatch.setenv("DAGSTER_HOME", str(home))
    monkeypatch.setenv(BATCH_VARIABLE, batch)
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, BatchingEventLogStorage)
        assert told(instance) == expected
    assert (home / "history" / "runs" / "index.db").is_file()


def test_each_run_is_found_whose_log_was_opened_long_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server opens the logs of more runs than it keeps engines of; each says what it said, and what was added since."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    storage = BatchingEventLogStorage.from_config_value(None, {})
    runs = [make_new_run_id() for _ in range(ENGINES + 3)]
    for round_ in ("first", "second"):
        for run in runs:
            storage.store_event(dg.EventLogEntry(None, 10, f"{round_} of {run}", run, 0.0))

    told = {run: [entry.user_message for entry in storage.get_logs_for_run(run)] for run in runs}
    assert told == {run: [f"first of {run}", f"second of {run}"] for run in runs}


def test_a_table_that_dagster_adds_to_the_index_later_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    storage = BatchingEventLogStorage.from_config_value(None, {})
    before = storage.has_table("added")
    with storage.index_connection() as connection:
        connection.execute(sa.text("create table added (number integer)"))

    assert (before, storage.has_table("added")) == (False, True)
