"""Runs that are asked for: once for each state of things, and anew when a run has ended, however it has."""

import datetime as dt
import uuid
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from history_assets.inventory import Column, Inventory, KeySource, Schema, Table
from history_assets.partitions import PARTITIONS
from history_assets.records import PARTITION
from history_assets.run_requests import records_of, requests_for_clones

DATE = dt.date(2026, 11, 21)
NOW = dt.datetime(2026, 11, 21, 9, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(days=3650)  # whatever has to be waited for is over
INVENTORY = Inventory((Schema("crm", (Table("t", (Column("id", "INTEGER", 1),), ("id",), KeySource.DECLARED),)),))
CRM = dg.AssetKey(["clones", "crm"])


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        instance.add_dynamic_partitions(PARTITIONS, [str(DATE)])
        yield instance


def ended(instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    """Have a run of the date end."""
    run = dg.DagsterRun("clones", str(uuid.uuid4()), asset_selection=frozenset([CRM]), tags={PARTITION: str(DATE)})
    instance.add_run(run)
    if status is dg.DagsterRunStatus.FAILURE:
        instance.report_run_failed(run)
    elif status is dg.DagsterRunStatus.CANCELED:
        instance.report_run_canceled(run)
    else:
        instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name), run.run_id)


def asked(instance: dg.DagsterInstance, now: dt.datetime = LATER) -> list[str | None]:
    """Return the keys of the runs that are asked for, since there is no clone."""
    return [each.run_key for each in requests_for_clones(records_of(instance, INVENTORY), {DATE: ["crm"]}, now)]


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.SUCCESS])
def test_what_is_wanted_again_is_asked_for_by_another_key(status: dg.DagsterRunStatus, instance: dg.DagsterInstance) -> None:
    """Dagster starts no second run of a key: of a clone that is gone, or whose run was canceled, nobody would hear."""
    first, twice = asked(instance), asked(instance)
    ended(instance, status)

    assert len(first) == 1
    assert first == twice
    assert set(asked(instance)).isdisjoint(first)


def test_what_passes_is_asked_for_however_often_it_has_failed(instance: dg.DagsterInstance) -> None:
    keys = list[str | None]()
    for _ in range(53):
        keys += asked(instance)
        ended(instance, dg.DagsterRunStatus.CANCELED)

    assert len(set(keys)) == 53


def test_what_was_canceled_is_not_asked_for_at_once(instance: dg.DagsterInstance) -> None:
    ended(instance, dg.DagsterRunStatus.CANCELED)

    assert asked(instance, dt.datetime.now(dt.UTC)) == []
