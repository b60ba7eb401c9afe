"""A command in a process group of its own, of which nothing is left: neither when it ends, nor when its time is over, nor when
whoever waits for it is told to end or dies.

Belongs here: starting, watching and ending it, and the end of what it said. Does not belong here: which command, and what came
of it. As a program (``python -m history_assets.scripts.process REQUEST ANSWER``) it stands between a run and its script, which
can then be ended with all that it started; it imports nothing heavy.
"""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

GRACE = 5.0
"""Seconds between asking a process group to end and ending it."""

_KEPT = 8_000
"""Bytes kept of the end of what was said."""

_GLANCE = 0.5


@dataclasses.dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: the signal), whether its time was over, the ends of what it said."""

    code: int
    timed_out: bool
    out: str
    err: str


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout: float,
    out: Callable[[bytes], Any] = lambda _: None,
    err: Callable[[bytes], Any] = lambda _: None,
    wanted: Callable[[], bool] = lambda: True,
) -> Ended:
    """Run a command and return how it ended; ``out`` and ``err`` get what it says, ``wanted`` says whether to go on waiting."""
    process = subprocess.Popen(  # noqa: S603 - own arguments
        command, env=dict(env), cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    ends = _End(process.stdout, out), _End(process.stderr, err)
    deadline, timed_out = time.monotonic() + timeout, False
    try:
        while process.poll() is None:
            left = deadline - time.monotonic()
            if timed_out := left <= 0:
                break
            if not wanted():
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(min(left, _GLANCE))
    finally:
        _end(process)
        for end in ends:
            end.join(GRACE)  # somebody who left the group may still hold it
    return Ended(process.returncode, timed_out, *(end.text() for end in ends))


class _End(threading.Thread):
    """Passes on a stream, and keeps its end."""

    def __init__(self, stream: IO[bytes] | None, sink: Callable[[bytes], Any]) -> None:
        super().__init__(daemon=True)
        self._stream, self._sink, self._kept = stream, sink, b""
        self.start()

    def run(self) -> None:
        with self._stream or contextlib.nullcontext() as stream:
            while stream and (chunk := os.read(stream.fileno(), 65_536)):
                self._kept = (self._kept + chunk)[-_KEPT:]
                with contextlib.suppress(OSError):  # nobody listens any more: read on all the same, or the command would wait
                    self._sink(chunk)

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End what is left of a process group: asked first, then made to."""
    if process.poll() is None and _signal(process, signal.SIGTERM):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: "subprocess.Popen[bytes]", number: signal.Signals) -> bool:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):  # the latter, on macOS, of a group that has ended
        return False
    return True


def _supervise(request: Path, answer: Path) -> int:
    told = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Noted, not raised: wherever it comes, the script is ended in the one place that ends it.
        signal.signal(number, lambda *_: told.set())
    asked = json.loads(request.read_text())
    parent = os.getppid()
    ended = run(
        asked["command"],
        env={name: value for name, value in os.environ.items() if name not in asked["without"]} | asked["env"],
        cwd=Path(asked["cwd"]),
        timeout=asked["timeout"],
        out=lambda chunk: _pass_on(sys.stdout.fileno(), chunk),
        err=lambda chunk: _pass_on(sys.stderr.fileno(), chunk),
        # Whoever kills the run cannot tell its script.
        wanted=lambda: os.getppid() == parent and not told.is_set(),
    )
    if told.is_set():
        return 1
    answer.write_text(json.dumps(dataclasses.asdict(ended)))
    _open_for_it()
    return 0


def _pass_on(target: int, chunk: bytes) -> None:
    while chunk:
        chunk = chunk[os.write(target, chunk) :]


def _open_for_it() -> None:
    """Do for a script that has nothing to do with Dagster Pipes what one is expected to do."""
    from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

    messages = PipesEnvVarParamsLoader().load_messages_params().get("path")  # type: ignore[no-untyped-call]
    if messages and Path(messages).stat().st_size == 0:
        with open_dagster_pipes():
            pass


if __name__ == "__main__":
    sys.exit(_supervise(Path(sys.argv[1]), Path(sys.argv[2])))
