"""Syncs, and what may be cloned beside them.

Belongs here: pure decisions over syncs. Does not belong here: reading them from anywhere.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence

from history_assets.errors import CloneError


@dataclasses.dataclass(frozen=True)
class Sync:
    """One sync of one connection; ``ended`` is empty while it runs, ``succeeded`` says how it ended; instants are aware UTC."""

    connection: str
    started: dt.datetime
    ended: dt.datetime | None
    succeeded: bool


def quiet_now(schema: str, syncs: Sequence[Sync], cutoff: dt.datetime) -> dt.datetime:
    """Return the quiet point of a schema that can only be cloned as it is now: its cutoff, if now still shows that instant.

    Raises CloneError saying why not: a sync ran at the cutoff, began after it, or had failed before it.
    """
    for sync in syncs:
        if sync.started >= cutoff:
            raise _cannot(schema, cutoff, f"{_named(sync)} has begun since")
        if sync.ended is None or sync.ended > cutoff:
            raise _cannot(schema, cutoff, f"{_named(sync)} ran at that time")
    for last in {sync.connection: sync for sync in sorted(syncs, key=lambda sync: sync.started)}.values():
        if not last.succeeded:
            raise _cannot(schema, cutoff, f"{_named(last)}, the last before, failed")
    return cutoff


def _named(sync: Sync) -> str:
    return f"the sync of {sync.connection} from {sync.started:%Y-%m-%d %H:%M} UTC"


def _cannot(schema: str, cutoff: dt.datetime, reason: str) -> CloneError:
    return CloneError(
        f"cannot clone {schema} as it was at {cutoff:%Y-%m-%d %H:%M} UTC, because {reason}, "
        "and this engine cannot reach back in time: clone the next date"
    )
