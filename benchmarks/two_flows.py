"""One night of the case study's two flows, as a process: ``python -m benchmarks.two_flows HOME RAW NIGHT``.

Flow 1 copies every schema's file. Flow 2 reads names, columns and keys of all tables from the copies, generates the sources and
snapshots of all, and has stock dbt snapshot all. What it generates is the same as long as no table changes its shape, so that
dbt's saved parse holds: the kindest case.
"""

import collections
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb

from benchmarks.contenders import snapshot_command, snapshot_environment, write_tables
from benchmarks.landed import METADATA, date_of


def clone(raw: Path, clones: Path, night: int) -> dict[str, str]:
    """Copy every schema's file, and return the copies."""
    made = {}
    for source in sorted(raw.glob("*.duckdb")):
        if source.stem != METADATA:
            target = clones / source.stem / f"{date_of(night)}.duckdb"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            made[source.stem] = str(target)
    return made


def tables_of(file: str) -> dict[str, list[str]]:
    """Return the tables of a file, each with its key, or all its columns where it declares none."""
    with duckdb.connect(file, read_only=True) as connection:
        columns = collections.defaultdict[str, list[str]](list)
        for table, column in connection.execute(
            "select table_name, column_name from duckdb_columns() where schema_name = 'main' and not internal "
            "order by table_name, column_index"
        ).fetchall():
            columns[table].append(column)
        keys = connection.execute(
            "select table_name, constraint_column_names from duckdb_constraints() where constraint_type = 'PRIMARY KEY'"
        ).fetchall()
    return {**columns, **dict(keys)}


def main() -> None:
    """Run both flows."""
    home, raw, night = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    clones = clone(raw, home / "clones", night)
    write_tables(home, {schema: tables_of(file) for schema, file in clones.items()})
    done = subprocess.run(snapshot_command(home), env=os.environ | snapshot_environment(clones, night), check=False)
    sys.exit(done.returncode)


if __name__ == "__main__":
    main()
