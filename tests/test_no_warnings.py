"""The running system warns of nothing: no part of Dagster or dbt that it uses is deprecated, superseded, beta or preview."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from history_assets.naming import clone_key, history_key
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.stories.webserver import UI, eventually, free_port

NOT_OURS = {
    # dagster-dbt requires sqlglot with its extra rs, which is this; sqlglot imports it wherever it is installed.
    ("DeprecationWarning", "sqlglotrs/__init__.py", "sqlglotrs is deprecated and no longer maintained."),
    # Dagster's code server reads it of every schedule that it describes to the webserver; here it is never set.
    (
        "DeprecationWarning",
        "dagster/_core/remote_representation/external_data.py",
        "Property `ScheduleDefinition.environment_vars` is deprecated and will be removed in 2.0.",
    ),
    # The client that runs a script asks the context for its run's id, to tell the script.
    ("DeprecationWarning", "dagster/_core/pipes/context.py", "AssetExecutionContext.run_id is deprecated"),
}
"""What is warned of in the packages that this one is built on, each with why it is not for this project to mend."""

HOOK = """
import json, os, sys, warnings

shown = warnings._showwarnmsg  # also called where a library has put a showwarning of its own in place, as Dagster's servers do

def keep(*told):
    with open(os.path.join({folder!r}, str(os.getpid())), "a") as kept:
        print(json.dumps(told), file=kept)

def keep_and_show(warning):
    keep(warning.category.__name__, warning.filename, str(warning.message))
    shown(warning)

keep(" ".join(sys.orig_argv))
warnings._showwarnmsg = keep_and_show
"""
"""What Python imports at the start of each process: it keeps the command, and every warning, in a file of the process."""

SCRIPT = '''"""Read what is known."""

# /// script
# dependencies = []
# [tool.history-assets]
# after = ["salesforce.opportunity"]
# schedule = "0 6 * * MON"
# ///
from history_assets import History

print(History.from_env().as_of("salesforce.opportunity").num_rows)
'''


@dataclasses.dataclass(frozen=True)
class Told:
    """What the processes said: their commands, and what each was warned of, as category, file and text."""

    commands: list[str]
    warnings: set[tuple[str, str, str]]


def told(folder: Path) -> Told:
    lines = [json.loads(line) for kept in folder.iterdir() for line in kept.read_text().splitlines()]
    warnings = ((category, file.rpartition("site-packages/")[2], said) for category, file, said in filter(_warning, lines))
    return Told([line[0] for line in lines if not _warning(line)], set(warnings))


def _warning(line: list[str]) -> bool:
    return len(line) > 1


@contextlib.contextmanager
def demo(command: list[str], environment: dict[str, str], said: Path) -> Iterator[None]:
    """Run the demo, from when its UI is up until Ctrl-C."""
    with said.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            eventually(lambda: process.poll() is not None or "The Dagster UI is up" in said.read_text(), "the UI")
            assert process.poll() is None, said.read_text()
            yield
        finally:
            process.send_signal(signal.SIGINT)
    assert process.returncode in (0, 130), said.read_text()


def run_a_night(ui: UI, date: str) -> None:
    """Have the UI's runs refresh, clone and fold a table, and wait for the checks and the script that follow by themselves."""
    (location,) = ui.locations()
    assert location["loadStatus"] == "LOADED"
    ui.launch("refresh")
    ui.materialize([clone_key("salesforce"), history_key("salesforce", "opportunity")], date)

    def ended() -> set[tuple[str, str]] | None:
        runs = ui.ask("{ runsOrError { ... on Runs { results { jobName status } } } }")["results"]
        states = {(run["jobName"], run["status"]) for run in runs}
        there = {job for job, _ in states} >= {"refresh", "checks", "scripts"}
        return states if there and {state for _, state in states} <= {"SUCCESS", "FAILURE"} else None

    jobs = ("refresh", "clones", "snapshots", "__ASSET_JOB", "checks", "scripts")
    assert eventually(ended, "checks and the script") == {(job, "SUCCESS") for job in jobs}


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """A night of the demo, the UI over it, a night again from there with its checks, and the commands."""
    folder = tmp_path_factory.mktemp("warnings")
    hook, kept, scripts, home = (folder / name for name in ("hook", "kept", "scripts", "home"))
    for each in (hook, kept, scripts):
        each.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK.format(folder=str(kept)))
    (scripts / "known.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HISTORY_", "DAGSTER_"))}
    environment |= {
        "PYTHONWARNINGS": "default",
        "PYTHONPATH": os.pathsep.join([str(hook), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "DBT_WARN_ERROR": "1",
        "HISTORY_HOME": str(home),
        # So that there are all of the jobs, schedules and sensors that there can be.
        "HISTORY_SCRIPTS": str(scripts),
        "HISTORY_CLONE_RETENTION_DAYS": "365",
        "HISTORY_ALERT_URLS": "json://127.0.0.1:9",
    }
    program = [str(Path(sys.executable).with_name("history-assets"))]
    port = free_port()
    with demo([*program, "demo", "--days", "1", "--port", str(port)], environment, folder / "said"):
        (clone,) = (home / "clones" / "salesforce").glob("*.duckdb")
        run_a_night(UI(port), clone.stem)
    for command in (["status"], ["verify"], ["as-of", "salesforce.opportunity", clone.stem]):
        done = subprocess.run([*program, *command], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return told(kept)


@pytest.mark.slow
def test_no_process_warns_of_anything_that_is_ours_to_mend(story: Told) -> None:
    known = {
        (each, listed)
        for each in story.warnings
        for listed in NOT_OURS
        if each[:2] == listed[:2] and each[2].startswith(listed[2])
    }

    assert story.warnings - {warning for warning, _ in known} == set()
    assert NOT_OURS - {listed for _, listed in known} == set()  # else it is over, and need not be listed


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", ["dagster code-server start", "dagster-webserver", "dagster-daemon run", "history_assets.dbt_child", "known.py"]
)
def test_every_process_was_listened_to(story: Told, part: str) -> None:
    assert [command for command in story.commands if part in command] != []


@pytest.mark.parametrize("engine", ["duckdb", "snowflake"])
def test_dbt_has_nothing_to_warn_of(landing: Landing, settings: Settings, engine: str) -> None:
    """Its deprecations are warnings, too, and found as it parses; those of YAML on Snowflake alone, of these two."""
    synced = "_fivetran_synced timestamptz"
    landing.execute("crm", "2026-11-19T22:00", f"create table account (id int primary key, {synced})")
    project = refresh(settings, DuckDBWarehouse(settings)).project.folder
    flags = ["--quiet", "--warn-error", "--show-all-deprecations", "--log-level-file", "none"]
    places = [
        "--project-dir",
        project,
        "--profiles-dir",
        project,
        "--target-path",
        settings.home / "target",
        "--target",
        engine,
    ]
    account = {f"SNOWFLAKE_{name}": "none" for name in ("ACCOUNT", "USER", "ROLE", "WAREHOUSE")}  # parsing asks none

    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), *flags, "parse", "--no-partial-parse", *places],
        env=os.environ | account | {"DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
