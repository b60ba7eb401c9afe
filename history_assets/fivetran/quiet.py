"""The quiet point: which instant of a schema may be cloned for a cutoff.

Belongs here: one pure decision over syncs, and what to say where there is no such instant. Does not belong here: where syncs
are read (``sources``), or cloning. Instants are aware UTC.
"""

import dataclasses
import datetime as dt
from collections.abc import Sequence

from history_assets.errors import CloneError, NothingYetError, NotSettledError
from history_assets.fivetran.syncs import Sync

_LOG_LATE = dt.timedelta(hours=36)
"""How long after a cutoff to wait for the log that tells of it; by default it is loaded once a day."""


@dataclasses.dataclass(frozen=True)
class NotSettled:
    """It is too early to say: ``because`` something still goes on. Asked again later, there is an answer."""

    because: str


@dataclasses.dataclass(frozen=True)
class Cannot:
    """There is no instant to clone, and there will be none: ``because`` …, ``do`` what instead.

    ``begun`` says whether anything had been synced to its end by then; where it had not, nothing is wrong.
    """

    because: str
    do: str
    begun: bool = True


def quiet_point(
    syncs: Sequence[Sync], cutoff: dt.datetime, now: dt.datetime, reach: dt.datetime | None
) -> dt.datetime | NotSettled | Cannot:
    """Return the instant of a schema to clone for a cutoff: never after it, and never one of half a sync.

    It is the cutoff itself, or, where a sync ran or began then or had failed before, the end of the last successful sync at
    which nothing ran or began and nothing had failed. ``syncs`` are all of the schema's that may matter; ``reach`` is the
    earliest instant that can be cloned, nothing where a schema can only be cloned as it is now: then it must still be as it was
    at the cutoff.
    """
    if now < cutoff:
        return NotSettled("that instant has not come yet")
    if reach is None:
        broken = _begun_since(syncs, cutoff) or _broken(syncs, cutoff)
        return Cannot(f"{broken}, and this engine cannot reach back in time", "clone the next date") if broken else cutoff
    if cutoff < reach:
        return Cannot(f"that is before {_at(reach)}, the earliest instant within reach", "clone a later date")
    ends = {sync.ended for sync in syncs if sync.succeeded and sync.ended and sync.ended < cutoff}
    quiet = next((at for at in (cutoff, *sorted(ends, reverse=True)) if not _broken(syncs, at)), None)
    if quiet is None:
        why = f"{_broken(syncs, cutoff)}, and there was no instant before at which every sync had succeeded"
        first = any(sync.succeeded or sync.ended is None for sync in syncs)
        return Cannot(why, "clone a later date", begun=bool(ends) or not first)
    if quiet < reach:
        why = f"{_broken(syncs, cutoff)}, and the last whole state before, of {_at(quiet)}, is out of reach since {_at(reach)}"
        return Cannot(why, "clone a later date")
    running = [sync for sync in syncs if sync.ended is None and sync.started <= cutoff]
    return NotSettled(f"{_named(running[0])} still runs") if running else quiet


def untold(until: dt.datetime, cutoff: dt.datetime, now: dt.datetime) -> NotSettled | Cannot:
    """Return what is to be said for a cutoff after the instant at which the log of syncs ends."""
    because = f"Fivetran's log, which ends at {_at(until)}, does not tell what ran then"
    if now < cutoff + _LOG_LATE:
        return NotSettled(because)
    return Cannot(because, "see that its Platform Connector syncs, or set FIVETRAN_API_KEY and clone the date again")


def instant_of(schema: str, cutoff: dt.datetime, verdict: dt.datetime | NotSettled | Cannot) -> dt.datetime:
    """Return the instant that was decided on; raises NotSettledError or CloneError for what else was."""
    said = f"cannot clone {schema} as it was at {_at(cutoff)}"
    match verdict:
        case NotSettled(because):
            raise NotSettledError(f"{said} yet, because {because}: clone it when that is over")
        case Cannot(because, do, begun):
            kind = CloneError if begun else NothingYetError
            raise kind(f"{said}, because {because}: {do}")
        case instant:
            return instant


def _begun_since(syncs: Sequence[Sync], cutoff: dt.datetime) -> str | None:
    return next((f"{_named(sync)} has begun since" for sync in syncs if sync.started >= cutoff), None)


def _broken(syncs: Sequence[Sync], instant: dt.datetime) -> str | None:
    """Return what was half done, or done in vain, at an instant."""
    # One that starts at that very instant may write at it, and a clone of it holds what is written at it.
    begun = sorted((sync for sync in syncs if sync.started <= instant), key=lambda sync: sync.started)
    for sync in begun:
        if sync.ended is None or sync.ended > instant:
            return f"{_named(sync)} ran at that time"
    for last in {sync.connection: sync for sync in begun}.values():
        if not last.succeeded:
            return f"{_named(last)}, the last before, failed"
    return None


def _named(sync: Sync) -> str:
    return f"the sync of {sync.connection} from {_at(sync.started)}"


def _at(instant: dt.datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"
