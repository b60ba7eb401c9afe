"""The generated project follows from the inventory, and is put in force whole or not at all."""

import contextlib
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml
from dbt.clients.jinja import get_rendered
from dbt.clients.yaml_helper import load_yaml_text
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from history_assets import dbt_files
from history_assets.errors import ProjectError
from history_assets.folding import fold
from history_assets.inventory import Column, Inventory, KeySource, Schema, Table
from history_assets.naming import decode
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.unit.test_markdown import as_line, read

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=20)
MARKS = st.lists(
    st.sampled_from([*"{}%#!&*:?|>-'\"[],\\ \t\n\r\x85\u2028\ufeff~<=.0xe@`", "{{", "}}", "{%", "%}", "{#", "#}"]), min_size=1
).map("".join)
WORDS = st.sampled_from(
    ["null", "~", "yes", "Off", "1", "1e3", "0x1f", ".inf", "2026-11-20", "1:30", "<<", "=", "!!python/object/apply:os.system"]
)
NAMES = ANY_TEXT | MARKS | WORDS
"""Names, among them such as YAML or Jinja would take for more than text."""


def table(name: str, *columns: str, source: KeySource = KeySource.DECLARED) -> Table:
    made = tuple(Column(column, "INTEGER", position) for position, column in enumerate(columns, 1))
    return Table(name, made, columns[:1] if source is KeySource.DECLARED else columns, source)


def inventory(*tables: Table, schema: str = "sales force") -> Inventory:
    return Inventory((Schema(schema, tables),))


def parsed(folder: Path) -> None:
    """Stand in for dbt."""
    (folder / "target").mkdir()
    (folder / "target" / "manifest.json").write_text("{}")


def age(path: Path, days: float) -> None:
    """Have a file or folder look as if last touched so long ago."""
    moment = time.time() - days * 24 * 3600
    os.utime(path, (moment, moment))


def test_what_nobody_can_have_in_use_is_removed(tmp_path: Path) -> None:
    """A project may be in use for a week after it was in force or a run began with it."""
    folder = tmp_path / "dbt"
    made = [
        dbt_files.write(dbt_files.render(inventory(table("t", *columns))), tmp_path, parsed) for columns in ("ab", "ac", "ad")
    ]
    for project in made:
        age(project.folder, 8)
    for name, days in (("killed", 1.1), ("under way", 0.9), ("pointer", 1.1)):
        path = folder / f".{uuid.uuid5(uuid.NAMESPACE_URL, name)}"
        path.touch() if name == "pointer" else path.mkdir()
        age(path, days)
    (folder / "mine").mkdir()
    age(folder / "mine", 100)
    made[1].keep()

    newest = dbt_files.write(dbt_files.render(inventory(table("t", "a", "e"))), tmp_path, parsed)

    left = {made[1].folder.name, made[2].folder.name, newest.folder.name}
    left |= {f".{uuid.uuid5(uuid.NAMESPACE_URL, 'under way')}", "mine", "current"}
    assert {path.name for path in folder.iterdir()} == left
    age(made[1].folder, 8)
    age(newest.folder, 8)
    assert dbt_files.write(dbt_files.render(inventory(table("t", "a", "e"))), tmp_path, parsed) == newest
    assert newest.whole
    assert not made[1].folder.exists()


def test_a_run_keeps_its_project_for_a_week(
    tmp_path: Path, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = dbt_files.write(dbt_files.render(inventory(table("t", "a"))), tmp_path, parsed)
    age(project.folder, 8)
    monkeypatch.setattr("history_assets.dbt_run.ahead", lambda *_: contextlib.nullcontext())

    fold(project, warehouse, [], print)

    assert time.time() - project.folder.stat().st_mtime < 3600


def test_a_table_becomes_a_source_and_a_snapshot() -> None:
    rendered = dbt_files.render(inventory(table("Order Item", "a", "b"), table("log", "x", "y", source=KeySource.WHOLE_ROW)))

    assert yaml.safe_load(rendered.files["generated/sales_x20_force.yml"]) == {
        "version": 2,
        "sources": [
            {
                "name": "sales_x20_force",
                "schema": "sales force",
                "description": "Fivetran schema sales force, in the clone of the night that is run.",
                "tables": [
                    {
                        "name": encoded,
                        "identifier": name,
                        "config": {"meta": {"dagster": {"asset_key": ["clones", "sales_x20_force"]}}},
                    }
                    for encoded, name in (("Order_x20_Item", "Order Item"), ("log", "log"))
                ],
            }
        ],
        "snapshots": [
            {
                "name": "sales_x20_force__Order_x20_Item",
                "relation": "source('sales_x20_force', 'Order_x20_Item')",
                "description": "Every version of each row of sales force.Order Item; key a, as Fivetran declares it.",
                "config": {"schema": "sales force", "alias": "Order Item"},
            },
            {
                "name": "sales_x20_force__log",
                "relation": "source('sales_x20_force', 'log')",
                "description": "Every version of each row of sales force.log; the whole row is its key.",
                "config": {"schema": "sales force", "alias": "log"},
            },
        ],
    }


def test_columns_are_not_baked_in() -> None:
    """A new column changes the saved inventory, not what dbt has to parse."""
    before = dbt_files.render(inventory(table("t", "a"))).files
    after = dbt_files.render(inventory(table("t", "a", "b"))).files

    assert {name for name in after if after[name] != before[name]} == {"inventory.json"}


@pytest.mark.parametrize("column", ["dbt_valid_to", "DBT_SCD_ID"])
def test_a_table_with_a_column_of_ours_is_left_out_by_name(column: str) -> None:
    rendered = dbt_files.render(inventory(table("bad", "a", column), table("good", "a")))

    assert list(rendered.refused) == ["sales force.bad"]
    assert column.lower() in rendered.refused["sales force.bad"]
    assert [each.name for _, each in Inventory.from_json(rendered.files["inventory.json"]).tables()] == ["good"]


def test_a_written_project_is_pointed_to(tmp_path: Path) -> None:
    assert dbt_files.current(tmp_path) is None

    rendered = dbt_files.render(inventory(table("t", "a")))
    project = dbt_files.write(rendered, tmp_path, parsed)

    assert dbt_files.current(tmp_path) == project
    assert project.inventory == inventory(table("t", "a"))
    assert {name: (project.folder / name).read_text() for name in rendered.files} == rendered.files


def test_a_project_that_is_there_is_not_parsed_again(tmp_path: Path) -> None:
    rendered = dbt_files.render(inventory(table("t", "a")))
    first = dbt_files.write(rendered, tmp_path, parsed)

    def never(_: Path) -> None:
        raise AssertionError("parsed again")

    assert dbt_files.write(rendered, tmp_path, never) == first


def test_a_project_that_dbt_refuses_is_never_pointed_to(tmp_path: Path) -> None:
    good = dbt_files.write(dbt_files.render(inventory(table("t", "a"))), tmp_path, parsed)

    def refuse(_: Path) -> None:
        raise ProjectError("no")

    with pytest.raises(ProjectError):
        dbt_files.write(dbt_files.render(inventory(table("other", "a"))), tmp_path, refuse)

    assert dbt_files.current(tmp_path) == good
    assert sorted(path.name for path in (tmp_path / "dbt").iterdir()) == sorted([good.folder.name, "current"])


def test_whoever_reads_the_pointer_meanwhile_reads_one_project_or_the_other(tmp_path: Path) -> None:
    """It is never written in place: what was opened before stays whole."""
    first, second = (dbt_files.render(inventory(table(name, "id"))) for name in ("account", "contact"))
    dbt_files.write(first, tmp_path, parsed)
    with (tmp_path / "dbt" / "current").open() as pointer:
        dbt_files.write(second, tmp_path, parsed)

        assert pointer.read() == f"{first.hash}\n"

    assert (tmp_path / "dbt" / "current").read_text() == f"{second.hash}\n"


def test_the_hash_follows_the_content() -> None:
    one, same, other = (dbt_files.render(inventory(table(name, "a"))) for name in ("t", "t", "u"))

    assert one.hash == same.hash != other.hash


def test_another_version_of_dbt_is_another_project() -> None:
    assert set(json.loads(dbt_files.render(inventory(table("t", "a"))).files["versions.json"])) == {"dbt-core", "dbt-duckdb"}


@given(NAMES, NAMES, NAMES)
@hypothesis_settings(max_examples=300)
@example("s", "{{ 1 }}", "c")
@example("s", "!!python/name:os.system", "{% do x %}")
@example("a}}", "b%} #}", "{{{ {#{% c")
@example("<<", "=", "*a &b")
def test_dbt_reads_every_name_as_it_is_or_it_is_refused(schema: str, name: str, column: str) -> None:
    """Parsed by dbt's own reader of YAML, and each text rendered as dbt renders it, but in a world that holds nothing."""
    rendered = dbt_files.render(inventory(table(name, column), schema=schema))
    files = [text for path, text in rendered.files.items() if path.startswith("generated/")]
    if rendered.refused:
        assert list(rendered.refused) == [f"{schema}.{name}"]
        assert files == []
        return

    loaded = load_yaml_text(files[0])
    ((source,), (snapshot,)) = loaded["sources"], loaded["snapshots"]
    (item,) = source["tables"]
    assert (source["schema"], item["identifier"]) == (schema, name)
    assert snapshot["config"] == {"schema": schema, "alias": name}
    assert (decode(source["name"]), decode(item["name"])) == (schema, name)
    # dbt strips the names of what it makes.
    assert (as_dbt(schema).strip(), as_dbt(name).strip()) == (schema, name)
    said = snapshot["description"]
    assert as_dbt(said) == said
    assert read(said) == as_line(f"Every version of each row of {schema}.{name}; key {column}, as Fivetran declares it.")


def as_dbt(text: str) -> Any:
    return get_rendered(text, {})
