"""Being told to stop, by Ctrl-C or SIGTERM, whatever else has a hand in signals.

Belongs here: noticing it. Does not belong here: what is said of it (``cli``), or cleaning up, which everything does itself.

Dagster puts handlers of its own in the place of Python's while it runs, and takes what they raise for the failure of a step;
DuckDB makes of it an error of its query. Python writes down each signal for whoever asks, all the same.
"""

import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator

_TOLD = {signal.SIGINT, signal.SIGTERM}


@contextlib.contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Notice being told to stop; gives a call that says whether that was so.

    What is raised in here after that, being what it led to, becomes KeyboardInterrupt.
    """
    if threading.current_thread() is not threading.main_thread():  # Python tells the main thread alone
        yield lambda: False
        return
    reading, writing = socket.socketpair()
    seen = bytearray()

    def told() -> bool:
        with contextlib.suppress(BlockingIOError):
            seen.extend(reading.recv(4096))
        return not _TOLD.isdisjoint(seen)

    with reading, writing:
        reading.setblocking(False)
        writing.setblocking(False)
        before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
        try:
            yield told
        except SystemExit:  # somebody has decided how this ends
            raise
        except BaseException as error:
            if told() and not isinstance(error, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
        finally:
            signal.set_wakeup_fd(before)
