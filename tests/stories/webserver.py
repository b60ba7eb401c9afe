"""The webserver of a home, called as its pages call it, and what its servers leave behind."""

import dataclasses
import json
import os
import socket
import time
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from history_assets.partitions import PARTITIONS
from history_assets.serving import HOST

CODE = {"repositoryName": "__repository__", "repositoryLocationName": "history_assets"}
T = TypeVar("T")
Keys = Sequence[Sequence[str]]


def eventually(ask: Callable[[], T | None], what: str, timeout: float = 180) -> T:
    """Ask until there is an answer, and return it; fails when there is none in time."""
    deadline = time.monotonic() + timeout
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"found nothing within {timeout:g} s, expected {what}"
        time.sleep(0.5)
    return answer


@dataclasses.dataclass(frozen=True)
class UI:
    """The webserver, as the pages that it serves call it."""

    port: int

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{HOST}:{self.port}{path}", timeout=30) as answer:
            return json.load(answer)

    def ask(self, document: str, **variables: Any) -> Any:
        """Send a query or a mutation and return the one thing it asks for."""
        request = urllib.request.Request(
            f"http://{HOST}:{self.port}/graphql",
            json.dumps({"query": document, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            said = json.load(answer)
        assert "errors" not in said, said
        (found,) = said["data"].values()
        return found

    def locations(self) -> list[dict[str, Any]]:
        """Return every code location with its error, if it has one, and the jobs that it offers."""
        return self.ask(
            """{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus locationOrLoadError {
                 ... on PythonError { message }
                 ... on RepositoryLocation { repositories { jobs { name } } } } } } } }"""
        )["locationEntries"]

    def add_partition(self, key: str) -> None:
        said = self.ask(
            """mutation ($code: RepositorySelector!, $name: String!, $key: String!) {
                 addDynamicPartition(repositorySelector: $code, partitionsDefName: $name, partitionKey: $key) {
                 __typename } }""",
            code=CODE,
            name=PARTITIONS,
            key=key,
        )
        assert said == {"__typename": "AddDynamicPartitionSuccess"}

    def launch(self, job: str, assets: Keys = (), date: str | None = None) -> str:
        """Launch a job, for some of its assets and a date where it has any; returns the run's id."""
        selection = {"assetSelection": [{"path": key} for key in assets]} if assets else {}
        said = self.ask(
            """mutation ($run: ExecutionParams!) { launchPipelineExecution(executionParams: $run) {
                 __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
            run={
                "selector": CODE | {"pipelineName": job} | selection,
                "executionMetadata": {"tags": [{"key": "dagster/partition", "value": date}] if date else []},
                "runConfigData": "{}",
                "mode": "default",
            },
        )
        assert said["__typename"] == "LaunchRunSuccess", said
        return str(said["run"]["runId"])

    def materialize(self, keys: Keys, date: str) -> str:
        """Press "Materialize" for assets and one date; returns the run's id."""
        return self.launch("__ASSET_JOB", keys, date)

    def backfill(self, keys: Keys, dates: Sequence[str]) -> str:
        """Press "Launch backfill" for assets and several dates; returns the backfill's id."""
        said = self.ask(
            """mutation ($backfill: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $backfill) {
                 __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }""",
            backfill={"assetSelection": [{"path": key} for key in keys], "partitionNames": dates},
        )
        assert said["__typename"] == "LaunchBackfillSuccess", said
        return str(said["backfillId"])

    def backfill_status(self, backfill: str) -> str:
        return self.ask(
            """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
                 ... on PartitionBackfill { status } } }""",
            id=backfill,
        )["status"]

    def automations(self) -> dict[str, str]:
        """Return every schedule and sensor with its status."""
        code = self.ask(
            """query ($code: RepositorySelector!) { repositoryOrError(repositorySelector: $code) { ... on Repository {
                 schedules { name scheduleState { status } } sensors { name sensorState { status } } } } }""",
            code=CODE,
        )
        states = {each["name"]: each["scheduleState"] for each in code["schedules"]}
        states |= {each["name"]: each["sensorState"] for each in code["sensors"]}
        return {name: state["status"] for name, state in states.items()}

    def stop_schedule(self, name: str) -> None:
        state = self.ask(
            """query ($schedule: ScheduleSelector!) { scheduleOrError(scheduleSelector: $schedule) {
                 ... on Schedule { scheduleState { id } } } }""",
            schedule=CODE | {"scheduleName": name},
        )["scheduleState"]
        said = self.ask(
            """mutation ($id: String!) { stopRunningSchedule(id: $id) {
                 ... on ScheduleStateResult { scheduleState { status } } ... on PythonError { message } } }""",
            id=state["id"],
        )
        assert said == {"scheduleState": {"status": "STOPPED"}}

    def skips(self, sensor: str) -> list[str]:
        """Return why a sensor's ticks asked for nothing."""
        ticks = self.ask(
            """query ($sensor: SensorSelector!) { sensorOrError(sensorSelector: $sensor) {
                 ... on Sensor { sensorState { ticks(limit: 100) { status skipReason error { message } } } } } }""",
            sensor=CODE | {"sensorName": sensor},
        )["sensorState"]["ticks"]
        assert [tick for tick in ticks if tick["error"]] == []
        return [tick["skipReason"] for tick in ticks if tick["skipReason"]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def left_behind(home: Path) -> list[str]:
    """Return the commands of the processes that still run for a home, a moment after they were told to end."""
    deadline = time.monotonic() + 10
    while (found := running_for(home)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def running_for(home: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if int(process.name) != os.getpid() and f"HISTORY_HOME={home}".encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue  # it ended meanwhile
    return found
