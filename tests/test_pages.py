"""What pages say of what runs by itself, and of what it tells."""

import re
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import SecretStr

from history_assets.alerts import Sort
from history_assets.checks import CHECK, SCHEMA_CHECKS
from history_assets.coverage import WINDOW
from history_assets.fivetran.silence import _HABITS
from history_assets.gates import Gate
from history_assets.location import build_definitions
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.watching import _FAILING, WATCH
from tests.landing import Landing
from tests.stories.test_snippets import of

DOCS = Path(__file__).parents[1] / "docs"


def text_of(page: str) -> str:
    return (DOCS / page).read_text(encoding="utf-8")


def test_every_message_is_said_with_what_to_do() -> None:
    page = text_of("operating.md")
    table = page[page.index("| a message that begins with |") : page.index("Told by no message")]
    said = re.findall(r"^\| `([^|]+)` \|", table, re.M)

    assert sorted(said) == sorted(Sort)
    assert set(re.findall(r"`(\w+_\w+)`", table)) == SCHEMA_CHECKS.keys() - {"no_large_drop"}
    assert {CHECK, "no_large_drop"} <= set(re.findall(r"`(\w+)`", page[page.index("Told by no message") :]))


def test_what_lets_a_copy_in_is_said_as_dagster_takes_it() -> None:
    (config,) = [snippet.text for snippet in of("yaml")]
    (said,) = re.findall(r"`_` for\n`-`: (.+?)\.\n", text_of("operating.md"))

    assert (
        re.findall(r"`(\w+)`", said) == [gate.value.upper().replace("-", "_") for gate in Gate] == [gate.name for gate in Gate]
    )
    assert yaml.safe_load(config) == {"ops": {"fold_histories": {"config": {"allow": [Gate.EMPTY.name]}}}}


def test_what_the_messages_count_is_what_is_counted() -> None:
    page = text_of("operating.md")
    words = {3: "three"}

    assert f"for {words[_HABITS]} times as long as it usually pauses, and an hour" in page
    assert f"a sensor failed {words[_FAILING]} times in a row" in page
    assert f"a night of the last {WINDOW.days} has" in page


def test_everything_that_runs_by_itself_is_said(landing: Landing, make_settings: Callable[..., Settings], home: Path) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table account (id int primary key, _fivetran_synced timestamptz)")
    scripts = home / "scripts"
    scripts.mkdir()
    (scripts / "forecast.py").write_text('# /// script\n# [tool.history-assets]\n# after = ["crm.account"]\n# ///\n')
    settings = make_settings(scripts=scripts, clone_retention_days=30, alert_urls=(SecretStr("json://127.0.0.1:9"),))
    warehouse = DuckDBWarehouse(settings)
    refresh(settings, warehouse)
    definitions = build_definitions(settings, warehouse=warehouse)
    there = {each.name for each in (*(definitions.sensors or ()), *(definitions.schedules or ()))}
    page = text_of("operating.md")
    table = page[: page.index("A cause is told once")]
    said = [name for row in re.findall(r"^\| (`[^|]+) \|", table, re.M) for name in re.findall(r"`(\w+\*?)`", row)]

    def saying(name: str) -> list[str]:
        return [each for each in said if name == each or (each.endswith("*") and name.startswith(each.rstrip("*")))]

    assert WATCH in there
    assert [name for name in there if not saying(name)] == []
    # This script is on no clock.
    assert set(said) - {each for name in there for each in saying(name)} == {"script_*"}
