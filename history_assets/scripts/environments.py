"""The environments that scripts run in: one for each set of dependencies, made once.

Belongs here: where they lie, making one so that a half-made one is never used, and what can be imported in it. Does not belong
here: which dependencies (``metadata``), running anything else in it (``assets``).

    environments/<hash>         a link to the environment in force
    environments/<hash>.<id>    what it points to; one without a link was never finished
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shutil
import site
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from history_assets.errors import ScriptError
from history_assets.scripts import process
from history_assets.scripts.folder import shown

TIMEOUT = 30 * 60.0
"""Seconds that installing may take."""

_SAID = 600
_LINES = 6
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
_OWN = ("HISTORY_", "SNOWFLAKE_", "FIVETRAN_", "PYTHON", "DBT_", "DAGSTER_", "VIRTUAL_ENV")
"""Variables that are none of an installer's business, or that would lead it astray."""


def environment(home: Path, dependencies: Sequence[str], say: Callable[[str], Any]) -> Path:
    """Return the Python of the environment for some dependencies, made now where it is not there yet.

    Raises ScriptError with what the installer said last where they cannot be installed.
    """
    folder = home / "environments"
    name = _name(dependencies)
    link = folder / name
    python = link / "bin" / "python"
    if python.exists():
        return python
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"{name}.lock"):
        if not python.exists():  # else another run has made it meanwhile
            say(hidden(f"installing {', '.join(dependencies) or 'nothing'}"))
            for leftover in folder.glob(f"{name}.*-*"):
                shutil.rmtree(leftover)
            made = folder / f"{name}.{uuid.uuid4()}"
            try:
                _make(made, dependencies)
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)  # what cannot be removed now is before the next attempt
                raise
            pointer = folder / f"{name}.link"
            pointer.unlink(missing_ok=True)
            pointer.symlink_to(made.name)
            pointer.replace(link)
    return python


def is_made(home: Path, dependencies: Sequence[str]) -> bool:
    """Say whether there is an environment for some dependencies."""
    return (home / "environments" / _name(dependencies) / "bin" / "python").exists()


def path_of(python: Path) -> dict[str, str]:
    """Return the variables that make an environment's programs found first."""
    return {"VIRTUAL_ENV": str(python.parent.parent), "PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _name(dependencies: Sequence[str]) -> str:
    known = [sorted(set(dependencies)), platform.python_version(), platform.machine(), sys.executable, _running()]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]


def _make(made: Path, dependencies: Sequence[str]) -> None:
    _run([sys.executable, "-m", "venv", "--without-pip", str(made)], "making an environment")
    python = made / "bin" / "python"
    if dependencies:
        wanted = made / "requirements.txt"
        wanted.write_text("".join(f"{each}\n" for each in dependencies))
        _run([*_installer(python), "-r", str(wanted)], f"installing {', '.join(dependencies)}")
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    own = Path(_run([str(python), "-c", asked], "looking at an environment").out.strip())
    # After its own, so that what a script asks for wins, and only now, so that no installer takes it for installed. The
    # folder of scripts comes last: a script that is named as a module shadows none.
    lines = [
        *(f"import site; site.addsitedir({folder!r})" for folder in _running()),
        f"import sys; sys.path.append({str(Path(__file__).parent.parent.parent)!r})",
        "import os, sys; sys.path += filter(None, [os.environ.get('HISTORY_SCRIPTS')])",
    ]
    (own / "history_assets_running.pth").write_text("\n".join(lines) + "\n")


def _running() -> list[str]:
    """Return the folders of packages of the installation that runs."""
    known = [*site.getsitepackages(), *([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])]
    return [folder for folder in known if Path(folder).is_dir()]


def _installer(python: Path) -> list[str]:
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", str(python)]
    if importlib.util.find_spec("pip"):
        return [
            sys.executable,
            "-m",
            "pip",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            "--python",
            str(python),
            "install",
        ]
    raise ScriptError("found neither uv nor pip to install a script's dependencies with: put uv on the PATH")


def _run(command: Sequence[str], doing: str) -> process.Ended:
    doing = hidden(doing)
    ended = process.run(command, env=_plain(os.environ), timeout=TIMEOUT)
    if ended.timed_out:
        raise ScriptError(
            f"found {doing} to take longer than {TIMEOUT / 60:g} minutes: depend on less, or on what needs no building"
        )
    if ended.code:
        said = last_lines(hidden(ended.err.strip() or ended.out), _LINES)
        raise ScriptError(f"found {doing} to end with {ended.code}, expected 0 ({said}): correct the dependencies or the index")
    return ended


def last_lines(text: str, count: int) -> str:
    """Return the last lines of a text that say something, in one line."""
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    return shown(" | ".join(lines[-count:])[-_SAID:]) or "it said nothing"


def hidden(text: str) -> str:
    """Return a text without the credentials of the addresses in it."""
    return _CREDENTIALS.sub("***@", text)


def _plain(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if not name.startswith(_OWN)}


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
