"""Running dbt: parsing a generated project, and having nights folded by a process of its own.

Belongs here: starting dbt, telling it what to fold, and hearing what came of it. Does not belong here: what happens in that
process (``dbt_child``), choosing what to fold (``folding``), or reading what was folded (the ledger).

dbt keeps a DuckDB file open for as long as its process lives, hence a child, which folds all nights of a run.
"""

import contextlib
import dataclasses
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from history_assets.dbt_child import FOLDED, LOCKED, Night, NightResult, folders_of
from history_assets.errors import ProjectError, WarehouseError
from history_assets.progress import Watch, unwatched
from history_assets.settings import RUN_VARIABLE, Settings

_DBT = "from dbt.cli.main import cli; cli()"
"""dbt's command, whatever PATH is; Python warns of ``-m dbt.cli.main``, which its own package imports."""

_HTTPS = 443

_HIDDEN = "DBT_ENV_SECRET_"
"""Prefix of variables that dbt keeps out of its logs and its saved parse."""

_SAID = 2000
"""Characters of dbt's own output that an error repeats."""
_PREFACE = re.compile(r"^[\d:]+ Encountered an error: ")


def parse(project: Path, settings: Settings) -> None:
    """Have dbt parse a project folder, leaving its manifest in ``target``; raises ProjectError with what dbt said."""
    folders = folders_of(project, project / "target", settings.engine)
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
        command = [sys.executable, "-m", "history_assets.dbt_child", str(self._request), str(self._answer)]
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
            "settings": self.settings.model_dump(mode="json", include={"engine", "home", "lock_timeout", "memory_limit"}),
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
                    if line == FOLDED:
                        folded += 1
                        watch("folding tables", folded, tables)
                        continue
                    said = line.strip() or said
                    say(line.rstrip())
            except BaseException:
                process.terminate()  # whoever stops this process means dbt too
                raise
            code = process.wait()
            if code == LOCKED:
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
    while _loading:
        if (each := _loading.pop()) is not child:
            each.end()  # nobody folds its project any more, which takes memory meanwhile
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
