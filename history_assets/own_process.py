"""Processes in which Dagster or dbt is loaded: how they collect garbage, whose their files are, how those of our own end.

Belongs here: what a process is told once, at its start. Does not belong here: a script's process.
"""

import atexit
import gc
import os
import sys

_COLLECT_AFTER = 50_000
"""New objects before Python looks for garbage; by default 700, and it goes through all that importing made, again and again."""

_OWN = 0o077
"""Permissions that new files and folders do not get: whatever a home holds is as private as the data."""

USUAL_UMASK = os.umask(_OWN)
os.umask(USUAL_UMASK)
"""What they would otherwise not get, for files that somebody asked for by name; the only way to read it is to set it."""


def settle() -> None:
    """Have Python look for garbage less often in this process, and keep the files that it makes from other people."""
    gc.set_threshold(_COLLECT_AFTER)
    os.umask(_OWN)


class OwnProcess:
    """Collects garbage seldom, and ends at once when all that is to be done at its end is done and ``code`` says how it went.

    Python takes the objects of Dagster and dbt apart one by one, for a second or more; all that was to be closed has been
    closed by then. It is to be made before what registers something for the end, so as to come last.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        settle()
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code is not None:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(self.code)
