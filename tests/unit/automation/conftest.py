"""Fixtures of tests of what asks for runs."""

import datetime as dt
from collections.abc import Callable, Iterator

import dagster as dg
import pytest

from history_assets.partitions import PARTITIONS
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.unit.automation.nights import TABLES, MakeWarehouse


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("instance"))) as instance:
        yield instance


@pytest.fixture
def instance(shared_instance: dg.DagsterInstance) -> Iterator[dg.DagsterInstance]:
    """A persistent instance without partitions."""
    yield shared_instance
    for key in shared_instance.get_dynamic_partitions(PARTITIONS):
        shared_instance.delete_dynamic_partition(PARTITIONS, key)


@pytest.fixture
def landed(landing: Landing) -> Landing:
    """The schemas of the inventory, each written long ago, and one that no project knows yet."""
    for schema in (*TABLES, "new"):
        landing.execute(schema, "2024-01-01", "create table t (_fivetran_synced timestamptz)")
    return landing


@pytest.fixture
def make_warehouse(make_settings: Callable[..., Settings], landed: Landing) -> MakeWarehouse:
    return lambda zone="UTC", time=dt.time(0): DuckDBWarehouse(make_settings(timezone=zone, cutoff=time))
