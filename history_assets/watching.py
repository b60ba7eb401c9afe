"""What should happen by itself and does not: connections that fall silent, sensors and schedules that fail
or do not tick, checks that fail.

Belongs here: seeing it, from what is free to ask. Does not belong here: what is said of it (``alerts``).
"""

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg

# Where Dagster keeps how the ticks of sensors and schedules went; there is no public name.
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorTick, InstigatorType, TickStatus
from dagster_shared.error import SerializableErrorInfo

from history_assets.alerts import Event, Sort, alert, channels_of
from history_assets.checks import WRONG
from history_assets.errors import HistoryError
from history_assets.inventory import Inventory
from history_assets.jobs import SCRIPT_SCHEDULES, checks_of
from history_assets.markdown import plain
from history_assets.naming import clone_key
from history_assets.syncing import open_teller
from history_assets.warehouse.base import Warehouse

WATCH = "watch"

_UNTICKED = {InstigatorType.SENSOR: dt.timedelta(minutes=30), InstigatorType.SCHEDULE: dt.timedelta(hours=26)}
"""How long after its last tick a sensor, and a daily schedule, is late."""

_LATE = dt.timedelta(hours=2)
"""How long after its tick was due a schedule is late."""

_OURS = re.compile(r"^history_assets\.[\w.]+: ")
"""How Dagster begins what an error of this project says, which needs no class to be understood."""

_FAILING = 3
"""Ticks in a row that fail before a sensor is said to: one alone is made up for by the next."""


_AWAY = dt.timedelta(minutes=45)
"""Between two looks no further apart than this, the daemon was up."""


@dataclasses.dataclass(frozen=True)
class Watch:
    """When (aware) the daemon was last seen at work, and since when it has been up."""

    looked: dt.datetime
    up: dt.datetime

    @classmethod
    def begin(cls, cursor: str | None, now: dt.datetime) -> "tuple[Watch, Event | None]":
        """Return the watch as of now, given the cursor of the last, and what there is to tell if it was interrupted."""
        if not cursor:
            return cls(now, now), None
        looked, up = (dt.datetime.fromisoformat(each) for each in json.loads(cursor))
        if now - looked <= _AWAY:
            return cls(now, up), None
        reason = (
            f"nothing ticked from {looked:%Y-%m-%d %H:%M} to {now:%Y-%m-%d %H:%M} UTC; what was missed is being made up for"
        )
        return cls(now, now), Event(Sort.SENSOR, "the daemon", reason)

    def cursor(self) -> str:
        """Return what the next watch begins with."""
        return json.dumps([self.looked.isoformat(), self.up.isoformat()])


def stalled(
    instance: dg.DagsterInstance, now: dt.datetime, up: dt.datetime, pauses: Mapping[str, dt.timedelta] | None = None
) -> Iterator[Event]:
    """Yield the sensors and schedules that are on and fail, or that have not ticked for long; the daemon runs since ``up``.

    ``pauses`` says, by its name, how long the schedule of each script pauses: those are not daily, and may be gone.
    """
    for state in instance.all_instigator_state():
        if state.status is InstigatorStatus.STOPPED or state.instigator_type not in _UNTICKED or state.name == WATCH:
            continue
        ticks = list(instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=_FAILING))
        pause = (pauses or {}).get(state.name)
        if state.name.startswith(SCRIPT_SCHEDULES) and pause is None:
            continue
        late = pause + _LATE if pause else _UNTICKED[state.instigator_type]
        if event := _stalled(state, ticks, now, up, late):
            yield event


def _stalled(
    state: InstigatorState, ticks: Sequence[InstigatorTick], now: dt.datetime, up: dt.datetime, late: dt.timedelta
) -> Event | None:
    if not ticks:
        return None  # it has just been turned on
    last = dt.datetime.fromtimestamp(ticks[0].timestamp, dt.UTC)
    if now - max(last, up) > late:
        return Event(Sort.SENSOR, state.name, f"it has not ticked since {last:%Y-%m-%d %H:%M} UTC")
    needed = _FAILING if state.instigator_type is InstigatorType.SENSOR else 1
    if len(ticks) >= needed and all(tick.status is TickStatus.FAILURE for tick in ticks[:needed]):
        return Event(Sort.SENSOR, state.name, _said(ticks[0].error))
    return None


def _said(error: SerializableErrorInfo | None) -> str:
    """Return the line that says most of an error: that of the first of this project's own on the way to its cause."""
    line = "without saying why"
    while error:
        line = error.message.strip().splitlines()[0]
        if _OURS.match(line):
            break
        error = error.cause
    return _OURS.sub("", line)


def failing(instance: dg.DagsterInstance, checks: Sequence[dg.AssetCheckKey]) -> Iterator[Event]:
    """Yield the checks of the schemas that last failed, but for what a gate holds back: of that the run has told."""
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key(checks)
    for key, record in sorted(latest.items()):
        evaluation = record.event.asset_check_evaluation if record.event else None
        if evaluation and not evaluation.passed and evaluation.metadata[WRONG].value:
            reason = f"{key.name}: {plain(evaluation.description or '')}"
            yield Event(Sort.CHECK, "/".join(key.asset_key.path), reason, run_id=record.run_id)


def watch_sensor(
    inventory: Inventory,
    warehouse: Warehouse,
    now: Callable[[], dt.datetime],
    known: Sequence[Event] = (),
    pauses: Mapping[str, dt.timedelta] | None = None,
) -> list[dg.SensorDefinition]:
    """Return the sensor that tells the channels of what should happen and does not; none without channels.

    ``known`` is what is known to be wrong as the definitions load: it is told as well. ``pauses`` as ``stalled`` has it.
    """
    settings, teller = warehouse.settings, open_teller(warehouse)
    channels = channels_of(settings)
    if not channels:
        return []
    schemas = [schema.name for schema in inventory.schemas]
    checks = checks_of([dg.AssetKey(clone_key(schema)) for schema in schemas])

    @dg.sensor(
        name=WATCH,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=600,
        description="Tell the channels of HISTORY_ALERT_URLS of silent connections, and of sensors that fail or do not tick.",
    )
    def watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        at = now()
        watched, interrupted = Watch.begin(context.cursor, at)
        events = [*known, *stalled(context.instance, at, watched.up, pauses), *failing(context.instance, checks)]
        events += [interrupted] if interrupted else []
        states = {Sort.SENSOR, Sort.CHECK, Sort.BROKEN}
        try:
            silent = list(teller.silent(schemas, at)) if teller else []
            states.add(Sort.SILENT)
        except HistoryError as error:  # which stalls the sensor syncs too, and is told so
            context.log.warning(f"silent connections were not looked for: {error}")
            silent = []
        events += [Event(Sort.SILENT, f"fivetran/{each.name}", each.reason) for each in silent]
        said = alert(context.instance, events, at, settings, context.log.warning, states)
        context.update_cursor(watched.cursor())
        return said

    return [watch]
