"""The real dbt-snowflake runs against the emulator."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.snowflake.emulator import Emulator

_PROJECT = {"name": "tiny", "version": "1.0", "profile": "tiny", "flags": {"send_anonymous_usage_stats": False}}


def dbt(folder: Path, *arguments: str) -> str:
    """Run dbt in a process of its own, and return what it said."""
    done = subprocess.run(
        [Path(sys.executable).with_name("dbt"), "--no-use-colors", *arguments, "--profiles-dir", "."],
        cwd=folder,
        env=os.environ | {"DBT_SEND_ANONYMOUS_USAGE_STATS": "false"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def project(folder: Path, emulator: Emulator) -> None:
    """Write a project with a table, an incremental model that merges, a view and a snapshot."""
    output = emulator.settings | {"type": "snowflake", "database": "RAW", "schema": "MODELS", "threads": 2, "query_tag": "tiny"}
    files = {
        "dbt_project.yml": json.dumps(_PROJECT),
        "profiles.yml": json.dumps({"tiny": {"target": "test", "outputs": {"test": output}}}),
        "models/base.sql": "{{ config(materialized='table', transient=false) }} select 1 as id, 'Ann' as name",
        "models/seen.sql": "{{ config(materialized='view') }} select name from {{ ref('base') }}",
        "models/kept.sql": "{{ config(materialized='incremental', unique_key='id') }} select id, name from {{ ref('base') }}",
        "snapshots/old.yml": json.dumps(
            {
                "snapshots": [
                    {
                        "name": "old",
                        "relation": "ref('base')",
                        "config": {"unique_key": "id", "strategy": "check", "check_cols": "all"},
                    }
                ]
            }
        ),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.slow
def test_dbt_debugs_runs_and_snapshots(emulator: Emulator, tmp_path: Path) -> None:
    """https://docs.getdbt.com/docs/core/connect-data-platform/snowflake-setup"""
    project(tmp_path, emulator)

    assert "All checks passed!" in dbt(tmp_path, "debug")
    dbt(tmp_path, "build")
    (tmp_path / "models" / "base.sql").write_text(
        "{{ config(materialized='table', transient=false) }} select 1 as id, 'Bob' as name union all select 2, 'Cas'"
    )
    dbt(tmp_path, "build")

    assert emulator.run("select * from RAW.MODELS.KEPT order by id") == [(1, "Bob"), (2, "Cas")]
    assert emulator.run("select name, dbt_valid_to is null from RAW.MODELS.OLD order by name") == [
        ("Ann", False),
        ("Bob", True),
        ("Cas", True),
    ]
    assert emulator.run("select table_name, is_transient from RAW.INFORMATION_SCHEMA.TABLES order by 1") == [
        ("BASE", "NO"),
        ("KEPT", "YES"),
        ("OLD", "YES"),
        ("SEEN", None),
    ]
    assert {statement.tag for statement in emulator.log if statement.kind == "MERGE"} == {"tiny"}
