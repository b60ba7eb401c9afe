"""Syncs as the Fivetran Platform Connector logs them.

Belongs here: turning logged events into syncs per schema. Does not belong here: SQL (``warehouse/``), decisions (``quiet``).
"""

import bisect
import collections
import dataclasses
import datetime as dt
import functools
import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from history_assets.fivetran.syncs import Sync, SyncStatus
from history_assets.warehouse.values import SyncEvent

_COUNT = re.compile(r"\d{1,18}")
"""Rows that 64 bits can count."""


class Log:
    """Events of a log by connection, each with the schemas that it names; made once where many schemas are asked about."""

    def __init__(self, events: Iterable[SyncEvent]) -> None:
        of_connection = collections.defaultdict[str, list[SyncEvent]](list)
        for event in events:
            of_connection[event.connection].append(event)
        self._connections = [_Logged(each) for each in of_connection.values()]

        self.last = max((event.at for each in of_connection.values() for event in each), default=None)
        """When (aware) the last event was."""

    def filling(self, schema: str) -> "list[_Logged]":
        """Return each connection that fills a schema."""
        named = [each for each in self._connections if schema.lower() in each.names]
        return named or _by_prefix(schema, self._connections)


class _Logged:
    """The events of a connection, and what they come to: worked out once, however many schemas it fills."""

    def __init__(self, events: list[SyncEvent]) -> None:
        self.events = events
        self.id, self.name = events[0].connection, events[0].name
        named = {name for event in events for name in (event.name.split(".")[0], _written(event))}
        self.names = frozenset(name.lower() for name in named if name)

    @functools.cached_property
    def syncs(self) -> list[Sync]:
        """Its syncs, oldest first."""
        return list(_pair(self.events))

    @functools.cached_property
    def writes(self) -> "Mapping[str, _Writes]":
        """What it wrote, by schema in lower case."""
        found = collections.defaultdict[str, list[tuple[dt.datetime, int]]](list)
        for event in self.events:
            if schema := _written(event):
                found[schema.lower()].append((event.at, _count(event)))
        return {schema: _Writes.of(sorted(writes)) for schema, writes in found.items()}


@dataclasses.dataclass(frozen=True)
class _Writes:
    """When rows were written, in order, and how many had been before each of these instants and after the last."""

    instants: Sequence[dt.datetime]
    before: Sequence[int]

    @classmethod
    def of(cls, writes: Sequence[tuple[dt.datetime, int]]) -> "_Writes":
        """Return writes that are in order, each the instant and its rows."""
        return cls([at for at, _ in writes], list(itertools.accumulate((rows for _, rows in writes), initial=0)))

    def during(self, sync: Sync) -> int:
        """Return how many rows were written in a sync's time."""
        end = bisect.bisect_right(self.instants, sync.ended) if sync.ended else len(self.instants)
        return self.before[end] - self.before[bisect.bisect_left(self.instants, sync.started)]


def syncs_of(schema: str, log: Log) -> list[Sync] | None:
    """Return the syncs of the connections that fill a schema, oldest first; nothing where the log knows of no such connection.

    A warehouse may write a schema's name in other case than Fivetran does.

    A connection fills the schemas that its writes name, the schema of its own name (``schema`` or ``schema.table``), and, where
    neither settles it, those that its name is the longest prefix of (database connectors: ``prefix_schema``).
    """
    filling = log.filling(schema)
    if not filling:
        return None
    return sorted((sync for each in filling for sync in each.syncs), key=lambda sync: sync.started)


def written_between(schema: str, log: Log, since: dt.datetime, until: dt.datetime) -> frozenset[str] | None:
    """Return the tables of a schema, in lower case, that were written after an aware instant and up to another.

    Nothing where the log may not tell all: it has to begin before and go on after, and every sync between to have gone well.
    """
    filling = log.filling(schema)
    if not filling or not log.last or log.last < until or any(_unsure(each, since, until) for each in filling):
        return None
    between = [event for each in filling for event in each.events if since < event.at <= until]
    return frozenset(name for event in between for name in _tables_named(event))


def _unsure(logged: _Logged, since: dt.datetime, until: dt.datetime) -> bool:
    between = [sync for sync in logged.syncs if sync.started <= until and (sync.ended is None or sync.ended > since)]
    begins = any(sync.ended and sync.ended <= since for sync in logged.syncs)
    # Of what no sync was ever said to write, this log does not tell.
    tells = any(event.event == "records_modified" for event in logged.events)
    return not begins or not tells or not all(sync.succeeded and sync.ended and sync.ended <= until for sync in between)


def _tables_named(event: SyncEvent) -> Iterator[str]:
    if event.event == "records_modified" or "table" in event.event:
        for field in ("table", "name"):
            if name := _field(event, field):
                # Some events name a table together with its schema.
                yield from {name.lower(), name.lower().rpartition(".")[2]}


def logged_of(schema: str, log: Log) -> Iterator[tuple[str, Sync, int]]:
    """Yield the syncs of a schema, each with the id of its connection and the rows that it wrote into that schema."""
    for each in log.filling(schema):
        writes = each.writes.get(schema.lower())
        for sync in each.syncs:
            yield each.id, sync, writes.during(sync) if writes else 0


def _by_prefix(schema: str, connections: list[_Logged]) -> list[_Logged]:
    fitting = [each for each in connections if schema.lower().startswith(each.name.lower() + "_")]
    longest = max((len(each.name) for each in fitting), default=0)
    return [each for each in fitting if len(each.name) == longest]


def _written(event: SyncEvent) -> str | None:
    return _field(event, "schema") if event.event == "records_modified" else None


def _field(event: SyncEvent, name: str) -> str | None:
    value = _data(event.data).get(name)
    return value if isinstance(value, str) else None


def _count(event: SyncEvent) -> int:
    text = str(_data(event.data).get("count"))
    return int(text) if _COUNT.fullmatch(text) else 0


def _status(event: SyncEvent) -> SyncStatus:
    # Older logs end a sync without a status.
    status = _data(event.data).get("status")
    return SyncStatus.SUCCESSFUL if status is None else SyncStatus.named(status if isinstance(status, str) else None)


@functools.lru_cache(maxsize=100_000)  # every schema looks at every event
def _data(text: str | None) -> Mapping[str, Any]:
    try:
        data = json.loads(text or "{}")
        if isinstance(data, str):  # some destinations hold the text of a JSON text
            data = json.loads(data)
    except (ValueError, RecursionError):  # message_data is free text for some events
        return {}
    return data if isinstance(data, dict) else {}


def _pair(events: list[SyncEvent]) -> Iterable[Sync]:
    running: SyncEvent | None = None
    # A connection that was set up again is listed twice, and each of its events with it.
    once = {(event.at, event.event, event.sync): event for event in events}
    for event in sorted(once.values(), key=lambda event: event.at):
        if event.event == "sync_start":
            if running:  # its end was never logged; the next sync shows that it is over, not that it went well
                yield Sync(running.name, running.at, event.at, SyncStatus.INCOMPLETE)
            running = event
        elif event.event == "sync_end" and running:
            yield Sync(running.name, running.at, event.at, _status(event))
            running = None
    if running:
        yield Sync(running.name, running.at, None, None)
