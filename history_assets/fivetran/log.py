"""Syncs as the Fivetran Platform Connector logs them.

Belongs here: turning logged events into syncs per schema. Does not belong here: SQL (``warehouse/``), decisions (``quiet``).
"""

import collections
import json
from collections.abc import Iterable, Iterator

from history_assets.fivetran.syncs import Sync, SyncStatus
from history_assets.warehouse.base import SyncEvent


def syncs_of(schema: str, events: Iterable[SyncEvent]) -> list[Sync] | None:
    """Return the syncs of the connections that fill a schema, oldest first; nothing where the log knows of no such connection.

    A warehouse may write a schema's name in other case than Fivetran does.

    A connection fills the schemas that its writes name, the schema of its own name (``schema`` or ``schema.table``), and, where
    neither settles it, those that its name is the longest prefix of (database connectors: ``prefix_schema``).
    """
    filling = _filling(schema, events)
    if not filling:
        return None
    return sorted((sync for each in filling for sync in _pair(each)), key=lambda sync: sync.started)


def logged_of(schema: str, events: Iterable[SyncEvent]) -> Iterator[tuple[str, Sync, int]]:
    """Yield the syncs of a schema, each with the id of its connection and the rows that it wrote into that schema."""
    for each in _filling(schema, events):
        writes = [event for event in each if (_written(event) or "").lower() == schema.lower()]
        for sync in _pair(each):
            during = [event for event in writes if sync.started <= event.at <= (sync.ended or event.at)]
            yield each[0].connection, sync, sum(int(_field(event, "count") or 0) for event in during)


def _filling(schema: str, events: Iterable[SyncEvent]) -> list[list[SyncEvent]]:
    by_connection = collections.defaultdict[str, list[SyncEvent]](list)
    for event in events:
        by_connection[event.connection].append(event)
    named = [each for each in by_connection.values() if _names(schema, each)]
    return named or _by_prefix(schema, list(by_connection.values()))


def _names(schema: str, events: list[SyncEvent]) -> bool:
    named = {name for event in events for name in (event.name.split(".")[0], _written(event))}
    return schema.lower() in {name.lower() for name in named if name}


def _by_prefix(schema: str, connections: list[list[SyncEvent]]) -> list[list[SyncEvent]]:
    fitting = [each for each in connections if schema.lower().startswith(each[0].name.lower() + "_")]
    longest = max((len(each[0].name) for each in fitting), default=0)
    return [each for each in fitting if len(each[0].name) == longest]


def _written(event: SyncEvent) -> str | None:
    return _field(event, "schema") if event.event == "records_modified" else None


def _field(event: SyncEvent, name: str) -> str | None:
    try:
        data = json.loads(event.data or "{}")
        if isinstance(data, str):  # some destinations hold the text of a JSON text
            data = json.loads(data)
    except ValueError:  # message_data is free text for some events
        return None
    return data.get(name) if isinstance(data, dict) else None


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
            # Older logs end a sync without a status.
            status = _field(event, "status")
            yield Sync(running.name, running.at, event.at, SyncStatus.named(status) if status else SyncStatus.SUCCESSFUL)
            running = None
    if running:
        yield Sync(running.name, running.at, None, None)
