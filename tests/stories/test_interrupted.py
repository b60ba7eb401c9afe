"""Ctrl-C, as a terminal sends it: to a command and all that it started, at once."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg
import pytest

from history_assets import dbt_files, interrupts
from history_assets.killed import killed_sensor
from history_assets.nights import open_instance
from history_assets.records import UNFINISHED
from history_assets.settings import Settings
from history_assets.verification import verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing

DATES = [dt.date(2026, 11, 20), dt.date(2026, 11, 21)]
STOPPED = f"{interrupts.STOPPED}\n"
PROGRAM = [sys.executable, "-c", "from history_assets.program import program; program()"]
PATIENCE = 300


@pytest.fixture
def environment(home: Path, tmp_path: Path) -> dict[str, str]:
    """That of a command whose files, passing ones too, are all in the test's folder."""
    (tmp_path / "passing").mkdir()
    known = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "TMPDIR": str(tmp_path / "passing"), "PYTHONPATH": os.pathsep.join(known)}


@pytest.fixture
def landed(landing: Landing) -> None:
    for name in ("crm", "shop"):
        landing.execute(
            name,
            "2026-11-19T22:00",
            "create table account (id int primary key, name varchar, _fivetran_synced timestamptz)",
            "insert into account select range, 'name ' || range, '2026-11-19' from range(20000)",
        )


def stopped(
    words: list[str], environment: Mapping[str, str], when: Callable[[], bool], sent: signal.Signals = signal.SIGINT
) -> tuple[int, str, str]:
    """Type a command, press Ctrl-C once ``when`` says so; returns its exit code and what it wrote to both streams.

    Nothing that it started is left then.
    """
    process = subprocess.Popen(
        [*PROGRAM, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + PATIENCE
    try:
        while not when():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        os.killpg(process.pid, sent)
        printed, complaint = process.communicate(timeout=PATIENCE)
        while alive := processes(process.pid):  # which were told to end
            assert time.monotonic() < deadline, alive
            time.sleep(0.1)
        return process.returncode, printed, complaint
    finally:
        if processes(process.pid):
            os.killpg(process.pid, signal.SIGKILL)


def processes(session: int) -> list[str]:
    """Return what runs in a session, but for what has ended and is still to be noticed."""
    listed = subprocess.run(["ps", "-A", "-o", "sess=,stat=,args="], capture_output=True, text=True, check=True).stdout
    fields = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [" ".join(rest) for number, state, *rest in fields if number == str(session) and not state.startswith("Z")]


def typed(words: list[str], environment: Mapping[str, str]) -> tuple[int, str, str]:
    done = subprocess.run([*PROGRAM, *words], env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE)
    return done.returncode, done.stdout, done.stderr


def unfinished(*folders: Path) -> list[Path]:
    """Return what is not meant to outlive a command."""
    return [path for folder in folders for path in folder.rglob("*") if path.name.startswith((".", "history_assets_"))]


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("dbt", id="while dbt parses", marks=pytest.mark.slow),
        pytest.param("clones/crm/2026-11-20.duckdb", id="as schemas are cloned", marks=pytest.mark.slow),
        pytest.param("history.duckdb", id="while dbt folds"),
    ],
)
def test_a_run_that_is_stopped_leaves_nothing_half_done_and_the_next_completes_it(
    moment: str, landed: None, environment: dict[str, str], home: Path, tmp_path: Path
) -> None:
    words = ["run", "--date", "2026-11-20..2026-11-21"]

    assert stopped(words, environment, (home / moment).exists) == (130, "", STOPPED)

    assert unfinished(home, tmp_path / "passing") == []
    folded = "".join(f"{date}: 2 of 2 schemas cloned, 2 of 2 tables folded\n" for date in DATES)
    assert typed(words, environment) == (0, folded, "")
    findings = list(verify(DuckDBWarehouse(Settings(home=home))))
    nights = [(schema, date, None) for date in DATES for schema in ("crm", "shop")]
    assert [(each.schema, each.date, each.problem) for each in findings if each.date] == nights
    assert [each.problem for each in findings if not each.date] == [None, None]


def test_a_refresh_that_is_stopped_leaves_the_project_in_force(
    landed: None, environment: dict[str, str], home: Path, tmp_path: Path, landing: Landing
) -> None:
    assert typed(["refresh"], environment)[0] == 0
    before = dbt_files.current(home)
    landing.execute("new", "2026-11-19T22:00", "create table account (id int primary key, _fivetran_synced timestamptz)")

    # Begun, which is seen by its unfinished folder.
    assert stopped(["refresh"], environment, lambda: unfinished(home / "dbt") != []) == (130, "", STOPPED)

    assert unfinished(home, tmp_path / "passing") == []
    assert dbt_files.current(home) == before
    code, printed, complaint = typed(["refresh"], environment)
    assert (code, complaint) == (0, "")
    assert "new" in printed  # it tells of what the one that was stopped did not
    assert dbt_files.current(home) != before


@pytest.mark.slow
def test_a_demo_that_is_stopped_goes_on_where_it_was(environment: dict[str, str], home: Path, tmp_path: Path) -> None:
    words = ["demo", "--days", "2", "--no-ui"]

    assert stopped(words, environment, (home / "history.duckdb").exists)[::2] == (130, STOPPED)

    assert unfinished(home, tmp_path / "passing") == []
    assert typed(words, environment)[0] == 0
    findings = list(verify(DuckDBWarehouse(Settings(home=home))))
    assert findings
    assert [each for each in findings if each.problem] == []


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["clones/crm/2026-11-20.duckdb", "history.duckdb"])
def test_a_run_that_is_killed_is_told_to_have_failed(
    moment: str, landed: None, settings: Settings, environment: dict[str, str], home: Path
) -> None:
    """Dagster would wait for it; and the next completes it."""
    words = ["run", "--date", "2026-11-20..2026-11-21"]

    assert stopped(words, environment, (home / moment).exists, signal.SIGKILL) == (-signal.SIGKILL, "", "")

    cursor = None
    with open_instance(settings) as instance:
        (lost,) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
        for _ in range(2):
            with dg.build_sensor_context(instance, cursor=cursor) as context:
                said = killed_sensor(settings)(context)
                cursor = context.cursor
        assert said == dg.SkipReason(f"killed: {lost.run_id}")
        assert instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)) == []
    folded = "".join(f"{date}: 2 of 2 schemas cloned, 2 of 2 tables folded\n" for date in DATES)
    assert typed(words, environment) == (0, folded, "")


def test_a_file_whose_writing_is_stopped_is_as_it_was(landed: None, environment: dict[str, str], tmp_path: Path) -> None:
    """In the form of a table, which takes seconds to lay out."""
    folder = tmp_path / "taken"
    folder.mkdir()
    file = folder / "account.txt"
    file.write_text("as it was")
    assert typed(["run", "--date", "2026-11-20", "--schema", "crm"], environment)[0] == 0
    words = ["as-of", "crm.account", "2026-11-20", "--format", "table", "--output", str(file)]

    assert stopped(words, environment, lambda: len(list(folder.iterdir())) > 1) == (130, "", STOPPED)

    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [("account.txt", "as it was")]
    assert typed(words, environment) == (0, "", "")
    assert [path.name for path in folder.iterdir()] == ["account.txt"]
    assert file.read_text().count("│ name ") == 20_000
