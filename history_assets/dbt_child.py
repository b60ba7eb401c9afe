"""The process in which dbt folds nights: ``python -m history_assets.dbt_child REQUEST ANSWER``.

Belongs here: what that process does, and the words in which it is asked and answers. Does not belong here: who starts it and
waits for it (``dbt_run``).

It loads a project when the first line of its input names one, and folds what REQUEST says, each night by one invocation of dbt
with the one loaded manifest, when a second line comes. ANSWER is there when it is done.
"""

import dataclasses
import gc
import json
import os
import shutil
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from history_assets.dbt_checkpoints import Checkpoints, due
from history_assets.dbt_clones import Clones
from history_assets.dbt_files import replace
from history_assets.errors import WarehouseError
from history_assets.naming import quote
from history_assets.own_process import PANDAS, OwnProcess
from history_assets.settings import RUN_VARIABLE, Settings
from history_assets.warehouse import open_warehouse
from history_assets.warehouse.history_sql import OURS

LOCKED = 75
"""Exit code of a child that could not have the history to itself; EX_TEMPFAIL of sysexits.h."""

FOLDED = ".\n"
"""What the child says of each table that it is done with, however that went."""

_PROJECT = "history_assets"
"""Name of the dbt project, as dbt_project/dbt_project.yml has it."""

_SILENT = ("--quiet", "--log-level", "none", "--no-write-json")
"""What failed is in the results; dbt would make a line of every event only to drop it, and write its manifest each night."""

_CHOSEN = "chosen"
"""Tag of the snapshots of a night: dbt holds each name that it is given against each node, which is slow for thousands."""


@dataclasses.dataclass(frozen=True)
class Night:
    """One dbt invocation: what the macros are told of the run, and of each table to be folded, by its snapshot's name."""

    run: Mapping[str, Any]
    tables: Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class NightResult:
    """What became of a night: an error per snapshot that failed, and one for the whole where dbt did not get that far."""

    failed: Mapping[str, str]
    error: str | None


def folders_of(project: Path, target: Path, engine: str) -> list[str]:
    """Return the arguments of any command of dbt's that say where its files are."""
    return [
        "--project-dir",
        str(project),
        "--profiles-dir",
        str(project),
        "--target-path",
        str(target),
        "--target",
        engine,
        "--log-level-file",
        "none",
    ]


class _Housekeeping:
    """What DuckDB is to do as tables begin and end, so that it takes no more memory than it must."""

    def __init__(self, memory_limit: int | None) -> None:
        self._checkpoints = Checkpoints(lambda: self._execute("checkpoint"), due(memory_limit))
        self._clones = Clones(
            lambda schema: self._execute(f"detach database if exists {quote(f'clone of {schema} on {self._date}')}")
        )
        self._date = ""
        self._columns: Mapping[str, int] = {}

    def begin(self, manifest: Any, night: Mapping[str, Any]) -> None:
        """Be told of a night."""
        self._date = night["run"]["clone_date"]
        nodes = [node for node in manifest.nodes.values() if node.name in night["tables"]]
        self._clones.expect(node.schema for node in nodes)
        self._columns = {node.unique_id: len(night["tables"][node.name]["columns"]) + len(OURS) for node in nodes}

    def __call__(self, event: Any) -> None:
        """Be told of what dbt does."""
        if event.info.name == "NodeStart":
            self._checkpoints.began(event.data.node_info.unique_id)
        elif event.info.name == "NodeFinished":
            table = event.data.node_info.unique_id
            self._checkpoints.ended(table, self._columns.get(table, 0))
            self._clones.ended(event.data.node_info.node_relation.schema)

    def _execute(self, sql: str) -> None:
        from dbt.adapters.factory import get_adapter_by_type
        from dbt_common.exceptions import DbtRuntimeError

        adapter: Any = get_adapter_by_type("duckdb")  # type: ignore[no-untyped-call]
        try:
            with adapter.connection_named("housekeeping"):
                adapter.execute(sql, auto_begin=False)
        except DbtRuntimeError as error:  # which would be taken for that of a table, whereas only memory is lost by it
            print(f"{sql} failed: {error}", flush=True)  # noqa: T201 - the parent reads it


def main(request: Path, answer: Path) -> None:
    """Load, wait to be told, fold, answer."""
    from dbt.cli.main import dbtRunner

    begin = json.loads(sys.stdin.readline())
    manifest, folders = _load(Path(begin["project"]), begin["engine"], request.parent / "target")
    if not sys.stdin.readline():
        return  # there was nothing to fold
    asked = json.loads(request.read_text())
    settings = Settings(**asked["settings"])
    try:
        # dbt would wait too, but neither as long as it is told nor with a word of what it waits for.
        open_warehouse(settings).await_history()
    except WarehouseError as error:
        print(error, flush=True)  # noqa: T201 - the parent reads it
        sys.exit(LOCKED)
    _forget_others(manifest, {name for night in asked["nights"] for name in night["tables"]})
    # What there is by now stays, and need not be looked through for garbage again and again.
    gc.collect()
    gc.freeze()
    keeping = [_Housekeeping(settings.memory_limit)] if begin["engine"] == "duckdb" else []
    runner, results = dbtRunner(manifest=manifest, callbacks=[_say_folded, *keeping]), []
    for night in asked["nights"]:
        for keeper in keeping:
            keeper.begin(manifest, night)
        results.append(_fold_night(runner, night, folders))
    answer.write_text(json.dumps([dataclasses.asdict(result) for result in results]))


def _load(project: Path, engine: str, target: Path) -> tuple[Any, list[str]]:
    """Return a project's manifest, and the arguments that say where its files are."""
    target.mkdir()
    # Two runs may share a project, so each writes into a folder of its own, starting from the saved parse.
    saved = project / "target" / "partial_parse.msgpack"
    own = Path(shutil.copy2(saved, target))
    as_saved = own.stat().st_mtime_ns
    folders = folders_of(project, target, engine)

    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.clients.jinja import template_cache

    parsed = dbtRunner().invoke(["parse", "--quiet", "--no-write-json", *folders])
    if not parsed.success:
        raise SystemExit(f"dbt could not load the project in {project}: {parsed.exception}")
    if own.stat().st_mtime_ns != as_saved:
        # dbt has parsed all of it once more, since it was saved for another home, limit of memory or account.
        _save(own, saved)
    if engine == "duckdb":
        from dbt.adapters.duckdb.impl import DuckDBAdapter

        # Histories have no keys, and to see that, dbt-duckdb would go through all attached files for each schema.
        DuckDBAdapter._foreign_key_catalog_types = set()
    manifest = cast(Manifest, parsed.result)
    for macro in manifest.macros.values():
        if macro.package_name == _PROJECT:
            template_cache.get_node_template(macro)  # as dbt does when it first comes to it, in each thread; now there is time
    return manifest, folders


def _forget_others(manifest: Any, tables: Collection[str]) -> None:
    """Take out of a manifest what none of these tables needs: of each, dbt holds some 15 kB."""
    others = [key for key, node in manifest.nodes.items() if node.resource_type == "snapshot" and node.name not in tables]
    for key in others:
        del manifest.nodes[key]
    needed = {source for node in manifest.nodes.values() for source in node.depends_on.nodes}
    manifest.sources = {key: source for key, source in manifest.sources.items() if key in needed}
    manifest.build_parent_and_child_maps()
    # The text of each file that dbt has read, and another copy of each node, of which the macros ask for the schema alone.
    manifest.files = {}
    manifest.flat_graph = {"nodes": {key: {"schema": node["schema"]} for key, node in manifest.flat_graph["nodes"].items()}}


def _save(parse: Path, saved: Path) -> None:
    try:
        replace(saved, parse.read_bytes())
    except OSError as error:  # by which the next run loses time, and nothing else
        print(f"dbt's new parse was not saved: {error}", flush=True)  # noqa: T201 - the parent reads it


def _fold_night(runner: Any, night: Mapping[str, Any], folders: Sequence[str]) -> NightResult:
    os.environ[RUN_VARIABLE] = json.dumps(night["run"])
    for node in filter(lambda node: node.resource_type == "snapshot", runner.manifest.nodes.values()):
        # Not by the environment, all of which dbt goes through for every event that it logs.
        node.config.meta["run"] = night["tables"].get(node.name)
        node.tags = [_CHOSEN] if node.name in night["tables"] else []
    began = time.monotonic()
    # The cache is of no use: the macros look at the one table that they fold.
    done = runner.invoke(["snapshot", *_SILENT, "--no-populate-cache", "--select", f"tag:{_CHOSEN}", *folders])
    error = str(done.exception) if done.exception else None
    nodes = getattr(done.result, "results", None) or []
    failed = {node.node.name: str(node.message) for node in nodes if node.status not in ("success", "pass")}
    folded = {node.node.name for node in nodes} & night["tables"].keys() - failed.keys()
    seconds = time.monotonic() - began
    # Where dbt did not get to its end, the ledger alone knows what it had folded.
    counted = f"{len(folded)} of {len(night['tables'])} tables folded in {seconds:.1f} s"
    said = f"dbt stopped after {seconds:.1f} s: {' '.join(error.split())}" if error else counted
    print(f"{night['run']['clone_date']}: {said}", flush=True)  # noqa: T201 - the parent reads it
    return NightResult(failed, error)


def _say_folded(event: Any) -> None:
    if event.info.name == "NodeFinished":
        sys.stdout.write(FOLDED)  # whole, from whichever of dbt's threads
        sys.stdout.flush()


if __name__ == "__main__":
    process = OwnProcess(without=[PANDAS])
    main(Path(sys.argv[1]), Path(sys.argv[2]))
    process.code = 0
