"""What Dagster's records say of a date: what runs are under way for, how they failed, what was folded."""

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg
import pytest

from history_assets.failures import NO_STEP, WHOLE_RUN, Kind, Problem, failure
from history_assets.partitions import CLONE_DATES, PARTITIONS
from history_assets.records import Folded, Records, dates_of_run, folded_event
from history_assets.warehouse.values import Applied, Clone, Status

DATE, OTHER = "2026-11-21", "2026-11-22"
CRM, SHOP = dg.AssetKey(["clones", "crm"]), dg.AssetKey(["clones", "shop"])
JOBS = {"clones": [CRM, SHOP]}


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.add_dynamic_partitions(PARTITIONS, [OTHER, DATE])
        yield instance


def ran(
    instance: dg.DagsterInstance, outcome: Exception | None, selected: Sequence[dg.AssetKey] | None = None, date: str = DATE
) -> None:
    """Run the job for a date, so that it ends with an outcome."""

    @dg.multi_asset(
        specs=[dg.AssetSpec(key, skippable=True) for key in JOBS["clones"]], can_subset=True, partitions_def=CLONE_DATES
    )
    def clones(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        if outcome:
            raise outcome
        for key in sorted(context.selected_asset_keys):
            yield dg.MaterializeResult(asset_key=key)

    job = dg.define_asset_job("clones", dg.AssetSelection.all())
    dg.Definitions(assets=[clones], jobs=[job]).resolve_job_def("clones").execute_in_process(
        instance=instance, partition_key=date, asset_selection=selected and list(selected), raise_on_error=False
    )


def problem(name: str, reason: str, kind: Kind = Kind.FAILED) -> Problem:
    return Problem(name, DATE, reason, kind)


def failures(instance: dg.DagsterInstance, date: str = DATE) -> dict[dg.AssetKey, list[tuple[str, Kind]]]:
    found = Records(instance, JOBS).failures(date)
    return {key: [(each.cause, each.kind) for each in failed] for key, failed in found.items()}


def test_each_asset_has_its_own_failures_newest_first(instance: dg.DagsterInstance) -> None:
    ran(instance, failure("2 failed", [problem("clones/crm", "no grant 1"), problem("clones/shop", "away", Kind.PASSING)]))
    ran(instance, failure("1 failed", [problem("clones/crm", "no grant 2")]), [CRM])
    ran(instance, failure("other", [problem("clones/crm", "other date")]), date=OTHER)

    assert failures(instance) == {
        CRM: [("no grant #", Kind.FAILED), ("no grant #", Kind.FAILED)],
        SHOP: [("away", Kind.PASSING)],
    }


def test_what_was_canceled_failed_in_a_way_that_may_pass(instance: dg.DagsterInstance) -> None:
    ran(instance, failure("1 failed", [problem("clones/crm", "no grant")]))
    kept(instance, dg.DagsterRunStatus.CANCELED, {"dagster/partition": DATE}, frozenset([CRM]))
    assert failures(instance) == {CRM: [("canceled", Kind.PASSING), ("no grant", Kind.FAILED)]}

    ran(instance, None, [CRM])
    assert failures(instance) == {}


def test_what_succeeds_has_no_failures_left(instance: dg.DagsterInstance) -> None:
    """Be it in a run of its own, or in one that fails at others."""
    both = [problem("clones/crm", "a"), problem("clones/shop", "a")]
    ran(instance, failure("2 failed", both))
    ran(instance, failure("1 failed", both[:1]))
    assert failures(instance) == {CRM: [("a", Kind.FAILED), ("a", Kind.FAILED)]}

    ran(instance, None, [CRM])
    assert failures(instance) == {}


def test_a_run_that_says_nothing_of_its_assets_failed_at_each(instance: dg.DagsterInstance) -> None:
    ran(instance, KeyError("x"))
    ran(instance, failure("nothing was folded", [Problem(WHOLE_RUN, None, "no answer", Kind.PASSING)]), [SHOP])
    lost = kept(instance, dg.DagsterRunStatus.STARTED, {"dagster/partition": DATE}, frozenset([CRM]))
    instance.report_run_failed(lost)

    assert failures(instance) == {
        CRM: [(NO_STEP, Kind.FAILED), ("KeyError: 'x'", Kind.FAILED)],
        SHOP: [("no answer", Kind.PASSING), ("KeyError: 'x'", Kind.FAILED)],
    }


def kept(
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
    tags: dict[str, str],
    selected: frozenset[dg.AssetKey] | None = None,
) -> dg.DagsterRun:
    """Keep a run of the job as Dagster does before it has ended."""
    return instance.add_run(dg.DagsterRun("clones", str(uuid.uuid4()), asset_selection=selected, status=status, tags=tags))


@pytest.mark.parametrize(
    ("status", "counts"),
    [
        (dg.DagsterRunStatus.NOT_STARTED, True),
        (dg.DagsterRunStatus.STARTED, True),
        (dg.DagsterRunStatus.CANCELING, True),
        (dg.DagsterRunStatus.SUCCESS, False),
        (dg.DagsterRunStatus.FAILURE, False),
        (dg.DagsterRunStatus.CANCELED, False),
    ],
)
def test_what_is_queued_or_runs_is_under_way(status: dg.DagsterRunStatus, counts: bool, instance: dg.DagsterInstance) -> None:
    """Of one date or of a range, of some assets or of all that the job is of."""
    ends = {"dagster/asset_partition_range_start": OTHER, "dagster/asset_partition_range_end": DATE}
    kept(instance, status, {"dagster/partition": DATE})
    kept(instance, status, ends, frozenset([SHOP]))

    assert Records(instance, JOBS).under_way == ({(CRM, DATE), (SHOP, DATE), (SHOP, OTHER)} if counts else set())


def test_a_range_is_of_the_keys_between_its_ends_as_they_are_stored(instance: dg.DagsterInstance) -> None:
    ends = {"dagster/asset_partition_range_start": "b", "dagster/asset_partition_range_end": "c"}
    run = kept(instance, dg.DagsterRunStatus.STARTED, ends)

    assert dates_of_run(run, ["a", "b", "d", "c", "e"]) == ["b", "d", "c"]
    assert dates_of_run(run, ["a", "b"]) == []


def clone(clone_id: str, date: str) -> Clone:
    moment = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)
    return Clone("crm", dt.date.fromisoformat(date), clone_id, moment, moment, 1, 1, 1, "there")


TWO = Folded("two", (), ("u",), "all", "t", 0)


def test_what_was_folded_last_counts(instance: dg.DagsterInstance) -> None:
    for event in (
        folded_event(clone("one", DATE), Folded("one", ("t",), (), "all", "t", 1), ""),
        folded_event(clone("two", DATE), TWO, ""),
        folded_event(clone("x", OTHER), Folded("x", (), (), "all", "t", 0), ""),
    ):
        instance.report_runless_asset_event(event)
    instance.report_runless_asset_event(dg.AssetObservation(CRM, partition=DATE, metadata={"by": "somebody else"}))

    records = Records(instance, JOBS)
    assert records.folded("crm", [DATE]) == {DATE: TWO}
    assert records.folded("crm", []) == records.folded("shop", [DATE]) == {}


def test_a_folded_clone_says_how_much_changed_in_numbers() -> None:
    """Which Dagster plots."""
    moment = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)

    def row(table: str, opened: int, closed: int) -> Applied:
        return Applied(
            "crm", table, moment.date(), "two", moment, moment, 9, opened, closed, (), (), Status.APPLIED, None, "UTC", "00:00"
        )

    told = folded_event(clone("two", DATE), TWO, "", [row("a", 3, 2), row("b", 0, 1), row("c", 0, 0)]).metadata

    assert {name: each.value for name, each in told.items() if isinstance(each, dg.IntMetadataValue)} == {
        "opened": 3,
        "closed": 3,
        "tables_changed": 2,
    }


def test_a_clone_was_made_when_a_run_last_made_it(instance: dg.DagsterInstance) -> None:
    before = dt.datetime.now(dt.UTC)
    ran(instance, None, [CRM])
    after = dt.datetime.now(dt.UTC)

    found = Records(instance, JOBS).cloned_at("crm", [DATE, OTHER])
    assert list(found) == [DATE]
    assert before <= found[DATE] <= after
