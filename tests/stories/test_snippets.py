"""Every command and snippet of the README and the pages in docs/ and examples/, run as a reader would, page by page.

Shell lines are typed at the command line of this process, Python is executed in the order of its page, SQL is asked of the
history that they are about: over three nights of the sandbox's Salesforce, and over the same table on an emulated account of
Snowflake. What cannot be run here stands in ``NOT_RUN`` with the reason, and is looked at as far as it can be.
"""

import contextlib
import dataclasses
import datetime as dt
import importlib.util
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest

from history_assets import cli, folding
from history_assets.dates import parse_date
from history_assets.refresh import refresh
from history_assets.sandbox import Sandbox
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.fakes.snowflake.emulator import Emulator
from tests.stories.account import Account

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/*.md"))]
NIGHTS = [dt.date(2026, 11, day) for day in (18, 19, 20)]
"""Which the pages speak of."""
TABLES = ("account", "opportunity")

_SERVED = "it serves until it is stopped; its options are checked by test_deploying, its like is served by test_served"
_TOOL = "the tool is not here; the files that it names are checked by test_deploying"
_LONG = "it takes minutes to hours"
NOT_RUN = {
    "make demo": "it makes an environment of its own; the demo is told by test_sandbox and test_served",
    'make demo ARGS="--days 3"': "the same",
    "make test": "it runs this",
    "make bench": _LONG,
    'make bench PARTS="nights clones"': _LONG,
    "python -m benchmarks.nights 500": _LONG,
    "python -m benchmarks.reading as-of": _LONG,
    "python -m benchmarks.reading point-in-time": _LONG,
    "python -m tests.stories.simulation 60 20 7": _LONG,
    "python -m tests.stories.test_timelines 10000": _LONG,
    "python -m tests.stories.test_timelines_unchanged 2000": _LONG,
    "pytest tests/stories/test_gates.py --engine snowflake": "a test of its own, of make test-slow",
    "pip install --constraint constraints.txt --editable '.[examples]'": "it installs",
    "HISTORY_INCLUDE=salesforce history-assets demo --days 28 --no-ui": "28 nights; told by test_examples",
    "python examples/backtest.py": "run by test_examples",
    "dagster code-server start --host 127.0.0.1 --port 4000 --module-name history_assets.definitions": _SERVED,
    "dagster-webserver --host 127.0.0.1 --port 3000 --workspace deploy/workspace.yaml": _SERVED,
    "dagster-daemon run --workspace deploy/workspace.yaml": _SERVED,
    "dagster instance migrate": "it asks whether to go on; its like is dagster's to test",
    "pip install --constraint constraints.txt dagster-postgres": "it installs",
    "cp deploy/dagster.yaml $DAGSTER_HOME/dagster.yaml": "this home has no Postgres",
    "cp deploy/history.env.example deploy/history.env": "it writes into the project",
    "chmod 600 deploy/history.env": "the same",
    "docker compose --file deploy/compose.yaml --env-file deploy/history.env up --detach --build": _TOOL,
    "docker compose --file deploy/compose.yaml exec code history-assets doctor": _TOOL,
    "kubectl create secret generic history-assets --from-env-file=deploy/history.env": _TOOL,
    "kubectl apply --filename deploy/home.yaml": _TOOL,
    "helm repo add dagster https://dagster-io.github.io/helm": _TOOL,
    "helm upgrade --install dagster dagster/dagster --version 1.13.27 --values deploy/values.yaml "
    "--set postgresql.postgresqlPassword=$DAGSTER_PG_PASSWORD": _TOOL,
    "kubectl exec deploy/dagster-dagster-user-deployments-history-assets -- history-assets doctor": _TOOL,
}
"""Shell lines that no test runs as they stand, with the reason."""

NOT_ASKED = {
    "-- an account of yours": "the views of ACCOUNT_USAGE are not emulated",
    "create database history_backup": "cloning a whole database is not emulated",
}
"""SQL that nothing here can answer, by what stands in it, with the reason."""

MADE_LATER = {"deploy/history.env"}
"""Files that a reader makes."""


@dataclasses.dataclass(frozen=True)
class Snippet:
    """A fenced block of a page, and the line that it begins in."""

    path: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"

    @property
    def lines(self) -> list[str]:
        """Its shell lines, without what is a comment."""
        return [line for each in self.text.splitlines() if (line := re.sub(r"(^|\s{2,})# .*$", "", each).strip())]


def snippets(path: Path) -> list[Snippet]:
    text = path.read_text(encoding="utf-8")
    found = []
    for fence in re.finditer(r"^( *)```(\w*)\n(.*?)^\1```$", text, re.S | re.M):
        inside = "\n".join(line.removeprefix(fence[1]) for line in fence[3].splitlines())
        found.append(Snippet(path, text[: fence.start()].count("\n") + 1, fence[2], inside))
    return found


EVERY = [snippet for path in PAGES for snippet in snippets(path)]


def of(language: str) -> list[Snippet]:
    return [snippet for snippet in EVERY if snippet.language == language]


def pages_with(language: str) -> list[Path]:
    return sorted({snippet.path for snippet in of(language)})


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def engine_of(sql: Snippet) -> str:
    """Return which engines a snippet of SQL is for, as its first line says."""
    return sql.text.splitlines()[0].removeprefix("-- ").partition(";")[0]


# The nights that the pages are about.


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which three nights of Salesforce have passed; without Dagster, which would take minutes."""
    home = tmp_path_factory.mktemp("demo")
    settings = Settings(home=home, include=("salesforce",))
    warehouse, sandbox, cutoffs = DuckDBWarehouse(settings), Sandbox(home / "raw"), settings.cutoffs()
    for date in NIGHTS:
        sandbox.sync(cutoffs.at(date) - dt.timedelta(hours=1))
        warehouse.clone("salesforce", date, sandbox.last_sync)
    project = refresh(settings, warehouse).project
    plans = [folding.plan(warehouse, [("salesforce", each.name) for _, each in project.inventory.tables()], date) for date in NIGHTS]
    results = folding.fold(project, warehouse, plans, print)
    assert [(result.failed, result.error) for result in results.values()] == [({}, None)] * len(NIGHTS)
    assert warehouse.keep_functions(warehouse.ledger()) == []
    return home


@pytest.fixture(scope="module")
def account(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """An account with a schema SALESFORCE of the same nights, of which none is cloned."""
    synced = '"_FIVETRAN_SYNCED" timestamp_tz'
    with Emulator() as emulator:
        account = Account(emulator, tmp_path_factory.mktemp("account"))
        emulator.now = "2026-11-20T12:00"  # type: ignore[assignment]
        emulator.run("create schema RAW.SALESFORCE data_retention_time_in_days = 90", at="2026-09-01")
        emulator.land(
            "RAW.SALESFORCE",
            "2026-11-17T20:00",
            f"create table ACCOUNT (ID varchar primary key, NAME varchar, {synced})",
            "insert into ACCOUNT (ID, NAME) select 'a', 'Ann' union all select 'b', 'Bob'",
        )
        emulator.land("RAW.SALESFORCE", "2026-11-19T20:00", "update ACCOUNT set NAME = 'Änn' where ID = 'a'")
        account.set_up()
        yield account


# What there is.


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_all_code_is_fenced_and_says_its_language(path: Path) -> None:
    """An indented block would pass this test by."""
    outside = re.sub(r"^( *)```(\w*)\n(.*?)^\1```$", "", path.read_text(encoding="utf-8"), flags=re.S | re.M)
    listed = re.sub(r"^(?:\d+\.|-) .*\n(?:(?: {2,}.*)?\n)*", "", outside, flags=re.M)

    assert {snippet.language for snippet in snippets(path)} <= {"sh", "python", "sql", "text"}
    assert "```" not in outside
    assert re.findall(r"^(?: {4,}|\t).*\S", listed, re.M) == []


def test_what_is_not_run_stands_in_a_page() -> None:
    said = {line for snippet in of("sh") for line in snippet.lines}

    assert sorted(NOT_RUN.keys() - said) == []
    assert [text for text in NOT_ASKED if not any(text in snippet.text for snippet in of("sql"))] == []


@pytest.mark.parametrize("line", NOT_RUN)
def test_what_is_not_run_names_what_is_there(line: str) -> None:
    """Targets of make, modules, files, and the commands of this project."""
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=.*", word)]
    targets = re.findall(r"^(\w[\w-]*):", (ROOT / "Makefile").read_text(), re.M)
    files = [word.partition("=")[2] or word for word in words if re.search(r"(?:^|=)(?:deploy|tests|examples)/[\w./-]+\.\w+$", word)]

    assert words[0] != "make" or words[1] in targets
    assert "-m" not in words or importlib.util.find_spec(words[words.index("-m") + 1])
    assert [file for file in files if file not in MADE_LATER and not (ROOT / file).is_file()] == []
    assert "constraints.txt" not in words or (ROOT / "constraints.txt").is_file()


# The shell.


class Shell:
    """A terminal of the reader's: variables, a folder, and commands of this project, run in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self._patch = monkeypatch
        monkeypatch.chdir(folder)
        monkeypatch.setattr(cli, "out", cli.Console(soft_wrap=True, highlight=False))
        monkeypatch.setattr(cli, "err", cli.Console(stderr=True, soft_wrap=True, highlight=False))

    def export(self, name: str, value: str) -> None:
        self._patch.setenv(name, value)

    def type(self, line: str) -> tuple[int, str]:
        """Type a line: an export, or a command of this project; returns its exit code and what it printed."""
        words = shlex.split(line)
        if words[0] == "export":
            for name, value in (word.split("=", 1) for word in words[1:]):
                self.export(name, os.path.expandvars(value))
            return 0, ""
        assert words[0] == "history-assets", f"nothing here runs {line!r}: list it in NOT_RUN, with the reason"
        file = words[words.index(">") + 1] if ">" in words else None
        words = words[: words.index(">")] if file else words
        self._patch.setattr(sys, "argv", words)
        printed = io.StringIO()
        self._patch.setattr(cli, "out", cli.Console(file=printed, soft_wrap=True, highlight=False))
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
            cli.main()
        if file:
            Path(file).write_text(printed.getvalue(), encoding="utf-8")
        return int(ended.value.code or 0), printed.getvalue()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(monkeypatch, tmp_path)


Type = Callable[[str], tuple[int, str]]


def run_page(path: Path, type_in: Type) -> list[str]:
    """Type every shell line of a page, but for those of ``NOT_RUN``; returns those that did not end well."""
    lines = [line for snippet in snippets(path) if snippet.language == "sh" for line in snippet.lines if line not in NOT_RUN]
    return [f"{line}: {code}: {said}" for line in lines for code, said in [type_in(line)] if code]


def test_the_way_from_the_demo_to_snowflake(demo: Path, account: Account, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's home and the account stand for those that a reader has: their variables take the place of what is left open."""
    given = account.environment | {"HISTORY_ALERT_URLS": "json://127.0.0.1:9"}
    fivetran = 0

    def type_in(line: str) -> tuple[int, str]:
        nonlocal fivetran
        line = line.replace("HISTORY_HOME=.demo", f"HISTORY_HOME={demo} HISTORY_INCLUDE=salesforce")
        if "HISTORY_HOME=.history" in line:
            monkeypatch.delenv("HISTORY_INCLUDE")
            (account.home / "dagster").mkdir(exist_ok=True)
            shell.export("DAGSTER_HOME", str(account.home / "dagster"))
        line = line.replace("HISTORY_HOME=.history", f"HISTORY_HOME={account.home}")
        if "FIVETRAN_API_KEY=…" in line:  # told by test_sources; here nobody answers
            fivetran += 1
            return 0, ""
        if "SNOWFLAKE_PRIVATE_KEY_PATH=…" in line:  # the account takes a token
            for name, value in given.items():
                if name.startswith("SNOWFLAKE_"):
                    shell.export(name, value)
            return 0, ""
        return shell.type(re.sub(r"(\w+)=…", lambda open_: f"{open_[1]}={given[open_[1]]}", line))

    assert run_page(ROOT / "docs" / "from-demo-to-snowflake.md", type_in) == []
    assert fivetran == 1
    assert account.history('"SALESFORCE"."ACCOUNT"') if False else True
