"""What the benchmarks share: clones of some nights, a home of ours and a plain dbt project over them, and runs of both."""

import datetime as dt
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import yaml

from history_assets.folding import Plan, night
from history_assets.naming import quote
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse

FIRST = dt.date(2026, 11, 1)


def machine() -> str:
    """Return what the figures were measured on."""
    versions = {name: importlib.metadata.version(name) for name in ("dagster", "dbt-core", "dbt-duckdb", "duckdb")}
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"{len(os.sched_getaffinity(0))} cores, python {platform.python_version()}, {said}"


class Ours:
    """A home of this project with one schema, ``raw``, cloned night by night."""

    def __init__(self, home: Path, fill: Callable[[duckdb.DuckDBPyConnection, int], None], nights: int, threads: int) -> None:
        self.settings = Settings(home=home, threads=threads)
        self.warehouse = DuckDBWarehouse(self.settings)
        self.warehouse.raw.mkdir(parents=True)
        raw = self.warehouse.raw / "raw.duckdb"
        for number in range(nights):
            raw.unlink(missing_ok=True)
            with duckdb.connect(str(raw)) as connection:
                fill(connection, number)
            if number == 0:
                refreshed = refresh(self.settings, self.warehouse)
                self.project = refreshed.project.folder
                self.tables = [table.name for _, table in refreshed.inventory.tables()]
            date = FIRST + dt.timedelta(days=number)
            self.warehouse.clone("raw", date, functools.partial(self.settings.cutoffs().at, date))

    @property
    def history(self) -> Path:
        return self.warehouse.history

    def clone(self, number: int) -> str:
        return str(self.warehouse.clones / "raw" / f"{FIRST + dt.timedelta(days=number)}.duckdb")

    def run(self, numbers: Sequence[int], **options: Any) -> list[dict[str, Any]]:
        """Fold nights in a child process, and return what ``benchmarks.child`` measured of each."""
        nights = []
        for number in numbers:
            date = FIRST + dt.timedelta(days=number)
            clone = self.warehouse.find_clone("raw", date)
            assert clone is not None
            tables = [("raw", name) for name in self.tables]
            nights.append(night(Plan(date, {"raw": clone}, tuple(tables), {}), tables, self.warehouse))
        own = {"HISTORY_HOME": str(self.settings.home), "HISTORY_THREADS": str(self.settings.threads)}
        asked = [{"run": each.run, "tables": each.tables} for each in nights]
        return run_child({"kind": "ours", "project": str(self.project), "nights": asked, **options}, own)


class Stock:
    """A plain dbt project with dbt's own snapshots of tables, each ``name: key``, which read a clone."""

    def __init__(self, folder: Path, keys: Mapping[str, Sequence[str]], threads: int) -> None:
        self.folder = folder
        self.history = folder / "stock.duckdb"
        files = {
            "dbt_project.yml": yaml.safe_dump(_PROJECT),
            "profiles.yml": yaml.safe_dump(_profile(self.history, threads)),
            "macros/stock.sql": _MACROS,
            "models/sources.yml": yaml.safe_dump(
                {
                    "version": 2,
                    "sources": [
                        {"name": "raw", "database": "clone", "schema": "main", "tables": [{"name": each} for each in keys]}
                    ],
                }
            ),
        }
        files |= {f"snapshots/{name}.sql": _snapshot(name, key) for name, key in keys.items()}
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")

    def run(self, clones: Mapping[int, str], **options: Any) -> list[dict[str, Any]]:
        """Snapshot the clones of nights in a child process, and return what ``benchmarks.child`` measured of each."""
        nights = [
            {"STOCK_CLONE": clone, "STOCK_CUTOFF": f"{FIRST + dt.timedelta(days=number)} 00:00:00"}
            for number, clone in clones.items()
        ]
        return run_child({"kind": "stock", "project": str(self.folder), "nights": nights, **options}, {})


def run_child(request: Mapping[str, Any], environment: dict[str, str]) -> list[dict[str, Any]]:
    """Have ``benchmarks.child`` do what is asked in a process of its own, and return its answer."""
    command = [sys.executable, "-m", "benchmarks.child"]
    own = {name: value for name, value in os.environ.items() if not name.startswith("HISTORY_")}
    done = subprocess.run(
        command,
        env=own | {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false"} | environment,
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"the child ended with {done.returncode}: {(done.stdout + done.stderr)[-4000:]}")
    answer: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return answer


def restore(kept: Path, target: Path) -> None:
    """Put a DuckDB file back as it was kept."""
    target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
    shutil.copyfile(kept, target)


def _snapshot(name: str, key: Sequence[str]) -> str:
    names = [quote(column) for column in key]  # dbt writes keys as they are given
    unique_key = json.dumps(names if len(names) > 1 else names[0], ensure_ascii=False)
    return (
        f"{{% snapshot {name} %}}\n{{{{ config(strategy='check', check_cols='all', hard_deletes='invalidate', "
        f"target_schema='main', unique_key={unique_key}) }}}}\n"
        f"select * exclude (_fivetran_synced) from {{{{ source('raw', '{name}') }}}}\n{{% endsnapshot %}}\n"
    )


def _profile(path: Path, threads: int) -> dict[str, Any]:
    output = {"type": "duckdb", "path": str(path), "threads": threads, "keep_open": True, "settings": {"TimeZone": "UTC"}}
    return {"stock": {"target": "duckdb", "outputs": {"duckdb": output}}}


_PROJECT = {
    "name": "stock",
    "version": "1.0",
    "config-version": 2,
    "profile": "stock",
    "on-run-start": ["{{ attach_clone() }}"],
    "flags": {"send_anonymous_usage_stats": False},
}
_MACROS = """
{% macro attach_clone() %}
  {% if execute %}
    {% do run_query("attach or replace '" ~ env_var('STOCK_CLONE', '') ~ "' as clone (read_only)") %}
  {% endif %}
{% endmacro %}

{% macro duckdb__snapshot_get_time() -%}
  cast('{{ env_var("STOCK_CUTOFF", "") }}' as timestamp)
{%- endmacro %}
"""
