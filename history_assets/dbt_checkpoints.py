"""Checkpoints of DuckDB's between tables, while dbt folds many.

Belongs here: when dbt's threads wait for one. Does not belong here: what they fold (``dbt_run``).

Until a checkpoint has written a table down, each of its columns that rows were added to keeps a block in memory, and each that
rows were ended in a vector: megabytes for a single row. DuckDB makes a checkpoint by itself only once its log has 16 MB and
nobody else changes anything, to which thousands of small tables do not come.
"""

import threading
from collections.abc import Callable
from typing import Any

PER_COLUMN = 110_000
"""Bytes that a column of a table that was folded keeps until the next checkpoint, measured; three times as many in a history of
blocks as DuckDB has them by itself, as this project's once were."""

AT_MOST = 512_000_000
"""Bytes to keep in all, however many there are."""

LEAST = 1_500
"""Columns that are worth a checkpoint, which also writes anew what is known of all tables there are; DuckDB gets by with 100 MB
for so many."""

PATIENCE = 10.0
"""Seconds that tables which could begin wait for those which have; then it is put off until as many columns more are folded."""


class Checkpoints:
    """Told of each table that begins and ends, in whichever thread, and makes a checkpoint when none is between the two.

    One is due once tables with so many columns, ``every``, have ended since the last.
    """

    def __init__(self, checkpoint: Callable[[], Any], every: int, patience: float = PATIENCE) -> None:
        self._checkpoint, self._every, self._patience = checkpoint, every, patience
        self._turn = threading.Condition()
        self._under_way = set[str]()
        self._columns = 0

    def began(self, table: str) -> None:
        """Go on with a table, after the checkpoint if one is due."""
        with self._turn:
            if not self._turn.wait_for(lambda: self._columns < self._every, self._patience):
                self._columns = 0
                self._turn.notify_all()
            self._under_way.add(table)

    def ended(self, table: str, columns: int) -> None:
        """Have a table counted, however it ended, and make the checkpoint if it is due and this was the last under way."""
        with self._turn:
            self._under_way.discard(table)
            self._columns += columns
            if self._columns < self._every or self._under_way:
                return
            try:
                self._checkpoint()
            finally:
                self._columns = 0
                self._turn.notify_all()


def due(limit: int | None) -> int:
    """Return after how many columns a checkpoint is due, where DuckDB may take so many bytes of memory: half of them."""
    kept = min(AT_MOST, limit // 2) if limit else AT_MOST
    return max(LEAST, kept // PER_COLUMN)
