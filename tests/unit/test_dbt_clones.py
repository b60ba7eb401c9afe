"""A clone is attached while tables of its schema are folded, and no longer."""

import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from history_assets.dbt_clones import Clones
from history_assets.folding import night, plan
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(1, 4))
def test_each_is_let_go_of_once_and_after_the_last_of_its_tables(schemas: list[str], threads: int) -> None:
    ended, let_go = list[str](), list[tuple[str, int]]()
    clones = Clones(lambda schema: let_go.append((schema, ended.count(schema))))
    for _ in range(2):
        ended.clear()
        let_go.clear()
        clones.expect(schemas)

        def end(schema: str) -> None:
            ended.append(schema)
            clones.ended(schema)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(end, schemas))

        assert sorted(let_go) == sorted((schema, schemas.count(schema)) for schema in set(schemas))


def test_what_is_of_no_night_lets_go_of_nothing() -> None:
    """As what dbt does before the first table of one."""
    let_go: list[str] = []
    clones = Clones(let_go.append)
    clones.expect(["crm"])
    clones.ended("")
    assert let_go == []


ROW = "select 1 as id, timestamptz '2026-10-31' as _fivetran_synced"

_WATCHED = """
import sys
from pathlib import Path
from dbt.adapters.factory import get_adapter_by_type
from history_assets import dbt_child

class Watched(dbt_child._Housekeeping):
    def __call__(self, event):
        super().__call__(event)
        if event.info.name == "NodeFinished" and event.data.node_info.resource_type == "snapshot":
            adapter = get_adapter_by_type("duckdb")
            with adapter.connection_named("watch"):
                _, names = adapter.execute(
                    "select database_name from duckdb_databases() where database_name like 'clone of %' order by 1", fetch=True
                )
            said = ", ".join(row[0] for row in names.rows)
            print("after", event.data.node_info.node_name, "there is", said or "none", flush=True)

def forget(manifest, tables):
    forget_others(manifest, tables)
    print("knows", *sorted(node.name for node in manifest.nodes.values() if node.resource_type == "snapshot"))
    print("of", *sorted(manifest.sources))
    print("among", *sorted({node["schema"] for node in manifest.flat_graph["nodes"].values()}))

forget_others, dbt_child._forget_others = dbt_child._forget_others, forget
dbt_child._Housekeeping = Watched
dbt_child.main(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_dbt_holds_a_schemas_clone_while_it_needs_it_and_no_tables_but_those_of_its_nights(home: Path) -> None:
    settings = Settings(home=home, threads=1)
    warehouse, landing, days = DuckDBWarehouse(settings), Landing(home), [dt.date(2026, 11, day) for day in (1, 2)]
    tables = [(schema, table) for schema in ("crm", "it's") for table in ("a", "b")]
    nights = []
    landing.execute("other", "2026-10-31 20:00", f"create table c as {ROW}")
    for schema in ("crm", "it's"):
        landing.execute(schema, "2026-10-31 20:00", *(f"create table {table} as {ROW}" for table in ("a", "b")))
    for day in days:
        cutoff = settings.cutoffs().at(day)
        for schema in ("crm", "it's"):
            warehouse.clone(schema, day, lambda cutoff=cutoff: cutoff)
        nights.append(night(plan(warehouse, tables, day), tables, warehouse))
    project = refresh(settings, warehouse).project.folder
    asked = {
        "settings": settings.model_dump(mode="json", include={"engine", "home", "lock_timeout"}),
        "nights": [dataclasses.asdict(each) for each in nights],
    }
    (home / "request.json").write_text(json.dumps(asked))
    told = f'{json.dumps({"project": str(project), "engine": "duckdb"})}\n"fold"\n'
    command = [sys.executable, "-c", _WATCHED, str(home / "request.json"), str(home / "answer.json")]
    environment = os.environ | {"HISTORY_HOME": str(home), "HISTORY_THREADS": "1"}

    done = subprocess.run(command, input=told, env=environment, capture_output=True, text=True, check=True)

    lines = [line for line in done.stdout.splitlines() if line.split(" ")[0] in ("knows", "of", "among", "after")]
    assert lines[:3] == [
        "knows crm__a crm__b it_x27_s__a it_x27_s__b",
        "of " + " ".join(f"source.history_assets.{name}" for name in ("crm.a", "crm.b", "it_x27_s.a", "it_x27_s.b")),
        "among crm it's main other",
    ]
    assert lines[3:] == [
        line
        for day in days
        for line in (
            f"after crm__a there is clone of crm on {day}",
            "after crm__b there is none",
            f"after it_x27_s__a there is clone of it's on {day}",
            "after it_x27_s__b there is none",
        )
    ]
    assert json.loads((home / "answer.json").read_text()) == [{"failed": {}, "error": None}] * 2
