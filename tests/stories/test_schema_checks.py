"""The checks of a schema's clones: what passes, what fails and with which words, over real nights."""

import datetime as dt
from collections.abc import Iterator
from typing import Any

import dagster as dg
import duckdb
import pytest

from history_assets.location import build_definitions
from history_assets.nights import open_instance, run_nights
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.stories.engines.duckdb import DuckDB
from tests.stories.tables import Night
from tests.unit.test_markdown import read

SYNCED = "2026-10-01 00:00:00+00"
NAMES = ("newest_exact", "no_large_drop", "no_lost_night")
KEY = "id int primary key, v varchar"
CRM: dict[int, Night] = {
    10: {"account": (KEY, "select range, 'a' from range(200)"), "note": ("v varchar", "values ('n')")},
    11: {"account": (KEY, "select range, 'a' from range(200)"), "note": ("v varchar", "values ('n')")},
    13: {"account": (KEY, "select range, 'a' from range(90)"), "note": ("v varchar", "values ('n')")},
}
"""The 12th is lost, and on the 13th more than half of the accounts are gone, which no gate holds back."""

LOST = "found neither clone nor history of 2026-10-12, expected one of every date: run them where raw still reaches back"
DROPPED = "crm.account has 90 rows on 2026-10-13, 110 fewer than on 2026-10-11"
NIGHTS_FINE, ROWS_FINE = "every recent date has a clone or is folded", "no table has shrunk much"

Said = dict[tuple[str, str], tuple[bool, str, str | None]]


class Story:
    """Two schemas on the embedded engine; ``crm`` is in trouble, ``shop`` never is."""

    def __init__(self, engine: DuckDB) -> None:
        self.engine = engine
        self.warehouse: DuckDBWarehouse = engine.warehouse(gates=())

    def land(self, schema: str, day: int, tables: Night) -> None:
        self.engine.land(schema, f"2026-10-{day - 1:02}T22:00", tables, SYNCED)

    def clone(self, schema: str, day: int, *, replace: bool = False) -> None:
        self.warehouse.clone(schema, dt.date(2026, 10, day), lambda: None, replace=replace)

    def evaluate(self, job: str = "checks", **options: Any) -> Said:
        """Run a job and return what was said of each check: whether it passed, how grave that is, and the words."""
        definitions = build_definitions(self.warehouse.settings, warehouse=self.warehouse)
        with open_instance(self.warehouse.settings) as instance:
            run = definitions.resolve_job_def(job).execute_in_process(instance=instance, **options)
        return {
            (found.asset_key.to_user_string(), found.check_name): (found.passed, found.severity.value, found.description)
            for found in run.get_asset_check_evaluations()
        }

    def damage(self, *statements: str) -> None:
        with duckdb.connect(str(self.engine.home / "history.duckdb")) as connection:
            for statement in statements:
                connection.execute(statement)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    engine = DuckDB(tmp_path_factory.mktemp("checks"))
    story = Story(engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTORY_HOME", str(engine.home))
        patch.setenv("DAGSTER_HOME", str(engine.home / "dagster"))
        for day, tables in CRM.items():
            story.land("crm", day, tables)
            story.clone("crm", day)
        for day in (12, 13):
            story.land("shop", day, {"orders": ("id int primary key", f"select * from range({day})")})
            story.clone("shop", day)
        for schema, days in {"crm": CRM, "shop": (12, 13)}.items():
            dates = [dt.date(2026, 10, day) for day in days]
            assert run_nights(story.warehouse.settings, story.warehouse, dates, [schema])[1] == []
        yield story


@pytest.fixture(autouse=True)
def environment(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_HOME", str(story.engine.home))
    monkeypatch.setenv("DAGSTER_HOME", str(story.engine.home / "dagster"))


def only(said: Said, schema: str, name: str) -> tuple[bool, str, str | None]:
    return said[f"clones/{schema}", name]


def test_each_check_says_what_it_found_of_each_schema(story: Story) -> None:
    assert story.evaluate() == {
        ("clones/crm", "newest_exact"): (True, "ERROR", "2 tables of 2026-10-13 are exact"),
        ("clones/crm", "no_lost_night"): (False, "ERROR", LOST),
        ("clones/crm", "no_large_drop"): (False, "WARN", DROPPED),
        ("clones/shop", "newest_exact"): (True, "ERROR", "1 tables of 2026-10-13 are exact"),
        ("clones/shop", "no_lost_night"): (True, "ERROR", NIGHTS_FINE),
        ("clones/shop", "no_large_drop"): (True, "WARN", ROWS_FINE),
    }


@pytest.mark.parametrize("name", NAMES)
def test_one_check_can_be_asked_for_by_itself(name: str, story: Story) -> None:
    definitions = build_definitions(story.warehouse.settings, warehouse=story.warehouse)
    key = dg.AssetCheckKey(dg.AssetKey(["clones", "shop"]), name)

    run = definitions.resolve_job_def("checks").get_subset(asset_check_selection={key}).execute_in_process()

    assert [(found.asset_check_key, found.passed) for found in run.get_asset_check_evaluations()] == [(key, True)]


@pytest.mark.parametrize(("job", "selected"), [("clones", ["clones", "shop"]), ("snapshots", ["history", "shop", "orders"])])
def test_runs_that_clone_or_fold_check_nothing_on_their_way(job: str, selected: list[str], story: Story) -> None:
    """Clones are not folded yet then; what they come to is checked by a run after the one that folds."""
    assert story.evaluate(job, partition_key="2026-10-13") == {}
    assert story.evaluate(job, partition_key="2026-10-13", asset_selection=[dg.AssetKey(selected)]) == {}


def test_a_history_that_differs_from_the_newest_clone_fails(story: Story) -> None:
    """Whatever it says of older ones, which `exact` and `verify` look at. Its values are no markup to the pages."""
    story.damage(
        "update crm.account set v = 'old' where id = 150", "update crm.note set v = '![wrong](http://evil.example/p.png)'"
    )

    passed, severity, said = only(story.evaluate(), "crm", "newest_exact")

    assert (passed, severity, read(said or "")) == (
        False,
        "ERROR",
        "crm.note as of 2026-10-13: 1 rows only in history, 1 only in the clone, "
        "such as ('![wrong](http://evil.example/p.png)',); ('n',)",
    )


def test_a_newest_clone_that_is_not_folded_fails_by_table(story: Story) -> None:
    story.land("shop", 14, {"orders": ("id int primary key", "select * from range(14)"), "new": ("id int", None)})
    story.clone("shop", 14)

    assert only(story.evaluate(), "shop", "newest_exact") == (
        False,
        "ERROR",
        "shop.new as of 2026-10-14 is not folded: run the date again; "
        "shop.orders as of 2026-10-14 is not folded: run the date again",
    )


def test_a_newest_clone_that_was_made_again_fails_once_for_each_table(story: Story) -> None:
    story.land("crm", 13, CRM[13])
    story.clone("crm", 13, replace=True)

    assert only(story.evaluate(), "crm", "newest_exact") == (
        False,
        "ERROR",
        "crm.account as of 2026-10-13 was folded from a clone that was replaced since: run the date again; "
        "crm.note as of 2026-10-13 was folded from a clone that was replaced since: run the date again",
    )


def test_a_night_whose_clone_is_gone_is_not_lost(story: Story) -> None:
    for day in (10, 11):
        clone = story.warehouse.find_clone("crm", dt.date(2026, 10, day))
        assert clone is not None
        story.warehouse.drop_clone(clone)

    assert only(story.evaluate(), "crm", "no_lost_night") == (False, "ERROR", LOST)


def test_a_night_that_lost_some_tables_names_them(story: Story) -> None:
    story.damage("delete from _history_assets.applied where table_name = 'note' and clone_date = '2026-10-11'")

    assert only(story.evaluate(), "crm", "no_lost_night") == (
        False,
        "ERROR",
        LOST.replace("2026-10-12", "2026-10-11 (note), 2026-10-12"),
    )
