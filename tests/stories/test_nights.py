"""Nights that run themselves, on a Snowflake account that Fivetran fills: schedule, sensors and jobs, at a clock of ours."""

import contextlib
import datetime as dt
import functools
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from history_assets.fivetran.completions import recall
from history_assets.gates import Gate
from history_assets.location import build_definitions
from history_assets.naming import clone_key, fivetran_key
from history_assets.partitions import PARTITIONS
from history_assets.refresh import refresh
from history_assets.verification import verify
from tests.fakes.fivetran import FakeFivetran, Fault
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.errors import SnowflakeError
from tests.stories.daemon import Daemon
from tests.stories.engines.snowflake import Snowflake

SCHEMAS = ("CRM", "SHOP")


def instant(text: str) -> dt.datetime:
    """Return an instant of October 2026 that is written as day and time."""
    day, time = text.split()
    return dt.datetime.fromisoformat(f"2026-10-{day}T{time}+00:00")


class World:
    """An account, a Fivetran that fills two of its schemas, and a daemon; nothing has been cloned."""

    def __init__(
        self, home: Path, emulator: Emulator, fivetran: FakeFivetran, instance: dg.DagsterInstance, project: Path | None
    ) -> None:
        self.engine = Snowflake(home, emulator)
        self.emulator = emulator
        self.fivetran = fivetran
        self.warehouse = self.engine.warehouse(fivetran=fivetran.credentials())
        self.daemon = Daemon(instance, self.definitions, instant("09 12:00"))
        self.values: dict[str, int] = {}
        for schema in SCHEMAS:
            fivetran.connect(schema.lower())
            self.sync(schema, "08 20:00", "08 20:30")
        if project:
            shutil.copytree(project / "dbt", home / "dbt")
        refresh(self.warehouse.settings, self.warehouse)
        self.at("09 12:00")

    @functools.cache  # noqa: B019 - as long as the process; no table comes or goes
    def definitions(self) -> dg.Definitions:
        return build_definitions(self.warehouse.settings, warehouse=self.warehouse, now=lambda: self.daemon.now)

    def at(self, text: str) -> None:
        """Let time pass up to an instant."""
        self.daemon.now = instant(text)
        self.emulator.now = self.daemon.now.replace(tzinfo=None).isoformat()  # type: ignore[assignment]

    def begin(self, schema: str, start: str) -> None:
        """Have a sync begin, and write half of what it writes."""
        self.fivetran.sync(schema.lower(), instant(start), None)
        self._land(schema, start, "half")

    def end(self, schema: str, end: str, status: str = "COMPLETED") -> None:
        """Have the sync that runs end, and write what is left."""
        connection = next(each for each in self.fivetran.connections["projected_sickle"] if each["schema"] == schema.lower())
        started = dt.datetime.fromisoformat(self.fivetran.syncs[connection["id"]].pop()["start"])
        self.fivetran.sync(schema.lower(), started, instant(end), status)
        connection["status"]["sync_state"] = "scheduled"
        self._land(schema, end, "whole" if status == "COMPLETED" else "broken")

    def sync(self, schema: str, start: str, end: str, status: str = "COMPLETED") -> None:
        self.begin(schema, start)
        self.end(schema, end, status)

    def _land(self, schema: str, at: str, state: str) -> None:
        self.values[schema] = self.values.get(schema, 0) + (state == "half")
        rows = f"values (1, {self.values[schema]}, '{state}'), (2, 0, 'same')"
        tables = {"T": ("ID int primary key, V int, STATE varchar", rows)}
        self.engine.land(schema, instant(at).replace(tzinfo=None).isoformat(), tables, "2026-10-08 20:00:00+00")

    def land_more(self, schema: str, at: str, tables: Mapping[str, tuple[str, str]]) -> None:
        """Make a schema hold these tables, and what it held unless they replace it."""
        same = {
            "T": ("ID int primary key, V int, STATE varchar", f"values (1, {self.values[schema]}, 'whole'), (2, 0, 'same')")
        }
        landed = instant(at).replace(tzinfo=None).isoformat()
        self.engine.land(schema, landed, {**same, **tables}, "2026-10-08 20:00:00+00")

    def ran(self) -> list[tuple[str, str, str | None, list[str], bool]]:
        """Return the runs that ended since this was last asked."""
        ran, self.daemon.ran = self.daemon.ran, []
        return ran

    def history(self, schema: str) -> list[tuple[Any, ...]]:
        """Return the history of the row that changes: value, state, first and last day."""
        found = self.engine.histories(schema)["T"].values("ID", "V", "STATE", "dbt_valid_from", "dbt_valid_to")
        spans = ((value, state, since.day, until and until.day) for key, value, state, since, until in found if key == 1)
        return sorted(spans)

    def told(self, schema: str) -> list[tuple[str, Mapping[str, Any]]]:
        """Return what Dagster knows of a schema's syncs, oldest first."""
        key, instance = dg.AssetKey(fivetran_key(schema)), self.daemon.instance
        records = [*instance.fetch_materializations(key, 99).records, *instance.fetch_observations(key, 99).records]
        events = [record.asset_event for record in sorted(records, key=lambda record: record.storage_id)]
        return [
            (type(event).__name__.removeprefix("Asset"), {name: value.value for name, value in event.metadata.items()})
            for event in events
            if event
        ]

    def wrong(self) -> list[str]:
        return [finding.problem for finding in verify(self.warehouse) if finding.problem]


@contextlib.contextmanager
def opened(home: Path, project: Path | None = None) -> Iterator[World]:
    """Open a world in a home; ``project`` is one of the same tables, whose dbt project is parsed already."""
    (home / "dagster").mkdir(parents=True)
    stored = dg.DagsterInstance.local_temp(str(home / "dagster"))
    with Emulator() as emulator, FakeFivetran() as fivetran, stored as instance:
        yield World(home, emulator, fivetran, instance, project)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("project")
    with opened(home):
        return home


@pytest.fixture
def world(tmp_path: Path, project: Path) -> Iterator[World]:
    with opened(tmp_path / "home", project) as world:
        yield world


def clones(*schemas: str) -> list[str]:
    return ["/".join(clone_key(schema)) for schema in schemas]


def histories(*schemas: str) -> list[str]:
    return [f"history/{schema}/T" for schema in schemas]


def test_settled_schemas_are_cloned_at_the_cutoff_and_the_others_as_they_settle(world: World) -> None:
    """What was half written at the cutoff is in no clone; the state before it is."""
    world.sync("CRM", "09 20:00", "09 20:30")
    world.sync("SHOP", "09 20:00", "09 20:30")
    world.begin("SHOP", "09 23:50")
    world.at("10 00:00")

    assert (world.daemon.schedule("nightly"), world.daemon.failed) == (["2026-10-10"], {})
    assert world.ran() == [
        ("nightly", "clones", "2026-10-10", clones("CRM"), True),
        ("fold_after_success", "snapshots", "2026-10-10", histories("CRM"), True),
    ]
    world.at("10 00:01")
    assert world.daemon.sensor("syncs") == []

    world.end("SHOP", "10 00:20")
    world.at("10 00:21")
    assert world.daemon.sensor("syncs") == ["2026-10-10"]
    assert world.ran() == [
        ("syncs", "clones", "2026-10-10", clones("SHOP"), True),
        ("fold_after_success", "snapshots", "2026-10-10", histories("SHOP"), True),
    ]
    for minute in (22, 40):
        world.at(f"10 00:{minute}")
        assert [world.daemon.schedule("nightly"), world.daemon.sensor("syncs"), world.daemon.sensor("healing")] == [[], [], []]
    assert world.history("CRM") == [(2, "whole", 10, None)]
    assert world.history("SHOP") == [(2, "whole", 10, None)]
    assert world.wrong() == []
    assert world.daemon.failed == {}


def test_nights_of_an_outage_are_cloned_as_they_were_and_folded_into_their_place(world: World) -> None:
    """Each at its own quiet point, oldest first, and asked for once."""
    for day in range(10, 15):
        world.sync("CRM", f"{day - 1:02} 20:00", f"{day - 1:02} 20:30")
        if day in (10, 14):
            world.at(f"{day} 00:00")
            world.daemon.schedule("nightly")
    world.ran()

    world.at("14 00:16")
    assert world.daemon.sensor("healing") == ["2026-10-11", "2026-10-12", "2026-10-13"]
    assert world.ran() == [
        *(("healing", "clones", f"2026-10-{day}", clones("CRM", "SHOP"), True) for day in (11, 12, 13)),
        *(("fold_after_success", "snapshots", f"2026-10-{day}", histories("CRM", "SHOP"), True) for day in (11, 12, 13)),
    ]
    assert world.daemon.sensor("healing") == []
    assert world.history("CRM") == [(day - 8, "whole", day, day + 1 if day < 14 else None) for day in range(10, 15)]
    assert world.history("SHOP") == [(1, "whole", 10, None)]
    assert world.wrong() == []


def test_a_fold_that_was_never_asked_for_is_made_up_for(world: World) -> None:
    """As when the daemon dies between a clone and its fold; not before whoever cloned had time to fold."""
    world.at("10 00:00")
    world.daemon.schedule("nightly")
    world.ran()
    world.at("11 09:00")
    for schema in SCHEMAS:
        world.warehouse.clone(schema, dt.date(2026, 10, 11), lambda: None)

    assert (world.daemon.sensor("healing"), world.daemon.failed) == (["2026-10-11"], {})
    assert world.ran() == [("healing", "snapshots", "2026-10-11", histories("CRM", "SHOP"), True)]
    assert world.daemon.sensor("healing") == []
    assert world.wrong() == []


@pytest.mark.slow
def test_a_table_that_a_clone_has_and_the_project_had_not_is_folded_once_it_has(world: World) -> None:
    """It came shortly before the cutoff, so that the night was folded before raw was looked at."""
    world.land_more("SHOP", "09 23:30", {"NEW": ("ID int primary key", "values (1), (2)")})
    world.at("10 00:00")
    world.daemon.schedule("nightly")
    assert [each[1:3] for each in world.ran()] == [("clones", "2026-10-10"), ("snapshots", "2026-10-10")]
    world.at("10 00:20")
    assert world.daemon.sensor("healing") == []

    refresh(world.warehouse.settings, world.warehouse)
    world.definitions.cache_clear()
    assert world.daemon.sensor("healing") == ["2026-10-10"]
    assert world.ran() == [("healing", "snapshots", "2026-10-10", ["history/SHOP/NEW", "history/SHOP/T"], True)]
    assert world.daemon.sensor("healing") == []
    rows = world.engine.histories("SHOP")["NEW"].values("ID", "dbt_valid_from", "dbt_valid_to")
    assert sorted(rows) == [(row, instant("10 00:00").replace(tzinfo=None), None) for row in (1, 2)]
    assert world.wrong() == []


@pytest.mark.slow
def test_what_a_gate_held_back_is_folded_once_the_gate_is_open(world: World) -> None:
    """Asked for once for each change of the gates, not at every tick."""
    world.at("10 00:00")
    world.daemon.schedule("nightly")
    world.land_more("SHOP", "10 12:00", {"T": ("ID int primary key, V int, STATE varchar", "")})
    world.fivetran.sync("shop", instant("10 12:00"), instant("10 12:01"))
    world.at("11 00:00")
    world.daemon.schedule("nightly")
    assert [each[1:] for each in world.ran()][2:] == [
        ("clones", "2026-10-11", clones("CRM", "SHOP"), True),
        ("snapshots", "2026-10-11", histories("CRM", "SHOP"), False),
    ]
    world.at("11 04:00")
    assert world.daemon.sensor("healing") == []

    gates = tuple(gate for gate in Gate if gate is not Gate.EMPTY)
    world.warehouse.settings = world.warehouse.settings.model_copy(update={"gates": gates})
    world.definitions.cache_clear()
    assert world.daemon.sensor("healing") == ["2026-10-11"]
    assert [each[1:] for each in world.ran()] == [("snapshots", "2026-10-11", histories("SHOP"), True)]
    assert world.daemon.sensor("healing") == []
    assert world.history("SHOP") == [(1, "whole", 10, 11)]
    assert world.wrong() == []


def test_what_fails_the_same_way_three_times_is_given_up_and_nothing_else_is(world: World) -> None:
    for _ in range(4):
        denied = SnowflakeError(3001, "42501", "Insufficient privileges to operate on schema 'CRM'")
        world.emulator.fail(r"CREATE TRANSIENT SCHEMA .*CRM", denied)
    world.at("10 00:00")
    world.daemon.schedule("nightly")
    asked = []
    for hour in range(1, 24):
        world.at(f"10 {hour:02}:00")
        asked += [(hour, who, world.daemon.sensor(who)) for who in ("syncs", "healing")]

    assert [each for each in asked if each[2]] == [(1, "syncs", ["2026-10-10"]), (2, "syncs", ["2026-10-10"])]
    assert [each[3:] for each in world.ran() if each[1] == "clones"] == [
        (clones("CRM", "SHOP"), False),
        (clones("CRM"), False),
        (clones("CRM"), False),
    ]
    world.emulator.run("select 1")
    world.at("11 00:00")
    assert world.daemon.schedule("nightly") == ["2026-10-11"]
    assert world.history("SHOP") == [(1, "whole", 10, None)]


def test_every_sync_is_told_once_whatever_happens_to_the_daemon(world: World) -> None:
    """Failed ones as observations; those of an outage from the connection's history."""
    world.sync("CRM", "09 13:00", "09 13:30")
    world.at("09 14:00")
    world.daemon.sensor("syncs")
    world.sync("CRM", "09 15:00", "09 15:30")
    world.sync("CRM", "09 16:00", "09 16:30", "FAILURE")
    world.sync("CRM", "09 17:00", "09 17:30")
    world.at("09 18:00")
    before = world.daemon.cursors["syncs"]
    world.daemon.sensor("syncs")
    world.daemon.cursors["syncs"] = before  # the daemon died before it could keep the cursor
    world.at("09 18:01")
    world.daemon.sensor("syncs")

    found = [(kind, dt.datetime.fromtimestamp(each["ended"], dt.UTC), each["status"]) for kind, each in world.told("CRM")]
    assert found == [
        ("Materialization", instant("09 13:30"), "SUCCESSFUL"),
        ("Materialization", instant("09 15:30"), "SUCCESSFUL"),
        ("Materialization", instant("09 17:30"), "SUCCESSFUL"),
        ("Observation", instant("09 16:30"), "FAILURE"),
    ] or found == sorted(found, key=lambda each: each[1])
    assert [each.get("seconds") for _, each in world.told("CRM")][1:] == [1800, 1800, 1800]
    assert len(recall(world.daemon.cursors["syncs"])) == len(SCHEMAS)


def test_while_fivetran_does_not_answer_nothing_is_asked_for_and_then_all_is(world: World) -> None:
    world.at("10 00:00")
    world.fivetran.faults.extend([Fault(status=401)] * 3)
    assert [world.daemon.schedule("nightly"), world.daemon.sensor("syncs"), world.daemon.sensor("healing")] == [[], [], []]
    assert {name: len(said) for name, said in world.daemon.failed.items()} == {"nightly": 1, "syncs": 1}
    assert world.ran() == []

    world.fivetran.faults.clear()
    world.at("10 00:05")
    assert world.daemon.sensor("syncs") == ["2026-10-10"]
    assert world.daemon.instance.get_dynamic_partitions(PARTITIONS) == ["2026-10-10"]
    assert world.wrong() == []


def test_no_tick_wakes_a_warehouse(world: World) -> None:
    world.at("10 00:00")
    before = len(world.emulator.log)
    repository = world.definitions().get_repository_def()
    for name in ("syncs", "healing"):
        context = dg.build_sensor_context(instance_ref=world.daemon.instance.get_ref(), repository_def=repository)
        asked = repository.get_sensor_def(name).evaluate_tick(context).run_requests or []
        assert [each.partition_key for each in asked] == (["2026-10-10"] if name == "syncs" else [])
    at_cutoff = dg.build_schedule_context(
        world.daemon.instance, scheduled_execution_time=world.daemon.now, repository_def=repository
    )
    assert repository.get_schedule_def("nightly").evaluate_tick(at_cutoff).run_requests

    sent = world.emulator.log[before:]
    assert {statement.kind.split()[0] for statement in sent} == {"SHOW"}
    assert not any(statement.needs_warehouse for statement in sent)
