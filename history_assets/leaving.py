"""The end of a process of this project's own, in which Dagster or dbt was loaded.

Python takes their objects apart one by one, for a second or more in which somebody waits for nothing: all that was to be closed
has been closed by then.
"""

import atexit
import os
import sys


class Leaving:
    """Ends the process at once when all else that is to be done at its end is done, and ``code`` says how it went.

    It is to be made before what registers something for the end, so as to come last.
    """

    def __init__(self) -> None:
        self.code: int | None = None
        atexit.register(self._leave)

    def _leave(self) -> None:
        if self.code is not None:
            for stream in (sys.stdout, sys.stderr):
                stream.flush()
            os._exit(self.code)
