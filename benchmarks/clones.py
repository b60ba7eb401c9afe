"""What a night's clones take: ``python -m benchmarks.clones snowflake duckdb --schemas 50``, of 100 tables each.

- Snowflake: an emulated account over HTTP, each statement of which takes a while, as at the real one. Of the statements of one
  schema each waits for the one before, so that no night can take less than the longest of these chains, given how many schemas
  are cloned at a time: the wall time from the first statement to the last, beside that.
- DuckDB: all files beside ``cp`` of the same files, turn by turn; either is also told with the time until the disk has it.
"""

import argparse
import collections
import datetime as dt
import heapq
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.arena import machine
from benchmarks.figures import judged, ratio
from benchmarks.landed import Landed, Size, date_of
from history_assets.clones import clone_schema
from history_assets.fivetran.sources import QuietPoints, open_source
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.log import Statement
from tests.stories.account import Account

_TABLES = 100
_DELAYS = {"CREATE SCHEMA": 3.0, "ALTER SCHEMA": 0.15, "SHOW SCHEMAS": 0.2, "SHOW TABLES": 0.4}
"""Seconds: a clone of a hundred tables takes a few, what only reads or names tenths of one."""
_DATE = dt.date(2026, 10, 30)


def parser() -> argparse.ArgumentParser:
    """Return what this part can be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", default=["snowflake", "duckdb"], metavar="snowflake|duckdb")
    parser.add_argument("--schemas", type=int, default=50)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print each engine."""
    asked = parser().parse_args(words)
    print(machine())
    for engine in asked.engines:
        with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
            {"snowflake": on_snowflake, "duckdb": on_duckdb}[engine](Path(folder), asked)


def on_snowflake(folder: Path, asked: argparse.Namespace) -> None:
    """Clone an emulated account's schemas, for several dates one after the other."""
    print(
        f"\nclones on an emulated Snowflake, {asked.schemas} schemas x {_TABLES} tables, {asked.threads} at a time:", flush=True
    )
    with Emulator() as emulator:
        account = Account(emulator, folder)
        account.set_up()
        emulator.catalog.databases["RAW"].retention = 30
        names = [f"S{each:02}" for each in range(asked.schemas)]
        for name in names:
            tables = (f"create table T{each:02} (id int primary key, _fivetran_synced timestamp_tz)" for each in range(_TABLES))
            emulator.land(f"RAW.{name}", "2026-10-01 20:00", *tables)
        warehouse = account.warehouse(threads=asked.threads)
        emulator.delays = dict(_DELAYS)
        ratios = []
        for back in range(asked.runs):
            emulator.log.clear()
            began = time.perf_counter()
            clone_all(warehouse, names, _DATE - dt.timedelta(days=back), dt.datetime(2026, 10, 31, 12, tzinfo=dt.UTC))
            whole = time.perf_counter() - began
            wall, chain = measured(emulator.log, asked.threads)
            ratios.append(wall / chain)
            kinds = ", ".join(
                f"{count} {kind}" for kind, count in collections.Counter(each.kind for each in emulator.log).items()
            )
            print(f"  wall {wall:.2f} s ({whole:.2f} s as called), longest chain {chain:.2f} s; {kinds}", flush=True)
        median = statistics.median(ratios)
        said = ", ".join(f"{each:.2f}" for each in ratios)
        print(f"  wall / longest chain: {median:.2f} (turn by turn {said}){judged(median, 1.2, '')}")


def measured(log: Sequence[Statement], threads: int) -> tuple[float, float]:
    """Return the wall time of statements, and of their longest chain with so many schemas at a time, in the order begun."""
    wall = max(each.began + each.seconds for each in log) - min(each.began for each in log)
    chains = collections.defaultdict[str, float](float)
    alone = 0.0
    for each in log:
        if each.tag.startswith("history_assets:clone:"):
            chains[each.tag] += each.seconds
        else:
            alone += each.seconds  # what is asked once, for all schemas, before any of them
    workers = [0.0] * threads
    for chain in chains.values():
        heapq.heapreplace(workers, workers[0] + chain)
    return wall, alone + max(workers)


def on_duckdb(folder: Path, asked: argparse.Namespace) -> None:
    """Clone files, beside cp."""
    tables = asked.schemas * _TABLES
    print(
        f"\nclones on DuckDB, {asked.schemas} schemas x {_TABLES} tables of 1,000 rows, {asked.threads} at a time:", flush=True
    )
    landed = Landed(folder / "ours", Size(f"{tables} tables", tables, 1_000, 10, 10, 20))
    warehouse = DuckDBWarehouse(Settings(home=folder / "ours", threads=asked.threads))
    size = sum(path.stat().st_size for path in landed.files().values())
    seconds: dict[str, list[float]] = {"ours": [], "cp": [], "cp, and on the disk": []}
    for _ in range(asked.runs):
        shutil.rmtree(warehouse.clones, ignore_errors=True)
        os.sync()
        began = time.perf_counter()
        clone_all(warehouse, list(landed.files()), date_of(0), dt.datetime.now(dt.UTC))
        seconds["ours"].append(time.perf_counter() - began)
        target = folder / "cp"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        os.sync()
        began = time.perf_counter()
        subprocess.run(["cp", *landed.files().values(), target], check=True)
        seconds["cp"].append(time.perf_counter() - began)
        os.sync()
        seconds["cp, and on the disk"].append(time.perf_counter() - began)
        for schema in landed.files():
            if not (warehouse.clones / schema / f"{date_of(0)}.duckdb").is_file():
                raise SystemExit(f"found no clone of {schema}")
    print(f"  {size / 1e6:,.0f} MB")
    for name, found in seconds.items():
        print(f"  {name}: median {statistics.median(found):.2f} s of {', '.join(f'{each:.2f}' for each in found)}")
    ratio(seconds, "ours", "cp")
    ratio(seconds, "ours", "cp, and on the disk")


def clone_all(warehouse: Warehouse, schemas: Sequence[str], date: dt.date, now: dt.datetime) -> None:
    """Clone schemas as the asset of clones does, and have each checked to be whole."""
    quiet = QuietPoints(warehouse, open_source(warehouse, warehouse.settings.cutoffs().at(date)), lambda: now)
    with ThreadPoolExecutor(warehouse.settings.threads) as pool:
        outcomes = list(pool.map(lambda schema: clone_schema(quiet, schema, [date], replace=True), schemas))
    for schema, outcome in zip(schemas, outcomes, strict=True):
        made = outcome[date]
        if isinstance(made, Exception) or made.tables != _TABLES:
            raise SystemExit(f"found {made} for {schema}, expected a clone of {_TABLES} tables")


if __name__ == "__main__":
    main()
