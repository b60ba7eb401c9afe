"""The examples, run as a reader would: over nights of the sandbox, by the interpreter, from a folder of the reader's own."""

import datetime as dt
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from history_assets import folding
from history_assets.refresh import refresh
from history_assets.sandbox import Sandbox
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse

EXAMPLES = Path(__file__).parents[2] / "examples"
NIGHTS = [dt.date(2026, 3, 2) + dt.timedelta(night) for night in range(28)]
BEFORE_CUTOFF = dt.timedelta(hours=1)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which four weeks of nights have passed, with the deals folded; without Dagster, which would take minutes."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, include=("salesforce",))
    warehouse, sandbox, cutoffs = DuckDBWarehouse(settings), Sandbox(home / "raw"), settings.cutoffs()
    for date in NIGHTS:
        sandbox.sync(cutoffs.at(date) - BEFORE_CUTOFF)
        warehouse.clone("salesforce", date, sandbox.last_sync)
    project = refresh(settings, warehouse).project
    plans = [folding.plan(warehouse, [("salesforce", "opportunity")], date) for date in NIGHTS]
    results = folding.fold(project, warehouse, plans, print)
    assert [(result.failed, result.error) for result in results.values()] == [({}, None)] * len(NIGHTS)
    return home


@pytest.fixture(scope="module")
def printed(story: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the backtest prints, and the folder that it is run in."""
    folder = tmp_path_factory.mktemp("reader")
    environment = os.environ | {"HISTORY_HOME": str(story), "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, EXAMPLES / "backtest.py"], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return "\n".join(line.rstrip() for line in done.stdout.splitlines()), folder


def test_the_backtest_prints_what_its_readme_shows(printed: tuple[str, Path]) -> None:
    (shown,) = re.findall(r"```text\n(.*?)\n```", (EXAMPLES / "README.md").read_text(), re.DOTALL)

    assert printed[0] == shown


def test_the_leak_promises_more_and_keeps_less(printed: tuple[str, Path]) -> None:
    """Each time that both are trained; what was known keeps what it promised, the leak is no better than no model."""
    lines = [line.split() for line in printed[0].splitlines() if re.match(r"\d{4}-\d\d-\d\d |mean ", line)]

    assert [line[0] for line in lines] == [*map(str, NIGHTS[12:19:3]), "mean"]
    for line in lines:
        promised, kept, error, promised_then, kept_then, error_then, error_of_none = map(float, line[1:])
        assert promised > promised_then + 0.05
        assert kept < kept_then - 0.1
        assert abs(kept_then - promised_then) < 0.05
        assert error_then < error_of_none < error


def test_the_backtest_leaves_a_plot(printed: tuple[str, Path]) -> None:
    """And nothing else; the one that the README shows is as light."""
    _, folder = printed

    assert [path.name for path in folder.iterdir()] == ["backtest.png"]
    for png in (folder / "backtest.png", EXAMPLES / "backtest.png"):
        assert png.read_bytes().startswith(PNG)
        assert 10_000 < png.stat().st_size < 60_000
