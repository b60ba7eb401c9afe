"""What healing and the sensor of syncs look at, and when."""

import datetime as dt
import functools
import time
from collections.abc import Callable

import dagster as dg
import duckdb
import pytest

from history_assets import healing
from history_assets.folding import TableRef
from history_assets.healing import missing_clones, missing_folds
from history_assets.run_requests import records_of
from history_assets.settings import Settings
from history_assets.syncing import sync_sensor
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.unit.automation.nights import INVENTORY, MakeWarehouse


def test_a_log_that_is_being_written_is_left_for_the_next_look(
    landed: Landing, make_warehouse: MakeWarehouse, instance: dg.DagsterInstance
) -> None:
    """Whoever waits for it may be stopped first, and then wait on in the code server."""
    (syncs,) = sync_sensor(INVENTORY, make_warehouse(), lambda: dt.datetime(2026, 10, 20, 1, tzinfo=dt.UTC))
    landed.execute("fivetran_metadata", "2024-01-01", "create table log (id int)")
    began = time.monotonic()
    with duckdb.connect(str(landed.file("fivetran_metadata"))), dg.build_sensor_context(instance, cursor="{}") as context:
        looked = syncs.evaluate_tick(context)

    assert time.monotonic() - began < 10
    assert str(looked.skip_message).startswith(f"found {landed.file('fivetran_metadata')} still in use")
    assert (looked.run_requests, looked.cursor) == ([], "{}")


@pytest.mark.usefixtures("landed")
def test_healing_leaves_a_night_to_the_others_for_a_quarter_of_an_hour(make_settings: Callable[..., Settings]) -> None:
    warehouse = DuckDBWarehouse(make_settings(healing_days=1))
    cutoff = warehouse.settings.cutoffs().at(dt.date(2026, 10, 20))
    wanted = [missing_clones(INVENTORY, warehouse, {}, (), cutoff + dt.timedelta(minutes=minutes)) for minutes in (14, 15)]

    assert wanted == [{}, {dt.date(2026, 10, 20): ["billing", "crm", "web shop"]}]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_clones_that_are_new_to_healing_are_looked_at_over_several_ticks(
    at_once: int,
    instance: dg.DagsterInstance,
    make_settings: Callable[..., Settings],
    landed: Landing,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is among what is not folded from the tick on that comes to it, and none is forgotten."""
    monkeypatch.setattr(healing, "LOOKED_AT", at_once)
    warehouse, made = DuckDBWarehouse(make_settings()), "create or replace table t (_fivetran_synced timestamptz)"
    days = [dt.date(2026, 10, day) for day in (17, 18, 19, 20)]
    for date in days:
        for schema in ("billing", "crm"):
            landed.execute(schema, f"{date - dt.timedelta(days=1)}T20:00", made)
            warehouse.clone(schema, date, functools.partial(warehouse.settings.cutoffs().at, date))
    unfolded = [
        (date, [(schema, table) for table in tables])
        for date in days
        for schema, tables in (("billing", ["invoice"]), ("crm", ["note", "account"]))
    ]
    records = records_of(instance, INVENTORY)
    now, cursor = dt.datetime(2026, 10, 20, 12, tzinfo=dt.UTC), None
    for tick in range(1, 10):
        folds, cursor = missing_folds(INVENTORY, warehouse, warehouse.clone_marks(), records, cursor, now)
        expected: dict[dt.date, list[TableRef]] = {}
        for date, tables in unfolded[: tick * at_once]:
            expected[date] = expected.get(date, []) + tables
        assert folds == expected

    assert len(folds) == len(days)
