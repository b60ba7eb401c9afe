"""What Dagster is told of a night's changes, table by table and schema by schema, read back from its records."""

import datetime as dt
from collections.abc import Mapping

import dagster as dg
import pytest

from history_assets.nights import run_night
from tests.stories.engines.base import Engine
from tests.stories.tables import Night

FIRST: Night = {
    "account": ("id int primary key, name varchar, size int", "values (1, 'Ann', 5), (2, 'Bob', 6), (3, 'Cy', 7)"),
    "note": ("v varchar", "values ('a'), ('a')"),
    "same": ("id int primary key", "values (1)"),
}
SECOND: Night = {
    "account": (
        "id int primary key, name varchar, size varchar",
        "values (1, 'Ann', '5'), (2, '*Bo*', 'six'), (4, 'Di', null)",
    ),
    "note": ("v varchar", "values ('a'), ('b')"),
    "same": ("id int primary key", "values (1)"),
}


@pytest.fixture(scope="module")
def told(engine: Engine) -> Mapping[str, Mapping[str, list[str]]]:
    """What every asset's event said of changes, on each of two nights, line by line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTORY_HOME", str(engine.home))
        patch.setenv("DAGSTER_HOME", str(engine.home / "dagster"))
        warehouse = engine.warehouse(preview_rows=5)
        for day, tables in ((18, FIRST), (19, SECOND)):
            engine.land("crm", f"2026-10-{day - 1}T22:00", tables, "2026-10-01 00:00:00+00")
            assert run_night(warehouse.settings, warehouse, dt.date(2026, 10, day)).failures == ()
        with dg.DagsterInstance.get() as instance:
            return {day: _changes(instance, f"2026-10-{day}") for day in ("18", "19")}


def _changes(instance: dg.DagsterInstance, date: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for key in instance.get_asset_keys():
        wanted = dg.AssetRecordsFilter(key, asset_partitions=[date])
        fetch = instance.fetch_observations if key.path[0] == "clones" else instance.fetch_materializations
        (record,) = fetch(wanted, limit=9).records
        assert record.asset_event
        changes = record.asset_event.metadata.get("changes")
        # As no engine spells names.
        found[key.path[-1].lower()] = str(changes.value).lower().split("\n") if changes else []
    return found


def test_the_first_night_opened_every_row(told: Mapping[str, Mapping[str, list[str]]]) -> None:
    assert told["18"]["account"] == [
        "|  | id | values |",
        "| --- | --- | --- |",
        "| opened | 1 | name: ann, size: 5 |",
        "| opened | 2 | name: bob, size: 6 |",
        "| opened | 3 | name: cy, size: 7 |",
    ]


def test_a_night_says_which_values_became_which_across_types(told: Mapping[str, Mapping[str, list[str]]]) -> None:
    (was,) = {line.split(": 5 →")[0].rpartition(" ")[2] for line in told["19"]["account"] if ": 5 →" in line}

    assert was.startswith("size\\_\\_as\\_")
    assert told["19"]["account"][2:] == [
        f"| changed | 1 | size: *null* → 5, {was}: 5 → *null* |",
        f"| changed | 2 | name: bob → \\*bo\\*, size: *null* → six, {was}: 6 → *null* |",
        f"| closed | 3 | name: cy, {was}: 7 |",
        "| opened | 4 | name: di |",
    ]
    assert told["19"]["note"][2:] == ["| closed | v: a |", "| opened | v: b |"]


def test_what_did_not_change_says_nothing_and_its_schema_how_much_did(told: Mapping[str, Mapping[str, list[str]]]) -> None:
    assert told["19"]["same"] == []
    assert told["19"]["crm"] == [
        "2 of 3 tables changed.",
        "",
        "| table | opened | closed | rows |",
        "| --- | --- | --- | --- |",
        "| account | 3 | 3 | 3 |",
        "| note | 1 | 1 | 2 |",
    ]
