"""How far long work is, as whoever does it tells whoever watches.

Belongs here: what is told. Does not belong here: how it is shown (``terminal``).
"""

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

Watch = Callable[[str, int, int | None], Any]
"""Is told what is being done, how much of it is done, and of how much; nothing for the last where nobody knows."""


def unwatched(_what: str, _done: int, _total: int | None) -> None:
    """Watch nothing."""


Watching = Callable[[], AbstractContextManager[Watch]]
"""Gives who watches a piece of work, between which there is something to say."""


def unattended() -> AbstractContextManager[Watch]:
    """Give who watches nothing."""
    return contextlib.nullcontext(unwatched)
