"""Being told to stop is noticed, whatever is done with the signal."""

import contextlib
import signal
import subprocess
import sys
import threading

import pytest

from history_assets import __version__
from history_assets.interrupts import STOPPED, STOPPED_CODE, heed, noticed


def fail(error: Exception) -> None:
    with noticed():
        raise error


def press_and_fail(error: Exception) -> None:
    with noticed():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise error


def test_an_error_that_it_led_to_becomes_an_interrupt() -> None:
    """As of a DuckDB query; every other stays what it is."""
    error = RuntimeError("Query interrupted")

    with pytest.raises(KeyboardInterrupt):
        press_and_fail(error)
    with pytest.raises(RuntimeError, match="Query interrupted"):
        fail(error)


def test_one_that_was_swallowed_is_heeded_later_and_until_all_is_over() -> None:
    with noticed():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with noticed(), pytest.raises(KeyboardInterrupt):
            heed()
        with pytest.raises(KeyboardInterrupt):
            heed()
    heed()


def test_one_that_another_handler_takes_is_heeded() -> None:
    """As of Dagster, which knows SIGTERM as well."""
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with noticed():
            signal.raise_signal(signal.SIGTERM)
            with pytest.raises(KeyboardInterrupt):
                heed()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_how_somebody_ends_the_process_stays() -> None:
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with pytest.raises(SystemExit, match="143"), noticed():
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_other_threads_there_is_nothing_to_notice() -> None:
    said: list[str] = []

    def work() -> None:
        with noticed():
            heed()
            said.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert said == ["done"]


def test_a_command_that_is_stopped_while_it_is_imported_says_so_in_a_line() -> None:
    program = """if True:
        import signal, sys
        from history_assets.program import program

        class Pressing:
            def find_spec(self, name, *_):
                if name == "history_assets.cli":
                    signal.raise_signal(signal.SIGINT)

        sys.meta_path.insert(0, Pressing())
        program()
    """

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (STOPPED_CODE, "", f"{STOPPED}\n")


def test_the_command_of_an_older_installation_is_this_one() -> None:
    command = [sys.executable, "-c", "import sys; from history_assets.cli import program; sys.exit(program())", "--version"]

    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"{__version__}\n"
