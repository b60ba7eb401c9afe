"""Who tells of a schema's syncs: Fivetran's API where it is configured, else the Platform Connector's log, else nobody.

Belongs here: the one interface through which runs ask, and how far back they have to. Does not belong here: requests (``api``),
the log's events (``log``), the decision itself (``quiet``).
"""

import dataclasses
import datetime as dt
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from history_assets.errors import FivetranError
from history_assets.fivetran.api import FivetranApi
from history_assets.fivetran.log import Log, syncs_of
from history_assets.fivetran.quiet import Cannot, NotSettled, instant_of, quiet_point, untold
from history_assets.fivetran.syncs import Connection, Sync, SyncStatus, filling
from history_assets.warehouse.base import Warehouse

LONGEST_REACH = dt.timedelta(days=90)
"""How far back any engine can clone; a sync that was earlier is of no account."""

_LOOKS = (dt.timedelta(days=6), dt.timedelta(days=27), LONGEST_REACH)
"""How far before a cutoff to look, further each time that this does not decide it; the first, on the day, is one request."""


@dataclasses.dataclass(frozen=True)
class Known:
    """Syncs of a schema: all that there were around any instant from ``certain`` to ``until`` (aware)."""

    syncs: tuple[Sync, ...]
    certain: dt.datetime
    until: dt.datetime


class SyncSource(Protocol):
    """Somebody who tells of syncs; raises HistoryError when that is not to be had."""

    def known(self, schema: str, since: dt.datetime, now: dt.datetime) -> Known | None:
        """Return what is known of a schema's syncs since an instant, or of more; nothing where no connection fills it."""


class LogSource:
    """The Platform Connector's log in the raw database; reading it may wake a warehouse, so only runs do."""

    def __init__(self, warehouse: Warehouse, floor: dt.datetime) -> None:
        self._warehouse = warehouse
        self._floor = floor
        self._lock = threading.Lock()
        self._read: tuple[str, Log] | None = None

    def known(self, schema: str, since: dt.datetime, now: dt.datetime) -> Known | None:  # noqa: ARG002 - it is read whole
        """See ``SyncSource``."""
        log = self._newest()
        syncs = syncs_of(schema, log)
        return None if syncs is None or log.last is None else Known(tuple(syncs), self._floor, log.last)

    def _newest(self) -> Log:
        # However many schemas there are, it is read once; again only if it went on, for what is cloned may be now.
        with self._lock:
            mark = self._warehouse.log_mark()
            if self._read is None or self._read[0] != mark:
                self._read = mark, Log(self._warehouse.sync_events(self._floor))
            return self._read[1]


class ApiSource:
    """Fivetran's API: the connections once, the history of a connection whenever a quiet point of its schemas is decided."""

    def __init__(self, api: FivetranApi) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._listed: tuple[dt.datetime, list[Connection]] | None = None
        self._refused: FivetranError | None = None

    def known(self, schema: str, since: dt.datetime, now: dt.datetime) -> Known | None:
        """See ``SyncSource``."""
        listed, connections = self._list(now)
        found = filling(schema, connections)
        if not found:
            return None
        each = [self._known(_named(connection, found), since, now, listed) for connection in found]
        syncs = sorted((sync for known in each for sync in known.syncs), key=lambda sync: sync.started)
        return Known(tuple(syncs), max(known.certain for known in each), now)

    def _list(self, now: dt.datetime) -> tuple[dt.datetime, list[Connection]]:
        with self._lock:
            if self._refused:  # it was asked more than once already: no schema of this run waits for it again
                raise self._refused
            if self._listed is None:
                try:
                    self._listed = now, self._api.connections()
                except FivetranError as error:
                    self._refused = error
                    raise
            return self._listed

    def _known(self, connection: Connection, since: dt.datetime, now: dt.datetime, listed: dt.datetime) -> Known:
        syncs = self._api.sync_history(connection, since, now)
        return known_of(connection, syncs, since, now, listed)


def known_of(
    connection: Connection, history: Sequence[Sync], since: dt.datetime, now: dt.datetime, listed: dt.datetime
) -> Known:
    """Return what a connection, as it was ``listed`` at an instant, and its syncs that began ``since`` say together.

    A connection runs one sync at a time, so the last that began before an instant says how things stood then. Where none is
    seen, an earlier one may have run: that is not certain, unless the list shows that the last of all ended before.
    """
    syncs = list(_one_at_a_time(history))
    last = connection.last_ended
    quiet_since = last is None or last <= since
    if connection.in_flight and not any(sync.ended is None for sync in syncs):
        syncs = list(_with_running(connection, syncs, since, listed))
    elif last and quiet_since and connection.failed_at == last:
        # When it began is of no account: nothing before ``since`` is certain.
        syncs.insert(0, Sync(connection.schema, last, last, SyncStatus.FAILURE))
    if (connection.created_at and connection.created_at >= since) or (quiet_since and not connection.in_flight):
        return Known(tuple(syncs), since, now)
    first = min((sync.started for sync in history), default=None)
    return Known(tuple(syncs), first + dt.timedelta(microseconds=1) if first else now, now)


def _one_at_a_time(history: Sequence[Sync]) -> Iterator[Sync]:
    for sync, following in itertools.zip_longest(history, history[1:]):
        if sync.ended is None and following:  # its end was never told; the next shows that it is over
            yield dataclasses.replace(sync, ended=following.started, status=SyncStatus.INCOMPLETE)
        else:
            yield sync


def _with_running(connection: Connection, syncs: Sequence[Sync], since: dt.datetime, listed: dt.datetime) -> Iterator[Sync]:
    """Add the sync that the list says is under way and the history does not show, as if it had begun as early as can be."""
    yield from syncs[:-1]
    last = syncs[-1] if syncs else None
    if last is None:
        yield Sync(connection.schema, connection.last_ended or since, None, None)
    elif last.ended and last.ended >= listed:  # it was this one
        yield last
    elif last.succeeded:
        yield last
        yield Sync(connection.schema, last.ended or last.started, None, None)
    else:  # the parts of a historical sync
        yield dataclasses.replace(last, ended=None, status=None)


def _named(connection: Connection, others: Sequence[Connection]) -> Connection:
    """Return a connection under a name that is its own among others: two destinations may both have the same."""
    if sum(other.schema == connection.schema for other in others) == 1:
        return connection
    return dataclasses.replace(connection, schema=f"{connection.schema} ({connection.id})")


def open_source(warehouse: Warehouse, earliest: dt.datetime) -> SyncSource:
    """Return who tells of syncs for cutoffs from ``earliest`` (aware) on; opens no connection."""
    if warehouse.settings.fivetran:
        return ApiSource(FivetranApi(warehouse.settings.fivetran))
    return LogSource(warehouse, earliest - LONGEST_REACH)


class QuietPoints:
    """The quiet points of one run; ``now`` is asked for each anew, for an engine that can only clone what is now."""

    def __init__(self, warehouse: Warehouse, source: SyncSource, now: Callable[[], dt.datetime]) -> None:
        self.warehouse = warehouse
        self._source = source
        self._now = now

    def of(self, schema: str, date: dt.date) -> dt.datetime | None:
        """Return the instant to clone, nothing where nobody knows of the schema; raises HistoryError where there is none."""
        now, cutoff = self._now(), self.warehouse.settings.cutoffs().at(date)
        for look in _LOOKS:
            known = self._source.known(schema, cutoff - look, now)
            if known is None:
                return None
            if self.warehouse.reaches_back and known.until < cutoff:
                return instant_of(schema, cutoff, untold(known.until, cutoff, now))
            certain = cutoff - look if look == LONGEST_REACH else known.certain
            verdict = self._decide(known.syncs, cutoff, now, max(certain, cutoff - LONGEST_REACH))
            final = not isinstance(verdict, Cannot) or not self.warehouse.reaches_back
            if look == LONGEST_REACH or (certain <= cutoff and final):
                break
        return instant_of(schema, cutoff, verdict)

    def _decide(
        self, syncs: Sequence[Sync], cutoff: dt.datetime, now: dt.datetime, certain: dt.datetime
    ) -> dt.datetime | NotSettled | Cannot:
        return quiet_point(syncs, cutoff, now, certain if self.warehouse.reaches_back else None)
