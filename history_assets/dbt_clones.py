"""Clones that DuckDB has attached, while dbt folds many.

Belongs here: when one is let go of. Does not belong here: when it is attached (``dbt_project/macros/engines``).

Of an attached file DuckDB holds the list of its tables and what it has read of them: megabytes for a hundred small tables, and
as dbt takes the tables of one schema after those of another, few clones are needed at one time.
"""

import collections
import threading
from collections.abc import Callable, Iterable
from typing import Any


class Clones:
    """Told of each table that ends, in whichever thread, and detaches a schema's clone when none of its tables is left."""

    def __init__(self, detach: Callable[[str], Any]) -> None:
        self._detach = detach
        self._turn = threading.Lock()
        self._left = collections.Counter[str]()

    def expect(self, schemas: Iterable[str]) -> None:
        """Begin a night, given the schema of each of its tables."""
        self._left = collections.Counter(schemas)

    def ended(self, schema: str) -> None:
        """Have a table counted, however it ended."""
        with self._turn:
            self._left[schema] -= 1
            if self._left[schema]:
                return
        self._detach(schema)
