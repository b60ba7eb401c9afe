"""Connections that have fallen silent: no sync of theirs has ended for much longer than is usual for them. Pure.

Belongs here: what is usual, and what is too long. Does not belong here: telling somebody (``watching``).
"""

import collections
import dataclasses
import datetime as dt
import itertools
import statistics
from collections.abc import Collection, Iterable, Iterator

from history_assets.fivetran.log import Log, logged_of
from history_assets.fivetran.syncs import Connection
from history_assets.warehouse.values import SyncEvent

_HABITS = 3
"""How many times its usual pause a connection may be silent for, and an hour."""

_SEEN = 10
"""Syncs of which the usual pause is taken, where Fivetran does not say how often a connection is to sync."""

LOOKED_BACK = dt.timedelta(days=31)
"""How much of a log says who is silent: ten syncs of a connection that syncs daily, the rarest schedule that Fivetran has, and
three weeks in which its silence is told."""


@dataclasses.dataclass(frozen=True)
class Silence:
    """A connection, or a schema where only its log is known, that has fallen silent, and what says so."""

    name: str
    reason: str


def silent(connections: Iterable[Connection], now: dt.datetime) -> Iterator[Silence]:
    """Yield the connections that should have ended a sync long ago; those that are paused or not set up yet are none."""
    for each in connections:
        last = each.last_ended or each.created_at
        if each.paused or each.setup_state != "connected" or each.in_flight or not each.sync_frequency or not last:
            continue
        usual = dt.timedelta(minutes=each.sync_frequency)
        if now - last > _patience(usual):
            yield _silence(each.schema, last, usual)


def silent_by_log(events: Collection[SyncEvent], schemas: Iterable[str], now: dt.datetime) -> Iterator[Silence]:
    """Yield the schemas whose syncs, as the log has them, have long ceased to end as often as they did."""
    ended = collections.defaultdict[str, set[dt.datetime]](set)
    log = Log(events)
    for schema in schemas:
        ended[schema] |= {sync.ended for _, sync, _ in logged_of(schema, log) if sync.ended}
    for schema, instants in sorted(ended.items()):
        last = sorted(instants)[-_SEEN:]
        pauses = [(later - earlier).total_seconds() for earlier, later in itertools.pairwise(last)]
        usual = dt.timedelta(seconds=statistics.median(pauses)) if pauses else None
        if usual and now - last[-1] > _patience(usual):
            yield _silence(schema, last[-1], usual)


def _patience(usual: dt.timedelta) -> dt.timedelta:
    return _HABITS * usual + dt.timedelta(hours=1)


def _silence(name: str, last: dt.datetime, usual: dt.timedelta) -> Silence:
    hours = usual.total_seconds() / 3600
    reason = f"no sync of {name} has ended since {last:%Y-%m-%d %H:%M} UTC, expected one about every {hours:.3g} hours"
    return Silence(name, reason)
