"""Syncs as the Fivetran Platform Connector logs them.

Belongs here: turning logged events into syncs per schema. Does not belong here: SQL (``warehouse/``), decisions (``quiet``).
"""

import collections
import datetime as dt
import functools
import json
import re
from collections.abc import Iterable, Iterator, Mapping
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
        self._connections = [(each, _names(each)) for each in of_connection.values()]

        self.last = max((event.at for each in of_connection.values() for event in each), default=None)
        """When (aware) the last event was."""

    def filling(self, schema: str) -> list[list[SyncEvent]]:
        """Return the events of each connection that fills a schema."""
        named = [each for each, names in self._connections if schema.lower() in names]
        return named or _by_prefix(schema, [each for each, _ in self._connections])


def syncs_of(schema: str, log: Log) -> list[Sync] | None:
    """Return the syncs of the connections that fill a schema, oldest first; nothing where the log knows of no such connection.

    A warehouse may write a schema's name in other case than Fivetran does.

    A connection fills the schemas that its writes name, the schema of its own name (``schema`` or ``schema.table``), and, where
    neither settles it, those that its name is the longest prefix of (database connectors: ``prefix_schema``).
    """
    filling = log.filling(schema)
    if not filling:
        return None
    return sorted((sync for each in filling for sync in _pair(each)), key=lambda sync: sync.started)


def written_between(schema: str, log: Log, since: dt.datetime, until: dt.datetime) -> frozenset[str] | None:
    """Return the tables of a schema, in lower case, that were written after an aware instant and up to another.

    Nothing where the log may not tell all: it has to begin before and go on after, and every sync between to have gone well.
    """
    filling = log.filling(schema)
    if not filling or not log.last or log.last < until or any(_unsure(each, since, until) for each in filling):
        return None
    between = [event for each in filling for event in each if since < event.at <= until]
    return frozenset(name for event in between for name in _tables_named(event))


def _unsure(events: list[SyncEvent], since: dt.datetime, until: dt.datetime) -> bool:
    syncs = list(_pair(events))
    between = [sync for sync in syncs if sync.started <= until and (sync.ended is None or sync.ended > since)]
    begins = any(sync.ended and sync.ended <= since for sync in syncs)
    # Of what no sync was ever said to write, this log does not tell.
    tells = any(event.event == "records_modified" for event in events)
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
        writes = [event for event in each if (_written(event) or "").lower() == schema.lower()]
        for sync in _pair(each):
            during = [event for event in writes if sync.started <= event.at <= (sync.ended or event.at)]
            yield each[0].connection, sync, sum(_count(event) for event in during)


def _names(events: list[SyncEvent]) -> frozenset[str]:
    named = {name for event in events for name in (event.name.split(".")[0], _written(event))}
    return frozenset(name.lower() for name in named if name)


def _by_prefix(schema: str, connections: list[list[SyncEvent]]) -> list[list[SyncEvent]]:
    fitting = [each for each in connections if schema.lower().startswith(each[0].name.lower() + "_")]
    longest = max((len(each[0].name) for each in fitting), default=0)
    return [each for each in fitting if len(each[0].name) == longest]


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
