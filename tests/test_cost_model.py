"""The cost model of docs/snowflake.md: its figures are what its formula gives, and what it counts is what is sent."""

import datetime as dt
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from history_assets.credentials import SnowflakeCredentials
from history_assets.settings import Settings
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from history_assets.warehouse.snowflake_setup import setup_script
from history_assets.warehouse.values import Applied, AppliedColumn, Clone, Difference, Status
from tests.stories.snowflake.test_statements import CHANGED
from tests.warehouse.recording import RecordingSessions, table

PAGE = (Path(__file__).parents[1] / "docs" / "snowflake.md").read_text(encoding="utf-8")
DATE = dt.date(2026, 11, 22)


@pytest.fixture(scope="module")
def model() -> dict[str, Any]:
    """What the formula's names come to."""
    (formula,) = re.findall(r"^```python\n(.*?)^```", PAGE, re.S | re.M)
    names: dict[str, Any] = {}
    exec(formula, names)
    return names


def rows(before: str, after: str) -> dict[str, str]:
    """Return the second cells of the rows between two lines of the page, by the names in the first."""
    part = PAGE[PAGE.index(before) : PAGE.index(after)]
    return {name: cell for names, cell in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", part, re.M) for name in [names]}


def test_the_figures_are_those_of_the_formula(model: dict[str, Any]) -> None:
    """To as many places as they are told."""
    told = rows("| a day | comes to |", "What follows:")
    given = {name: model[name.strip("`")] for name in told}
    places = {name: len(text.partition(".")[2]) for name, text in told.items()}

    assert len(told) == 13
    assert told == {name: f"{value:,.{places[name]}f}" for name, value in given.items()}


def test_the_inputs_are_those_of_the_formula(model: dict[str, Any]) -> None:
    told = rows("| input | here |", "```python")
    numbers = {names: [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)] for names, cell in told.items()}
    given = {names: [model[name] for name in re.findall(r"`(\w+)`", names)] for names in told}
    given["`safe_days`"] = [1, model["safe_days"] - 1]
    shares = {name for name, cell in told.items() if "%" in cell}

    def in_percent(names: str, value: float) -> float:
        return value * 100 if names in shares and value < 1 else value

    assert numbers == {names: [pytest.approx(in_percent(names, value)) for value in values] for names, values in given.items()}


def test_what_is_counted_is_what_is_sent(model: dict[str, Any], make_settings: Callable[..., Settings]) -> None:
    """A clone of a schema, the fold of a table, and its check; a look at drift is counted by test_snowflake_cost."""
    who = SnowflakeCredentials(account="a", user="u", role="HISTORIAN", warehouse="w", token="t", authenticator="oauth")
    sessions = RecordingSessions({"CRM": [table("A", "ID"), table("B", "ID")]})
    warehouse = SnowflakeWarehouse(make_settings(engine="snowflake", snowflake=who), sessions)  # type: ignore[arg-type]

    clone = warehouse.clone("CRM", DATE, lambda: None)

    assert len(sessions.sent) == model["per_clone"]
    assert len(CHANGED) == model["per_fold"]
    applied = [applied_of(clone, name) for name in ("A", "B")]
    sessions.databases["HISTORY"]["CRM"] = {"comment": "", "tables": [table("A", "ID"), table("B", "ID")]}
    sessions.selected = lambda statement: [{"only_history": 0, "only_clone": 0}]
    sessions.sent.clear()
    assert warehouse.differences(clone, applied) == [Difference(0, 0, ())] * 2
    assert sum(statement.compute for statement in sessions.sent) == 2 * model["per_check"]


def applied_of(clone: Clone, name: str) -> Applied:
    """A row of the ledger for a table of a clone."""
    columns = tuple(AppliedColumn(each, "VARCHAR", "") for each in ("ID", "_FIVETRAN_SYNCED"))
    at = clone.cutoff, clone.quiet_point
    return Applied("CRM", name, DATE, clone.clone_id, *at, 1, 1, 0, columns, ("ID",), Status.APPLIED, None, "UTC", "00:00")


def test_the_warehouse_is_the_one_that_the_setup_script_makes(model: dict[str, Any], settings: Settings) -> None:
    script = setup_script(settings, "U", "R", "W")

    assert f"WAREHOUSE_SIZE = XSMALL AUTO_SUSPEND = {model['suspend']} " in script
    assert model["credits_an_hour"] == 1
    assert settings.threads == model["threads"]
