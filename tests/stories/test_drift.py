"""Drift from noticing to reporting: the sensor's ticks and the refreshes that they ask for, over a persistent instance."""

import contextlib
import datetime as dt
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from history_assets import dbt_files, dbt_run
from history_assets.errors import HistoryError, ProjectError
from history_assets.location import build_definitions
from history_assets.refresh import refresh
from history_assets.refreshing import drift_sensor, refresh_job
from history_assets.settings import Settings
from history_assets.warehouse import open_warehouse
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing

Asked = dg.RunRequest | dg.SkipReason

PARSE = dbt_run.parse
NOTHING = dg.SkipReason("nothing has changed")
ACCOUNT = "create table account (id int primary key, name varchar, _fivetran_synced timestamptz)"
NOTE = "create table note (text varchar, _fivetran_synced timestamptz)"
LATER = "2026-11-20T22:00"


class Installation:
    """A home with its instance."""

    def __init__(self, settings: Settings, instance: dg.DagsterInstance) -> None:
        self.settings = settings
        self.instance = instance
        self.cursor: str | None = None
        self.now = dt.datetime.now(dt.UTC)  # Dagster dates its runs itself

    def assets(self) -> list[str]:
        """Return what Dagster would load."""
        return sorted(key.to_user_string() for key in build_definitions(self.settings).resolve_all_asset_keys())

    def tick(self) -> Asked:
        """Evaluate the sensor, and keep its cursor."""
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            asked = drift_sensor(self.settings, open_warehouse(self.settings), lambda: self.now)(context)
            self.cursor = context.cursor
        assert isinstance(asked, dg.RunRequest | dg.SkipReason)
        return asked

    def request(self) -> dg.RunRequest:
        """Evaluate the sensor, which must ask for a run."""
        asked = self.tick()
        assert isinstance(asked, dg.RunRequest), asked
        return asked

    def run(self, request: dg.RunRequest | None = None) -> dg.ExecuteInProcessResult:
        """Run what was asked for, or the job as somebody launches it."""
        tags = request.tags if request else {}
        return refresh_job(self.settings, open_warehouse(self.settings)).execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        )

    def drift(self, result: dg.ExecuteInProcessResult) -> list[str]:
        """Return what a refresh reports."""
        assert result.success
        (event,) = [event for event in result.all_node_events if event.event_type is dg.DagsterEventType.STEP_OUTPUT]
        return str(event.step_output_data.metadata["drift"].value).splitlines()

    def project(self) -> Path:
        project = dbt_files.current(self.settings.home)
        assert project
        return project.folder


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in for dbt, which is slow to parse what a test is not about."""

    def parse(folder: Path, settings: Settings) -> None:
        (folder / "target").mkdir()
        (folder / "target" / "manifest.json").write_text("{}")

    monkeypatch.setattr(dbt_run, "parse", parse)


@pytest.fixture
def installation(settings: Settings, landing: Landing, tmp_path: Path, unparsed: None) -> Iterator[Installation]:
    """One that was refreshed with two schemas, and looked at since."""
    landing.execute("crm", "2026-11-19T22:00", ACCOUNT)
    landing.execute("shop", "2026-11-19T22:00", NOTE)
    refresh(settings, DuckDBWarehouse(settings))
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        installation = Installation(settings, instance)
        assert installation.tick() == NOTHING
        yield installation


def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(folder: Path, settings: Settings) -> None:
        raise ProjectError("dbt refused it")

    monkeypatch.setattr(dbt_run, "parse", parse)


@contextlib.contextmanager
def in_use(file: Path) -> Iterator[None]:
    """Have another process keep a file to itself."""
    script = f"import duckdb; connection = duckdb.connect({str(file)!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout
        assert other.stdin
        assert other.stdout.readline() == "open\n"
        yield
        other.stdin.close()
    assert other.returncode  # it ends by the end of its input


def test_a_new_home_refreshes_itself(settings: Settings, landing: Landing, tmp_path: Path) -> None:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        installation = Installation(settings, instance)
        assert installation.assets() == []
        assert installation.tick() == NOTHING

        landing.execute("crm", "2026-11-19T22:00", ACCOUNT, NOTE)
        landing.execute("own", "2026-11-19T22:00", "create table mine (id int)")
        request = installation.request()

        assert installation.drift(installation.run(request)) == ["- new schema crm with 2 tables"]
        assert installation.assets() == ["clones/crm", "fivetran/crm", "history/crm/account", "history/crm/note"]
        assert installation.tick() == NOTHING


def test_what_has_changed_is_reported_once(installation: Installation, landing: Landing) -> None:
    landing.execute(
        "crm",
        LATER,
        "alter table account add column phone varchar",
        "alter table account alter column name type bigint using 0",
        "create table contact (id int primary key, _fivetran_synced timestamptz)",
    )
    landing.execute("shop", LATER, "drop table note", "create table item (_fivetran_synced timestamptz)")

    request = installation.request()

    assert installation.drift(installation.run(request)) == [
        "- crm.account.name: VARCHAR is now BIGINT",
        "- new column crm.account.phone VARCHAR",
        "- new table crm.contact (2 columns)",
        "- new table shop.item (1 column)",
        "- table shop.note is gone",
    ]
    assert installation.tick() == NOTHING
    assert installation.drift(installation.run()) == ["nothing has changed"]
    # What is gone keeps its history.
    inventory = dbt_files.DbtProject(installation.project()).inventory
    assert [f"{schema}.{table.name}" for schema, table in inventory.tables()] == [
        "crm.account",
        "crm.contact",
        "shop.item",
        "shop.note",
    ]


def test_what_a_night_refreshed_in_silence_is_reported_later(installation: Installation, landing: Landing) -> None:
    landing.execute("crm", LATER, NOTE)
    refresh(installation.settings, DuckDBWarehouse(installation.settings), told=False)

    assert installation.drift(installation.run(installation.request())) == ["- new table crm.note (2 columns)"]
    assert installation.tick() == NOTHING


def test_configured_keys_are_drift_too(installation: Installation, make_settings: Callable[..., Settings]) -> None:
    """Though no file of raw changes."""
    installation.settings = make_settings(keys={"shop.note": ("text",)})

    assert installation.drift(installation.run(installation.request())) == ["- key of shop.note: the whole row is now text"]
    assert installation.tick() == NOTHING


def test_the_same_drift_is_asked_for_once(installation: Installation, landing: Landing) -> None:
    """Under one key, and not while it runs; but each time that raw comes to it again."""
    keys = []
    for statements in (["drop table note", ACCOUNT], ["drop table account", NOTE], ["drop table note", ACCOUNT]):
        landing.execute("shop", LATER, *statements)
        first, again = installation.request(), installation.request()
        assert (first.run_key, first.tags) == (again.run_key, again.tags)
        keys.append(str(first.run_key))
        waiting = dg.DagsterRun(job_name="refresh", status=dg.DagsterRunStatus.STARTED, tags=first.tags)
        installation.instance.add_run(waiting)
        assert installation.tick() == dg.SkipReason(f"run {waiting.run_id} is refreshing")
        installation.instance.delete_run(waiting.run_id)
        assert installation.run(first).success
        assert installation.tick() == NOTHING

    one, other, again_one = keys
    assert one.split(":")[0] == again_one.split(":")[0] != other.split(":")[0]
    assert len(set(keys)) == 3


def test_a_refresh_that_fails_is_asked_for_three_times_a_day(
    installation: Installation, landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.execute("crm", LATER, NOTE)
    before = installation.project()
    failing(monkeypatch)
    asked = []
    for _ in range(3):
        asked.append(installation.request())
        result = installation.run(asked[-1])
        assert [event.step_failure_data.user_failure_data.description for event in result.filter_events(is_failure)] == [
            "dbt refused it"
        ]
    assert len({request.run_key for request in asked}) == 3

    reason = dg.SkipReason(
        f"the refresh failed 3 times within a day, last in run {result.run_id}: "
        "correct what it names and launch the job refresh"
    )
    assert [installation.tick(), installation.tick()] == [reason, reason]
    assert installation.project() == before

    installation.now += dt.timedelta(hours=25)
    tomorrow = installation.request()
    assert tomorrow.run_key not in {request.run_key for request in asked}
    installation.now -= dt.timedelta(hours=25)
    landing.execute("crm", LATER, "create table other (_fivetran_synced timestamptz)")
    assert installation.request().tags != tomorrow.tags


def is_failure(event: dg.DagsterEvent) -> bool:
    return event.is_step_failure


def test_a_schema_in_use_is_left_for_later_by_name(installation: Installation, landing: Landing) -> None:
    landing.touch("crm", LATER)
    landing.execute("shop", LATER, ACCOUNT)
    with in_use(landing.file("crm")):
        request = installation.request()
        landing.execute("shop", LATER, "drop table account")
        assert installation.tick() == dg.SkipReason("nothing has changed; crm not to be read now, looked at next time")
    assert request.tags
    assert installation.tick() == NOTHING


def test_a_schema_that_was_not_written_is_not_opened(installation: Installation, landing: Landing) -> None:
    """It would be found in use."""
    with in_use(landing.file("crm")), in_use(landing.file("shop")):
        assert installation.tick() == NOTHING


def test_a_warehouse_that_is_not_there_fails_the_tick_in_one_line(installation: Installation, landing: Landing) -> None:
    landing.folder.rename(landing.folder.with_name("elsewhere"))

    with pytest.raises(HistoryError) as raised:
        installation.tick()

    error = raised.value
    assert str(error).startswith(f"found no folder {landing.folder}: expected one DuckDB file per Fivetran schema in it")
    assert "\n" not in str(error)
    assert (error.__cause__, error.__suppress_context__) == (None, True)


def test_a_webserver_that_does_not_answer_is_a_warning(
    installation: Installation, landing: Landing, make_settings: Callable[..., Settings]
) -> None:
    installation.settings = make_settings(webserver="127.0.0.1:9")
    landing.execute("crm", LATER, NOTE)

    result = installation.run(installation.request())

    assert result.success
    (warning,) = warnings(installation.instance, result.run_id)
    assert warning.startswith("found no webserver that reloads at 127.0.0.1:9 (")
    assert warning.endswith('look at it, then press "Reload" in its Deployment page, or start it again')
    assert "\n" not in warning


def test_other_scripts_are_loaded_once_where_there_is_a_webserver_to_load_them(
    installation: Installation, make_settings: Callable[..., Settings], home: Path
) -> None:
    scripts = home / "scripts"
    scripts.mkdir()

    def loaded(**overrides: str) -> Callable[[], Asked]:
        installation.settings = make_settings(scripts=scripts, **overrides)
        sensor = drift_sensor(installation.settings, open_warehouse(installation.settings), lambda: installation.now)

        def tick() -> Asked:
            with dg.build_sensor_context(installation.instance, cursor=installation.cursor) as context:
                asked = sensor(context)
            assert isinstance(asked, Asked)
            return asked

        return tick

    without, tick = loaded(), loaded(webserver="127.0.0.1:9")
    assert tick() == NOTHING
    (scripts / "new.py").write_text("1")

    assert without() == NOTHING
    asked = tick()
    assert isinstance(asked, dg.RunRequest)
    assert tick() == asked
    result = installation.run(asked)
    assert [warning[:57] for warning in warnings(installation.instance, result.run_id)] == [
        "found no webserver that reloads at 127.0.0.1:9 (HTTPConne"
    ]
    assert tick() == dg.SkipReason(f"run {result.run_id} was to have the scripts loaded, which have changed")
    assert loaded(webserver="127.0.0.1:9")() == NOTHING


def warnings(instance: dg.DagsterInstance, run: str) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run) if entry.level == 30 and not entry.dagster_event]


def broken_macro(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    fixed = dbt_files._fixed_files
    broken = {"macros/broken.sql": "{% macro broken() %} select 1"}
    monkeypatch.setattr(dbt_files, "_fixed_files", lambda folder: fixed(folder) | broken)


def killed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    program = folder / "killed"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setattr(dbt_run.sys, "executable", str(program))


def not_writable(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    def full(*args: object, **options: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)


BREAKS = {
    broken_macro: "ended with 2, expected 0 and a manifest (Compilation Error Reached EOF without finding a close tag",
    killed: "ended with -9, expected 0 and a manifest (it said nothing): the project in force stays",
    not_writable: "not to be written ([Errno 28] No space left on device), expected room and the right to",
}


def test_a_project_that_cannot_be_made_replaces_none(
    installation: Installation, landing: Landing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dbt itself: the run fails in one line, and all is as before until it can be made."""
    monkeypatch.setattr(dbt_run, "parse", PARSE)
    landing.execute("crm", LATER, NOTE)
    before = contents(installation.settings.home / "dbt")
    for break_it, reason in BREAKS.items():
        with pytest.MonkeyPatch.context() as patch:
            break_it(patch, tmp_path)
            result = installation.run()

        (event,) = result.filter_events(is_failure)
        said = event.step_failure_data.user_failure_data.description
        assert reason in said
        assert "\n" not in said
        assert event.step_failure_data.error.cause is None
        assert contents(installation.settings.home / "dbt") == before

    assert installation.drift(installation.run(installation.request())) == ["- new table crm.note (2 columns)"]
    assert installation.tick() == NOTHING


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_project_that_somebody_deleted_is_made_again(installation: Installation) -> None:
    (installation.project() / "target" / "manifest.json").unlink()
    assert installation.assets() == []

    drift = installation.drift(installation.run(installation.request()))

    assert drift == ["- new schema crm with 1 table", "- new schema shop with 1 table"]
    assert dbt_files.current(installation.settings.home)
