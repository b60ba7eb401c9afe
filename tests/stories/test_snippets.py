"""What README and docs show can be typed: each snippet is run as it stands, or named here with why it is not."""

import datetime as dt
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from history_assets import cli
from history_assets.scripts.checking import look_over, script_of
from history_assets.settings import Settings
from tests.landing import Landing

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/*.md"))]

NOT_RUN = {
    r"make (demo|test|bench|audit)": "what runs this test, or takes minutes to hours; the Makefile's targets are looked up",
    r"python -m benchmarks|python -m tests\.stories|pytest ": "takes minutes to hours; that it can be loaded is looked up",
    r"python examples/backtest\.py|HISTORY_INCLUDE=salesforce history-assets demo": "told by test_examples.py",
    r"pip install": "needs a package registry; the Makefile does the same",
    r"docker |helm |cat > deploy/\.env": "told by test_deploy.py",
    r"DAGSTER_POSTGRES_PASSWORD=|HISTORY_ENGINE=|SNOWFLAKE_ACCOUNT=|END$": "lines of a file; told by test_deploy.py",
    r"dagster-webserver|dagster-daemon": "told by test_served.py",
    r"history-assets doctor($| --print-setup)": "on Snowflake needs an account; told by test_doctor.py",
    r"select \* from table\(history\.": "Snowflake's; told by test_reading.py --engine snowflake",
}


def fenced(path: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", path.read_text(), re.S | re.M)


def typed(path: Path) -> list[str]:
    """Return the commands of a page: lines that are set apart by indentation and are no drawing."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.S | re.M)
    lines = [line.strip() for line in text.splitlines() if re.match(r" {4,}[A-Za-z]", line)]
    return [re.sub(r"\s+#.*", "", line) for line in lines if not line.startswith("fivetran/")]


def why_not(line: str) -> str | None:
    return next((reason for start, reason in NOT_RUN.items() if re.match(start, line)), None)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with the tables, the keys and the dates that the pages speak of."""
    home = tmp_path_factory.mktemp("pages")
    landing, stamp = Landing(home), "_fivetran_deleted boolean, _fivetran_synced timestamptz"
    landing.execute(
        "salesforce",
        "2026-10-31T22:00",
        f"create table account (id varchar primary key, name varchar, stage varchar, {stamp})",
        "insert into account values ('0015g00001', 'Ann', 'won', false, now()), ('0015g00002', 'Bob', 'lost', false, now())",
        f"create table opportunity (id varchar primary key, amount int, {stamp})",
        "insert into opportunity values ('006', 10, false, now())",
    )
    landing.execute(
        "crm",
        "2026-10-31T22:00",
        f"create table contact (id int primary key, email varchar, {stamp})",
        "insert into contact values (7, 'ann@example.com', false, now())",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTORY_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        assert run("history-assets run --date 2026-11-01") == 0
        landing.execute("salesforce", "2026-11-19T22:00", "update account set stage = null where id = '0015g00001'")
        assert run("history-assets run --date 2026-11-20") == 0
        yield home


def run(line: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", shlex.split(line))
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


@pytest.fixture
def _settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    monkeypatch.setenv("HISTORY_DATE", "2026-11-20")


@pytest.mark.usefixtures("_settings")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_runs(path: Path) -> None:
    """What it comes to is told by test_reading.py."""
    moment = dt.datetime(2026, 11, 10, 12, tzinfo=dt.UTC)
    labels = pa.table({"account_id": ["0015g00001"], "contact_id": pa.array([7], pa.int32()), "label_time": [moment]})
    for block in fenced(path, "python"):
        exec(compile(block, str(path), "exec"), {"labels": labels, "__name__": "snippet"})


@pytest.mark.usefixtures("_settings")
def test_the_script_is_one(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = fenced(ROOT / "docs" / "scripts.md", "python")
    monkeypatch.setenv("HISTORY_SCRIPTS", str(tmp_path))
    (tmp_path / "pipeline.py").write_text(block)
    (tmp_path / "weekly_forecast.py").write_text("")
    settings = Settings.from_env()

    said, problems = look_over(settings, script_of(settings, tmp_path / "pipeline.py"))

    assert problems == []
    assert any("salesforce.opportunity" in line for line in said)


def test_sql_runs(home: Path) -> None:
    ran: list[Any] = []
    with duckdb.connect(str(home / "history.duckdb"), read_only=True) as connection:
        for block in (block for path in PAGES for block in fenced(path, "sql")):
            statements = [line for part in re.sub(r"--.*", "", block).split(";") if (line := part.strip())]
            ran += [connection.execute(statement).fetchall() for statement in statements if not why_not(statement)]

    assert [len(rows) for rows in ran] == [2] * len(ran)
    assert len(ran) == 5


@pytest.mark.usefixtures("_settings")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = []
    for line in typed(path):
        if line.startswith("export "):
            continue  # its names are looked up by test_docs.py
        if why_not(line) is None and not (line.startswith("history-assets ") and run(line) == 0):
            wrong.append(line)

    assert wrong == []


def test_what_is_not_run_is_there() -> None:
    lines = {line for path in PAGES for line in typed(path)}
    targets = {name for line in lines for name in re.findall(r"^make ([a-z-]+)", line)}
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    modules = sorted({name for line in lines for name in re.findall(r"^python -m ([a-z_.]+)", line)})
    files = {name for line in lines for name in re.findall(r"(?:python|pytest) (\S+\.py)", line)}

    assert targets <= known
    assert [name for name in files if not (ROOT / name).is_file()] == []
    assert [name for name in modules if not (ROOT / f"{name.replace('.', '/')}.py").is_file()] == []
    found = subprocess.run([sys.executable, "-m", modules[0], "--help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "usage" in found.stdout


def test_every_reason_is_of_use() -> None:
    lines = {line for path in PAGES for line in typed(path)}
    lines |= {part.strip() for path in PAGES for block in fenced(path, "sql") for part in re.sub(r"--.*", "", block).split(";")}

    assert [start for start in NOT_RUN if not any(re.match(start, line) for line in lines)] == []
