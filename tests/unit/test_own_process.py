"""What processes of this project do without, and that they come to the same without it."""

import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from history_assets import dbt_files, dbt_run
from history_assets.inventory import Column, Inventory, KeySource, Schema, Table
from history_assets.own_process import unseen
from history_assets.settings import Settings

ID = Column("id", "INTEGER", 1)
INVENTORY = Inventory(
    (
        Schema(
            "crm", (Table("account", (ID,), ("id",), KeySource.DECLARED), Table("a b", (ID,), ("id",), KeySource.WHOLE_ROW))
        ),
        Schema("my shop", (Table("account", (ID,), ("id",), KeySource.CONFIGURED),)),
    )
)

_DEFINITIONS = """
import sys
{first}
from history_assets.definitions import defs
for spec in sorted(defs().resolve_all_asset_specs(), key=lambda spec: spec.key):
    metadata = {{name: value for name, value in spec.metadata.items() if not name.startswith("dagster_dbt/")}}
    print(spec.replace_attributes(metadata=metadata), sorted(spec.metadata))
print("dbt", "dbt" in sys.modules, "dbt.graph" in sys.modules, file=sys.stderr)
import dbt.version
"""

_BINDS = """
import sys
from history_assets.own_process import PANDAS, OwnProcess
process = OwnProcess(without=[PANDAS])
import duckdb
import pyarrow as pa
print(duckdb.execute("select ? as a, ? as b", ["a", None]).to_arrow_table().to_pylist(), pa.array([1, None]).to_pylist())
print("pandas" in sys.modules)
"""


def told(script: str, environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", "-c", script]
    return subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a project in force."""
    home = tmp_path_factory.mktemp("home")
    dbt_files.write(dbt_files.render(INVENTORY), home, lambda folder: dbt_run.parse(folder, Settings(home=home)))
    return home


def test_definitions_are_the_same_without_dbt_and_whoever_wants_it_has_it_after_them(home: Path) -> None:
    environment = {"HISTORY_HOME": str(home), "PYTHONHASHSEED": "0"}
    without = told(_DEFINITIONS.format(first=""), environment)
    with_dbt = told(_DEFINITIONS.format(first="import dagster_dbt"), environment)

    assert without.stderr == "dbt False False\n"
    assert with_dbt.stderr == "dbt True True\n"
    assert without.stdout.splitlines() == with_dbt.stdout.splitlines()
    assert len(without.stdout.splitlines()) == 2 + 2 + 3


def test_values_are_bound_and_read_without_pandas() -> None:
    assert told(_BINDS, {}).stdout == "[{'a': 'a', 'b': None}] [1, None]\nFalse\n"


def test_what_is_unseen_is_not_found_unless_it_is_loaded_and_is_found_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "only_here.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)

    with unseen("only_here"), pytest.raises(ModuleNotFoundError, match="No module named 'only_here'"):
        importlib.import_module("only_here")
    loaded = importlib.import_module("only_here")
    with unseen("only_here"):
        assert importlib.import_module("only_here") is loaded
