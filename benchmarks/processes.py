"""Commands in processes of their own: what they took from start to finish, and the memory of each process that they came to.

Belongs here: running, waiting, sampling. Does not belong here: what is run, or what is made of the figures (``figures``).
"""

import contextlib
import dataclasses
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
_EVERY = 0.1
"""Seconds between two looks at the memory of running processes."""
_SHOWN = 4000


@dataclasses.dataclass(frozen=True)
class Finished:
    """A command that ended well: its seconds, its output, the peak of each process by its name, and of all at one time.

    Of a process it is what it had resident; pages that several share count once in that of all.
    """

    seconds: float
    output: str
    peaks: Mapping[str, int]
    together: int


def environment(**own: str) -> dict[str, str]:
    """Return this process's environment without this project's settings, and with ``own``."""
    prefixes = ("HISTORY_", "DAGSTER_", "FIVETRAN_", "SNOWFLAKE_", "STOCK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return kept | {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "PYTHONUNBUFFERED": "1"} | own


def run_command(command: Sequence[str | Path], own: Mapping[str, str], folder: Path | None = None) -> Finished:
    """Run a command to its end, in its own process, and measure it; one that fails ends the benchmark with what it said."""
    with tempfile.TemporaryFile("w+") as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            [str(word) for word in command], env=environment(**own), stdout=output, stderr=subprocess.STDOUT, cwd=folder
        )
        with sampled(child.pid) as memory:
            code = child.wait()
        seconds = time.perf_counter() - began
        output.seek(0)
        said = output.read()
    if code != 0:
        raise SystemExit(f"{' '.join(map(str, command))} ended with {code}: {said[-_SHOWN:]}")
    return Finished(seconds, said, dict(memory.peaks), memory.together)


class Memory:
    """The memory of a process and all that it started: the peak of each, and of all together, pages that they share once."""

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self.together = 0

    def look(self, pid: int) -> None:
        """Look at what runs now."""
        now = 0
        for each in _family(pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                command = Path(f"/proc/{each}/cmdline").read_bytes().decode(errors="replace").split("\0")
                status = _lines(Path(f"/proc/{each}/status"))
                if "VmHWM" in status:  # one that has ended, and that nobody has waited for, has none
                    name = _named(command)
                    self.peaks[name] = max(self.peaks.get(name, 0), _bytes(status["VmHWM"]))
                    now += _bytes(_lines(Path(f"/proc/{each}/smaps_rollup")).get("Pss", "0"))
        self.together = max(self.together, now)


@contextlib.contextmanager
def sampled(pid: int) -> Iterator[Memory]:
    """Sample the memory of a process and its descendants while the context lasts; Linux alone tells of it."""
    memory, over = Memory(), threading.Event()

    def sample() -> None:
        while not over.wait(_EVERY):
            memory.look(pid)

    thread = threading.Thread(target=sample, daemon=True)
    if Path("/proc/self/status").exists():
        thread.start()
    try:
        yield memory
    finally:
        over.set()
        if thread.is_alive():
            thread.join()


def _lines(path: Path) -> dict[str, str]:
    return dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)


def _bytes(said: str) -> int:
    """Return what Linux says in kB."""
    return int(said.split()[0]) * 1024


def _family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in (thread / "children").read_text().split():
                yield from _family(int(child))


def _named(command: Sequence[str]) -> str:
    """Return what a process is called by: the module or script that Python runs, without folders."""
    words = [word for word in command[1:] if word]
    if "-m" in words:
        return " ".join(words[words.index("-m") + 1 :][:1])
    return Path(words[0]).name if words and not words[0].startswith("-") else Path(command[0]).name
