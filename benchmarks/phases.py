"""The real command with a watch on its phases: ``python -m benchmarks.phases FILE run --date D`` writes them as JSON.

Each phase is what the main thread spends in its functions and in none of another that is inside them. What Dagster's
``execute_in_process`` spends outside this project's own work, storing events, planning and launching steps, is Dagster's own
bookkeeping. How often each function was called is told too: one that never is measures nothing.
"""

import collections
import functools
import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

STARTED = "start, imports"
EVENTS, STEPS = "Dagster: events", "Dagster: step launch and the rest"
DAGSTER = (EVENTS, STEPS)
CLONE = "clone"
EVENT = "dagster.DagsterInstance.handle_new_event"
"""What is called once for each event, whether it is stored alone or in a batch."""

_DUCKDB = "history_assets.warehouse.duckdb.DuckDBWarehouse"
WATCHED = {
    "history_assets.nights.run_nights": "the command itself",
    "history_assets.nights.refresh": "read the inventory",
    "history_assets.nights.night_definitions": "build the definitions",
    "dagster.Definitions.resolve_job_def": "build the definitions",
    "dagster.JobDefinition.get_subset": "build the definitions",
    "dagster.JobDefinition.execute_in_process": STEPS,
    EVENT: EVENTS,
    "history_assets.snapshots.log_materializations": EVENTS,
    "history_assets.nights.materialized": EVENTS,
    "history_assets.snapshots.plan": "fold: what there is to do",
    "history_assets.snapshots.fold": "fold: what there is to do",
    "history_assets.snapshots.problems_with": "fold: what there is to do",
    "history_assets.folding.night": "fold: what there is to do",
    "history_assets.folding.Raw.read": "fold: read the clones",
    f"{_DUCKDB}.sync_events": "fold: read the sync log",
    "history_assets.folding._carry_out_of": "fold: what cannot have changed",
    f"{_DUCKDB}.carry": "fold: enter what cannot have changed",
    f"{_DUCKDB}.rules": "read the ledger",
    f"{_DUCKDB}.ledger": "read the ledger",
    f"{_DUCKDB}.applied_before": "read the ledger",
    f"{_DUCKDB}.column_nights": "read the ledger",
    f"{_DUCKDB}.keep_functions": "functions and views",
    "history_assets.dbt_run.fold": "fold: dbt's process",
}
"""Functions by the names through which they are called, each with its phase."""

POOL = "history_assets.clones.ThreadPoolExecutor"
"""The threads that clone, for which the main thread waits."""


class Watch:
    """Seconds by phase, of one thread, and how often each function was called."""

    def __init__(self, since: float) -> None:
        self.seconds = collections.defaultdict[str, float](float)
        self.calls = dict.fromkeys((*WATCHED, POOL), 0)
        self._open = [STARTED]
        self._last = since
        self._thread = threading.get_ident()

    def turn(self) -> None:
        """Give the time since the last turn to the phase that it was spent in."""
        now = time.time()
        self.seconds[self._open[-1]] += now - self._last
        self._last = now

    def over(self, phase: str, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time is a phase's, and whose calls are counted under a name."""

        @functools.wraps(call)
        def watched(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread:
                return call(*arguments, **named)
            self.turn()
            self._open.append(phase)
            self.calls[name] += 1
            try:
                return call(*arguments, **named)
            finally:
                self.turn()
                self._open.pop()

        return watched

    def replace(self, path: str, phase: str) -> None:
        """Have a function of a module, or of a module's class, watched."""
        holder, name = _holder(path)
        setattr(holder, name, self.over(phase, path, getattr(holder, name)))

    def replace_pool(self) -> None:
        """Have the main thread's waiting for clones watched."""
        watch = self

        class Pool(ThreadPoolExecutor):
            def map(self, *arguments: Any, **named: Any) -> Iterator[Any]:
                results = super().map(*arguments, **named)
                following = watch.over(CLONE, POOL, lambda: next(results, results))
                return iter(following, results)

        holder, name = _holder(POOL)
        setattr(holder, name, Pool)


def born() -> float:
    """Return when this process began, by the clock of ``time.time``."""
    ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    up = float(Path("/proc/uptime").read_text().split()[0])
    return time.time() - (up - ticks / os.sysconf("SC_CLK_TCK"))


def main() -> None:
    """Run the command, watched."""
    target = Path(sys.argv.pop(1))
    watch = Watch(born())

    from history_assets import cli
    from history_assets.own_process import DBT, unseen

    with unseen(DBT):  # as in the command's process
        for path, phase in WATCHED.items():
            watch.replace(path, phase)
    watch.replace_pool()
    try:
        cli.program()
    finally:
        watch.turn()
        target.write_text(json.dumps({"seconds": watch.seconds, "calls": watch.calls}))


def _holder(path: str) -> tuple[Any, str]:
    """Return what has a function, and the function's name there."""
    above, _, name = path.rpartition(".")
    try:
        return importlib.import_module(above), name
    except ModuleNotFoundError:
        module, _, kind = above.rpartition(".")
        return getattr(importlib.import_module(module), kind), name


if __name__ == "__main__":
    main()
