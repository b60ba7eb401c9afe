"""Which runs have lost their process: each holds a lock that the system frees, whatever kills it.

Belongs here: these locks, on files under ``HISTORY_HOME``. Does not belong here: what Dagster is told (``killed``).

A process that ends a run takes its file away; so a file that nobody holds is that of one which could not.
"""

import contextlib
import fcntl
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

_FOLDER = "running"


@contextlib.contextmanager
def lifeline(home: Path, run_id: str) -> Iterator[None]:
    """Hold a run's file for as long as the context lasts."""
    folder = home / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    # A lock is only known for sure on the host that took it, whatever the file system.
    path = folder / f"{socket.gethostname()}.{run_id}"
    # In place only once it is held, since a file that nobody holds has a meaning.
    fresh = folder / f".{uuid.uuid4()}"
    with fresh.open("w") as file:
        try:
            with contextlib.suppress(OSError):  # where a file system has no locks, nobody can tell
                fcntl.flock(file, fcntl.LOCK_EX)
                fresh.rename(path)
            yield
        finally:
            for each in (fresh, path):
                each.unlink(missing_ok=True)


def cut(home: Path) -> list[str]:
    """Return the runs whose process was killed on this host."""
    files = (home / _FOLDER).glob(f"{socket.gethostname()}.*")
    return sorted(path.name.rpartition(".")[2] for path in files if not _held(path))


def forget(home: Path, run_id: str) -> None:
    """Take away the file of a run that is known to have ended."""
    (home / _FOLDER / f"{socket.gethostname()}.{run_id}").unlink(missing_ok=True)


def _held(path: Path) -> bool:
    try:
        with path.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:  # or it has just ended
        return True
    return False
