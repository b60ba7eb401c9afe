"""Which syncs have ended since somebody last looked, each once; who tells of them may be Fivetran's API or its log.

Belongs here: what is remembered between two looks, and what is new. Does not belong here: telling Dagster (``syncing``).
"""

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from history_assets.errors import FivetranError
from history_assets.fivetran.log import Log, logged_of
from history_assets.fivetran.syncs import Connection, Sync, SyncStatus, filling
from history_assets.warehouse.values import SyncEvent

OFTEN = dt.timedelta(minutes=1)
"""Between two looks no further apart than this, a connection is taken to end one sync: none is scheduled more often."""

_HISTORIES = 25
"""Sync histories that one look reads; the connections that are left have their turn at the next."""

_AT_ONCE = 5


@dataclasses.dataclass(frozen=True)
class Completion:
    """A sync that ended: of which connection, what schemas it fills, and, as far as its teller knows, how long and how much."""

    connection: str
    schemas: tuple[str, ...]
    ended: dt.datetime
    status: SyncStatus
    started: dt.datetime | None = None
    rows: int | None = None


@dataclasses.dataclass(frozen=True)
class Seen:
    """What was known of a connection when it was last looked at: when its last reported sync ended; instants are aware."""

    ended: dt.datetime | None
    looked: dt.datetime


Memory = Mapping[str, Seen]
"""What is remembered of each connection, by its id."""


def remember(memory: Memory) -> str:
    """Return a memory as text."""
    return json.dumps({name: [seen.ended and seen.ended.isoformat(), seen.looked.isoformat()] for name, seen in memory.items()})


def recall(text: str | None) -> dict[str, Seen]:
    """Return the memory that ``remember`` wrote."""
    return {
        name: Seen(ended and _instant(ended), _instant(looked)) for name, (ended, looked) in json.loads(text or "{}").items()
    }


def listed(
    connections: Sequence[Connection],
    schemas: Collection[str],
    memory: Memory,
    now: dt.datetime,
    history: Callable[[Connection, dt.datetime, dt.datetime], Sequence[Sync]],
    warn: Callable[[str], None],
) -> tuple[list[Completion], dict[str, Seen]]:
    """Return the syncs that a list of connections shows to have ended since, oldest first, and what to remember.

    The list tells of a connection's last success and last failure only. Where more may have ended since the last look, the
    connection's ``history`` is read. Of one that cannot be read now, and of one that fills none of the ``schemas`` yet, nothing
    is reported, so that a later look does.
    """
    owners: dict[str, list[str]] = {}
    for schema in schemas:
        for connection in filling(schema, connections):
            owners.setdefault(connection.id, []).append(schema)
    changed = [each for each in connections if each.id in owners and _newer(each.last_ended, memory.get(each.id))]
    gaps = [each for each in changed if each.id in memory and now - memory[each.id].looked > OFTEN]
    gap = {each.id for each in gaps}
    # Whoever was looked at longest ago comes first, so that one which fails holds up no other for long.
    asked = sorted(gaps, key=lambda each: memory[each.id].looked)[:_HISTORIES]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda each: _missed(each, memory, now, history), asked)
        read = {each.id: syncs for each, syncs in zip(asked, found, strict=True)}
    completions: list[Completion] = []
    after = {each.id: memory[each.id] for each in connections if each.id in memory}
    for each in connections:
        if each.id not in owners:
            continue
        if each.id in gap:
            syncs = read.get(each.id)
            if isinstance(syncs, FivetranError):
                warn(f"found no sync history of {each.schema}: its syncs are reported when there is one ({syncs})")
                # Remembered as looked at a moment before, so that its gap stays one and others have their turn.
                after[each.id] = Seen(memory[each.id].ended, now - 2 * OFTEN)
            if not isinstance(syncs, list):
                continue
        else:
            syncs = list(_last(each)) if each in changed else []
        new = [_completion(each, owners[each.id], sync) for sync in syncs if _newer(sync.ended, memory.get(each.id))]
        completions += new
        # Not by the list, whose last a history may lack for a while yet.
        before = memory[each.id].ended if each.id in memory else None
        after[each.id] = Seen(max((at for at in (before, *(one.ended for one in new)) if at), default=None), now)
    return sorted(completions, key=lambda each: each.ended), after


def logged(
    events: Iterable[SyncEvent], schemas: Collection[str], memory: Memory, now: dt.datetime
) -> tuple[list[Completion], dict[str, Seen]]:
    """Return the syncs that the Platform Connector has logged to have ended since, oldest first, and what to remember.

    A first look tells of each connection's last alone, however long the log.
    """
    found: dict[tuple[str, dt.datetime], Completion] = {}
    log = Log(events)
    for schema in schemas:
        for name, sync, rows in logged_of(schema, log):
            if sync.ended and sync.status and _newer(sync.ended, memory.get(name)):
                before = found.get((name, sync.ended))
                filled = (*(before.schemas if before else ()), schema)
                total = rows if before is None or before.rows is None else before.rows + (rows or 0)
                found[name, sync.ended] = Completion(name, filled, sync.ended, sync.status, sync.started, total)
    last: dict[str, dt.datetime] = {}
    for name, ended in found:
        last[name] = max(ended, last.get(name, ended))
    new = found.values() if memory else [found[each] for each in last.items()]
    completions = sorted(new, key=lambda each: each.ended)
    return completions, {**memory, **{name: Seen(ended, now) for name, ended in last.items()}}


def settled(connections: Collection[Connection], schema: str, cutoff: dt.datetime) -> bool:
    """Say whether, as a list shows, no sync that began before a cutoff still runs in a schema, and there was one before it.

    A connection runs one sync at a time: once one has ended after the cutoff, all that began before are over.
    """
    found = filling(schema, connections)
    over = all(not each.in_flight or (each.last_ended is not None and each.last_ended >= cutoff) for each in found)
    begun = (each.succeeded_at and (each.created_at is None or each.created_at < cutoff) for each in found)
    return over and (not found or any(begun))


def _missed(
    connection: Connection,
    memory: Memory,
    now: dt.datetime,
    history: Callable[[Connection, dt.datetime, dt.datetime], Sequence[Sync]],
) -> list[Sync] | FivetranError:
    # The first of them may have begun long before the last that was reported had been looked at.
    since = memory[connection.id].ended or connection.created_at or memory[connection.id].looked
    try:
        return [sync for sync in history(connection, since, now) if sync.ended]
    except FivetranError as error:
        return error


def _last(connection: Connection) -> Iterable[Sync]:
    for ended, status in ((connection.succeeded_at, SyncStatus.SUCCESSFUL), (connection.failed_at, SyncStatus.FAILURE)):
        if ended:
            yield Sync(connection.schema, ended, ended, status)


def _completion(connection: Connection, schemas: Sequence[str], sync: Sync) -> Completion:
    ended = sync.ended or sync.started
    started = None if sync.started == ended else sync.started
    return Completion(connection.id, tuple(schemas), ended, sync.status or SyncStatus.INCOMPLETE, started)


def _newer(ended: dt.datetime | None, seen: Seen | None) -> bool:
    return ended is not None and (seen is None or seen.ended is None or ended > seen.ended)


def _instant(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)
