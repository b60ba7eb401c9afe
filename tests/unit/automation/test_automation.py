"""What is asked for after a run: folds of what it cloned, checks of what it was to fold."""

import collections
from collections.abc import Sequence

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.automation import check_sensors, fold_requests, snapshot_sensors
from history_assets.jobs import asset_jobs
from history_assets.partitions import PARTITIONS
from tests.unit.automation.nights import HISTORIES, INVENTORY, TABLES, Made, clones, histories


def requests(made: Made, stored: Sequence[str]) -> list[dg.RunRequest]:
    return list(fold_requests("run", made, HISTORIES, stored))


def test_a_clone_is_folded_on_its_date_by_its_tables_alone() -> None:
    assert requests([(clones("crm"), "2026-11-21")], ["2026-11-20", "2026-11-21"]) == [
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=[dg.AssetKey(["history", "crm", "account"]), dg.AssetKey(["history", "crm", "note"])],
            asset_check_keys=[],
        )
    ]


def test_clones_of_several_schemas_share_the_run_of_their_date() -> None:
    made = [(clones("web shop"), "2026-11-21"), (clones("billing"), "2026-11-21")]

    assert requests(made, ["2026-11-21"]) == [
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=[
                dg.AssetKey(["history", "billing", "invoice"]),
                dg.AssetKey(["history", "web_x20_shop", "line_x2d_item"]),
            ],
            asset_check_keys=[],
        )
    ]


def test_dates_stored_side_by_side_share_a_run_and_others_do_not() -> None:
    """A range means every key between its ends, in the order in which the keys were added."""
    stored = ["2026-11-22", "2026-11-20", "2026-11-19", "2026-11-21"]

    assert requests([(clones("billing"), date) for date in ("2026-11-20", "2026-11-21", "2026-11-22")], stored) == [
        dg.RunRequest(
            run_key="run:2026-11-22:2026-11-20",
            job_name="snapshots",
            tags={
                "dagster/asset_partition_range_start": "2026-11-22",
                "dagster/asset_partition_range_end": "2026-11-20",
            },
            asset_selection=histories("billing"),
            asset_check_keys=[],
        ),
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=histories("billing"),
            asset_check_keys=[],
        ),
    ]


def test_dates_on_which_other_schemas_were_cloned_do_not_share_a_run() -> None:
    made = [(clones("billing"), "2026-11-20"), (clones("billing"), "2026-11-21"), (clones("web shop"), "2026-11-21")]

    assert requests(made, ["2026-11-20", "2026-11-21"]) == [
        dg.RunRequest(
            run_key="run:2026-11-20:2026-11-20",
            job_name="snapshots",
            partition_key="2026-11-20",
            asset_selection=histories("billing"),
            asset_check_keys=[],
        ),
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=[*histories("billing"), *histories("web shop")],
            asset_check_keys=[],
        ),
    ]


def test_what_the_run_folded_itself_is_left_out() -> None:
    account, note = sorted(histories("crm"))
    made = [(clones("crm"), "2026-11-20"), (account, "2026-11-20"), (note, "2026-11-20")]
    made += [(clones("crm"), "2026-11-21"), (account, "2026-11-21")]

    assert requests(made, ["2026-11-20", "2026-11-21"]) == [
        dg.RunRequest(
            run_key="run:2026-11-21:2026-11-21",
            job_name="snapshots",
            partition_key="2026-11-21",
            asset_selection=[note],
            asset_check_keys=[],
        )
    ]


def test_a_run_that_cloned_nothing_is_followed_by_nothing() -> None:
    assert requests([], ["2026-11-21"]) == []
    assert requests([(histories("billing")[0], "2026-11-21"), (dg.AssetKey("other"), "2026-11-21")], ["2026-11-21"]) == []


def test_a_date_that_was_deleted_meanwhile_is_not_asked_for() -> None:
    assert requests([(clones("billing"), "2026-11-20")], ["2026-11-21"]) == []


DATES = st.sampled_from([f"2026-11-{day:02}" for day in range(1, 8)])
KEYS = st.sampled_from([*HISTORIES, *(table for tables in HISTORIES.values() for table in tables), dg.AssetKey("other")])


@given(st.lists(st.tuples(KEYS, DATES)), st.lists(DATES, unique=True))
def test_every_cloned_and_unfolded_table_of_every_stored_date_is_asked_for_once(
    made: list[tuple[dg.AssetKey, str]], stored: list[str]
) -> None:
    wanted = {(table, date) for clone, date in made for table in HISTORIES.get(clone, ()) if date in stored} - set(made)

    found = requests(made, stored)

    asked: collections.Counter[tuple[dg.AssetKey, str]] = collections.Counter()
    for request in found:
        first = request.tags.get("dagster/asset_partition_range_start", request.partition_key)
        last = request.tags.get("dagster/asset_partition_range_end", request.partition_key)
        dates = stored[stored.index(str(first)) : stored.index(str(last)) + 1]
        asked.update((table, date) for table in request.asset_selection or () for date in dates)
    assert asked == collections.Counter(wanted)
    assert len({request.run_key for request in found}) == len(found)


def ran(instance: dg.DagsterInstance, made: Made, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    """Run a job, of whatever name, that records materializations."""

    @dg.op
    def record(context: dg.OpExecutionContext) -> None:
        for key, date in made:
            context.log_event(dg.AssetMaterialization(key, partition=date))
        if fails:
            raise dg.Failure("one could not be cloned", allow_retries=False)

    @dg.job(name="anything")
    def job() -> None:
        record()

    return job.execute_in_process(instance=instance, raise_on_error=False)


_ENDED = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE)


def sensed(instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, status: str) -> list[dg.RunRequest | dg.SkipReason]:
    """Return what the sensor for a status asks for after a run."""
    sensors = {sensor.name: sensor for sensor in snapshot_sensors(asset_jobs(INVENTORY).snapshots, INVENTORY)}
    name = f"fold_after_{status}"
    (event,) = [event for event in result.all_events if event.event_type in _ENDED]
    context = dg.build_run_status_sensor_context(name, event, instance, result.dagster_run)
    return list(sensors[name](context))  # type: ignore[call-overload]


@pytest.mark.parametrize("status", ["success", "failure", "canceled"])
def test_whatever_a_run_cloned_is_folded_however_it_ended(instance: dg.DagsterInstance, status: str) -> None:
    instance.add_dynamic_partitions(PARTITIONS, ["2026-11-21", "2026-11-20"])
    result = ran(instance, [(clones("crm"), "2026-11-20"), (clones("crm"), "2026-11-21")], fails=status != "success")

    assert sensed(instance, result, status) == [
        dg.RunRequest(
            run_key=f"{result.run_id}:2026-11-21:2026-11-20",
            job_name="snapshots",
            tags={
                "dagster/asset_partition_range_start": "2026-11-21",
                "dagster/asset_partition_range_end": "2026-11-20",
            },
            asset_selection=sorted(histories("crm")),
            asset_check_keys=[],
        )
    ]


def test_a_run_with_nothing_to_fold_is_passed_by_with_its_name(instance: dg.DagsterInstance) -> None:
    instance.add_dynamic_partitions(PARTITIONS, ["2026-11-21"])
    made = [(clones("billing"), "2026-11-21"), *((table, "2026-11-21") for table in histories("billing"))]
    result = ran(instance, made)

    assert sensed(instance, result, "success") == [dg.SkipReason(f"run {result.run_id} left nothing to fold")]


def test_materializations_without_a_partition_are_none_of_the_nights(instance: dg.DagsterInstance) -> None:
    @dg.asset(key=clones("billing"))
    def unpartitioned() -> None: ...

    result = dg.materialize([unpartitioned], instance=instance)

    assert sensed(instance, result, "success") == [dg.SkipReason(f"run {result.run_id} left nothing to fold")]


def test_the_jobs_of_a_night_are_all_clones_and_all_histories() -> None:
    jobs = asset_jobs(INVENTORY)

    assert (jobs.clones.name, jobs.snapshots.name) == ("clones", "snapshots")
    tables = [table for tables in HISTORIES.values() for table in tables]
    assert jobs.clones.selection == dg.AssetSelection.assets(*HISTORIES).without_checks()
    assert jobs.snapshots.selection == dg.AssetSelection.assets(*tables).without_checks()


def checks(*schemas: str) -> list[dg.AssetCheckKey]:
    names = ("newest_exact", "no_lost_night", "no_large_drop")
    return [dg.AssetCheckKey(clones(schema), name) for schema in sorted(schemas) for name in names]


def folds(
    instance: dg.DagsterInstance,
    selected: frozenset[dg.AssetKey] | None,
    *,
    job: str,
    fails: bool,
    made: dg.AssetKey | None = None,
) -> tuple[str, object]:
    """Return the id of a run of a job that was to fold something, or made a clone, and what is asked for after it."""

    @dg.op
    def fold(context: dg.OpExecutionContext) -> None:
        if made:
            context.log_event(dg.AssetMaterialization(made, partition="2026-11-20"))
        if fails:
            raise dg.Failure("one is held back", allow_retries=False)

    @dg.job(name=job)
    def folding() -> None:
        fold()

    ended = folding.execute_in_process(instance=instance, raise_on_error=False)
    run = ended.dagster_run.with_status(ended.dagster_run.status)._replace(asset_selection=selected)
    (event,) = [event for event in ended.all_events if event.event_type in _ENDED]
    sensors = {sensor.name: sensor for sensor in check_sensors(asset_jobs(INVENTORY).checks, INVENTORY)}
    name = f"check_after_{'failure' if fails else 'success'}"
    return run.run_id, sensors[name](dg.build_run_status_sensor_context(name, event, instance, run))


@pytest.mark.parametrize("fails", [False, True])
def test_the_schemas_of_a_fold_are_checked_however_it_ended(instance: dg.DagsterInstance, fails: bool) -> None:
    selected = frozenset([histories("crm")[0], histories("web shop")[0], clones("billing")])
    run, asked = folds(instance, selected, job="__ASSET_JOB", fails=fails)

    assert asked == dg.RunRequest(run_key=run, job_name="checks", asset_check_keys=checks("crm", "web shop"))


def test_a_run_of_the_whole_job_folds_every_schema(instance: dg.DagsterInstance) -> None:
    run, asked = folds(instance, None, job="snapshots", fails=False)

    assert asked == dg.RunRequest(run_key=run, job_name="checks", asset_check_keys=checks(*TABLES))


@pytest.mark.parametrize("selected", [None, frozenset([clones("crm")])])
def test_a_run_that_was_to_fold_nothing_is_not_checked(
    instance: dg.DagsterInstance, selected: frozenset[dg.AssetKey] | None
) -> None:
    run, asked = folds(instance, selected, job="clones", fails=False)

    assert asked == dg.SkipReason(f"run {run} was to fold nothing")


def test_checks_that_a_run_of_clones_came_to_nothing_with_are_made_after_it(instance: dg.DagsterInstance) -> None:
    """Dagster adds them to such a run, and leaves them failed when its step fails."""
    run, asked = folds(instance, frozenset([clones("crm")]), job="__ASSET_JOB", fails=True)

    assert asked == dg.RunRequest(run_key=run, job_name="checks", asset_check_keys=checks("crm"))


@pytest.mark.parametrize("fails", [False, True])
def test_checks_of_a_run_that_made_a_clone_wait_for_its_fold(instance: dg.DagsterInstance, fails: bool) -> None:
    selected = frozenset([clones("crm"), clones("billing")])
    run, asked = folds(instance, selected, job="__ASSET_JOB", fails=fails, made=clones("crm"))

    assert asked == dg.SkipReason(f"run {run} was to fold nothing")
