"""What cannot be read stops its own tables alone, and is told by name."""

import dataclasses
import datetime as dt
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from history_assets.checks import _newest
from history_assets.dbt_files import raw_then
from history_assets.errors import InUseError, WarehouseError
from history_assets.folding import plan
from history_assets.healing import missing_folds
from history_assets.inventory import Inventory, KeySource, Schema, Table
from history_assets.refresh import refresh
from history_assets.retention import Verdict, retain
from history_assets.run_requests import records_of
from history_assets.settings import Settings
from history_assets.sighting import look
from history_assets.status import recent
from history_assets.verification import Finding, verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.values import Applied, Clone, Status
from tests.landing import Landing

DATE, NEXT = dt.date(2026, 11, 20), dt.date(2026, 11, 21)
INVENTORY = Inventory(tuple(Schema(name, (Table("t", (), (), KeySource.WHOLE_ROW),)) for name in ("bad", "good")))
TABLES = [("bad", "t"), ("good", "t")]


def damage(file: Path) -> None:
    """Make a file one of no sense, as a disk does."""
    if file.exists():
        file.chmod(0o600)
    file.write_bytes(b"x" * 5000)


def exchange(file: Path) -> None:
    """Put another DuckDB file in place of one."""
    file.unlink()
    duckdb.connect(str(file)).close()


@pytest.fixture(params=[damage, exchange])
def cloned(request: pytest.FixtureRequest, landing: Landing, make_settings: Callable[..., Settings]) -> DuckDBWarehouse:
    """Two schemas with clones of two dates, of which one schema's first cannot be read."""
    warehouse = DuckDBWarehouse(make_settings(clone_retention_days=1, clone_retention_months=0, lock_timeout=0.1))
    for date in (DATE, NEXT):
        for schema in ("bad", "good"):
            landing.execute(schema, f"{DATE}T00:00", "create or replace table t (id int, _fivetran_synced timestamptz)")
            warehouse.clone(schema, date, lambda date=date: warehouse.settings.cutoffs().at(date))
    request.param(warehouse.clones / "bad" / f"{DATE}.duckdb")
    return warehouse


def test_its_own_tables_are_not_folded(cloned: DuckDBWarehouse) -> None:
    found = cloned.find_clones(["bad", "good"], [DATE])
    planned = plan(cloned, TABLES, DATE)

    assert isinstance(found["bad", DATE], WarehouseError)
    assert isinstance(found["good", DATE], Clone)
    assert planned.tables == (("good", "t"),)
    assert planned.failures == {("bad", "t"): str(found["bad", DATE])}
    assert f"bad/{DATE}.duckdb" in str(found["bad", DATE])


def test_healing_goes_on_with_the_others_and_looks_again(cloned: DuckDBWarehouse) -> None:
    now, cursor = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC), None
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(2):
            records = records_of(instance, INVENTORY)
            folds, cursor = missing_folds(INVENTORY, cloned, cloned.clone_marks(), records, cursor, now)

            assert folds == {DATE: [("good", "t")], NEXT: [("bad", "t"), ("good", "t")]}


def test_retention_keeps_it_and_says_so(cloned: DuckDBWarehouse) -> None:
    verdicts = {(verdict.schema, verdict.date): verdict for verdict in retain(cloned, NEXT + dt.timedelta(days=1))}

    why = str(cloned.find_clones(["bad"], [DATE])["bad", DATE])
    assert verdicts["bad", DATE] == Verdict("bad", DATE, why, wrong=True)
    assert verdicts["good", DATE].kept_because == f"good.t as of {DATE} is not folded: run the date again"


def test_it_is_shown_compared_with_nothing_and_fails_the_check_of_its_schema(
    cloned: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    cutoff = cloned.settings.cutoffs().at(DATE)
    row = Applied("bad", "t", DATE, "id", cutoff, cutoff, 0, 0, 0, (), (), Status.APPLIED, None, "UTC", "00:00")
    rows = [row, dataclasses.replace(row, schema="good")]
    monkeypatch.setattr(cloned, "ledger", lambda *_: rows)
    cloned.await_history()
    why = str(cloned.find_clones(["bad"], [DATE])["bad", DATE])

    assert list(verify(cloned, None, DATE)) == [
        Finding("bad", "t", DATE, f"bad.t as of {DATE}: {why}"),
        Finding("good", "t", DATE, f"good.t as of {DATE}: the clone was made again after it was folded: run the date again"),
    ]
    assert _newest(cloned, "bad", [DATE], rows) == ([why], "", 1)
    _, nights = recent(cloned, DATE, 1)
    assert {name: str(night) for name, (night,) in nights.items()} == {"bad": "clone unreadable", "good": "applied"}


def test_a_clone_that_another_process_has_open_is_not_called_wrong(
    cloned: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asked waits, or is told so, and asks again."""
    cutoff = cloned.settings.cutoffs().at(NEXT)
    row = Applied("good", "t", NEXT, "id", cutoff, cutoff, 0, 0, 0, (), (), Status.APPLIED, None, "UTC", "00:00")
    monkeypatch.setattr(cloned, "ledger", lambda *_: [row])

    def in_use(*_: object) -> None:
        raise InUseError("found the clone in use")

    monkeypatch.setattr(cloned, "find_clone", in_use)

    for ask in (
        lambda: list(verify(cloned, None, NEXT)),
        lambda: _newest(cloned, "good", [NEXT], [row]),
        lambda: list(retain(cloned, NEXT + dt.timedelta(days=9))),
    ):
        with pytest.raises(InUseError, match="found the clone in use"):
            ask()


@pytest.fixture
def parsed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project is put in force without dbt."""

    def parse(folder: Path, _settings: Settings) -> None:
        (folder / "target").mkdir()
        (folder / "target" / "manifest.json").touch()

    monkeypatch.setattr("history_assets.dbt_run.parse", parse)


@pytest.mark.usefixtures("parsed_at_once")
def test_a_schema_that_cannot_be_read_stays_as_it_was_in_a_refresh(landing: Landing, warehouse: DuckDBWarehouse) -> None:
    for schema in ("bad", "good"):
        landing.execute(schema, f"{DATE}T00:00", "create table t (id int, _fivetran_synced timestamptz)")
    refresh(warehouse.settings, warehouse)
    landing.execute("good", f"{DATE}T00:00", "alter table t add column v int")
    damage(landing.file("bad"))
    damage(landing.file("new"))

    found = refresh(warehouse.settings, warehouse)
    sight = look(warehouse, raw_then(warehouse.settings.home), None, dt.datetime(2026, 11, 21, tzinfo=dt.UTC))

    assert [change.line() for change in found.drift] == ["new column good.t.v INTEGER"]
    assert [(schema, table.name) for schema, table in found.inventory.tables()] == TABLES
    assert [line.partition(", expected")[0] for line in found.warnings()] == [
        f"left {name} as it was: found {landing.file(name)}" for name in ("bad", "new")
    ]
    assert (sight.raw, sight.unread) == (raw_then(warehouse.settings.home), ("bad", "new"))
    _, nights = recent(warehouse, DATE, 1)
    assert set(nights) == {"bad", "good", "new"}


@pytest.mark.usefixtures("parsed_at_once")
def test_where_nothing_can_be_read_a_refresh_fails(landing: Landing, warehouse: DuckDBWarehouse) -> None:
    """As where the warehouse is away: a project without tables is not to be put in force."""
    landing.execute("bad", f"{DATE}T00:00", "create table t (id int, _fivetran_synced timestamptz)")
    damage(landing.file("bad"))

    with pytest.raises(WarehouseError, match=r"^found .*bad\.duckdb, expected a DuckDB file that can be opened"):
        refresh(warehouse.settings, warehouse)
