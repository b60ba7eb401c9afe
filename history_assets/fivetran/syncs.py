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


def quiet_before(schema: str, syncs: Sequence[Sync], cutoff: dt.datetime) -> dt.datetime:
    """Return the quiet point of a schema that can be cloned as it was at any instant: the last that is none of a half sync.

    It is the cutoff itself, or, where a sync ran then or had failed before, the end of the last successful sync at which
    nothing ran and nothing had failed. Raises CloneError where there was no such instant.
    """
    ends = {sync.ended for sync in syncs if sync.succeeded and sync.ended and sync.ended < cutoff}
    for instant in (cutoff, *sorted(ends, reverse=True)):
        if not _broken(syncs, instant):
            return instant
    raise CloneError(
        f"cannot clone {schema} as it was at {cutoff:%Y-%m-%d %H:%M} UTC, because {_broken(syncs, cutoff)}, "
        "and there was no instant before at which every sync had succeeded: clone a later date"
    )


def _broken(syncs: Sequence[Sync], instant: dt.datetime) -> str | None:
    """Return what was half done, or done in vain, at an instant."""
    begun = sorted((sync for sync in syncs if sync.started < instant), key=lambda sync: sync.started)
    for sync in begun:
        if sync.ended is None or sync.ended > instant:
            return f"{_named(sync)} ran at that time"
    for last in {sync.connection: sync for sync in begun}.values():
        if not last.succeeded:
            return f"{_named(last)}, the last before, failed"
    return None


def _named(sync: Sync) -> str:
    return f"the sync of {sync.connection} from {sync.started:%Y-%m-%d %H:%M} UTC"


def _cannot(schema: str, cutoff: dt.datetime, reason: str) -> CloneError:
    return CloneError(
        f"cannot clone {schema} as it was at {cutoff:%Y-%m-%d %H:%M} UTC, because {reason}, "
        "and this engine cannot reach back in time: clone the next date"
    )
