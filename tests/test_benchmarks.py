"""What the benchmarks rely on: the nights that they land, the check of what comes back, and every part at its smallest."""

import contextlib
import dataclasses
import datetime as dt
import importlib
import json
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import duckdb
import graphql
import pytest
from dagster_graphql.schema import create_schema

from benchmarks.__main__ import PARTS
from benchmarks.by_hand import fold
from benchmarks.clones import measured
from benchmarks.contenders import ByHand, NoSkip, Ours
from benchmarks.landed import METADATA, Landed, Size, date_of, in_schema, logged_at, size_of, synced_at
from benchmarks.location import _queries
from benchmarks.phases import CLONE, POOL, STARTED, WATCHED, Watch
from benchmarks.records import opened, repeat_night
from history_assets.fivetran.log import Log, syncs_of
from history_assets.fivetran.syncs import SyncStatus
from history_assets.partitions import PARTITIONS
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.fakes.snowflake.log import Statement

SMALL = Size("110 tables", 110, 40, 6, 10, 4)
FEW = Size("20 tables", 20, 40, 6, 10, 4)
PAGES = sorted((Path(__file__).parents[1] / "benchmarks" / "pages").glob("*.graphql"))


def written(landed: Landed, night: int) -> set[tuple[str, str]]:
    """Return the tables that the log says were written in a night."""
    events = DuckDBWarehouse(Settings(home=landed.folder.parent)).sync_events()
    data = [
        json.loads(event.data or "")
        for event in events
        if event.event == "records_modified" and event.at.date() == synced_at(night).date()
    ]
    return {(each["schema"], each["table"]) for each in data}


def test_a_night_changes_the_tables_that_the_log_names_and_no_others(tmp_path: Path) -> None:
    landed = Landed(tmp_path, SMALL)
    before = landed.fingerprints()
    assert written(landed, 0) == set(before) == set(SMALL.names)

    for night in (1, 2):
        landed.land(night)
        now = landed.fingerprints()
        changed = {table for table in now if now[table] != before[table]}
        assert (
            changed == written(landed, night) == {(f"s0{each // 100}", f"t{each % 100:02}") for each in range(night, 110, 10)}
        )
        before = now


def test_the_log_tells_of_a_good_sync_of_every_schema_each_night(tmp_path: Path) -> None:
    landed = Landed(tmp_path, SMALL)
    landed.land(1)

    events = DuckDBWarehouse(Settings(home=tmp_path)).sync_events()

    for schema in SMALL.schemas:
        syncs = syncs_of(schema, Log(events)) or []
        assert [(sync.started, sync.status) for sync in syncs] == [
            (synced_at(night), SyncStatus.SUCCESSFUL) for night in (0, 1)
        ]
    # A log that ends before a cutoff does not tell what was written up to it.
    own = [event.at for event in events if event.name == METADATA]
    assert own == [logged_at(0), logged_at(1)]
    assert all(at.date() == date_of(night) for night, at in enumerate(own))


@pytest.mark.slow
def test_a_small_night_after_many_skips_all_tables_but_those_that_changed_and_calls_all_that_is_watched(tmp_path: Path) -> None:
    landed = Landed(tmp_path / "ours", FEW)
    ours = Ours(tmp_path / "ours", landed, threads=2)
    expected = {0: landed.fingerprints()}
    ours.run(0)
    warehouse = DuckDBWarehouse(Settings(home=ours.home))
    first = warehouse.ledger()
    dates = repeat_night(ours.home, date_of(0), 3)

    assert dates == [date_of(-2), date_of(-1), date_of(0)]
    assert warehouse.ledger() == [
        dataclasses.replace(row, date=row.date - back, cutoff=row.cutoff - back, quiet_point=row.quiet_point - back)
        for row in first
        for back in map(dt.timedelta, (2, 1, 0))
    ]
    assert entries(ours) == {name: [1, 2, 3] for _, name in FEW.names}
    assert set(warehouse.find_clones(["s00"], dates)) == {("s00", date) for date in dates}
    for key in ("clones/s00", "history/s00/t00", "history/s00/t19"):
        assert materialized(ours, key.split("/")) == [str(date) for date in dates]
    assert tagged(ours) == [("clones", str(date)) for date in dates]

    ours.keep()
    landed.land(1)
    expected[1] = landed.fingerprints()
    ours.run_dates(str(date_of(1)), timed=tmp_path / "phases.json")

    everything, changed = set(FEW.names), {("s00", "t01"), ("s00", "t11")}
    assert unchanged(warehouse, 0) == set()
    assert unchanged(warehouse, 1) == everything - changed
    assert told_unchanged(ours, 1) == [(name, ("s00", name) not in changed) for _, name in FEW.names]
    assert entries(ours) == {name: [1, 2, 3, 4] for _, name in FEW.names}
    ours.history.check("ours", landed.columns, expected)
    found = json.loads((tmp_path / "phases.json").read_text())
    assert found["calls"].keys() == {*WATCHED, POOL}
    assert [path for path, calls in found["calls"].items() if not calls] == []
    assert found["seconds"].keys() == {STARTED, CLONE, *WATCHED.values()}

    ours.back(1)
    NoSkip(ours.home, landed, threads=2).run(1)

    assert unchanged(warehouse, 1) == set()
    ours.history.check("no skip", landed.columns, expected)


def test_another_home_has_the_same_raw(tmp_path: Path) -> None:
    landed = Landed(tmp_path / "ours", Size("2 tables", 2, 10, 6, 10, 4))

    no_skip = NoSkip(tmp_path / "no_skip", landed, threads=1)

    assert (no_skip.home / "raw" / "s00.duckdb").samefile(landed.files()["s00"])


def unchanged(warehouse: DuckDBWarehouse, night: int) -> set[tuple[str, str]]:
    """Return the tables that the ledger has for unchanged in a night, all of whose tables it holds."""
    rows = warehouse.ledger(date=date_of(night))
    assert [(row.schema, row.table) for row in rows] == FEW.names
    return {(row.schema, row.table) for row in rows if row.unchanged}


def told_unchanged(ours: Ours, night: int) -> list[tuple[str, bool]]:
    """Return what Dagster was told of a night of each table, once each: whether it was unchanged."""
    found = []
    with opened(ours.home) as instance:
        for _, name in FEW.names:
            events = instance.fetch_materializations(dg.AssetKey(["history", "s00", name]), 99).records
            of_night = [event.asset_materialization for event in events if event.partition_key == str(date_of(night))]
            found += [(name, bool(event.metadata["unchanged"].value)) for event in of_night if event]
    return found


def materialized(ours: Ours, key: list[str]) -> list[str]:
    """Return the partitions of an asset that Dagster knows of, in the order of their events."""
    with opened(ours.home) as instance:
        assert instance.get_dynamic_partitions(PARTITIONS) == [str(date_of(night)) for night in (-2, -1, 0)]
        events = instance.fetch_materializations(dg.AssetKey(key), 9, ascending=True).records
        runs = {record.dagster_run.run_id: record for record in instance.get_run_records()}
    last = events[-1].timestamp
    # SQLite writes the numbers of a JSON text to a few microseconds.
    assert [event.timestamp for event in events] == pytest.approx([last - days * 86_400 for days in (2, 1, 0)], abs=1e-3)
    for event in events:
        run, at = runs[event.run_id], dt.datetime.fromtimestamp(event.timestamp, dt.UTC)
        assert (run.start_time or 0) <= at.timestamp() <= (run.end_time or 0)
        assert run.create_timestamp.replace(tzinfo=dt.UTC) <= at <= run.update_timestamp.replace(tzinfo=dt.UTC)
    return [str(event.partition_key) for event in events]


def tagged(ours: Ours) -> list[tuple[str, str]]:
    """Return the events that have tags: the kind of their asset, and their partition."""
    path = ours.home / "dagster" / "history" / "runs" / "index.db"
    with contextlib.closing(sqlite3.connect(path)) as index:
        rows = index.execute(
            "select e.asset_key, e.partition from asset_event_tags t join event_logs e on e.id = t.event_id "
            "where e.asset_key = t.asset_key and e.timestamp = t.event_timestamp order by e.id"
        ).fetchall()
    return [(json.loads(key)[0], partition) for key, partition in rows]


def entries(ours: Ours) -> dict[str, list[int]]:
    """Return the numbers of each table's entries in the ledger, by their nights."""
    with duckdb.connect(str(ours.history.path), read_only=True) as connection:
        return dict(
            connection.execute(
                "select table_name, list(entry order by clone_date) from _history_assets.applied group by all"
            ).fetchall()
        )


def test_time_is_the_phase_s_that_is_innermost_and_the_main_thread_s_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("benchmarks.phases.time.time", lambda: next(clock))
    watch = Watch(since=-1)  # each look at the clock takes a second
    inner = watch.over("inner", POOL, lambda: None)
    outer = watch.over("outer", POOL, inner)

    outer()
    with ThreadPoolExecutor() as pool:
        pool.submit(outer).result()
    watch.turn()

    assert watch.seconds == {"start, imports": 1 + 1, "outer": 1 + 1, "inner": 1}
    assert watch.calls[POOL] == 2


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_asks_for_what_dagster_has_and_says_what_it_stands_for(page: Path) -> None:
    query = page.read_text()

    assert query.startswith("# ")
    assert graphql.validate(create_schema().graphql_schema, graphql.parse(query)) == []


def test_every_page_asks_all_that_there_is_to_ask() -> None:
    pages = ("asset graph", "a schema", "partitions of an asset")
    asked = {name for page in pages for name, _ in _queries(page, FEW)}

    assert asked == {page.stem for page in PAGES}


def test_a_history_that_is_not_exact_ends_the_benchmark(tmp_path: Path) -> None:
    landed = Landed(tmp_path / "home", SMALL)
    by_hand = ByHand(tmp_path / "hand", landed, threads=1)
    expected = {0: landed.fingerprints()}
    by_hand.run(0)
    by_hand.keep()
    landed.land(1)
    expected[1] = landed.fingerprints()
    by_hand.run(1)
    by_hand.history.check("by hand", landed.columns, expected)

    with duckdb.connect(str(by_hand.history.path)) as connection:
        connection.execute("update s01.t01 set state = 7 where id = 3")
    with pytest.raises(SystemExit, match=r"by hand does not give back s01\.t01 of 2025-03-01"):
        by_hand.history.check("by hand", landed.columns, expected)

    by_hand.back(1)
    by_hand.history.check("by hand", landed.columns, {0: expected[0]})
    assert not list(by_hand.home.glob("clones/*/2025-03-02.duckdb"))


def test_by_hand_closes_and_opens_only_what_differs(tmp_path: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute(
            "create table h (id int, a int, _fivetran_synced int, dbt_valid_from timestamp, dbt_valid_to timestamp)"
        )
        connection.execute("insert into h select i, i, 0, timestamp '2025-03-01', null from range(3) as r(i)")
        connection.execute(
            "create table c as select * from (values (0, 0, 9), (1, 5, 9), (3, 3, 9)) as c(id, a, _fivetran_synced)"
        )

        for statement in fold("h", "c", ["id", "a"], 1):
            connection.execute(statement)

        rows = connection.execute("select id, a, dbt_valid_from, dbt_valid_to from h order by all").fetchall()
    first, second = dt.datetime(2025, 3, 1), dt.datetime(2025, 3, 2)  # noqa: DTZ001 - as the column has it
    assert rows == [
        (0, 0, first, None),
        (1, 1, first, second),
        (1, 5, second, None),
        (2, 2, first, second),
        (3, 3, second, None),
    ]


def test_the_longest_chain_is_that_of_the_busiest_of_those_at_work() -> None:
    def statement(tag: str, began: float, seconds: float) -> Statement:
        return Statement("", "", tag, 1, "", "", dt.datetime(2026, 10, 1, tzinfo=dt.UTC), began=began, seconds=seconds)

    log = [
        statement("history_assets:log", 0, 1),
        *(statement(f"history_assets:clone:S{each}:d", 1 + each, 2) for each in range(3)),
        statement("history_assets:clone:S0:d", 9, 3),
    ]

    assert measured(log, threads=1) == (12, 1 + 2 + 2 + 2 + 3)
    assert measured(log, threads=2) == (12, 1 + 5)
    assert measured(log, threads=9) == (12, 1 + 5)


@pytest.mark.parametrize("part", PARTS)
def test_every_part_says_what_it_takes(part: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [part, "--help"])

    with pytest.raises(SystemExit) as ended:
        importlib.import_module(f"benchmarks.{part}").main()

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage:")


def test_sizes_are_those_that_are_promised() -> None:
    assert [(len(size_of(word).names), len(size_of(word).changed(1))) for word in ("500", "5000", "million", "wide")] == [
        (500, 50),
        (5000, 500),
        (1, 1),
        (1, 1),
    ]
    assert in_schema(("a b", "select")) == '"a b"."select"'
    assert METADATA not in size_of("5000").schemas


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "words", "said"),
    [
        ("nights", ["2", "--runs", "1"], "ours / no skip:"),
        (
            "nights",
            ["2", "--runs", "1", "--contenders", "ours", "by hand"],
            "own bookkeeping / by hand:",
        ),
        ("location", ["2", "--dates", "3", "--runs", "1"], "code server"),
        ("clones", ["--schemas", "1", "--runs", "1"], "ours / cp, and on the disk:"),
        ("backfill", ["2", "--nights", "2", "--stock-nights", "1", "--runs", "1"], "Dagster's own bookkeeping:"),
        ("memory", ["2"], "second night, all processes at one time:"),
        ("storage", ["50", "--nights", "2"], "written anew:"),
        ("folding", ["tables", "--tables", "2", "--runs", "1"], "ours / stock:"),
        ("folding", ["rows", "--rows", "1000", "--runs", "1"], "ours / by hand:"),
        ("folding", ["statements"], "stock, nothing changed:"),
        ("exactness", ["--timelines", "2"], "; ours: 12 of 12"),
        ("reading", ["as-of", "--rows", "1000", "--runs", "1"], "as of / the clone:"),
        ("reading", ["point-in-time", "--rows", "1000", "--runs", "1"], "point in time / by hand:"),
    ],
)
def test_every_part_runs_to_its_end(part: str, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    importlib.import_module(f"benchmarks.{part}").main(words)

    assert said in capsys.readouterr().out
