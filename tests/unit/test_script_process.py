"""Of a command nothing is left: not when it ends, not when its time is over, not when its run is told to end or dies."""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from history_assets.scripts import process
from history_assets.scripts.process import Ended, run

SLEEPER = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"


def python(*lines: str) -> list[str]:
    return [sys.executable, "-S", "-c", "\n".join(lines)]


def family(pids: Path, sleeper: str = SLEEPER, last: str = "child.wait()") -> list[str]:
    """Return a command that starts a child, which starts a grandchild, and writes down their ids."""
    child = "\n".join(
        [
            "import os, subprocess, sys",
            f"grandchild = subprocess.Popen([sys.executable, '-S', '-c', {sleeper!r}])",
            f"open({str(pids)!r}, 'w').write(f'{{os.getppid()}} {{os.getpid()}} {{grandchild.pid}}')",
            "grandchild.wait()",
        ]
    )
    return python(
        "import os, subprocess, sys, time",
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {child!r}])",
        f"while not (os.path.exists({str(pids)!r}) and os.path.getsize({str(pids)!r})): time.sleep(0.01)",
        last,
    )


def there(pids: Path) -> list[int]:
    """Return which of the family run; a zombie does not."""
    found = []
    for pid in map(int, pids.read_text().split()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(pid)
    return found


def running(pids: Path) -> list[int]:
    """Return which of the family still run, given a while to end."""
    deadline = time.monotonic() + 15
    while (found := there(pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "GRACE", 2.0)


@pytest.fixture
def pids(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pids"
    yield path
    for pid in there(path) if path.exists() else []:
        os.kill(pid, signal.SIGKILL)


def test_what_it_said_is_not_left_open() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ended = run(python("import sys; print('out'); print('err', file=sys.stderr)"), env=os.environ, timeout=60)
        gc.collect()

    assert (ended, [str(each.message) for each in caught]) == (Ended(0, False, "out\n", "err\n"), [])


def test_what_is_said_is_passed_on_and_its_end_is_kept() -> None:
    said = bytearray()
    command = python("import sys", "print('x' * 20_000)", "print('é')", "sys.stderr.write('oh')", "sys.exit(3)")

    ended = run(command, env={"PYTHONIOENCODING": "utf-8"}, timeout=60, out=said.extend)

    assert said == b"x" * 20_000 + "\né\n".encode()
    assert ended == Ended(3, False, "x" * (8_000 - 4) + "\né\n", "oh")


def test_what_nobody_listens_to_is_read_to_the_end() -> None:
    def gone(_: bytes) -> None:
        raise BrokenPipeError

    assert run(python("print('x' * 1_000_000)"), env={}, timeout=60, out=gone).code == 0


@pytest.mark.parametrize("sleeper", [SLEEPER, STUBBORN])
def test_when_its_time_is_over_all_that_it_started_is_ended(pids: Path, sleeper: str) -> None:
    began = time.monotonic()
    ended = run(family(pids, sleeper), env={}, timeout=1.5)

    assert ended.timed_out
    assert ended.code == -signal.SIGTERM
    assert running(pids) == []
    assert time.monotonic() - began < 10


def test_what_it_leaves_behind_is_ended(pids: Path) -> None:
    """Else a script's stray process would hold its output, and whatever it had opened, for ever."""
    ended = run(family(pids, last="sys.exit(0)"), env={}, timeout=60)

    assert (ended.code, ended.timed_out) == (0, False)
    assert running(pids) == []


def test_when_whoever_waits_is_interrupted_it_is_ended(pids: Path) -> None:
    class EndedError(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise EndedError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    try:
        with pytest.raises(EndedError):
            run(family(pids), env={}, timeout=60)
    finally:
        signal.signal(signal.SIGALRM, before)

    assert running(pids) == []


@pytest.fixture
def supervised(tmp_path: Path, pids: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """The program that stands between a run and its script, started by a process that does nothing else."""
    asked = {"command": family(pids), "env": {}, "without": ["SECRET"], "cwd": str(tmp_path), "timeout": 60}
    (tmp_path / "request").write_text(json.dumps(asked))
    command = [sys.executable, "-m", "history_assets.scripts.process", str(tmp_path / "request"), str(tmp_path / "answer")]
    parent = subprocess.Popen(python("import subprocess", f"subprocess.Popen({command!r}).wait()"), start_new_session=True)
    deadline = time.monotonic() + 20
    while not (pids.exists() and len(pids.read_text().split()) == 3):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield parent
    with contextlib.suppress(ProcessLookupError):
        os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_told_to_end_ends_its_script(
    supervised: "subprocess.Popen[bytes]", pids: Path, number: signal.Signals
) -> None:
    assert len(there(pids)) == 3
    os.killpg(supervised.pid, number)  # which reaches neither the script nor what it started
    assert running(pids) == []


def test_a_run_that_is_killed_ends_its_script(supervised: "subprocess.Popen[bytes]", pids: Path) -> None:
    supervised.kill()
    supervised.wait()
    assert running(pids) == []
