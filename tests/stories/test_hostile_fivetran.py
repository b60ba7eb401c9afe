"""What Fivetran tells, by its log or its API, may make no sense: a schema is cloned all the same, or refused in a line."""

import datetime as dt
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest

from history_assets.clones import clone_schema
from history_assets.errors import FivetranError, HistoryError
from history_assets.fivetran.sources import QuietPoints, open_source
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.values import Clone
from tests.fakes.fivetran import GROUP, FakeFivetran, Fault
from tests.landing import Landing
from tests.stories.hostile import KINDS

DATE = dt.date(2026, 11, 20)
CUTOFF = dt.datetime(2026, 11, 20, tzinfo=dt.UTC)
NOW = CUTOFF + dt.timedelta(minutes=10)
HOUR = dt.timedelta(hours=1)
ROWS = (
    ("id", "records_modified", "[" * 10_000),
    ("id", "records_modified", '{"schema": {"x": "crm"}, "table": 7, "count": []}'),
    ("id", "records_modified", '{"schema": "crm", "table": "account", "count": 1e400}'),
    ("id", "records_modified", '{"schema": "x\'; drop table account; --", "count": "9999999999999999999999999"}'),
    ("id", "alter_table", '{"table": ["account"], "name": {"a": 1}}'),
    ("id", "records_modified", None),
    ("id", "sync_end", "null"),
    ("x'; drop table log; --", "sync_start", '{"status": 5}'),
    ("x'; drop table log; --", "sync_end", '{"status": ["SUCCESSFUL"]}'),
    ("nameless", "sync_start", None),
    ("unknown", "sync_start", None),
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    landing = Landing(tmp_path / "home")
    table = "create table account (id int primary key, _fivetran_synced timestamptz)"
    landing.execute("crm", "2026-11-19T20:30", table, "insert into account values (1, now())")
    return Settings(home=tmp_path / "home")


@pytest.fixture
def fivetran(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeFivetran]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeFivetran() as fivetran:
        yield fivetran


def cloned(settings: Settings) -> Clone | HistoryError:
    warehouse = DuckDBWarehouse(settings)
    quiet = QuietPoints(warehouse, open_source(warehouse, CUTOFF), lambda: NOW)
    return clone_schema(quiet, "crm", [DATE], replace=False)[DATE]


def log(home: Path, *rows: tuple[str, str, str | None]) -> None:
    """Have the Platform Connector log a sync of crm that went well, and beside it rows that make no sense."""
    landing = Landing(home)
    landing.execute(
        "fivetran_log",
        "2026-11-19T23:00",
        "create table connection (connection_id varchar, connection_name varchar)",
        "insert into connection values ('id', 'crm'), ('nameless', null), ($$x'; drop table log; --$$, '.*')",
        "create table log (connection_id varchar, time_stamp timestamptz, message_event varchar, message_data varchar)",
        "insert into log values ('id', '2026-11-19 20:00:00+00', 'sync_start', null), "
        "('id', '2026-11-19 21:00:00+00', 'sync_end', '{\"status\": \"SUCCESSFUL\"}')",
    )
    with duckdb.connect(str(landing.file("fivetran_log"))) as connection:
        for second, row in enumerate(rows):
            at = dt.datetime(2026, 11, 19, 20, 1, second, tzinfo=dt.UTC)
            connection.execute("insert into log values ($1, $4, $2, $3)", [*row, at])
        connection.execute("insert into log values ('id', null, 'sync_start', null), (null, now(), 'sync_start', null)")
    landing.touch("fivetran_log", "2026-11-19T23:00")


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_a_row_of_the_log_that_makes_no_sense_hides_no_other(row: tuple[str, str, str | None], settings: Settings) -> None:
    log(settings.home, row)
    made = cloned(settings)

    assert isinstance(made, Clone), made
    assert made.rows == 1


def test_a_status_of_the_log_that_makes_no_sense_clones_nothing(settings: Settings) -> None:
    log(settings.home)
    with duckdb.connect(str(Landing(settings.home).file("fivetran_log"))) as connection:
        connection.execute("update log set message_data = '{\"status\": {}}' where message_event = 'sync_end'")
    made = cloned(settings)

    assert isinstance(made, HistoryError)
    assert "the sync of crm from 2026-11-19 20:00 UTC, the last before, failed" in str(made)


def test_hostile_connections_hide_no_other(settings: Settings, fivetran: FakeFivetran) -> None:
    for name in (
        ".*",
        "(a+)+$",
        "crm_",
        "_",
        "c%",
        "x'; drop table account; --",
        "../crm",
        "two\nlines",
        "\u202e",
        *KINDS.values(),
    ):
        fivetran.connect(name, service="postgres", sync_frequency="often")
    fivetran.connect("crm")
    fivetran.sync("crm", CUTOFF - 2 * HOUR, CUTOFF - HOUR)
    made = cloned(settings.model_copy(update={"fivetran": fivetran.credentials()}))

    assert isinstance(made, Clone), made
    asked = {path for path, _ in fivetran.requests}
    assert asked == {f"/v1/groups/{GROUP}/connections", f"/v1/connections/id_crm_{GROUP}/sync-history"}


@pytest.mark.parametrize("piece", [*KINDS.values(), "a/b?x#y", "crm%2F.."], ids=[*KINDS, "an address", "encoded"])
def test_an_id_is_a_part_of_a_path_and_no_more(piece: str, settings: Settings, fivetran: FakeFivetran) -> None:
    fivetran.connect("crm", id=piece)
    fivetran.sync("crm", CUTOFF - 2 * HOUR, CUTOFF - HOUR)
    made = cloned(settings.model_copy(update={"fivetran": fivetran.credentials()}))

    assert isinstance(made, Clone), made
    assert {path for path, _ in fivetran.requests} == {
        f"/v1/groups/{GROUP}/connections",
        f"/v1/connections/{quote(piece, safe='')}/sync-history",
    }


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([{"items": [], "next_cursor": str(page)} for page in range(150)], "found more than 100 pages in Fivetran's answer"),
        ([{"items": [{"id": "x", "schema": {"a": 1}, "service": "s"}]}], "found an item of Fivetran's that cannot be read"),
        ([{"items": [{"id": "..", "schema": "crm", "service": "s"}]}], "found an item of Fivetran's that cannot be read"),
        ([{"items": {}}], "found no page of items"),
    ],
    ids=["endless", "a schema that is no text", "an id that is a path", "no items"],
)
def test_an_answer_that_makes_no_sense_clones_nothing(
    answers: list[object], says: str, settings: Settings, fivetran: FakeFivetran
) -> None:
    """Some sync may be under way, and nobody can tell."""
    fivetran.faults.extend(Fault(200, body=json.dumps({"data": answer})) for answer in answers)
    made = cloned(settings.model_copy(update={"fivetran": fivetran.credentials()}))

    assert isinstance(made, FivetranError)
    assert says in str(made)
    assert "\n" not in str(made)
    assert list((settings.home / "clones").rglob("*.duckdb")) == []
