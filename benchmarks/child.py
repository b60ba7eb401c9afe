"""The process that runs dbt, or the hand-written statements, and measures itself: a request as JSON in, an answer as JSON out.

Per dbt invocation: its seconds, seconds and errors per node, calls and statements of the nodes through the adapter, and the
peak memory of the process so far.
"""

import collections
import contextlib
import io
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import duckdb

from history_assets import dbt_child


class Recorder:
    """A dbt runner that keeps what its invocations took and led to."""

    def __init__(self, runner: Any) -> None:
        self.runner = runner
        self.manifest = runner.manifest
        self.seen: list[dict[str, Any]] = []

    def invoke(self, arguments: list[str]) -> Any:
        calls.clear()
        base, began = peak(), time.perf_counter()
        done = self.runner.invoke(arguments)
        seconds = time.perf_counter() - began
        nodes = getattr(done.result, "results", None)
        if nodes is None:
            raise SystemExit(f"dbt did not get as far as its nodes: {done.exception}")
        nodes = [node for node in nodes if node.node.resource_type == "snapshot"]
        self.seen.append(
            {
                "seconds": seconds,
                "nodes": {node.node.name: node.execution_time for node in nodes},
                "failed": {node.node.name: str(node.message) for node in nodes if node.status not in ("success", "pass")},
                "calls": {node: len(sent) for node, sent in calls.items()},
                "statements": {node: sum(len(duckdb.extract_statements(sql)) for sql in sent) for node, sent in calls.items()},
                "sql": dict(calls) if keep_sql else {},
                "base": base,
                "peak": peak(),
            }
        )
        return done


calls = collections.defaultdict[str, list[str]](list)
keep_sql = False


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the parent had before it became this process
        return next(int(line.split()[1]) * 1024 for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def count_calls() -> None:
    """Keep all that nodes, rather than the run around them, send through dbt's adapter."""
    from dbt.adapters.duckdb.environments import local
    from dbt_common.events.contextvars import get_node_info

    cursor: Any = local.DuckDBCursorWrapper
    execute = cursor.execute

    def counted(self: Any, sql: str, bindings: Any = None) -> Any:
        node = get_node_info().get("unique_id", "")
        if node.startswith("snapshot."):
            calls[node.rpartition(".")[2]].append(sql)
        return execute(self, sql, bindings)

    cursor.execute = counted


def limit_memory(limit: str) -> None:
    """Have every DuckDB that is opened from here on keep to a memory limit."""
    connect: Callable[..., Any] = duckdb.connect

    def limited(*arguments: Any, config: Mapping[str, Any] | None = None, **named: Any) -> Any:
        return connect(*arguments, config={**(config or {}), "memory_limit": limit}, **named)

    duckdb.connect = limited


def run_dbt(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run one dbt invocation per night, with one loaded manifest."""
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest

    with tempfile.TemporaryDirectory() as target:
        project = Path(asked["project"])
        folders = dbt_child.folders_of(project, Path(target), "duckdb")
        parsed = dbtRunner().invoke(["parse", "--quiet", "--no-write-json", *folders])
        if not parsed.success:
            raise SystemExit(f"dbt could not load {project}: {parsed.exception}")
        recorder = Recorder(dbtRunner(manifest=cast(Manifest, parsed.result)))
        for night in asked["nights"]:
            if asked["kind"] == "ours":
                dbt_child._fold_night(recorder, night, folders)
            else:
                os.environ.update(night)
                recorder.invoke(["snapshot", "--quiet", *folders])
        return recorder.seen


def run_by_hand(asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Run statements on a history with a clone attached, and say what they took."""
    connection = duckdb.connect(asked["history"])
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"attach '{asked['clone']}' as clone (read_only)")
    base, began = peak(), time.perf_counter()
    for sql in asked["statements"]:
        connection.execute(sql)
    seconds = time.perf_counter() - began
    connection.close()
    return [{"seconds": seconds, "base": base, "peak": peak()}]


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Keep what others print out of the answer."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def main() -> None:
    """Do what standard input asks."""
    global keep_sql
    asked = json.load(sys.stdin)
    keep_sql = asked.get("keep_sql", False)
    if asked.get("memory_limit"):
        limit_memory(asked["memory_limit"])
    if asked.get("count"):
        count_calls()
    with silent():
        answer = run_by_hand(asked) if asked["kind"] == "by hand" else run_dbt(asked)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
