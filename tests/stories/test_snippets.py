"""Every command and snippet of the README and the pages in docs/ and examples/, run as a reader would, page by page.

Shell lines are typed at the command line of this process, Python is executed in the order of its page, SQL is asked of the
history that they are about: over three nights of the sandbox's Salesforce, and over the same table on an emulated account of
Snowflake. What cannot be run here stands in ``NOT_RUN`` with the reason, and is looked at as far as it can be.
"""

import ast
import contextlib
import dataclasses
import datetime as dt
import importlib.util
import io
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from history_assets import cli, folding
from history_assets.refresh import refresh
from history_assets.sandbox import Sandbox
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.fakes.snowflake.emulator import Emulator
from tests.stories.account import Account

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/*.md"))]
NIGHTS = [dt.date(2026, 11, day) for day in (18, 19, 20)]
"""Which the pages speak of; the last is the day on which they are read."""

_SERVED = "it serves until it is stopped; its options are checked by test_deploying, its like is served by tests/ui"
_TOOL = "the tool is not here; the files that it names are checked by test_deploying"
_LONG = "it takes minutes to hours"
NOT_RUN = {
    "make demo": "it makes an environment of its own; the demo is told by test_sandbox and tests/ui",
    'make demo ARGS="--days 3"': "the same",
    "make test": "it runs this",
    ". .venv/bin/activate": "what runs this is in such an environment",
    "make audit": "it asks databases on the internet",
    "make bench": _LONG,
    'make bench PARTS="nights clones"': _LONG,
    "python -m benchmarks.nights 500": _LONG,
    "python -m benchmarks.reading as-of": _LONG,
    "python -m benchmarks.reading point-in-time": _LONG,
    "python -m tests.stories.simulation 60 20 7": _LONG,
    "python -m tests.stories.test_timelines 10000": _LONG,
    "python -m tests.stories.test_timelines_unchanged 2000": _LONG,
    "pytest tests/stories/test_gates.py --engine snowflake": "a test of its own, of make test-slow",
    "pip install --constraint constraints.txt --config-settings editable_mode=compat --editable '.[examples]'": "it installs",
    "export HISTORY_HOME=.backtest": "nothing runs with it here",
    "HISTORY_INCLUDE=salesforce history-assets demo --days 28 --no-ui": "28 nights; told by test_examples",
    "python examples/backtest.py": "run by test_examples",
    "dagster code-server start --host 127.0.0.1 --port 4000 --module-name history_assets.definitions": _SERVED,
    "dagster-webserver --host 127.0.0.1 --port 3000 --workspace deploy/workspace.yaml": _SERVED,
    "dagster-daemon run --workspace deploy/workspace.yaml": _SERVED,
    "dagster instance migrate": "it asks whether to go on; its like is dagster's to test",
    "pip install --constraint constraints.txt --constraint deploy/constraints.txt dagster-postgres": "it installs",
    "cp deploy/dagster.yaml $DAGSTER_HOME/dagster.yaml": "this home has no Postgres",
    "cp deploy/history.env.example deploy/history.env": "it writes into the project",
    "chmod 600 deploy/history.env": "the same",
    "docker compose --file deploy/compose.yaml --env-file deploy/history.env up --detach --build": _TOOL,
    "docker compose --file deploy/compose.yaml cp history_assets.p8 code:/var/lib/history_assets/history_assets.p8": _TOOL,
    "docker compose --file deploy/compose.yaml exec --user root code "
    "chown history /var/lib/history_assets/history_assets.p8": _TOOL,
    "docker compose --file deploy/compose.yaml exec code chmod 600 /var/lib/history_assets/history_assets.p8": _TOOL,
    "docker compose --file deploy/compose.yaml exec code history-assets doctor": _TOOL,
    "kubectl create secret generic history-assets --from-env-file=deploy/history.env": _TOOL,
    "kubectl create secret generic history-assets-key --from-file=SNOWFLAKE_PRIVATE_KEY=history_assets.p8": _TOOL,
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
    plans = [
        folding.plan(warehouse, [("salesforce", each.name) for _, each in project.inventory.tables()], date) for date in NIGHTS
    ]
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

    assert {snippet.language for snippet in snippets(path)} <= {"sh", "python", "sql", "text", "yaml"}
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
    files = [
        word.partition("=")[2] or word for word in words if re.search(r"(?:^|=)(?:deploy|tests|examples)/[\w./-]+\.\w+$", word)
    ]

    assert words[0] != "make" or words[1] in targets
    assert "-m" not in words or importlib.util.find_spec(words[words.index("-m") + 1])
    assert [file for file in files if file not in MADE_LATER and not (ROOT / file).is_file()] == []
    assert "constraints.txt" not in words or (ROOT / "constraints.txt").is_file()


# The shell.


class Reader:
    """A reader at a terminal: what they put in place of what a page leaves open, and what this project's commands then say.

    ``homes`` are the folders that stand for those of the page, ``given`` the values of the variables that it leaves open.
    """

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, folder: Path, homes: Mapping[str, Path], given: Mapping[str, str]
    ) -> None:
        self._patch = monkeypatch
        self.homes = homes
        self.given = given
        monkeypatch.chdir(folder)

    def read(self, path: Path) -> list[str]:
        """Type every line of a page but for those of ``NOT_RUN``; returns those that did not end well, with what was said."""
        lines = [
            line for snippet in snippets(path) if snippet.language == "sh" for line in snippet.lines if line not in NOT_RUN
        ]
        assert lines, path
        return [f"{line}: {said}" for line in lines if (said := self.type(line))]

    def type(self, line: str) -> str | None:
        """Type an export, or a command of this project; returns its exit code where that is not 0."""
        words = shlex.split(line.replace("$(date -u +%F)", str(NIGHTS[-1])))
        if words[0] == "export":
            for name, value in (word.split("=", 1) for word in words[1:]):
                self._export(name, value)
            return None
        assert words[0] == "history-assets", f"nothing here runs {line!r}: list it in NOT_RUN, with the reason"
        return self._command(*(words[: words.index(">")] if ">" in words else words))

    def _export(self, name: str, value: str) -> None:
        if value == "…":
            value = self.given.get(name, "")
        if name == "HISTORY_HOME":
            self._patch.setenv("DAGSTER_HOME", str(self.homes[value] / "dagster"))
            value = str(self.homes[value])
        if value and name != "DAGSTER_HOME":
            self._patch.setenv(name, value)

    def _command(self, *words: str) -> str | None:
        self._patch.setattr(sys, "argv", list(words))
        printed = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        with contextlib.redirect_stdout(printed), pytest.raises(SystemExit) as ended:
            cli.main()
        return f"exit code {ended.value.code}: {printed.buffer.getvalue().decode()}" if ended.value.code else None


def reader(monkeypatch: pytest.MonkeyPatch, folder: Path, demo: Path, account: Account) -> Reader:
    """A reader with the demo's home and that of the account, to which a token is the key: a key is told by test_doctor."""
    own = {name: value for name, value in account.environment.items() if name.startswith("SNOWFLAKE_")}
    for name in own.keys() - {"SNOWFLAKE_ACCOUNT", "SNOWFLAKE_USER", "SNOWFLAKE_ROLE", "SNOWFLAKE_WAREHOUSE"}:
        monkeypatch.setenv(name, own[name])
    monkeypatch.setenv("HISTORY_INCLUDE", "salesforce")
    homes = {".demo": demo, ".history": account.home}
    return Reader(monkeypatch, folder, homes, own | {"HISTORY_ALERT_URLS": "json://127.0.0.1:9"})


WAY = ROOT / "docs" / "from-demo-to-snowflake.md"


@pytest.fixture(scope="module")
def way(demo: Path, account: Account, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Account]:
    """The account at the end of the way from the demo to Snowflake, and what did not go well on it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        failed = reader(monkeypatch, tmp_path_factory.mktemp("reader"), demo, account).read(WAY)
    return failed, account


def test_the_way_from_the_demo_to_snowflake(way: tuple[list[str], Account]) -> None:
    failed, account = way

    assert failed == []
    assert {table: [row[:2] for row in rows] for table, rows in account.ledger().items()} == {
        "SALESFORCE.ACCOUNT": [(18, "applied"), (19, "applied"), (20, "applied")]
    }
    assert account.emulator.run('select ID, NAME from "HISTORY"."SALESFORCE"."ACCOUNT" order by NAME') == [
        ("a", "Ann"), ("b", "Bob"), ("a", "Änn"),
    ]  # fmt: skip


@pytest.mark.parametrize("page", ["snowflake.md", "deploying.md"])
def test_the_commands_of_other_pages(
    page: str, way: tuple[list[str], Account], demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the account, which pages on deploying do not name."""
    told = reader(monkeypatch, tmp_path, demo, way[1])
    if page == "deploying.md":
        told.homes = {".history": demo}

    assert told.read(ROOT / "docs" / page) == []


def test_no_page_has_commands_that_nobody_types() -> None:
    typed = {WAY.name, "snowflake.md", "deploying.md"}
    by_page = {path.name: [line for each in of("sh") if each.path == path for line in each.lines] for path in pages_with("sh")}

    assert [line for name in by_page.keys() - typed for line in by_page[name] if line not in NOT_RUN] == []


# Python.


@pytest.mark.parametrize("path", pages_with("python"), ids=named)
def test_python_runs_in_the_order_of_its_page(path: Path, demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over the demo's home, as of a date where a script has one; what stands there to be looked at is something."""
    monkeypatch.setenv("HISTORY_HOME", str(demo))
    monkeypatch.setenv("HISTORY_DATE", "2026-11-20")
    names: dict[str, Any] = {}
    seen = []
    for snippet in snippets(path):
        if snippet.language == "python":
            for statement in ast.parse(snippet.text, snippet.place).body:
                if isinstance(statement, ast.Expr):
                    seen.append((ast.unparse(statement), eval(ast.unparse(statement), names)))
                else:
                    exec(ast.unparse(statement), names)

    assert [text for text, value in seen if value is not None and not len(value)] == []
    if path.name in ("README.md", "reading.md"):
        assert (names["first"], names["last"]) == (NIGHTS[0], NIGHTS[-1])


def test_the_script_of_its_page_is_one(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the one that it feeds, which is begun as the README says."""
    (script,) = (each for each in of("python") if each.path.name == "scripts.md")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "weekly.py").write_text(script.text, encoding="utf-8")
    told = Reader(monkeypatch, tmp_path, {".demo": demo}, {})

    assert told.type("export HISTORY_HOME=.demo HISTORY_INCLUDE=salesforce") is None
    assert told.type("history-assets script new weekly_forecast") is None
    assert told.type("history-assets script check scripts/weekly.py") is None


# SQL.


def asked(*engines: str) -> Any:
    found = [each for each in of("sql") if engine_of(each) in engines and not any(text in each.text for text in NOT_ASKED)]
    return pytest.mark.parametrize("snippet", found, ids=lambda each: each.place)


def statements(snippet: Snippet) -> list[str]:
    bare = re.sub(r"--.*$", "", snippet.text, flags=re.M).replace("current_date", f"date '{NIGHTS[-1]}'")
    return [statement.strip() for statement in bare.split(";") if statement.strip()]


def test_every_sql_says_what_it_is_for() -> None:
    assert [
        each.place for each in of("sql") if engine_of(each) not in ("DuckDB", "Snowflake", "either", "an account of yours")
    ] == []


@asked("DuckDB", "either")
def test_sql_on_duckdb(snippet: Snippet, demo: Path) -> None:
    with duckdb.connect(str(demo / "history.duckdb"), read_only=True) as connection:
        answers = [connection.execute(statement).fetchall() for statement in statements(snippet)]

    assert all(answers)


@asked("Snowflake", "either")
def test_sql_on_snowflake(snippet: Snippet, way: tuple[list[str], Account]) -> None:
    """On the emulated account; of what is for either, the database is named by the reader."""
    _, account = way
    answers = [account.emulator.run("use database HISTORY", statement) for statement in statements(snippet)]

    assert all(answers)
