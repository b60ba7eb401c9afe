"""Who does a night's work, each from process start to finish: ours, with and without its skipping of tables that cannot have
changed, stock dbt, the case study's two flows, SQL by hand.

Belongs here: what each keeps where, the command of its night, its history, and putting it back to before a night. Does not
belong here: the data (``landed``), measuring (``nights``).
"""

import abc
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmarks.landed import History, Landed, Table, cutoff_of, date_of, in_schema
from benchmarks.processes import SCRIPTS, Finished, run_command


class Contender(abc.ABC):
    """Somebody who folds nights of one raw folder; ``name`` is what it is called in print."""

    name: str

    def __init__(self, home: Path, landed: Landed, threads: int) -> None:
        self.home = home
        self.landed = landed
        self.threads = threads
        self.spare = home.with_name(f"{home.name}.kept")
        home.mkdir(parents=True, exist_ok=True)

    @abc.abstractmethod
    def run(self, night: int) -> Finished:
        """Do a night's work in processes of its own."""

    @property
    @abc.abstractmethod
    def history(self) -> History:
        """What it has written."""

    @property
    @abc.abstractmethod
    def kept(self) -> Sequence[str]:
        """The files and folders of its home that a night changes, but for clones."""

    def keep(self) -> None:
        """Keep what it has, for ``back``."""
        shutil.rmtree(self.spare, ignore_errors=True)
        self.spare.mkdir()
        for name in self.kept:
            _copy(self.home / name, self.spare / name)

    def back(self, *nights: int) -> None:
        """Be as when kept, without the clones of some nights."""
        for name in self.kept:
            _copy(self.spare / name, self.home / name)
            (self.home / f"{name}.wal").unlink(missing_ok=True)
        for night in nights:
            for clone in self.home.glob(f"clones/*/{date_of(night)}.duckdb"):
                clone.unlink()


class Ours(Contender):
    """This project: the real command, in the home that raw was landed in, or one that has the same raw."""

    name = "ours"
    kept = ("history.duckdb", "dagster")

    def __init__(self, home: Path, landed: Landed, threads: int) -> None:
        super().__init__(home, landed, threads)
        if not (home / "raw").exists():
            (home / "raw").symlink_to(landed.folder, target_is_directory=True)

    @property
    def environment(self) -> dict[str, str]:
        """The settings of its commands."""
        return {
            "HISTORY_HOME": str(self.home),
            "DAGSTER_HOME": str(self.home / "dagster"),
            "HISTORY_THREADS": str(self.threads),
        }

    def run(self, night: int) -> Finished:
        return self.run_dates(str(date_of(night)))

    def run_dates(self, dates: str, *, timed: Path | None = None) -> Finished:
        """Run a date or a range; ``timed`` has its phases written into a file."""
        program: list[str | Path] = [SCRIPTS / "history-assets"]
        if timed:
            program = [sys.executable, "-m", "benchmarks.phases", timed]
        return run_command([*program, "run", "--date", dates], self.environment)

    def refresh(self) -> Finished:
        """Read the inventory and generate the dbt project, as the first night would."""
        return run_command([SCRIPTS / "history-assets", "refresh"], self.environment)

    @property
    def history(self) -> History:
        return History(self.home / "history.duckdb", in_schema)


class NoSkip(Ours):
    """This project, told to look at every table, whether it can have changed or not."""

    name = "no skip"

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | {"HISTORY_SKIP_UNCHANGED": "false"}


class StockDbt(Contender):
    """Stock ``dbt snapshot`` of every table, every night, straight from raw; its project is written once, as a user's is."""

    name = "stock dbt"
    kept = ("stock.duckdb", "target")

    def __init__(self, home: Path, landed: Landed, threads: int) -> None:
        super().__init__(home, landed, threads)
        write_project(home, threads)
        write_tables(home, {schema: {name: ["id"] for name in tables} for schema, tables in landed.size.schemas.items()})

    def run(self, night: int) -> Finished:
        return self.snapshot({schema: str(path) for schema, path in self.landed.files().items()}, night)

    def snapshot(self, files: dict[str, str], night: int) -> Finished:
        """Snapshot all tables of some files."""
        return run_command(snapshot_command(self.home), snapshot_environment(files, night))

    @property
    def history(self) -> History:
        return History(self.home / "stock.duckdb", stock_name)


class TwoFlows(Contender):
    """The case study's design with stock dbt: one flow clones, one generates the config of all tables and snapshots them."""

    name = "two flows"
    kept = ("stock.duckdb", "target")

    def __init__(self, home: Path, landed: Landed, threads: int) -> None:
        super().__init__(home, landed, threads)
        write_project(home, threads)

    def run(self, night: int) -> Finished:
        return run_command([sys.executable, "-m", "benchmarks.two_flows", self.home, self.landed.folder, str(night)], {})

    @property
    def history(self) -> History:
        return History(self.home / "stock.duckdb", stock_name)


class ByHand(Contender):
    """The floor: one process that copies the files, and diffs and merges by SQL the tables that the log says have changed."""

    name = "by hand"
    kept = ("history.duckdb",)

    def run(self, night: int) -> Finished:
        request = {"home": str(self.home), "raw": str(self.landed.folder), "columns": self.landed.columns, "night": night}
        return run_command([sys.executable, "-m", "benchmarks.by_hand", json.dumps(request)], {})

    @property
    def history(self) -> History:
        return History(self.home / "history.duckdb", in_schema)


def stock_name(table: Table) -> str:
    """Return where stock dbt keeps the snapshots of a table."""
    return f'main."{snapshot_of(*table)}"'


def snapshot_of(schema: str, table: str) -> str:
    """Return the name of a stock snapshot, which no other may have."""
    return f"{schema}__{table}"


def write_project(folder: Path, threads: int) -> None:
    """Write the part of a stock project that never changes."""
    output = {
        "type": "duckdb",
        "path": str(folder / "stock.duckdb"),
        "threads": threads,
        "settings": {"TimeZone": "UTC"},
    }
    files = {
        "dbt_project.yml": yaml.safe_dump(
            {
                "name": "stock",
                "version": "1.0",
                "profile": "stock",
                "on-run-start": ["{{ attach_files() }}"],
                "flags": {"send_anonymous_usage_stats": False},
            }
        ),
        "profiles.yml": yaml.safe_dump({"stock": {"target": "duckdb", "outputs": {"duckdb": output}}}),
        "macros/stock.sql": _MACROS,
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def write_tables(folder: Path, schemas: dict[str, dict[str, list[str]]]) -> None:
    """Write the generated part: the sources and snapshots of schemas, whose tables come with their keys."""
    for kind in ("models", "snapshots"):
        (folder / kind).mkdir(exist_ok=True)
    for schema, tables in schemas.items():
        source = {"name": schema, "database": schema, "schema": "main", "tables": [{"name": name} for name in tables]}
        snapshots = [
            {
                "name": snapshot_of(schema, name),
                "relation": f"source('{schema}', '{name}')",
                "config": {
                    "strategy": "check",
                    "check_cols": "all",
                    "hard_deletes": "invalidate",
                    "unique_key": key if len(key) > 1 else key[0],
                },
            }
            for name, key in tables.items()
        ]
        (folder / "models" / f"{schema}.yml").write_text(_yaml({"version": 2, "sources": [source]}), encoding="utf-8")
        (folder / "snapshots" / f"{schema}.yml").write_text(_yaml({"version": 2, "snapshots": snapshots}), encoding="utf-8")


def snapshot_command(folder: Path) -> list[str]:
    """Return the command that snapshots all of a stock project, as a user types it."""
    return [str(SCRIPTS / "dbt"), "snapshot", "--project-dir", str(folder), "--profiles-dir", str(folder)]


def snapshot_environment(files: dict[str, str], night: int) -> dict[str, str]:
    """Return what tells a stock project which files to attach, and which time it is."""
    # By the environment, which is kindest to dbt: in the project or its profile it would cost a parse from scratch.
    return {"STOCK_FILES": json.dumps(files), "STOCK_CUTOFF": cutoff_of(night), "DO_NOT_TRACK": "1"}


def _yaml(content: object) -> str:
    return yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)


def _copy(source: Path, target: Path) -> None:
    if target.is_dir():
        shutil.rmtree(target)
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        shutil.copyfile(source, target)


_MACROS = """
{% macro attach_files() %}
  {% if execute %}
    {% for name, file in fromjson(env_var('STOCK_FILES', '{}')).items() %}
      {% do run_query("attach or replace '" ~ file ~ "' as " ~ name ~ " (read_only)") %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro duckdb__snapshot_get_time() -%}
  cast('{{ env_var("STOCK_CUTOFF", "") }}' as timestamp)
{%- endmacro %}
"""
