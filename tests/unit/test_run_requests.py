"""Work that is wanted is asked for again once the run that was asked for has ended, however that was and however often."""

import datetime as dt
import uuid
from collections.abc import Iterator

import dagster as dg
import pytest

from history_assets.jobs import CLONES_JOB
from history_assets.naming import clone_key
from history_assets.partitions import PARTITIONS
from history_assets.records import PARTITION, Records
from history_assets.run_requests import requests_for_clones

DATE = dt.date(2026, 11, 22)
SHOP = dg.AssetKey(clone_key("shop"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(PARTITIONS, [str(DATE)])
        yield instance


def keys(instance: dg.DagsterInstance, hours: int = 3) -> list[str]:
    """Return the key of the run that is asked for some hours from now, if one is."""
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours)
    asked = requests_for_clones(Records(instance, {CLONES_JOB: [SHOP]}), {DATE: ["shop"]}, later)
    return [str(request.run_key) for request in asked]


def ended(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, *assets: dg.AssetKey) -> None:
    selected = frozenset(assets or [SHOP])
    tags = {PARTITION: str(DATE)}
    instance.add_run(dg.DagsterRun(CLONES_JOB, str(uuid.uuid4()), asset_selection=selected, status=status, tags=tags))


def test_each_attempt_has_a_key_of_its_own_however_many_there_were(instance: dg.DagsterInstance) -> None:
    """Dagster makes no second run of a key. What was canceled passes, so that it is never given up."""
    asked = []
    for _ in range(60):
        asked += keys(instance)
        assert keys(instance) == asked[-1:]  # a tick that comes again
        ended(instance, dg.DagsterRunStatus.CANCELED)

    assert len(set(asked)) == 60


@pytest.mark.parametrize("status", [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_what_is_still_wanted_is_asked_for_again_however_its_run_ended(
    status: dg.DagsterRunStatus, instance: dg.DagsterInstance
) -> None:
    """A clone that was made may be lost later."""
    first = keys(instance)
    ended(instance, status)
    again = keys(instance)

    assert (len(first), len(again)) == (1, 1)
    assert first != again


def test_what_was_canceled_is_asked_for_after_the_pause_alone(instance: dg.DagsterInstance) -> None:
    ended(instance, dg.DagsterRunStatus.CANCELED)

    assert keys(instance, hours=0) == []
    assert len(keys(instance)) == 1
