"""Ctrl-C, as a terminal sends it to all processes of a command: one line, nothing half-done, nothing left running."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from history_assets.settings import Settings
from history_assets.verification import verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing

DAY = "2026-11-21"
PATIENCE = 60


def started(*words: str) -> subprocess.Popen[str]:
    """Type a command at a terminal of its own."""
    command = [sys.executable, "-c", "from history_assets.cli import program; program()", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def interrupted(process: subprocess.Popen[str], when: Callable[[], bool]) -> tuple[int, str, str]:
    """Type Ctrl-C once something is so, and return how the command ended and the last line of each stream."""
    until = time.monotonic() + PATIENCE
    while not when() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    printed, complaint = process.communicate(timeout=PATIENCE)
    return process.returncode, *((said.splitlines() or [""])[-1] for said in (printed, complaint))


def ends(process: subprocess.Popen[str]) -> bool:
    """Say whether, a moment after a command, nothing runs any more that it started."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("moment", ["clone", "dbt"])
def test_a_night_that_is_interrupted_is_run_again(moment: str, home: Path) -> None:
    columns = "(id int primary key, v varchar, _fivetran_synced timestamptz)"
    tables = [f"create table t{number} {columns}" for number in range(8)]
    rows = [f"insert into t{number} select i, 'x', now() from range(1000) r(i)" for number in range(8)]
    Landing(home).execute("crm", "2026-11-20T22:00", *tables, *rows)
    ready = {"clone": (home / "clones").exists, "dbt": (home / "history.duckdb").exists}[moment]

    process = started("run", "--date", DAY)
    code, _, complaint = interrupted(process, ready)

    assert (code, complaint) == (130, "interrupted: what was finished is kept, run it again for the rest")
    assert ends(process)
    again = started("run", "--date", DAY)
    assert again.communicate(timeout=PATIENCE)[0] == f"{DAY}: 1 of 1 schemas cloned, 8 of 8 tables folded\n"
    findings = list(verify(DuckDBWarehouse(Settings(home=home))))
    assert [finding.problem for finding in findings if finding.problem] == []
    assert sorted(finding.table for finding in findings if finding.date) == [f"t{number}" for number in range(8)]
