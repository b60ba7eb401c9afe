"""A run whose process was killed does not stay under way: it is told to have failed, and no other is."""

import datetime as dt
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from history_assets.clones import clone_assets
from history_assets.killed import killed_sensor
from history_assets.lifelines import cut, lifeline
from history_assets.partitions import PARTITIONS
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.values import Clone
from tests.landing import Landing

HOLDS = (
    "import sys, time, pathlib; from history_assets.lifelines import lifeline\n"
    "with lifeline(pathlib.Path(sys.argv[1]), sys.argv[2]): print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def started(instance: dg.DagsterInstance) -> Callable[[], str]:
    """Have Dagster believe that a run is under way; gives its id."""
    return lambda: instance.add_run(dg.DagsterRun("snapshots", status=dg.DagsterRunStatus.STARTED)).run_id


def kill(home: Path, run_id: str) -> None:
    """Kill a run's process while it is at work."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS, str(home), run_id], stdout=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def tick(settings: Settings, instance: dg.DagsterInstance, cursor: str | None) -> tuple[str | None, str | None]:
    """Look once, and return what the sensor said and its next cursor."""
    with dg.build_sensor_context(instance, cursor=cursor) as context:
        said = killed_sensor(settings)(context)
        assert isinstance(said, dg.SkipReason)
        return said.skip_message, context.cursor


def test_a_run_is_known_to_be_killed_once_its_process_is_gone(home: Path) -> None:
    with lifeline(home, "ends"), lifeline(home, "runs"):
        kill(home, "one")
        with lifeline(home, "fails"):
            pass

        assert cut(home) == ["one"]
    assert cut(home) == ["one"]


def test_a_killed_run_is_told_to_have_failed_at_the_second_look(
    settings: Settings, home: Path, instance: dg.DagsterInstance, started: Callable[[], str]
) -> None:
    """The first leaves a run that only lost the process of a step the time to say so itself."""
    lost, runs = started(), started()
    kill(home, lost)

    with lifeline(home, runs):
        said, cursor = tick(settings, instance, None)
        assert (said, instance.get_runs()[0].status) == ("no run was killed", dg.DagsterRunStatus.STARTED)
        said, cursor = tick(settings, instance, cursor)

    assert said == f"killed: {lost}"
    assert {run.run_id: run.status for run in instance.get_runs()} == {
        lost: dg.DagsterRunStatus.FAILURE,
        runs: dg.DagsterRunStatus.STARTED,
    }
    assert tick(settings, instance, cursor) == ("no run was killed", "[]")


def test_what_has_ended_or_is_unknown_is_not_told_of(
    settings: Settings, home: Path, instance: dg.DagsterInstance, started: Callable[[], str]
) -> None:
    ended = started()
    for run_id in (ended, "of another instance"):
        kill(home, run_id)
    run = instance.get_run_by_id(ended)
    assert run
    instance.report_run_canceled(run)

    said = [tick(settings, instance, cursor)[0] for cursor in (None, f'["{ended}", "of another instance"]')]

    assert said == ["no run was killed"] * 2
    assert instance.get_runs()[0].status is dg.DagsterRunStatus.CANCELED
    assert cut(home) == []


def test_a_run_holds_its_lifeline_while_it_works(landing: Landing, settings: Settings, instance: dg.DagsterInstance) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table account (id int primary key, _fivetran_synced timestamptz)")
    held = []

    class Watched(DuckDBWarehouse):
        def clone(self, *arguments: Any, **named: Any) -> Clone:
            held.extend(path.name.rpartition(".")[2] for path in (settings.home / "running").iterdir())
            return super().clone(*arguments, **named)

    warehouse = Watched(settings)
    clones = clone_assets(warehouse.inventory(), warehouse, lambda: dt.datetime(2026, 11, 20, 1, tzinfo=dt.UTC))
    instance.add_dynamic_partitions(PARTITIONS, ["2026-11-20"])
    result = dg.materialize([clones], instance=instance, partition_key="2026-11-20")

    assert held == [result.run_id]
    assert list((settings.home / "running").iterdir()) == []


def test_where_there_are_no_locks_a_run_is_not_judged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    with lifeline(home, "one"):
        assert cut(home) == []
    assert list((home / "running").iterdir()) == []


def test_a_run_of_another_host_is_not_judged(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kill(home, "one")
    monkeypatch.setattr("socket.gethostname", lambda: "other")

    assert cut(home) == []
