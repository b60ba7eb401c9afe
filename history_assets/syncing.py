"""The sync sensor: stands in for Fivetran saying that a sync is over, and has each schema cloned as it settles.

Belongs here: what Dagster is told of syncs. Does not belong here: which syncs are new (``fivetran.completions``), what a run
does, or nights that were missed (``healing``).
"""

import dataclasses
import datetime as dt
import functools
from collections.abc import Callable, Collection, Iterator, Sequence

import dagster as dg

from history_assets.errors import WarehouseError
from history_assets.fivetran.api import FivetranApi
from history_assets.fivetran.completions import Completion, Memory, listed, logged, recall, remember, settled
from history_assets.fivetran.silence import LOOKED_BACK, Silence, silent, silent_by_log
from history_assets.fivetran.sources import LONGEST_REACH
from history_assets.fivetran.syncs import SyncStatus
from history_assets.inventory import Inventory
from history_assets.jobs import CLONES_JOB
from history_assets.naming import fivetran_key
from history_assets.partitions import CLONE_DATES
from history_assets.run_requests import requests_for_newest
from history_assets.warehouse.base import Warehouse

_TOLD = 50
"""Events of a landing schema that are looked through before one is reported, in case it was reported and then forgotten."""

_LONGEST_SYNC = dt.timedelta(days=30)

Settled = Callable[[str, dt.datetime], bool]
"""Says of a schema whether no sync that began before a cutoff still runs."""

Event = dg.AssetMaterialization | dg.AssetObservation


@dataclasses.dataclass(frozen=True)
class Look:
    """What one look at Fivetran gave: syncs that ended, what to remember of it, and which schemas have settled for a cutoff."""

    completions: Sequence[Completion]
    memory: Memory
    settled: Settled


class ApiTeller:
    """Fivetran's API: one request for a usual account, whatever the number of its connections."""

    def __init__(self, api: FivetranApi) -> None:
        self._api = api

    def look(self, schemas: Collection[str], memory: Memory, now: dt.datetime, warn: Callable[[str], None]) -> Look:
        """Look once; raises FivetranError where the connections cannot be listed."""
        api = self._api.glance()
        connections = api.connections()
        completions, after = listed(connections, schemas, memory, now, api.sync_history, warn)
        return Look(completions, after, functools.partial(settled, connections))

    def settled(self) -> Settled:
        """Return which schemas have settled for a cutoff; raises FivetranError where the connections cannot be listed."""
        return functools.partial(settled, self._api.glance().connections())

    def silent(self, schemas: Collection[str], now: dt.datetime) -> Iterator[Silence]:  # noqa: ARG002 - Fivetran has its own list
        """Yield the connections that have fallen silent; raises FivetranError where the connections cannot be listed."""
        return silent(self._api.glance().connections(), now)


class LogTeller:
    """The Platform Connector's log, of an engine on which reading it costs nothing."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def look(self, schemas: Collection[str], memory: Memory, now: dt.datetime, warn: Callable[[str], None]) -> Look:  # noqa: ARG002 - it is one read
        """Look once; raises WarehouseError where the log is being written."""
        seen = [each.ended for each in memory.values() if each.ended]
        # A first sync, which may take long, has left nothing in memory that says when it began. A connection that is no more
        # stays in memory, and so does not count.
        since = max(seen) - _LONGEST_SYNC if seen else now - LONGEST_REACH
        events = self._warehouse.sync_events(since, wait=False)
        return Look(*logged(events, schemas, memory, now), self.settled())

    def settled(self) -> Settled:
        """Return that every schema has: what ran at the cutoff cannot be had here, however long one waits."""
        return lambda _schema, _cutoff: True

    def silent(self, schemas: Collection[str], now: dt.datetime) -> Iterator[Silence]:
        """Yield the schemas that have fallen silent; raises WarehouseError where the log is being written."""
        return silent_by_log(self._warehouse.sync_events(now - LOOKED_BACK, wait=False), schemas, now)


def open_teller(warehouse: Warehouse) -> ApiTeller | LogTeller | None:
    """Return who tells of syncs for free: Fivetran's API, the log where reading it wakes nothing, or nobody."""
    if warehouse.settings.fivetran:
        return ApiTeller(FivetranApi(warehouse.settings.fivetran))
    return None if warehouse.reaches_back else LogTeller(warehouse)


def events_of(completion: Completion) -> Iterator[Event]:
    """Return what Dagster is told of a sync: that the schemas which it filled have come, or that it failed at them."""
    kind = dg.AssetMaterialization if completion.status is SyncStatus.SUCCESSFUL else dg.AssetObservation
    metadata: dict[str, dg.MetadataValue] = {
        "connection": dg.MetadataValue.text(completion.connection),
        "status": dg.MetadataValue.text(completion.status.value),
        "ended": dg.MetadataValue.timestamp(completion.ended),
    }
    if completion.started:
        metadata["started"] = dg.MetadataValue.timestamp(completion.started)
        metadata["seconds"] = dg.MetadataValue.float((completion.ended - completion.started).total_seconds())
    if completion.rows is not None:
        metadata["rows"] = dg.MetadataValue.int(completion.rows)
    for schema in completion.schemas:
        yield kind(dg.AssetKey(fivetran_key(schema)), metadata=metadata)


def sync_sensor(inventory: Inventory, warehouse: Warehouse, now: Callable[[], dt.datetime]) -> list[dg.SensorDefinition]:
    """Return the sensor that reports each sync that ended and asks for the newest date's clones; none where nobody tells."""
    teller = open_teller(warehouse)
    if teller is None:
        return []
    schemas = [schema.name for schema in inventory.schemas]

    @dg.sensor(
        name="syncs",
        job_name=CLONES_JOB,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Report each sync of Fivetran's that ended, and clone the schemas as they settle after the cutoff.",
    )
    def syncs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        at = now()
        try:
            look = teller.look(schemas, recall(context.cursor), at, context.log.warning)
        except WarehouseError as error:
            if not error.passing:
                raise
            return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
        date = warehouse.settings.cutoffs().latest(at)
        requests = requests_for_newest(context.instance, inventory, warehouse, date, at, look.settled)
        events = [event for each in look.completions for event in events_of(each)]
        return dg.SensorResult(
            run_requests=requests,
            asset_events=[event for event in events if not _told(context.instance, event)],
            cursor=remember(look.memory),
            dynamic_partitions_requests=[CLONE_DATES.build_add_request([str(date)])] if requests else None,
        )

    return [syncs]


def _told(instance: dg.DagsterInstance, event: Event) -> bool:
    """Say whether an event was reported already, by a tick that ended before it could remember so."""
    fetch = instance.fetch_materializations if isinstance(event, dg.AssetMaterialization) else instance.fetch_observations
    known = (record.asset_event for record in fetch(event.asset_key, limit=_TOLD).records)
    return any(
        all(each.metadata.get(name) == event.metadata[name] for name in ("connection", "ended")) for each in known if each
    )
