"""Being told to stop, by Ctrl-C or SIGTERM, whatever becomes of that where it comes.

Belongs here: noticing it. Does not belong here: what is said of it (``cli``), or cleaning up, which everything does itself.

What Python raises for it is lost in places: Dagster has handlers of its own while it runs, and takes it for a step that failed;
DuckDB makes an error of its query of it; extension modules that try to import others take these for missing. Python also
writes each signal down, for whoever asks.
"""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator

STOPPED = "stopped: what was done is kept, nothing is half-done; run it again to go on"
STOPPED_CODE = 128 + signal.SIGINT
"""What a command says and gives as its exit code, once it is."""

_TOLD = {signal.SIGINT, signal.SIGTERM}


_notes: list[socket.socket] = []
"""Where the signals of this process can be read, while somebody wants to notice them."""


@contextlib.contextmanager
def noticed() -> Iterator[None]:
    """Notice being told to stop, for ``heed``; what is raised in here because of it becomes KeyboardInterrupt."""
    # Python hears signals in its main thread alone.
    first = not _notes and threading.current_thread() is threading.main_thread()
    with _noting() if first else contextlib.nullcontext():
        try:
            yield
        except SystemExit:  # somebody has decided how this ends
            raise
        except BaseException as error:
            if _told() and not isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise


def heed() -> None:
    """Raise KeyboardInterrupt if being told to stop was noticed, whatever came of it."""
    if _told():
        raise KeyboardInterrupt


@contextlib.contextmanager
def _noting() -> Iterator[None]:
    reading, writing = socket.socketpair()
    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        _notes.append(reading)
        try:
            yield
        finally:
            _notes.remove(reading)
            signal.set_wakeup_fd(before)


def _told() -> bool:
    for notes in _notes:
        with contextlib.suppress(BlockingIOError):  # none has come
            return not _TOLD.isdisjoint(notes.recv(4096, socket.MSG_PEEK))
    return False
