"""Scripts through Dagster: what a data scientist drops into the folder runs, is seen, is retried, is ended, and is told of."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from history_assets.scripts import assets
from history_assets.settings import Settings
from tests.fakes.channel import Channel
from tests.stories.scripts.folder import Folder, script
from tests.stories.scripts.test_nights import D21


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
