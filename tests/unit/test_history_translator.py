"""What dagster-dbt says of a table's snapshot is said of each, though it is asked about one."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster_dbt import dbt_assets

from history_assets import dbt_files, dbt_run
from history_assets.dbt_files import DbtProject
from history_assets.inventory import Column, Inventory, KeySource, Schema, Table
from history_assets.naming import history_key
from history_assets.settings import Settings
from history_assets.snapshots import HistoryTranslator, history_assets
from history_assets.warehouse.duckdb import DuckDBWarehouse

COLUMNS = (Column("id", "INTEGER", 1), Column("Größe", "DOUBLE", 2))
INVENTORY = Inventory(
    (
        Schema(
            "crm",
            (
                Table("account", COLUMNS, ("id",), KeySource.DECLARED),
                Table('it\'s "so" → here', COLUMNS[:1], ("id",), KeySource.WHOLE_ROW),
            ),
        ),
        Schema("my shop", (Table("account", COLUMNS[1:], ("Größe",), KeySource.CONFIGURED),)),
    )
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> DbtProject:
    home = tmp_path_factory.mktemp("home")
    return dbt_files.write(dbt_files.render(INVENTORY), home, lambda folder: dbt_run.parse(folder, Settings(home=home)))


def test_an_ops_assets_are_put_together_once_and_not_for_each_of_its_outputs(project: DbtProject) -> None:
    settings = Settings(home=project.folder)
    assets = history_assets(project, DuckDBWarehouse(settings), lambda: dt.datetime.now(dt.UTC))
    some = assets.subset_for({dg.AssetKey(history_key("crm", "account"))}, set())

    assert assets.asset_and_check_keys is assets.asset_and_check_keys
    assert assets.asset_and_check_keys == {dg.AssetKey(history_key(schema, table.name)) for schema, table in INVENTORY.tables()}
    assert some.asset_and_check_keys == {dg.AssetKey(history_key("crm", "account"))}


def said(spec: dg.AssetSpec) -> dict[str, Any]:
    """Return all attributes of a spec, but for the translator and the manifest, of which there are several here."""
    kept = {name: value for name, value in spec.metadata.items() if not name.endswith(("_translator", "/manifest"))}
    assert len(kept) == len(spec.metadata) - 2
    return {name: getattr(spec, name) for name in dg.AssetSpec._fields if name != "metadata"} | {"metadata": kept}


def test_it_is_the_same_whichever_table_it_was_asked_about(project: DbtProject) -> None:
    manifest, settings = json.loads(Path(project.manifest).read_text()), Settings(home=project.folder)
    snapshots = [name for name, node in manifest["nodes"].items() if node["resource_type"] == "snapshot"]
    one = HistoryTranslator(INVENTORY, settings)
    found = [said(one.get_asset_spec(manifest, name, None)) for name in snapshots]

    asked = [HistoryTranslator(INVENTORY, settings) for _ in snapshots]
    assert found == [said(each.get_asset_spec(manifest, name, None)) for each, name in zip(asked, snapshots, strict=True)]

    own = [said(each.alike) for each in asked if each.alike]
    assert len(own) == len(snapshots) == 3
    for of_dagster_dbt, ours in zip(own, found, strict=True):
        assert of_dagster_dbt["code_version"] == ours["code_version"]
        assert of_dagster_dbt["metadata"].items() <= ours["metadata"].items()
    assert len({each["metadata"]["dagster/table_name"] for each in found}) == 3


def test_it_is_the_same_of_all_of_the_manifest_as_of_what_is_asked_for(project: DbtProject) -> None:
    """What dagster-dbt asks for is kept by name, so that one that asks for more says something else here, or fails."""

    def found(manifest: dict[str, Any]) -> dict[str, Any]:
        settings = Settings(home=project.folder)

        @dbt_assets(manifest=manifest, dagster_dbt_translator=HistoryTranslator(INVENTORY, settings))
        def histories() -> Iterator[Any]:
            yield from ()

        return {spec.key.to_user_string(): said(spec) for spec in histories.specs}

    whole = found(json.loads(project.manifest.read_text()))

    assert found(project.read_manifest()) == whole
    assert len(whole) == 3
