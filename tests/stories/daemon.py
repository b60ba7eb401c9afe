"""Dagster's daemon at a clock of one's own: it ticks the real schedule and sensors, and runs what they ask for.

Belongs here: what the daemon does with a tick's result, as far as this project relies on it. Does not belong here: what lands,
what fails, and what must come of it.
"""

import collections
import datetime as dt
import sys
from collections.abc import Callable
from typing import Any

import dagster as dg
import time_machine
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.storage.defs_state.base import set_defs_state_storage
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._utils.error import SerializableErrorInfo, serializable_error_info_from_exc_info

from history_assets.jobs import CLONES_JOB
from history_assets.nights import LOCATION
from history_assets.partitions import PARTITIONS

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_DATA: dict[InstigatorType, Any] = {
    InstigatorType.SENSOR: SensorInstigatorData(),
    InstigatorType.SCHEDULE: ScheduleInstigatorData("0 0 * * *"),
}
_ENDS = {True: dg.DagsterEventType.RUN_SUCCESS, False: dg.DagsterEventType.RUN_FAILURE}
_TOLD = {True: ("fold_after_success",), False: ("fold_after_failure", "alert")}
"""The sensors that are told of a run that ended, by whether it went well."""


def turn(instance: dg.DagsterInstance, name: str, kind: InstigatorType, status: InstigatorStatus) -> InstigatorState:
    """Keep in an instance that a sensor or schedule is on, or off."""
    state = InstigatorState(_origin(name), kind, status, _DATA[kind])
    known = instance.get_instigator_state(state.instigator_origin_id, state.selector_id)
    return known or instance.add_instigator_state(state)


def keep_tick(
    instance: dg.DagsterInstance, name: str, kind: InstigatorType, at: dt.datetime, error: SerializableErrorInfo | None
) -> None:
    """Keep in an instance that a sensor or schedule ticked at an instant, and how it failed if it did."""
    state = InstigatorState(_origin(name), kind, InstigatorStatus.RUNNING, _DATA[kind])
    went = TickStatus.FAILURE if error else TickStatus.SKIPPED
    origin = state.instigator_origin_id
    instance.create_tick(TickData(origin, name, kind, went, at.timestamp(), error=error, selector_id=state.selector_id))


def _origin(name: str) -> RemoteInstigatorOrigin:
    target = LoadableTargetOrigin(module_name="history_assets.definitions")
    location = ManagedGrpcPythonEnvCodeLocationOrigin(target, LOCATION)
    return RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)


class Daemon:
    """Ticks what the definitions hold, in one process; ``definitions`` are asked for at each tick.

    ``ran`` are the runs that ended, each with who asked for it, its job, its date, its assets, and whether it went well;
    ``failed`` are the ticks that raised, by sensor.
    """

    def __init__(self, instance: dg.DagsterInstance, definitions: Callable[[], dg.Definitions], now: dt.datetime) -> None:
        self.instance = instance
        self.definitions = definitions
        self.now = now
        self.cursors: dict[str, str | None] = {}
        self.ran: list[tuple[str, str, str | None, list[str], bool]] = []
        self.failed: collections.defaultdict[str, list[str]] = collections.defaultdict(list)
        self._asked: set[tuple[str, str | None]] = set()
        self._queue: collections.deque[tuple[str, dg.RunRequest]] = collections.deque()

    def schedule(self, name: str, scheduled: dt.datetime | None = None) -> list[str]:
        """Tick a schedule, run what it asks for, and return the dates that it asked for."""
        with time_machine.travel(self.now, tick=True):
            repository = self._repository()
            schedule = repository.get_schedule_def(name)
            context = dg.build_schedule_context(
                self.instance, scheduled_execution_time=scheduled or self.now, repository_def=repository
            )
            try:
                asked = schedule.evaluate_tick(context).run_requests or []
            except Exception as error:  # noqa: BLE001 - as the daemon does
                self._ticked(name, InstigatorType.SCHEDULE, error)
                return []
            self._ticked(name, InstigatorType.SCHEDULE)
            return self._run(name, asked)

    def sensor(self, name: str) -> list[str]:
        """Tick a sensor, do as it says, run what it asks for, and return the dates that it asked for."""
        with time_machine.travel(self.now, tick=True):
            repository = self._repository()
            sensor = repository.get_sensor_def(name)
            # By reference, as the daemon has it: only so does Dagster see partitions that the same tick adds.
            context = dg.build_sensor_context(
                instance_ref=self.instance.get_ref(), cursor=self.cursors.get(name), repository_def=repository
            )
            try:
                with context:
                    result = sensor.evaluate_tick(context)
            except Exception as error:  # noqa: BLE001 - as the daemon does
                self._ticked(name, InstigatorType.SENSOR, error)
                return []
            self._ticked(name, InstigatorType.SENSOR)
            for event in result.asset_events:
                self.instance.report_runless_asset_event(event)
            for added in result.dynamic_partitions_requests or ():
                self.instance.add_dynamic_partitions(PARTITIONS, added.partition_keys)
            job = sensor.targets[0].job_name if sensor.targets else None
            requests = result.run_requests or []
            asked = self._run(name, [each if each.job_name else each.with_replaced_attrs(job_name=job) for each in requests])
            self.cursors[name] = result.cursor
            return asked

    def _repository(self) -> dg.RepositoryDefinition:
        # The instance of an earlier tick's context is gone, and Dagster would still ask it.
        with set_defs_state_storage(self.instance.defs_state_storage):
            return self.definitions().get_repository_def()

    def _ticked(self, name: str, kind: InstigatorType, error: Exception | None = None) -> None:
        turn(self.instance, name, kind, InstigatorStatus.RUNNING)
        if error:
            self.failed[name].append(str(error.__cause__ or error))
        kept = serializable_error_info_from_exc_info(sys.exc_info()) if error else None
        keep_tick(self.instance, name, kind, self.now, kept)

    def _run(self, name: str, requests: list[dg.RunRequest]) -> list[str]:
        asked = []
        for request in requests:
            if (name, request.run_key) not in self._asked:
                self._asked.add((name, request.run_key))
                self._queue.append((name, request))
                asked.append(str(request.partition_key))
        while self._queue:
            self._execute(*self._queue.popleft())
        return asked

    def _execute(self, name: str, request: dg.RunRequest) -> None:
        definitions = self.definitions()
        job = request.job_name or CLONES_JOB
        result = definitions.resolve_job_def(job).execute_in_process(
            run_config=_QUIET,
            instance=self.instance,
            partition_key=request.partition_key,
            tags=request.tags,
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            raise_on_error=False,
        )
        assets = sorted("/".join(key.path) for key in request.asset_selection or ())
        self.ran.append((name, job, request.partition_key, assets, result.success))
        (ended,) = [event for event in result.all_events if event.event_type is _ENDS[result.success]]
        there = {sensor.name: sensor for sensor in definitions.sensors or ()}
        for sensor in (there[name] for name in _TOLD[result.success] if name in there):
            told: Any = dg.build_run_status_sensor_context(sensor.name, ended, self.instance, result.dagster_run)
            told = told.for_run_failure() if sensor.name == "alert" else told
            found: Any = sensor(told)  # type: ignore[operator]
            asked = [found] if isinstance(found, dg.SkipReason) else list(found)
            self._queue.extend((sensor.name, each) for each in asked if isinstance(each, dg.RunRequest))
