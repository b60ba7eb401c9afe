"""A Dagster instance as it is after many nights, made of one real night: ``repeat_night`` copies its records to earlier dates.

Belongs here: writing an instance's SQLite files, and what of the home must look alike. Does not belong here: a real night.

Every event, run, tag and ledger row is what the product wrote, with date, times and run ids changed; so this follows what it
writes. Times are as many days earlier as the date is: healing looks again and again at what was cloned a moment ago.
Copies are put before the real night in the order of ids, which is Dagster's order of time. Events of single runs (a file each)
are only of the real night.
"""

import contextlib
import datetime as dt
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from unittest import mock

import dagster as dg
import duckdb
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from history_assets.partitions import PARTITIONS
from history_assets.records import PARTITION
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse


def repeat_night(home: Path, date: dt.date, nights: int) -> list[dt.date]:
    """Make it look as if the one night of a home, ``date``, were the last of so many; return all dates."""
    dates = [date - dt.timedelta(days=back) for back in range(nights - 1, -1, -1)]
    before = dates[:-1]
    history = home / "dagster" / "history"
    with opened(home) as instance:
        instance.add_dynamic_partitions(PARTITIONS, [str(each) for each in before])
    with contextlib.closing(sqlite3.connect(history / "runs" / "index.db")) as index:
        (events,) = index.execute("select max(id) + 1 from event_logs").fetchone()
        _repeat(index, "asset_event_tags", date, before, {"event_id": events})
        _repeat(index, "event_logs", date, before)
        _repeat(index, "asset_check_executions", date, before)
        # Dagster counts the partitions of an asset anew, as it does after an upgrade.
        index.execute("update asset_keys set cached_status_data = null")
        # Its keys are in the order in which a night added them.
        index.execute("update dynamic_partitions set id = -id where partition = ?", [str(date)])
        index.execute("update dynamic_partitions set id = (select max(id) + 1 from dynamic_partitions) where id < 0")
        index.commit()
    with contextlib.closing(sqlite3.connect(history / "runs.db")) as runs:
        _repeat(runs, "runs", date, before)
        _repeat(runs, "run_tags", date, before)
        runs.commit()
    repeat_ledger(home, date, nights - 1)
    for clone in sorted((home / "clones").glob(f"*/{date}.duckdb")):
        for each in before[1:]:
            os.link(clone, clone.with_name(f"{each}.duckdb"))
        for each in before[:1]:  # by the cutoff of the oldest, settings are compared with those of then
            oldest = Path(shutil.copy(clone, clone.with_name(f"{each}.duckdb")))
            mode = oldest.stat().st_mode
            oldest.chmod(mode | stat.S_IWUSR)
            with duckdb.connect(str(oldest)) as connection:
                connection.execute("update _history_assets.clone set cutoff = cutoff - to_days(?)", [(date - each).days])
            oldest.chmod(mode)
    return dates


def hand_over(home: Path, date: dt.date, location: str) -> int:
    """Have a night's runs look as if a code location had launched them; return the id of the last event before they ended.

    Sensors that wait for runs look at no other.
    """
    origin = RemoteRepositoryOrigin(
        GrpcServerCodeLocationOrigin("127.0.0.1", 1, None, location_name=location), "__repository__"
    )
    with opened(home) as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={PARTITION: str(date)}))
    history = home / "dagster" / "history"
    with contextlib.closing(sqlite3.connect(history / "runs.db")) as connection:
        for run in runs:
            launched = run.with_job_origin(RemoteJobOrigin(origin, run.job_name))
            connection.execute("update runs set run_body = ? where run_id = ?", [dg.serialize_value(launched), run.run_id])
        connection.commit()
    with contextlib.closing(sqlite3.connect(history / "runs" / "index.db")) as index:
        ids = ", ".join("?" for _ in runs)
        found = index.execute(
            f"select min(id) - 1 from event_logs where dagster_event_type = 'PIPELINE_SUCCESS' and run_id in ({ids})",
            [run.run_id for run in runs],
        ).fetchone()
    return int(found[0])


@contextlib.contextmanager
def opened(home: Path) -> Iterator[dg.DagsterInstance]:
    """Open the Dagster instance of a home; its event log is where DAGSTER_HOME says, as it is to the commands."""
    with mock.patch.dict(os.environ, {"DAGSTER_HOME": str(home / "dagster")}), dg.DagsterInstance.get() as instance:
        yield instance


def _repeat(
    connection: sqlite3.Connection,
    table: str,
    date: dt.date,
    before: Sequence[dt.date],
    others: Mapping[str, int] | None = None,
) -> None:
    """Copy all rows of a table for each date, and move the real ones behind them.

    ``others`` are its columns that hold ids of another table, each with how many ids that has for a date.
    """
    columns = {row[1]: row[2] for row in connection.execute(f"pragma table_info({table})")}
    (step,) = connection.execute(f"select coalesce(max(id), 0) + 1 from {table}").fetchone()
    steps = {"id": step, **(others or {})}
    connection.execute("create temporary table real as select * from " + table)
    # Of many indices, each is written once.
    indices = connection.execute(
        "select name, sql from sqlite_master where type = 'index' and tbl_name = ? and sql is not null", [table]
    ).fetchall()
    for name, _ in indices:
        connection.execute(f'drop index "{name}"')
    connection.execute(f"update {table} set id = -id")
    moved = ", ".join(f"{column} = {each * len(before)} + {column}" for column, each in (others or {}).items())
    connection.execute(f"update {table} set {', '.join(filter(None, [f'id = {step * len(before)} - id', moved]))}")
    for place, each in enumerate(before):
        days = (date - each).days
        shown = ", ".join(
            f"{_shifted(column, kind, steps.get(column, 0) * place, days)} as {column}" for column, kind in columns.items()
        )
        # A run of another date has another id, of the same length: 36 characters, the last four of which are the place's.
        connection.execute(
            f"insert into {table} select {shown} from real", {"from": str(date), "to": str(each), "place": f"{place:04x}"}
        )
    for _, sql in indices:
        connection.execute(sql)
    connection.execute("drop table real")


def _shifted(column: str, kind: str, ids: int, days: int) -> str:
    if ids:
        return f"{column} + {ids}"
    if kind in ("DATETIME", "TIMESTAMP"):
        return f"date({column}, '-{days} days') || substr({column}, {len('2026-11-01') + 1})"
    if column in ("start_time", "end_time"):
        return f"{column} - {days * _DAY}"
    if column == "run_id":
        return "substr(run_id, 1, 32) || :place"
    if column in ("event", "run_body", "evaluation_event"):
        inner = f"replace(real.{column}, run_id, substr(run_id, 1, 32) || :place)"
        dated = f"replace({inner}, :from, :to)"
        if column == "event":
            dated = f"json_set({dated}, '$.timestamp', json_extract(real.event, '$.timestamp') - {days * _DAY})"
        return dated
    if column in ("partition", "value"):
        return f"replace({column}, :from, :to)"
    return column


def repeat_ledger(home: Path, date: dt.date, nights: int) -> None:
    """Make a ledger that holds one night, ``date``, look as if there had been so many before it.

    Entries of a table are numbered as they are written: those of nights before come first.
    """
    moved = ", ".join(f"{instant} - to_days(days) as {instant}" for instant in _INSTANTS)
    with duckdb.connect(str(home / "history.duckdb")) as connection:
        connection.execute("update _history_assets.applied set entry = entry + ? where clone_date = ?", [nights, date])
        connection.execute(
            "insert into _history_assets.applied by name "
            f"select applied.* replace (entry - days as entry, clone_date - days as clone_date, {moved}) "
            "from _history_assets.applied, (select unnest(range(1, ? + 1))::integer as days) as shifts where clone_date = ?",
            [nights, date],
        )
        named = connection.execute("select distinct schema_name from _history_assets.applied").fetchall()
    # As they were written on the first of these nights: what a function tells apart begins with it.
    warehouse = DuckDBWarehouse(Settings(home=home))
    warehouse.keep_functions(warehouse.column_nights([name for (name,) in named]))


_DAY = 24 * 60 * 60
"""Seconds."""

_INSTANTS = ("cutoff", "quiet_point", "source_created", "source_altered")
"""The instants of a night that its row of the ledger has."""
