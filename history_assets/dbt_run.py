"""Running dbt: parsing a generated project, and folding nights in a process of its own.

Belongs here: both ends of the child process that runs dbt, and nothing of what dbt does there. Does not belong here: choosing
what to fold (``snapshots``), or reading what came of it (the ledger).

dbt keeps a DuckDB file open for as long as its process lives, hence a child. One child folds several nights with one loaded
manifest: the macros read each night from the environment while they execute.
"""

import contextlib
import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from history_assets.dbt_checkpoints import Checkpoints
from history_assets.errors import ProjectError, WarehouseError
from history_assets.own_process import OwnProcess
from history_assets.progress import Watch, unwatched
from history_assets.settings import RUN_VARIABLE, Settings
from history_assets.warehouse import open_warehouse

_DBT = "from dbt.cli.main import cli; cli()"
"""dbt's command, whatever PATH is; Python warns of ``-m dbt.cli.main``, which its own package imports."""

_LOCKED = 75
"""Exit code of a child that could not have the history to itself; EX_TEMPFAIL of sysexits.h."""

_FOLDED = ".\n"
"""What the child says of each table that it is done with, however that went."""

_PROJECT = "history_assets"
"""Name of the dbt project, as dbt_project/dbt_project.yml has it."""

_SILENT = ("--quiet", "--log-level", "none", "--no-write-json")
"""What failed is in the results; dbt would make a line of every event only to drop it, and write its manifest each night."""

_CHOSEN = "chosen"
"""Tag of the snapshots of a night: dbt holds each name that it is given against each node, which is slow for thousands."""

_HTTPS = 443

_HIDDEN = "DBT_ENV_SECRET_"
"""Prefix of variables that dbt keeps out of its logs and its saved parse."""

_SAID = 2000
"""Characters of dbt's own output that an error repeats."""
_PREFACE = re.compile(r"^[\d:]+ Encountered an error: ")


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


def parse(project: Path, settings: Settings) -> None:
    """Have dbt parse a project folder, leaving its manifest in ``target``; raises ProjectError with what dbt said."""
    folders = _folders(project, project / "target", settings.engine)
    command = [sys.executable, "-c", _DBT, "parse", "--quiet", "--no-use-colors", *folders]
    done = subprocess.run(command, cwd=project, env=_environment(settings), capture_output=True, text=True, check=False)  # noqa: S603 - own arguments
    if done.returncode != 0 or not (project / "target" / "manifest.json").is_file():
        said = " ".join((done.stdout.strip() or done.stderr).split())[-_SAID:]
        raise ProjectError(
            f"dbt's parse of the project generated in {project.parent} ended with {done.returncode}, expected 0 and a manifest "
            f"({_PREFACE.sub('', said) or 'it said nothing'}): the project in force stays, exclude what it names or correct it"
        )


class _Child:
    """A process of dbt's: it loads a project, waits to be told what to fold, folds that, and ends."""

    def __init__(self, project: Path, settings: Settings) -> None:
        self.project, self.settings = project, settings
        self._folder = tempfile.TemporaryDirectory(prefix="history_assets_")
        self._request, self._answer = (Path(self._folder.name) / name for name in ("request.json", "answer.json"))
        command = [sys.executable, "-m", "history_assets.dbt_run", str(self._request), str(self._answer)]
        self._process = subprocess.Popen(  # noqa: S603 - own arguments
            command,
            env=_environment(settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._tell({"project": str(project), "engine": settings.engine})

    def fold(
        self, nights: Sequence[Night], say: Callable[[str], Any], watch: Watch, meanwhile: Callable[[], Any]
    ) -> list[NightResult]:
        """See ``fold``."""
        asked = {
            "settings": self.settings.model_dump(mode="json", include={"engine", "home", "lock_timeout"}),
            "nights": [dataclasses.asdict(night) for night in nights],
        }
        self._request.write_text(json.dumps(asked))
        said, folded, tables = "", 0, sum(len(night.tables) for night in nights)
        with self._folder, self._process as process:
            try:
                watch("folding tables", 0, tables)
                self._tell("fold")
                meanwhile()
                for line in process.stdout or ():
                    if line == _FOLDED:
                        folded += 1
                        watch("folding tables", folded, tables)
                        continue
                    said = line.strip() or said
                    say(line.rstrip())
            except BaseException:
                process.terminate()  # whoever stops this process means dbt too
                raise
            code = process.wait()
            if code == _LOCKED:
                raise WarehouseError(said, passing=True)
            if code != 0 or not self._answer.is_file():
                raise ProjectError(
                    f"dbt's process ended with {code}, expected 0 ({said}): what it had folded is kept, run again"
                )
            return [NightResult(**each) for each in json.loads(self._answer.read_text())]

    def end(self) -> None:
        """End it, which has done nothing yet."""
        with self._folder, self._process as process:
            process.terminate()

    def _tell(self, what: Any) -> None:
        # What it died of is in what it said.
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps(what), file=self._process.stdin, flush=True)


_loading: list[_Child] = []


@contextlib.contextmanager
def ahead(project: Path, settings: Settings) -> Iterator[None]:
    """Have dbt load a project meanwhile, for who folds first in here: that takes seconds, and a core that is mostly free."""
    child = None if _loading else _Child(project, settings)
    _loading.extend([child] if child else [])
    try:
        yield
    finally:
        if child in _loading:
            _loading.remove(child)
            child.end()


def fold(
    project: Path,
    nights: Sequence[Night],
    settings: Settings,
    say: Callable[[str], Any],
    watch: Watch = unwatched,
    meanwhile: Callable[[], Any] = lambda: None,
) -> list[NightResult]:
    """Fold nights in the order given, in a child process; one result per night. ``say`` gets its output, line by line.

    ``meanwhile`` is called once it is at work, and may neither read nor write the history.

    Raises WarehouseError when another process keeps the history to itself for too long, ProjectError when the child dies; what
    it had committed by then is in the ledger.
    """
    child = next((each for each in _loading if (each.project, each.settings) == (project, settings)), None)
    if child:
        _loading.remove(child)
    return (child or _Child(project, settings)).fold(nights, say, watch, meanwhile)


def _environment(settings: Settings) -> dict[str, str]:
    own = {"HISTORY_HOME": str(settings.home), "HISTORY_THREADS": str(settings.threads), "DO_NOT_TRACK": "1"}
    if settings.engine == "snowflake":
        own |= snowflake_environment(settings)
    else:
        from history_assets.warehouse.duckdb_files import memory_limit

        own["HISTORY_MEMORY_LIMIT"] = memory_limit(settings.memory_limit)
    return {name: value for name, value in os.environ.items() if name != RUN_VARIABLE} | own


def snowflake_environment(settings: Settings) -> dict[str, str]:
    """Return what profiles.yml and the macros read of the environment on Snowflake; secrets are hidden from its logs."""
    own = {"HISTORY_DATABASE": settings.database, "HISTORY_CLONE_DATABASE": settings.clone_database}
    if who := settings.snowflake:
        plain = {name: str(getattr(who, name)) for name in ("account", "user", "role", "warehouse", "protocol")}
        plain |= {"host": who.host or "", "port": str(who.port or _HTTPS)}
        plain["authenticator"] = who.authenticator if who.token else ""  # by key when nothing is said
        plain["private_key_path"] = str(who.private_key_path.expanduser()) if who.private_key_path else ""
        own |= {f"SNOWFLAKE_{name.upper()}": value for name, value in plain.items()}
        secret = {name: getattr(who, name) for name in ("private_key", "private_key_passphrase", "token")}
        own |= {f"{_HIDDEN}SNOWFLAKE_{name.upper()}": value.get_secret_value() for name, value in secret.items() if value}
    return own


def _folders(project: Path, target: Path, engine: str) -> list[str]:
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


def _child(request: Path, answer: Path) -> None:
    begin = json.loads(sys.stdin.readline())
    runner, folders = _load(Path(begin["project"]), begin["engine"], request.parent / "target")
    if not sys.stdin.readline():
        return  # there was nothing to fold
    asked = json.loads(request.read_text())
    try:
        # dbt would wait too, but neither as long as it is told nor with a word of what it waits for.
        open_warehouse(Settings(**asked["settings"])).await_history()
    except WarehouseError as error:
        print(error, flush=True)  # noqa: T201 - the parent reads it
        sys.exit(_LOCKED)
    results = [_fold_night(runner, night, folders) for night in asked["nights"]]
    answer.write_text(json.dumps([dataclasses.asdict(result) for result in results]))


def _load(project: Path, engine: str, target: Path) -> tuple[Any, list[str]]:
    """Return a runner of dbt's with a project's manifest, and the arguments that say where its files are."""
    target.mkdir()
    # Two runs may share a project, so each writes into a folder of its own, starting from the saved parse.
    shutil.copy2(project / "target" / "partial_parse.msgpack", target)
    folders = _folders(project, target, engine)

    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.clients.jinja import template_cache

    parsed = dbtRunner().invoke(["parse", "--quiet", "--no-write-json", *folders])
    if not parsed.success:
        raise SystemExit(f"dbt could not load the project in {project}: {parsed.exception}")
    manifest = cast(Manifest, parsed.result)
    for macro in manifest.macros.values():
        if macro.package_name == _PROJECT:
            template_cache.get_node_template(macro)  # as dbt does when it first comes to it, in each thread; now there is time
    return dbtRunner(manifest=manifest, callbacks=[_say_folded, *([_checkpointing()] if engine == "duckdb" else [])]), folders


def _fold_night(runner: Any, night: Mapping[str, Any], folders: Sequence[str]) -> NightResult:
    os.environ[RUN_VARIABLE] = json.dumps(night["run"])
    for node in filter(lambda node: node.resource_type == "snapshot", runner.manifest.nodes.values()):
        # Not by the environment, all of which dbt goes through for every event that it logs.
        node.config.meta["run"] = night["tables"].get(node.name)
        node.tags = [_CHOSEN] if node.name in night["tables"] else []
    began = time.monotonic()
    # The cache is of no use: the macros look at the one table that they fold.
    done = runner.invoke(["snapshot", *_SILENT, "--no-populate-cache", "--select", f"tag:{_CHOSEN}", *folders])
    nodes = getattr(done.result, "results", None) or []
    failed = {node.node.name: str(node.message) for node in nodes if node.status not in ("success", "pass")}
    asked, seconds = len(night["tables"]), time.monotonic() - began
    said = f"{night['run']['clone_date']}: {asked - len(failed)} of {asked} tables folded in {seconds:.1f} s"
    print(said, flush=True)  # noqa: T201 - the parent reads it
    return NightResult(failed, str(done.exception) if done.exception else None)


def _checkpointing() -> Callable[[Any], None]:
    """Return what has checkpoints made as tables begin and end."""
    from dbt.adapters.factory import get_adapter_by_type
    from dbt_common.exceptions import DbtRuntimeError

    def checkpoint() -> None:
        adapter: Any = get_adapter_by_type("duckdb")  # type: ignore[no-untyped-call]
        try:
            with adapter.connection_named("checkpoint"):
                adapter.execute("checkpoint", auto_begin=False)
        except DbtRuntimeError as error:  # which would be taken for that of a table, whereas only memory is lost by it
            print(f"no checkpoint was made: {error}", flush=True)  # noqa: T201 - the parent reads it

    checkpoints = Checkpoints(checkpoint)

    def told(event: Any) -> None:
        if event.info.name == "NodeStart":
            checkpoints.began(event.data.node_info.unique_id)
        elif event.info.name == "NodeFinished":
            checkpoints.ended(event.data.node_info.unique_id)

    return told


def _say_folded(event: Any) -> None:
    if event.info.name == "NodeFinished":
        sys.stdout.write(_FOLDED)  # whole, from whichever of dbt's threads
        sys.stdout.flush()


if __name__ == "__main__":
    process = OwnProcess()
    _child(Path(sys.argv[1]), Path(sys.argv[2]))
    process.code = 0
