"""Dagster's UI as a person uses it, in a real browser: over one served home, from the graph to a table that is released."""

import re
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.scheduler.instigation import InstigatorStatus, InstigatorType

from history_assets.history import History
from history_assets.naming import clone_key, fivetran_key, history_key, quote
from history_assets.nights import dagster_home
from history_assets.refresh import refresh
from history_assets.serving import served
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.stories.daemon import turn
from tests.stories.test_snippets import of
from tests.stories.webserver import UI, eventually, free_port, left_behind
from tests.ui.pages import CHROMIUM, Pages, opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, as .ci/run installs it: apt-get install chromium")

HOSTILE = "<img src=x onerror=alert(1)> | **b** `c` [l](http://x.y) \\| &amp; _i_ # h"
"""Markup of every sort, and what would end a cell."""

SCHEMA, TABLE = "`![s](p.png)", "`![t](http://evil.example/p.png)"
"""Names that end a piece of code, and then are images that a browser would fetch."""

SYNCED = "_fivetran_synced timestamptz default now()"
(RELEASE,) = [snippet.text for snippet in of("yaml")]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def landing(home: Path) -> Landing:
    landing = Landing(home)
    landing.execute(
        "crm",
        "2026-03-01T22:00",
        f"create table account (id int primary key, name varchar, {SYNCED})",
        f"create table deal (id int primary key, name varchar, stage varchar, {SYNCED})",
        "insert into account (id, name) values (1, 'Ann'), (2, 'Bob')",
        "insert into deal (id, name, stage) values (1, 'one', 'open'), (2, 'two', 'open')",
    )
    landing.execute(SCHEMA, "2026-03-01T22:00", f"create table {quote(TABLE)} ({quote('<b>')} int primary key, {SYNCED})")
    return landing


@pytest.fixture(scope="module")
def ui(home: Path, landing: Landing) -> Iterator[UI]:
    """The UI over a schema that was refreshed and never cloned, in which nothing is done by itself but folding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        patch.setenv("HISTORY_OWNERS", "team:data,ann@example.com")
        settings, port = Settings(home=home), free_port()
        refresh(settings, DuckDBWarehouse(settings))
        dagster_home(settings)
        with dg.DagsterInstance.get() as instance:
            for name in ("syncs", "healing", "drift", "check_after_success", "check_after_failure"):
                turn(instance, name, InstigatorType.SENSOR, InstigatorStatus.STOPPED)
            turn(instance, "nightly", InstigatorType.SCHEDULE, InstigatorStatus.STOPPED)
        with served(settings, port):
            ui = UI(port)
            ui.ask("mutation { setNuxSeen }")  # an invitation to a mailing list
            yield ui
    assert left_behind(home) == []


@pytest.fixture(scope="module")
def pages(ui: UI) -> Iterator[Pages]:
    with opened(f"http://127.0.0.1:{ui.port}") as pages:
        yield pages


@pytest.fixture(scope="module")
def cloned(pages: Pages) -> str:
    """A date that a person had cloned."""
    pages.materialize("clones/crm", ["2026-03-02"])
    return "2026-03-02"


@pytest.fixture(scope="module")
def held_back(pages: Pages, landing: Landing, cloned: str) -> list[str]:
    """Two dates that a person had cloned together, on which a table is empty that was not."""
    pages.partitions("history/crm/account", materialized=1)
    landing.execute("crm", "2026-03-02T22:00", "delete from account", "update deal set stage = 'won' where id = 2")
    landing.execute("crm", "2026-03-02T22:00", f"insert into deal (id, name) values (3, $${HOSTILE}$$)")
    pages.materialize("clones/crm", ["2026-03-04", "2026-03-03"])
    return ["2026-03-03", "2026-03-04"]


@pytest.fixture(scope="module")
def released(pages: Pages, held_back: list[str]) -> list[str]:
    """The dates on which a person let that table in after all."""
    pages.partitions("history/crm/account", failed=2)
    pages.materialize_failed("history/crm/account", RELEASE)
    return held_back


def lines(text: str) -> list[str]:
    """Return the lines of what a cell shows, with one space between words."""
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def test_the_graph_leads_from_the_landing_schema_to_the_histories(pages: Pages) -> None:
    assert pages.group("crm") == [
        ("account", ["DuckDB", "dbt"]),
        ("crm", ["DuckDB"]),
        ("crm", ["Fivetran"]),
        ("deal", ["DuckDB", "dbt"]),
    ]


def test_an_asset_says_what_it_is(pages: Pages) -> None:
    pages.overview("history/crm/account")

    pages.says("Every version of each row of crm.account; key id, as Fivetran declares it.")
    assert pages.table("Column name") == [
        ["Column name", "Type", "Description"],
        ["id", "INTEGER", "The key."],
        ["name", "VARCHAR", ""],
        ["_fivetran_synced", "TIMESTAMP WITH TIME ZONE", ""],
        ["dbt_valid_from", "timestamp", "The cutoff from which on the row was known so."],
        ["dbt_valid_to", "timestamp", "The cutoff from which on it no longer was; none while it is."],
    ]
    for owner in ("data", "ann@example.com"):
        pages.says(owner)


def test_names_in_what_is_said_of_an_asset_are_names(pages: Pages) -> None:
    for key, says in (
        (history_key(SCHEMA, TABLE), f"Every version of each row of {SCHEMA}.{TABLE}; key <b>, as Fivetran declares it."),
        (clone_key(SCHEMA), f"The schema {SCHEMA} as it was at the cutoff"),
        (fivetran_key(SCHEMA), f"The schema {SCHEMA} as Fivetran lands it"),
    ):
        pages.overview("/".join(key))
        pages.says(says)
        assert [each for each in pages.images() if "p.png" in each] == []
    assert TABLE in {line for row in pages.table("contents") for line in row[-1].split()}


def test_clone_and_raw_lead_to_each_other_and_say_what_is_in_them(pages: Pages) -> None:
    for asset, key, other in (("fivetran/crm", "clones", "clones / crm"), ("clones/crm", "raw", "fivetran / crm")):
        pages.overview(asset)
        told = {key: value for key, _, value in pages.table("contents")}
        assert told[key] == other
        assert lines(told["contents"]) == ["Show schema", "table columns key", "account 3 id", "deal 4 id"]


def test_what_a_person_clones_is_folded_by_itself(pages: Pages, cloned: str) -> None:
    pages.partitions("clones/crm", materialized=1)
    for table in ("account", "deal"):
        pages.partitions(f"history/crm/{table}", materialized=1)

    told = pages.metadata("history/crm/account", cloned)

    assert {key: told[key] for key in ("dagster/row_count", "opened", "closed", "cutoff")} == {
        "dagster/row_count": "2",
        "opened": "2",
        "closed": "0",
        "cutoff": "Mar 2, 12:00:00 AM UTC",
    }


def test_a_backfill_of_dates_says_what_each_night_changed(pages: Pages, held_back: list[str]) -> None:
    pages.partitions("clones/crm", materialized=3)
    pages.partitions("history/crm/deal", materialized=3)

    told = pages.metadata("history/crm/deal", held_back[0])

    assert {key: told[key] for key in ("dagster/row_count", "opened", "closed")} == {
        "dagster/row_count": "3",
        "opened": "2",
        "closed": "1",
    }
    cut = HOSTILE[:40] + "…"
    changes = ["changed 2 stage: open → won", f"opened 3 name: {cut}"]
    assert lines(told["changes"]) == ["id values", *changes]


def test_what_nights_opened_and_closed_is_plotted(pages: Pages, held_back: list[str]) -> None:
    pages.partitions("history/crm/deal", materialized=3)
    pages.overview("history/crm/deal")

    assert pages.plots() == ["closed", "dagster/row_count", "opened"]

    pages.overview("clones/crm")
    pages.plots()
    pages.plot_events()
    for name in ("opened", "closed", "tables_changed"):
        pages.says(name)


def test_a_table_that_is_held_back_says_why(pages: Pages, held_back: list[str]) -> None:
    why = f"found no rows in crm.account on {held_back[0]}, expected some, since the night before had 2"
    pages.partitions("history/crm/account", materialized=1, failed=2)

    pages.logs_of_failure("history/crm/account", held_back[0])
    pages.says(why)
    assert f"Held back: {why}" in pages.metadata("clones/crm", held_back[0])["changes"]


def test_a_person_lets_it_in_after_all(pages: Pages, released: list[str], home: Path) -> None:
    pages.partitions("history/crm/account", materialized=3, failed=0)

    assert pages.metadata("history/crm/account", released[0])["closed"] == "2"
    history = History(DuckDBWarehouse(Settings(home=home)))
    counts = {str(date): history.as_of("crm.account", date).num_rows for date in history.dates("crm.account")}
    assert counts == {"2026-03-02": 2, "2026-03-03": 0, "2026-03-04": 0}


def test_nothing_warns_of_what_is_deprecated_or_not_yet_stable(home: Path, ui: UI) -> None:
    """Neither at start nor in what has run since."""
    logs = {name: (home / "logs" / f"{name}.log") for name in ("code-server", "webserver", "daemon")}
    eventually(lambda: "Instance is configured with the following daemons" in logs["daemon"].read_text(), "the daemon's start")

    said = {name: log.read_text() for name, log in logs.items()}

    assert all(said.values())
    warned = re.compile(r"warning|deprecat|experimental|preview|beta\b", re.IGNORECASE)
    assert {name: [line for line in text.splitlines() if warned.search(line)] for name, text in said.items()} == {
        "code-server": [],
        "webserver": [],
        "daemon": [],
    }
