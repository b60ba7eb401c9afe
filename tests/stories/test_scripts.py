"""Scripts through Dagster: what a data scientist drops into the folder runs, is seen, is retried, is ended, and is told of."""

import contextlib
import datetime as dt
import hashlib
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from history_assets.cli import app
from history_assets.errors import UsageError
from history_assets.history import History
from history_assets.location import build_definitions
from history_assets.refresh import refresh
from history_assets.scripts import assets
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.fakes.channel import Channel
from tests.landing import Landing
from tests.stories.daemon import Daemon

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def script(*lines: str, code: Sequence[str] = (), doc: str = "A script.") -> str:
    block = ["# /// script", "# [tool.history-assets]", *(f"# {line}" for line in lines), "# ///"]
    return "\n".join([f'"""{doc}"""', *block, *code, ""])


class Folder:
    """A folder of scripts over a home without histories, and what becomes of them in a persistent instance."""

    def __init__(self, home: Path, instance: dg.DagsterInstance, channel: Channel) -> None:
        self.scripts = home / "scripts"
        self.scripts.mkdir(parents=True)
        self.instance = instance
        owners = SecretStr(channel.url.get_secret_value() + "/{owner}")
        self.settings = Settings(home=home, scripts=self.scripts, alert_urls=(channel.url,), owner_alert_url=owners)

    def write(self, name: str, text: str) -> None:
        (self.scripts / f"{name}.py").write_text(text)

    def run(self, name: str) -> dg.ExecuteInProcessResult:
        job = build_definitions(self.settings).resolve_job_def("scripts")
        key = dg.AssetKey(["scripts", name])
        return job.execute_in_process(_QUIET, self.instance, asset_selection=[key], raise_on_error=False)

    def failure(self, name: str) -> str:
        """Run a script that must fail, and return why it did."""
        result = self.run(name)
        assert not result.success
        (failed,) = [event for event in result.all_node_events if event.is_step_failure]
        data = failed.step_failure_data.user_failure_data
        assert data
        return str(data.description)

    def metadata(self, name: str) -> dict[str, object]:
        """Run a script that must succeed, and return what it reported."""
        result = self.run(name)
        assert result.success
        (event,) = result.get_asset_materialization_events()
        return {key: value.value for key, value in event.materialization.metadata.items()}

    def alert(self, result: dg.ExecuteInProcessResult) -> None:
        """Have the sensor see a run that failed."""
        sensor = build_definitions(self.settings).get_repository_def().get_sensor_def("alert")
        (ended,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE]
        context = dg.build_run_status_sensor_context("alert", ended, self.instance, result.dagster_run).for_run_failure()
        sensor(context)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel()
    yield channel
    channel.close()


@pytest.fixture
def folder(tmp_path: Path, instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(assets, "RETRY_DELAY", 0.01)
    return Folder(tmp_path / "home", instance, channel)


def test_a_plain_script_needs_nothing_but_a_block(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its output is in the UI; it gets no secret that it has no use for."""
    for name in ("FIVETRAN_API_KEY", "DAGSTER_PG_PASSWORD", "HISTORY_ALERT_URLS", "HISTORY_OWNER_ALERT_URL", "HISTORY_DATE"):
        monkeypatch.setenv(name, "s3cret")
    (folder.scripts / "_shared.py").write_text("WORD = 'shared'")
    folder.write("json", "a name that shadows a module of every other script, were their folder first on the path")
    code = [
        "import json, os, _shared",
        "print('hello', _shared.WORD)",
        "print(sorted(name for name in os.environ if name.startswith(('HISTORY_', 'FIVETRAN_'))))",
        "print([name for name, value in os.environ.items() if 's3cret' in value])",
    ]
    folder.write("plain", script(code=code))

    said = "hello shared\n['HISTORY_ENGINE', 'HISTORY_HOME', 'HISTORY_SCRIPTS']\n[]\n"
    assert folder.metadata("plain") == {"stdout": said}


def test_output_is_in_the_compute_logs(folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    folder.write("talks", script(code=["import sys", "print('to stdout')", "print('to stderr', file=sys.stderr)"]))
    with capfd.disabled():  # Dagster captures the descriptors that a process has, as pytest does
        result = folder.run("talks")

    (captured,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.LOGS_CAPTURED]
    logs = folder.instance.compute_log_manager.get_log_data(
        [result.run_id, "compute_logs", captured.logs_captured_data.file_key]
    )
    assert "to stdout" in (logs.stdout or b"").decode()
    assert "to stderr" in (logs.stderr or b"").decode()


def test_a_script_is_run_without_a_warning(folder: Folder) -> None:
    """Of those that Python shows: what is deprecated Dagster uses itself, too."""
    folder.write("plain", script())

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert folder.run("plain").success

    unseen = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
    assert [str(each.message) for each in caught if not issubclass(each.category, unseen)] == []


def test_a_script_reports_by_dagster_pipes(folder: Folder) -> None:
    code = [
        "from dagster_pipes import open_dagster_pipes",
        "with open_dagster_pipes() as pipes:",
        "    pipes.log.info('half way')",
        "    pipes.report_asset_materialization(metadata={'rows': 3})",
    ]
    folder.write("pipes", script(code=code))
    result = folder.run("pipes")

    (event,) = result.get_asset_materialization_events()
    assert {key: value.value for key, value in event.materialization.metadata.items()} == {"rows": 3}
    logs = folder.instance.all_logs(result.run_id)
    assert "half way" in [entry.user_message for entry in logs]
    assert [entry.user_message for entry in logs if entry.level >= 30] == []


def test_a_script_that_fails_is_retried_and_says_its_last_words(folder: Folder, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    code = [f"open({str(tries)!r}, 'a').write('x')", "print('got so far')", "raise ValueError('no rows today')"]
    folder.write("fails", script("retries = 2", code=code))

    said = folder.failure("fails")

    assert tries.read_text() == "xxx"
    assert said.startswith("the script failed: found fails.py to exit with 1, expected 0: Traceback")
    assert said.endswith("ValueError: no rows today")
    assert "\n" not in said


def test_a_script_that_succeeds_at_a_retry_has_succeeded(folder: Folder, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    code = [
        "import pathlib, sys",
        f"flag = pathlib.Path({str(flag)!r})",
        "sys.exit(0) if flag.exists() else flag.touch()",
        "1 / 0",
    ]
    folder.write("second", script("retries = 1", code=code))

    assert folder.metadata("second") == {}


def test_a_script_without_retries_is_run_once(folder: Folder, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    folder.write(
        "once", script(code=[f"open({str(tries)!r}, 'a').write('x')", "import os, signal", "os.kill(0, signal.SIGKILL)"])
    )

    assert folder.failure("once") == "the script failed: found once.py ended by SIGKILL, last it said: it said nothing"
    assert tries.read_text() == "x"


def test_a_script_whose_time_is_over_is_ended_with_all_that_it_started(folder: Folder, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    grandchild = f"import os, time; open({str(pids)!r}, 'a').write(str(os.getpid())); time.sleep(600)"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {grandchild!r}])"
    code = ["import subprocess, sys", "print('begun', flush=True)", f"subprocess.run([sys.executable, '-S', '-c', {child!r}])"]
    folder.write("slow", script('timeout = "2s"', code=code))

    assert folder.failure("slow") == (
        "the script failed: found slow.py still running after 0.0333333 minutes, its timeout: it and all that it had started "
        "were ended, last it said: begun"
    )
    deadline = time.monotonic() + 10
    while alive(int(pids.read_text())) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(int(pids.read_text()))


@pytest.mark.slow
def test_a_run_that_is_terminated_ends_its_script(folder: Folder, tmp_path: Path) -> None:
    """As by the button in the UI, which has Dagster interrupt the run's process."""
    pids = tmp_path / "pids"
    grandchild = f"import os, time; open({str(pids)!r}, 'a').write(str(os.getpid())); time.sleep(600)"
    code = ["import subprocess, sys", f"subprocess.run([sys.executable, '-S', '-c', {grandchild!r}])"]
    folder.write("long", script(code=code))
    running = [
        "import dagster as dg",
        "from pathlib import Path",
        "from history_assets.location import build_definitions",
        "from history_assets.settings import Settings",
        f"settings = Settings(home=Path({str(folder.settings.home)!r}), scripts=Path({str(folder.scripts)!r}))",
        "with dg.DagsterInstance.ephemeral() as instance:",
        "    build_definitions(settings).resolve_job_def('scripts').execute_in_process(instance=instance)",
    ]
    with subprocess.Popen([sys.executable, "-c", "\n".join(running)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as run:
        deadline = time.monotonic() + 60
        while not (pids.exists() and pids.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        pid = int(pids.read_text())
        assert alive(pid)
        run.send_signal(signal.SIGTERM)
        said, _ = run.communicate(timeout=60)

    assert "DagsterExecutionInterruptedError" in said.decode()
    assert not alive(pid)


def alive(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_a_script_of_any_name_runs(folder: Folder) -> None:
    (folder.scripts / os.fsdecode(b'it\'s "a" n\xff\n$(x).py')).write_text(script(code=["print('fine')"]))

    assert folder.metadata("it_x27_s_x20__x22_a_x22__x20_n_xdcff__xa__x24__x28_x_x29_") == {"stdout": "fine\n"}


def test_a_broken_script_fails_at_once_with_its_line(folder: Folder) -> None:
    folder.write("broken", script("retries = 3", 'tiemout = "2s"'))

    assert folder.failure("broken") == (
        "the script is broken: broken.py, line 5: found tiemout, which is unknown: "
        "expected one of after, schedule, retries, timeout, owner, feeds"
    )


def test_an_owner_is_told_of_a_failure_once_and_so_are_the_channels(folder: Folder, channel: Channel) -> None:
    code = ["raise ValueError('no rows on 17 days')"]
    folder.write("first", script('owner = "ada+x@example.com"', code=code))
    folder.write("second", script('owner = "team:forecasting"', code=code))
    failed = [(name, folder.run(name)) for name in ("first", "first", "second")]
    for _, result in failed:
        folder.alert(result)

    assert channel.titles == [
        "history_assets: script fails: scripts/first",
        "history_assets: script fails: scripts/first",
        "history_assets: script fails: scripts/second",
    ]
    assert channel.paths == ["/", "/ada+x@example.com", "/"]
    lines = str(channel.received[1]["message"]).splitlines()
    assert lines[:2] == ["asset: scripts/first", "owner: ada+x@example.com"]
    assert lines[2].endswith("ValueError: no rows on 17 days")
    assert lines[3] == "remedy: mend what the reason names; history-assets script run runs it"
    assert lines[4] == f"link: run {failed[0][1].run_id} in the Dagster UI"


def test_on_snowflake_a_script_takes_the_role_that_only_reads(make_settings: Callable[..., Settings], home: Path) -> None:
    settings = make_settings(engine="snowflake", script_role="READER", scripts=home / "scripts")

    assert assets.variables(settings, D21) == {
        "HISTORY_HOME": str(home),
        "HISTORY_ENGINE": "snowflake",
        "HISTORY_SCRIPTS": str(home / "scripts"),
        "HISTORY_DATE": D21,
        "PYTHONUNBUFFERED": "1",
        "SNOWFLAKE_ROLE": "READER",
    }


D21 = "2026-11-21"


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=dt.UTC)


class Night:
    """A home in which one night is cloned and folded by the daemon, with the scripts that are after it."""

    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.landing = Landing(home)
        synced = "_fivetran_synced timestamptz default '2026-11-20 20:00:00+00'"
        for schema in ("crm", "billing"):
            rows = f"create table account (id int primary key, name varchar, {synced})"
            self.landing.execute(schema, "2026-11-20T20:00", rows, "insert into account (id, name) values (1, 'a'), (2, 'b')")
        self.settings = Settings(home=home, scripts=home / "scripts")
        self.settings.scripts.mkdir()
        warehouse = DuckDBWarehouse(self.settings)
        refresh(self.settings, warehouse)
        self.daemon = Daemon(instance, lambda: build_definitions(self.settings, now=lambda: self.daemon.now), at("20 23:50"))

    def ran(self) -> list[tuple[str, str | None, list[str], bool]]:
        """Return the runs of scripts since this was last asked."""
        assert self.daemon.failed == {}
        ran, self.daemon.ran = self.daemon.ran, []
        return [(name, date, keys, well) for name, job, date, keys, well in ran if job == "scripts"]

    def stdout(self, name: str) -> list[tuple[str | None, str]]:
        key = dg.AssetKey(["scripts", name])
        records = self.daemon.instance.fetch_materializations(key, limit=9, ascending=True).records
        found = [(record.partition_key, record.asset_materialization) for record in records]
        return [(date, str(made.metadata["stdout"].value)) for date, made in found if made]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    home = tmp_path_factory.mktemp("night")
    (home / "dagster").mkdir()
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.local_temp(str(home / "dagster")) as instance:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        yield Night(home, instance)


def test_scripts_run_after_their_histories_and_read_them_as_of_the_date(night: Night) -> None:
    """One night: the folds of both schemas end, and each script runs once, then what it feeds."""
    reading = [
        "from history_assets import History",
        "history = History.from_env()",
        "tables = [history.as_of(f'{schema}.account') for schema in ('crm', 'billing')]",
        "print(history.date, [table.num_rows for table in tables])",
    ]
    (night.settings.scripts / "both.py").write_text(script('after = ["*.account"]', 'feeds = ["summary"]', code=reading))
    (night.settings.scripts / "summary.py").write_text(script(code=["print('summed up')"]))
    (night.settings.scripts / "broken.py").write_text("print('of no use')")
    night.daemon.sensor("refresh_scripts")
    night.daemon.now = at("21 00:00")
    night.daemon.schedule("nightly")
    before = hashlib.sha256((night.settings.home / "history.duckdb").read_bytes()).hexdigest()
    assert night.ran() == []

    night.daemon.sensor("refresh_scripts")
    assert night.ran() == [("refresh_scripts", D21, ["scripts/both"], True)]
    night.daemon.sensor("refresh_scripts")
    assert night.ran() == [("refresh_scripts", None, ["scripts/summary"], True)]
    night.daemon.sensor("refresh_scripts")
    assert night.ran() == []

    assert night.stdout("both") == [(D21, f"{D21} [2, 2]\n")]
    assert night.stdout("summary") == [(None, "summed up\n")]
    assert hashlib.sha256((night.settings.home / "history.duckdb").read_bytes()).hexdigest() == before


def test_a_script_is_in_the_graph_behind_its_histories(night: Night) -> None:
    graph = build_definitions(night.settings).resolve_asset_graph()
    both = graph.get(dg.AssetKey(["scripts", "both"]))

    assert {key.to_user_string() for key in both.parent_keys} == {"history/crm/account", "history/billing/account"}
    assert both.partitions_def == dg.DynamicPartitionsDefinition(name="clone_date")
    assert (both.group_name, both.kinds, both.description) == ("scripts", {"python"}, "A script.")
    assert both.freshness_policy == dg.FreshnessPolicy.cron("0 9 * * *", dt.timedelta(hours=10), "UTC")
    assert graph.get(dg.AssetKey(["scripts", "broken"])).kinds == {"python", "broken"}


def test_without_any_date_a_history_says_so(night: Night) -> None:
    with pytest.raises(UsageError) as raised:
        History(DuckDBWarehouse(night.settings)).as_of("crm.account")

    assert str(raised.value) == (
        "found no date to read crm.account as of: give one, or set HISTORY_DATE, as a script's run does"
    )


def test_a_broken_script_is_told_of_as_it_is_found(night: Night, channel: Channel) -> None:
    settings = night.settings.model_copy(update={"alert_urls": (channel.url,)})
    definitions = build_definitions(settings, now=lambda: night.daemon.now)
    sensor = definitions.get_repository_def().get_sensor_def("watch")
    for _ in range(2):
        with dg.build_sensor_context(night.daemon.instance) as context:
            sensor(context)

    assert channel.titles == ["history_assets: script is broken: scripts/broken"]


@pytest.fixture
def command(night: Night, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.setenv("HISTORY_HOME", str(night.settings.home))
    monkeypatch.setenv("HISTORY_SCRIPTS", str(night.settings.scripts))
    monkeypatch.setenv("DAGSTER_HOME", str(night.settings.home / "dagster"))
    yield CliRunner()
    for name in ("hand", "new_one"):
        (night.settings.scripts / f"{name}.py").unlink(missing_ok=True)


def test_a_new_script_is_a_template_that_overwrites_nothing(night: Night, command: CliRunner) -> None:
    path = night.settings.scripts / "new_one.py"
    made = command.invoke(app, ["script", "new", "new_one"])
    again = command.invoke(app, ["script", "new", "new_one"])
    checked = command.invoke(app, ["script", "check", "new_one"])
    run = command.invoke(app, ["script", "run", "new_one"])

    assert (made.exit_code, made.output) == (0, f"wrote {path}; when it is written: history-assets script check new_one\n")
    assert str(again.exception) == f"found {path} already, which is left as it is: choose another name"
    assert checked.exit_code == 1
    wrong = "new_one.py, line 5: found after naming 'schema.table', which no history matches"
    assert checked.output.splitlines()[-1] == f"error: {wrong}"
    assert str(run.exception) == wrong
    for name in ("../x", "a b", "", "-x"):
        assert command.invoke(app, ["script", "new", "--", name]).exit_code != 0


def test_a_check_says_what_it_found_and_what_is_wrong(night: Night, command: CliRunner) -> None:
    path = night.settings.scripts / "hand.py"
    path.write_text(script('after = ["CRM.*",', '"billing.acount"]', 'feeds = ["both"]', doc="First.\n\nMore."))
    found = command.invoke(app, ["script", "check", str(path)])

    assert (found.exit_code, found.output.splitlines()) == (
        1,
        [
            "description: First.",
            "dependencies: none",
            "after: crm.account, a partition for each date",
            "schedule: none",
            "retries: 0, timeout: 2:00:00, owner: none",
            "feeds: scripts/both",
            "error: hand.py, line 7: found after naming 'billing.acount', which no history matches: "
            "did you mean 'billing.account'?",
        ],
    )
    path.write_text(script('after = ["crm.*"]'))
    assert command.invoke(app, ["script", "check", "hand"]).exit_code == 0
    assert command.invoke(app, ["script", "check", "nope"]).output.count("error: ") == 1


def test_a_script_is_run_by_hand_as_dagster_would(night: Night, command: CliRunner) -> None:
    path = night.settings.scripts / "hand.py"
    path.write_text(script('after = ["crm.*"]', code=["import os", "print(os.environ['HISTORY_DATE'])"]))
    done = [command.invoke(app, ["script", "run", "hand", *more]) for more in ([], ["--date", D21])]
    wrong = command.invoke(app, ["script", "run", "hand", "--date", "2026-11-19"])
    path.write_text(script('after = ["crm.*"]', code=["raise ValueError('no')"]))
    failed = command.invoke(app, ["script", "run", "hand"])

    assert [each.exit_code for each in done] == [0, 0]
    assert "making the environment" not in done[1].output
    assert night.stdout("hand") == [(D21, f"{D21}\n"), (D21, f"{D21}\n")]
    assert str(wrong.exception) == (
        "found the date 2026-11-19, expected one on which a history that hand.py is after was folded: the newest is 2026-11-21"
    )
    assert failed.exit_code == 1
    assert failed.output.rstrip().endswith("ValueError: no")
