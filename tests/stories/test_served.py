"""The running system: the UI, its daemon and its code server, driven as a person drives them, over what the UI itself calls.

What tests/ui tells in a browser, in more cases.
"""

import dataclasses
import datetime as dt
import decimal
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

from history_assets.history import History
from history_assets.naming import clone_key, history_key
from history_assets.nights import dagster_home
from history_assets.refresh import refresh
from history_assets.serving import served
from history_assets.settings import Settings
from history_assets.verification import verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.stories.daemon import turn
from tests.stories.webserver import UI, eventually, free_port, left_behind

pytestmark = pytest.mark.slow
SHOP = "web shop"
TABLES = {"billing": ["invoice"], "crm": ["account", "note"], SHOP: ["line-item", "orders"]}
"""The landing schemas with their tables."""


@pytest.fixture(scope="module")
def environment() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith("HISTORY_") or name == "DAGSTER_HOME":
                patch.delenv(name)
        yield patch


@pytest.fixture(scope="module")
def story_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def warehouse(story_home: Path, environment: pytest.MonkeyPatch) -> DuckDBWarehouse:
    return DuckDBWarehouse(Settings(home=story_home))


@pytest.fixture(scope="module")
def landing(story_home: Path) -> Landing:
    return Landing(story_home)


@pytest.fixture(scope="module")
def ui(story_home: Path, environment: pytest.MonkeyPatch, warehouse: DuckDBWarehouse, landing: Landing) -> Iterator[UI]:
    """The UI over three small schemas that were refreshed and never cloned."""
    environment.setenv("DAGSTER_HOME", str(story_home / "dagster"))
    synced = "_fivetran_synced timestamptz default now()"
    landing.execute(
        "crm",
        "2026-03-01T22:00",
        f"create table account (id int primary key, name varchar, {synced})",
        f"create table note (text varchar, {synced})",
        "insert into account (id, name) values (1, 'Ann'), (2, 'Bob'), (3, null)",
        "insert into note (text) values ('same'), ('same')",
    )
    landing.execute(
        SHOP,
        "2026-03-01T22:00",
        f"create table orders (id int primary key, total decimal(9, 2), {synced})",
        f'create table "line-item" ("order" int, "no." int, {synced}, primary key ("order", "no."))',
        "insert into orders (id, total) values (10, 9.90)",
        """insert into "line-item" ("order", "no.") values (10, 1), (10, 2)""",
    )
    landing.execute(
        "billing",
        "2026-03-01T22:00",
        f"create table invoice (id int primary key, paid boolean, {synced})",
        "insert into invoice (id, paid) values (7, false)",
    )
    refresh(warehouse.settings, warehouse)
    port = free_port()
    dagster_home(warehouse.settings)
    with dg.DagsterInstance.get() as instance:
        for name in ("syncs", "healing"):  # which would clone the newest date beside these stories
            turn(instance, name, InstigatorType.SENSOR, InstigatorStatus.STOPPED)
    with served(warehouse.settings, port) as running:
        yield UI(port)
        assert running()
    assert not running()
    assert left_behind(story_home) == []


@pytest.fixture
def instance(story_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    monkeypatch.setenv("DAGSTER_HOME", str(story_home / "dagster"))
    with dg.DagsterInstance.get() as instance:
        yield instance


def recorded(instance: dg.DagsterInstance, date: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return every materialization of a date: (tables, rows) of a clone, (rows, opened, closed) of a history."""
    counts = {"clones": ("tables", "dagster/row_count"), "history": ("dagster/row_count", "opened", "closed")}
    found: dict[str, list[tuple[Any, ...]]] = {}
    for key in sorted(instance.get_asset_keys()):
        for event in materializations(instance, key):
            if event.partition == date:
                numbers = tuple(event.metadata[name].value for name in counts[key.path[0]])
                found.setdefault("/".join(key.path), []).append(numbers)
    return found


def materializations(instance: dg.DagsterInstance, key: dg.AssetKey) -> list[dg.AssetMaterialization]:
    records = instance.fetch_materializations(key, limit=1000).records
    return [record.asset_materialization for record in records if record.asset_materialization]


def failures(instance: dg.DagsterInstance, run: str) -> list[str]:
    """Return what the failed steps of a run said."""
    events = [record.event_log_entry.dagster_event for record in instance.get_records_for_run(run).records]
    data = [event.step_failure_data for event in events if event and event.event_type is dg.DagsterEventType.STEP_FAILURE]
    return [str(each.user_failure_data.description) for each in data if each.user_failure_data]


def ended(instance: dg.DagsterInstance, run: str) -> dg.DagsterRun:
    """Wait until a run has ended, and return it."""
    found = instance.get_run_by_id(run)
    assert found
    eventually(lambda: (latest := instance.get_run_by_id(run)) and latest.is_finished, f"the end of {found.job_name} run {run}")
    found = instance.get_run_by_id(run)
    assert found
    return found


def folds(instance: dg.DagsterInstance, run: str) -> list[dg.DagsterRun]:
    """Return the runs that the sensors asked for because of a run."""
    return [each for each in instance.get_runs() if each.tags.get("dagster/run_key", "").startswith(f"{run}:")]


def folded_after(instance: dg.DagsterInstance, run: str) -> dg.DagsterRun:
    """Wait until a sensor has asked for the one run that folds what a run cloned, and for its end."""
    eventually(lambda: folds(instance, run), f"a sensor to fold run {run}")
    (fold,) = folds(instance, run)
    return ended(instance, fold.run_id)


def checks(instance: dg.DagsterInstance) -> dict[str, dg.DagsterRun]:
    """Return the runs of checks, by the run that each was asked for after."""
    return {run.tags["dagster/run_key"]: run for run in instance.get_runs() if run.job_name == "checks"}


def evaluated(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dict[str, tuple[bool, str | None]]:
    """Return what a run said of each check."""
    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    events = [record.event_log_entry.dagster_event for record in records]
    found = [event.asset_check_evaluation_data for event in events if event]
    return {f"{each.asset_key.path[1]} {each.check_name}": (each.passed, each.description) for each in found}


def asked(run: dg.DagsterRun) -> tuple[str, str, list[str]]:
    """Return what a run was asked for: job, date or range of dates, assets."""
    first, last = (run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end"))
    date = run.tags.get("dagster/partition", f"{first}...{last}")
    return run.job_name, date, sorted("/".join(key.path) for key in run.asset_selection or ())


def rows(warehouse: DuckDBWarehouse, table: str, date: str) -> list[tuple[Any, ...]]:
    """Return the rows of a table as of a date, but for when Fivetran last touched them."""
    found = History(warehouse).as_of(table, date).drop_columns("_fivetran_synced")
    return sorted((tuple(row.values()) for row in found.to_pylist()), key=repr)


def test_the_ui_shows_the_project_and_what_runs_by_itself(ui: UI) -> None:
    assert sorted(ui.get("/server_info")) == ["dagster_graphql_version", "dagster_version", "dagster_webserver_version"]
    assert ui.locations() == [
        {
            "name": "history_assets",
            "loadStatus": "LOADED",
            "locationOrLoadError": {
                "repositories": [
                    {"jobs": [{"name": name} for name in ("__ASSET_JOB", "checks", "clones", "refresh", "snapshots")]}
                ]
            },
        }
    ]
    assert ui.automations() == {
        "drift": "RUNNING",
        "killed": "RUNNING",
        "nightly": "RUNNING",
        "syncs": "STOPPED",
        "healing": "STOPPED",
        "fold_after_success": "RUNNING",
        "fold_after_failure": "RUNNING",
        "fold_after_canceled": "RUNNING",
        "check_after_success": "RUNNING",
        "check_after_failure": "RUNNING",
    }
    # At a midnight during these stories it would add a night of its own.
    ui.stop_schedule("nightly")


@dataclasses.dataclass(frozen=True)
class Launched:
    """The ids of the first runs, launched one right after the other."""

    clone: str
    clone_and_histories: str


@pytest.fixture(scope="module")
def launched(ui: UI) -> Launched:
    for date in ("2026-03-02", "2026-03-05", "2026-03-04", "2026-03-03", "2026-03-07"):
        ui.add_partition(date)
    return Launched(
        ui.materialize([clone_key("crm")], "2026-03-02"),
        ui.materialize([clone_key(SHOP), *(history_key(SHOP, table) for table in TABLES[SHOP])], "2026-03-03"),
    )


def test_a_clone_made_in_the_ui_is_folded_by_itself(launched: Launched, instance: dg.DagsterInstance) -> None:
    """Exactly the tables of that schema, for exactly that date."""
    assert ended(instance, launched.clone).status is dg.DagsterRunStatus.SUCCESS
    fold = folded_after(instance, launched.clone)
    assert fold.status is dg.DagsterRunStatus.SUCCESS
    assert fold.tags["dagster/sensor_name"] == "fold_after_success"
    assert asked(fold) == ("snapshots", "2026-03-02", ["history/crm/account", "history/crm/note"])
    assert recorded(instance, "2026-03-02") == {
        "clones/crm": [(2, 5)],
        "history/crm/account": [(3, 3, 0)],
        "history/crm/note": [(2, 2, 0)],
    }


def test_clones_and_their_histories_selected_together_are_one_run(launched: Launched, instance: dg.DagsterInstance) -> None:
    assert ended(instance, launched.clone_and_histories).status is dg.DagsterRunStatus.SUCCESS
    assert recorded(instance, "2026-03-03") == {
        "clones/web_x20_shop": [(2, 3)],
        "history/web_x20_shop/line_x2d_item": [(2, 2, 0)],
        "history/web_x20_shop/orders": [(1, 1, 0)],
    }


def test_a_backfill_of_dates_added_out_of_order_clones_and_folds_each(
    ui: UI, instance: dg.DagsterInstance, landing: Landing
) -> None:
    """A range runs in the order in which its keys were added; dates are folded in their own."""
    landing.execute(
        "crm",
        "2026-03-03T22:00",
        "update account set name = 'Bobby' where id = 2",
        "delete from account where id = 3",
        "insert into account (id, name) values (4, 'Dan'), (5, 'Eve')",
    )
    landing.execute(SHOP, "2026-03-03T22:00", "update orders set total = 10.00", 'delete from "line-item" where "no." = 2')

    backfill = ui.backfill([clone_key(schema) for schema in TABLES], ["2026-03-04", "2026-03-05"])

    (run,) = eventually(
        lambda: [each for each in instance.get_runs() if each.tags.get("dagster/backfill") == backfill], "the backfill's run"
    )
    assert asked(run)[1:] == ("2026-03-05...2026-03-04", ["clones/billing", "clones/crm", "clones/web_x20_shop"])
    assert ended(instance, run.run_id).status is dg.DagsterRunStatus.SUCCESS
    fold = folded_after(instance, run.run_id)
    assert fold.status is dg.DagsterRunStatus.SUCCESS
    histories = sorted("/".join(history_key(schema, table)) for schema, tables in TABLES.items() for table in tables)
    assert asked(fold) == ("snapshots", "2026-03-05...2026-03-04", histories)
    clones = {"clones/billing": [(1, 1)], "clones/crm": [(2, 6)], "clones/web_x20_shop": [(2, 2)]}
    assert recorded(instance, "2026-03-04") == clones | {
        "history/billing/invoice": [(1, 1, 0)],
        "history/crm/account": [(4, 3, 2)],
        "history/crm/note": [(2, 0, 0)],
        "history/web_x20_shop/line_x2d_item": [(1, 0, 1)],
        "history/web_x20_shop/orders": [(1, 1, 1)],
    }
    assert recorded(instance, "2026-03-05") == clones | {
        "history/billing/invoice": [(1, 0, 0)],
        "history/crm/account": [(4, 0, 0)],
        "history/crm/note": [(2, 0, 0)],
        "history/web_x20_shop/line_x2d_item": [(1, 0, 0)],
        "history/web_x20_shop/orders": [(1, 0, 0)],
    }
    eventually(lambda: ui.backfill_status(backfill) == "COMPLETED_SUCCESS", "the end of the backfill")


def test_a_run_in_which_one_schema_cannot_be_cloned_has_the_others_folded(
    ui: UI, instance: dg.DagsterInstance, landing: Landing
) -> None:
    landing.execute("crm", "2026-03-06T22:00", "insert into note (text) values ('same'), ('new')")
    landing.execute("billing", "2026-03-07T05:00", "update invoice set paid = true")

    run = ui.materialize([clone_key("billing"), clone_key("crm")], "2026-03-07")

    assert ended(instance, run).status is dg.DagsterRunStatus.FAILURE
    (reason,) = failures(instance, run)
    assert reason.startswith("1 of 2 clones failed: cannot clone billing as it was at 2026-03-07 00:00 UTC, because its file")
    fold = folded_after(instance, run)
    assert fold.status is dg.DagsterRunStatus.SUCCESS
    assert fold.tags["dagster/sensor_name"] == "fold_after_failure"
    assert asked(fold) == ("snapshots", "2026-03-07", ["history/crm/account", "history/crm/note"])
    assert recorded(instance, "2026-03-07") == {
        "clones/crm": [(2, 8)],
        "history/crm/account": [(4, 0, 0)],
        "history/crm/note": [(4, 2, 0)],
    }


def test_what_a_run_folded_itself_is_not_folded_again(launched: Launched, ui: UI, instance: dg.DagsterInstance) -> None:
    passed_by = f"run {launched.clone_and_histories} left nothing to fold"

    eventually(lambda: passed_by in ui.skips("fold_after_success"), "the sensor to pass it by")
    assert folds(instance, launched.clone_and_histories) == []


def test_the_schemas_of_every_fold_are_checked_by_themselves(launched: Launched, instance: dg.DagsterInstance) -> None:
    """Four runs folded; those that only cloned checked nothing on their way, and were not checked after."""
    folding = [run.run_id for run in instance.get_runs() if run.job_name == "snapshots"] + [launched.clone_and_histories]

    eventually(lambda: set(checks(instance)) >= set(folding), "a run of checks after each fold")
    ran = {after: ended(instance, run.run_id) for after, run in checks(instance).items()}

    assert sorted(ran) == sorted(folding)
    assert {run.status for run in ran.values()} == {dg.DagsterRunStatus.SUCCESS}
    (newest,) = [run.run_id for run in instance.get_runs() if asked(run)[:2] == ("snapshots", "2026-03-07")]
    lost = "found neither clone nor history of 2026-03-03, 2026-03-06, expected one of every date: "
    assert evaluated(instance, ran[newest]) == {
        "crm newest_exact": (True, "2 tables of 2026-03-07 are exact"),
        "crm no_large_drop": (True, "no table has shrunk much"),
        "crm no_lost_night": (False, lost + "run them where raw still reaches back"),
    }
    others = [run for run in instance.get_runs() if run.run_id not in {each.run_id for each in ran.values()}]
    assert [evaluated(instance, run) for run in others] == [{}] * len(others)


def test_all_of_it_ran_once_and_is_exact(instance: dg.DagsterInstance, warehouse: DuckDBWarehouse) -> None:
    """Nothing else was run or recorded, and every night's history is its clone."""
    runs = [run for run in reversed(instance.get_runs()) if run.job_name != "checks"]
    assert [(*asked(run)[:2], run.status.value) for run in runs] == [
        ("__ASSET_JOB", "2026-03-02", "SUCCESS"),
        ("__ASSET_JOB", "2026-03-03", "SUCCESS"),
        ("snapshots", "2026-03-02", "SUCCESS"),
        ("__ASSET_JOB", "2026-03-05...2026-03-04", "SUCCESS"),
        ("snapshots", "2026-03-05...2026-03-04", "SUCCESS"),
        ("__ASSET_JOB", "2026-03-07", "FAILURE"),
        ("snapshots", "2026-03-07", "SUCCESS"),
    ]
    for key in instance.get_asset_keys():
        for event in materializations(instance, key):
            schema = next(name for name in TABLES if clone_key(name)[1] == key.path[1])
            clone = warehouse.find_clone(schema, dt.date.fromisoformat(event.partition or ""))
            assert clone
            midnight = dt.datetime.fromisoformat(f"{event.partition}T00:00+00:00").timestamp()
            assert {name: event.metadata[name].value for name in ("clone_id", "cutoff", "quiet_point")} == {
                "clone_id": clone.clone_id,
                "cutoff": midnight,
                "quiet_point": midnight,
            }, (key, event.partition)
    # 2 tables on the 2nd, 3rd and 7th, all 5 on the 4th and 5th
    findings = list(verify(warehouse))
    assert [finding.problem for finding in findings if finding.problem] == []
    assert sum(finding.date is not None for finding in findings) == 16
    assert rows(warehouse, "crm.account", "2026-03-02") == [(1, "Ann"), (2, "Bob"), (3, None)]
    assert rows(warehouse, "crm.account", "2026-03-07") == [(1, "Ann"), (2, "Bobby"), (4, "Dan"), (5, "Eve")]
    assert rows(warehouse, "crm.note", "2026-03-05") == [("same",), ("same",)]
    assert rows(warehouse, "crm.note", "2026-03-07") == [("new",), ("same",), ("same",), ("same",)]
    assert rows(warehouse, "web shop.line-item", "2026-03-03") == [(10, 1), (10, 2)]
    assert rows(warehouse, "web shop.line-item", "2026-03-04") == [(10, 1)]
    assert rows(warehouse, "web shop.orders", "2026-03-03") == [(10, decimal.Decimal("9.90"))]
    assert rows(warehouse, "web shop.orders", "2026-03-05") == [(10, decimal.Decimal("10.00"))]


def test_the_ui_starts_again_and_again_on_the_same_port(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    """With the code loaded each time under the one name by which Dagster knows what was switched on and off."""
    environment.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    landing, settings, port = Landing(tmp_path), Settings(home=tmp_path), free_port()
    landing.execute("crm", "2026-03-01T22:00", "create table account (id int primary key, _fivetran_synced timestamptz)")
    refresh(settings, DuckDBWarehouse(settings))
    for start in range(3):
        with served(settings, port) as running:
            ui = UI(port)
            assert "dagster_version" in ui.get("/server_info")
            (location,) = ui.locations()
            assert (location["name"], location["loadStatus"]) == ("history_assets", "LOADED")
            assert "message" not in location["locationOrLoadError"]
            assert ui.automations()["nightly"] == ("STOPPED" if start else "RUNNING")
            if not start:
                ui.stop_schedule("nightly")
            assert running()
        assert left_behind(tmp_path) == []
