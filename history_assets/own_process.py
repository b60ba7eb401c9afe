"""Processes in which Dagster or dbt is loaded: how they collect garbage, whose their files are, how those of our own end.

Belongs here: what a process is told once, at its start. Does not belong here: a script's process.
"""

import atexit
import contextlib
import gc
import importlib.abc
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

DBT = "dbt"
"""What only dbt's own processes need: dagster-dbt loads it where it is installed, for more than a second and 30 MB, and can do
without for what it is asked here, the manifest's nodes."""

PANDAS = "pandas"
"""What no process of ours needs: DuckDB loads it where it is installed, to see whether a value that is bound is one of its, for
half a second and 60 MB."""

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


class _Absent(importlib.abc.MetaPathFinder):
    """What finds modules first, and says of some that they are not installed.

    It is not enough to have None in their place: what Cython has compiled, as pyarrow, would take that for the module.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = frozenset(modules)

    def find_spec(self, fullname: str, *_: Any) -> None:
        if fullname in self._modules:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


@contextlib.contextmanager
def unseen(module: str) -> Iterator[None]:
    """Have a module that is not loaded yet not be found meanwhile, as if it were not installed."""
    absent = _Absent([module])
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)


class OwnProcess:
    """Collects garbage seldom, and ends at once when all that is to be done at its end is done and ``code`` says how it went.

    Python takes the objects of Dagster and dbt apart one by one, for a second or more; all that was to be closed has been
    closed by then. It is to be made before what registers something for the end, so as to come last.

    In it the modules ``without`` cannot be found, installed or not.
    """

    def __init__(self, without: Sequence[str] = ()) -> None:
        self.code: int | None = None
        settle()
        sys.meta_path.insert(0, _Absent(without))
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code is not None:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(self.code)
