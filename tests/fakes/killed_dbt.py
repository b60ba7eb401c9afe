"""A stand-in for ``python -m history_assets.dbt_child`` whose dbt is killed before a given statement.

It gets a third argument, JSON: per home, how many statements its dbt may execute before SIGKILL, null for all of them. It loads
dbt once, and then folds each home in a fork of its own, which goes through ``history_assets.dbt_child`` as if it were alone.
Multi-statement strings are executed one statement at a time, so that a kill can fall between them. Each home's ``statements``
says, one JSON line each, what was about to be executed.
"""

import json
import os
import signal
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper

from history_assets import dbt_child

execute = DuckDBCursorWrapper.execute
fold_night = dbt_child._fold_night


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def count_statements(home: Path, allowed: int | None) -> None:
    """From here on, write down each statement of this process, and die rather than execute one too many."""
    executed = 0

    def counted(cursor: Any, sql: str, bindings: Any = None) -> Any:
        nonlocal executed
        result = None
        for statement in duckdb.extract_statements(sql):
            with (home / "statements").open("a") as log:
                log.write(json.dumps(statement.query.strip()) + "\n")
            if executed == allowed:
                die()
            executed += 1
            result = execute(cursor, statement.query, bindings)
        return result

    DuckDBCursorWrapper.execute = counted


def fold_each(homes: Mapping[str, int | None]) -> None:
    """Return once per home, in a process of its own; the process that forks ends as the last of them did."""
    status = 0
    for home, allowed in homes.items():
        fork = os.fork()
        if not fork:
            os.environ["HISTORY_HOME"] = home
            count_statements(Path(home), allowed)
            return
        _, status = os.waitpid(fork, 0)
        if status != (0 if allowed is None else signal.SIGKILL):
            print(f"{home} ended with status {status}", flush=True)
            os._exit(1)
    if status:
        die()
    os._exit(0)


def first_forking(homes: dict[str, int | None]) -> Any:
    def fold(*asked: Any) -> dbt_child.NightResult:
        if homes:
            fold_each(homes)
            homes.clear()
        return fold_night(*asked)

    return fold


if __name__ == "__main__":
    # DuckDB does not survive a fork: only the forks open it.
    dbt_child.open_warehouse = lambda _: types.SimpleNamespace(await_history=lambda: None)
    dbt_child._fold_night = first_forking(json.loads(sys.argv[3]))
    dbt_child.main(Path(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.flush()
    os._exit(0)  # a fork; tearing dbt down in one ends in a segmentation fault
