"""When scripts are run: once for a date, after all that they read of it; on their own clock; after what feeds them."""

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg
import pytest

from history_assets.jobs import asset_jobs
from history_assets.naming import clone_key, history_key
from history_assets.partitions import PARTITIONS
from history_assets.records import PARTITION, Folded, folded_event
from history_assets.scripts.automation import script_schedules, script_sensor, scripts_job
from history_assets.scripts.folder import Broken, Script
from history_assets.scripts.links import link
from history_assets.scripts.metadata import parse
from history_assets.settings import Settings
from history_assets.warehouse.values import Clone
from tests.unit.test_script_folder import GOOD, INVENTORY, TABLES, wishing

D20, D21 = "2026-11-20", "2026-11-21"
NIGHT = dt.datetime(2026, 11, 21, 0, 10, tzinfo=dt.UTC)
Made = Sequence[tuple[dg.AssetKey, str | None]]


def history(schema: str, table: str) -> dg.AssetKey:
    return dg.AssetKey(history_key(schema, table))


def script(name: str) -> dg.AssetKey:
    return dg.AssetKey(["scripts", name])


ACCOUNT, INVOICE = history("crm", "account"), history("billing", "invoice")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [D21, D20])
        yield instance


class Sensor:
    """The sensor over some scripts, ticking at an instant."""

    def __init__(self, instance: dg.DagsterInstance, broken: Sequence[Broken] = (), **texts: str) -> None:
        self.instance, self.now = instance, NIGHT
        self.cursor: str | None = None
        found = [Script(name, Path(f"{name}.py"), parse(text)) for name, text in texts.items()]
        linked, wrong = link([*found, *broken], INVENTORY)
        jobs = [asset_jobs(INVENTORY).clones, asset_jobs(INVENTORY).snapshots, *scripts_job(linked, wrong)]
        (self.sensor,) = script_sensor(linked, wrong, jobs, INVENTORY, Settings(), lambda: self.now)
        self.first = self.tick()  # which notes where the records end

    def requests(self) -> list[dg.RunRequest]:
        with dg.build_sensor_context(self.instance, cursor=self.cursor) as context:
            result = self.sensor(context)
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor
        return list(result.run_requests or ())

    def tick(self) -> list[tuple[str | None, str, str | None]]:
        """Return what is asked for: of which job, which asset, which date."""
        asked = self.requests()
        assert all(request.asset_check_keys == [] for request in asked)
        return [(each.job_name, "/".join(key.path), each.partition_key) for each in asked for key in each.asset_selection or ()]


def ran(
    instance: dg.DagsterInstance, made: Made, left: Mapping[str, Sequence[str]] | None = None, *, fails: bool = False
) -> None:
    """Run something that records materializations; ``left`` says what a fold of a schema for D21 left."""

    @dg.op
    def record(context: dg.OpExecutionContext) -> None:
        for key, date in made:
            context.log_event(dg.AssetMaterialization(key, partition=date))
        for schema, tables in (left or {}).items():
            clone = Clone(schema, dt.date.fromisoformat(D21), str(uuid.uuid4()), NIGHT, NIGHT, 1, 1, 1, "")
            context.log_event(folded_event(clone, Folded(clone.clone_id, tuple(tables), (), "", "", 0), ""))
        if fails:
            raise dg.Failure("one could not be folded", allow_retries=False)

    @dg.job
    def recording() -> None:
        record()

    recording.execute_in_process(instance=instance, raise_on_error=False)


def under_way(instance: dg.DagsterInstance, key: dg.AssetKey, date: str | None) -> str:
    """Have a run be under way, and return its id."""
    tags = {PARTITION: date} if date else {}
    started = dg.DagsterRunStatus.STARTED
    run = dg.DagsterRun("any", str(uuid.uuid4()), asset_selection=frozenset([key]), status=started, tags=tags)
    return str(instance.add_run(run).run_id)


def test_a_script_runs_once_for_a_date_when_all_that_it_reads_is_folded(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance, both=wishing('after = ["*"]'), crm=wishing('after = ["crm.account"]'), none=GOOD)
    ran(instance, [(ACCOUNT, D21), (history("crm", "Über uns"), D21)], {"crm": []})

    assert sensor.tick() == [("scripts", "scripts/crm", D21)]
    assert sensor.tick() == []  # billing is to come

    ran(instance, [(INVOICE, D21)], {"billing": []})
    assert sensor.tick() == [("scripts", "scripts/both", D21)]
    assert sensor.tick() == []


def test_a_new_script_runs_once_for_the_newest_date_that_is_folded(instance: dg.DagsterInstance) -> None:
    """Unless somebody has run it already."""
    ran(instance, [(ACCOUNT, D21), (script("old"), D20)], {"crm": []})

    after = wishing('after = ["crm.*"]')
    sensor = Sensor(instance, old=after, new=after)

    assert sensor.first == [("scripts", "scripts/new", D21)]
    assert sensor.tick() == []


def test_what_is_held_back_by_a_gate_is_not_waited_for_and_what_failed_is(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance, both=wishing('after = ["*"]'))
    ran(instance, [(ACCOUNT, D21)], {"crm": [], "billing": ["invoice"]}, fails=True)

    assert sensor.tick() == []
    ran(instance, [], {"billing": []})  # held back: decided, and not materialized
    assert sensor.tick() == [("scripts", "scripts/both", D21)]


def test_when_the_night_is_over_what_has_not_come_is_not_waited_for(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance, both=wishing('after = ["*"]'))
    ran(instance, [(ACCOUNT, D21)], {"crm": []})
    sensor.now = NIGHT.replace(hour=5, minute=59)
    assert sensor.tick() == []

    sensor.now = NIGHT.replace(hour=6, minute=0)
    assert sensor.tick() == [("scripts", "scripts/both", D21)]


@pytest.mark.parametrize("key", [INVOICE, ACCOUNT, dg.AssetKey(clone_key("billing")), script("both")])
def test_what_is_under_way_for_the_same_date_is_waited_for(instance: dg.DagsterInstance, key: dg.AssetKey) -> None:
    """However late it is."""
    sensor = Sensor(instance, both=wishing('after = ["billing.invoice", "crm.account"]'))
    sensor.now = NIGHT + dt.timedelta(days=9)
    other = under_way(instance, key, D20)
    run = under_way(instance, key, D21)
    ran(instance, [(ACCOUNT, D21)], {"crm": []})
    assert sensor.tick() == []

    instance.report_run_canceled(instance.get_run_by_id(run))  # type: ignore[arg-type]
    assert sensor.tick() == [("scripts", "scripts/both", D21)]
    assert instance.get_run_by_id(other)


def test_a_late_fold_runs_the_script_again_for_its_date_alone(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance, crm=wishing('after = ["crm.*"]'))
    sensor.now = NIGHT + dt.timedelta(days=9)
    ran(instance, [(ACCOUNT, D20), (ACCOUNT, D21)])
    first = sensor.requests()
    ran(instance, [(ACCOUNT, D20), (dg.AssetKey("other"), D21)])
    second = sensor.requests()

    assert [request.partition_key for request in (*first, *second)] == [D20, D21, D20]
    assert len({request.run_key for request in (*first, *second)}) == 3


def test_a_tick_that_comes_again_asks_for_the_same_runs(instance: dg.DagsterInstance) -> None:
    """Of runs of the same key Dagster makes one."""
    sensor = Sensor(instance, crm=wishing('after = ["crm.account"]'))
    ran(instance, [(ACCOUNT, D21)], {"crm": []})
    before = sensor.cursor
    first = sensor.requests()
    sensor.cursor = before

    assert sensor.requests() == first
    assert len(first) == 1


def test_a_date_that_retention_has_dropped_is_not_asked_for(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance, crm=wishing('after = ["crm.account"]'))
    ran(instance, [(ACCOUNT, "2020-01-01")])

    assert sensor.tick() == []


def test_a_script_has_what_it_feeds_refreshed_for_the_same_date(instance: dg.DagsterInstance) -> None:
    lost = Broken("lost", Path("lost.py"), "lost.py: found nothing")
    feeds = 'feeds = ["dated", "plain", "clones/crm", "history/crm/account", "lost"]'
    sensor = Sensor(
        instance, [lost], dated=wishing('after = ["billing.*"]'), first=wishing('after = ["billing.*"]', feeds), plain=GOOD
    )
    sensor.now = NIGHT + dt.timedelta(days=9)
    ran(instance, [(script("first"), D20)])

    assert sensor.tick() == [
        ("clones", "clones/crm", D20),
        ("snapshots", "history/crm/account", D20),
        ("scripts", "scripts/dated", D20),
        ("scripts", "scripts/lost", None),
        ("scripts", "scripts/plain", None),
    ]


def test_a_script_without_dates_has_what_it_feeds_refreshed_for_the_newest(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance, dated=wishing('after = ["billing.*"]'), first=wishing('feeds = ["dated"]'))
    ran(instance, [(script("first"), None)])
    assert sensor.tick() == []  # nothing of billing is folded

    ran(instance, [(script("first"), None)], {"billing": []})
    assert sensor.tick() == [("scripts", "scripts/dated", D21)]


def test_a_script_without_dates_is_not_run_twice_at_a_time(instance: dg.DagsterInstance) -> None:
    sensor = Sensor(instance, first=wishing('feeds = ["plain"]'), plain=GOOD)
    run = under_way(instance, script("plain"), None)
    ran(instance, [(script("first"), None)])
    assert sensor.tick() == []

    instance.report_run_canceled(instance.get_run_by_id(run))  # type: ignore[arg-type]
    assert sensor.tick() == [("scripts", "scripts/plain", None)]


def test_a_schedule_asks_for_the_newest_date_that_is_folded(tmp_path: Path) -> None:
    """In the zone of the clone dates, from the start."""
    instance = dg.DagsterInstance.local_temp(str(tmp_path))  # a schedule's context takes no other
    instance.add_dynamic_partitions(PARTITIONS, [D21, D20])
    texts = {
        "dated": wishing('after = ["crm.*"]', 'schedule = "0 6 * * MON"'),
        "plain": wishing('schedule = "@daily"'),
        "none": GOOD,
    }
    linked, _ = link([Script(name, Path(name), parse(text)) for name, text in texts.items()], INVENTORY)
    settings = Settings(timezone="Europe/Zurich")  # type: ignore[arg-type]
    dated, plain = script_schedules(linked, INVENTORY, settings)

    assert [(each.name, each.cron_schedule, each.execution_timezone, each.default_status.value) for each in (dated, plain)] == [
        ("script_dated", "0 6 * * MON", "Europe/Zurich", "RUNNING"),
        ("script_plain", "@daily", "Europe/Zurich", "RUNNING"),
    ]
    context = dg.build_schedule_context(instance, scheduled_execution_time=NIGHT)
    assert plain(context) == dg.RunRequest(asset_selection=[script("plain")], asset_check_keys=[])
    assert dated(context) == dg.SkipReason("no date of the histories that scripts/dated is after is folded")
    ran(instance, [], {"crm": [*TABLES["crm"]]})
    assert dated(context) == dg.RunRequest(asset_selection=[script("dated")], partition_key=D21, asset_check_keys=[])
