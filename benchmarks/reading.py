"""What reading histories costs, side by side with what somebody would write by hand.

    python -m benchmarks.reading as-of            a day of a history of 30 nights, against reading that day's clone
    python -m benchmarks.reading point-in-time    a spine against five histories, against ASOF joins written by hand

Each repetition reads into Arrow, the two take turns, and what they read is compared. Histories are made by statements, laid
out as folding leaves them.
"""

import argparse
import datetime as dt
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from benchmarks.arena import machine
from history_assets.history import History
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse

FIRST = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
LEDGER = (
    "create table _history_assets.applied (schema_name varchar, table_name varchar, clone_date date, clone_id varchar, "
    "cutoff timestamp, quiet_point timestamp, row_count bigint, opened bigint, closed bigint, columns varchar, "
    "key_columns varchar, status varchar, problem varchar, time_zone varchar, cutoff_time varchar, "
    "duplicate_keys bigint)"
)
INTERVAL = "'' as dbt_scd_id, dbt_valid_from as dbt_updated_at, dbt_valid_from, dbt_valid_to"


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print one part."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("part", choices=["as-of", "point-in-time"])
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    asked = arguments.parse_args(words)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        {"as-of": as_of, "point-in-time": point_in_time}[asked.part](Path(folder), asked.rows, asked.runs)


def as_of(home: Path, rows: int, runs: int) -> None:
    """Read the middle night of thirty, each of which changed 1 % of the rows."""
    nights = 30
    values = ", ".join(
        f"{value} as c{number}"
        for number, value in enumerate(["id * 7 % 1000", "id / 3.0", "'name ' || id % 5000", "id % 3 = 0"] * 5)
    )
    changed = "(id * 31 + night * 7919) % 100 = 0"
    with duckdb.connect(str(home / "history.duckdb")) as connection:
        ledger(connection)
        connection.execute(
            f"create table shop.account as select id, night as state, {values}, {INTERVAL} from ("
            "select id, night, timestamp '2026-01-01' + interval (night) day as dbt_valid_from, "
            "timestamp '2026-01-01' + interval (lead(night) over (partition by id order by night)) day as dbt_valid_to "
            f"from range({rows}) as ids(id), range({nights}) as nights(night) where night = 0 or {changed}) "
            # A fold appends.
            "order by night, id"
        )
        for night in range(nights):
            apply(connection, "account", night)
    day = nights // 2
    clone = home / "clone.duckdb"
    with duckdb.connect(str(clone)) as connection:
        connection.execute(f"attach '{home / 'history.duckdb'}' as history (read_only)")
        connection.execute(
            "create table account as select * exclude (dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to) "
            f"from history.shop.account where dbt_valid_from <= timestamp '2026-01-01' + interval {day} day "
            f"and (dbt_valid_to is null or dbt_valid_to > timestamp '2026-01-01' + interval {day} day)"
        )
    history = History(DuckDBWarehouse(Settings(home=home)))

    def read_clone() -> pa.Table:
        with duckdb.connect(str(clone), read_only=True) as connection:
            return connection.execute("select * from account").to_arrow_table()

    def by_hand() -> pa.Table:
        moment = f"timestamp '2026-01-01' + interval {day} day"
        with duckdb.connect(str(home / "history.duckdb"), read_only=True) as connection:
            return connection.execute(
                "select * exclude (dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to) from shop.account "
                f"where dbt_valid_from <= {moment} and (dbt_valid_to is null or dbt_valid_to > {moment})"
            ).to_arrow_table()

    date = (FIRST + dt.timedelta(days=day)).date()
    print(f"{rows:,} rows x 22 columns as of night {day + 1} of {nights}, 1 % changed each night:")
    compare({"as of": lambda: history.as_of("shop.account", date), "by hand": by_hand, "the clone": read_clone}, runs)


def point_in_time(home: Path, rows: int, runs: int) -> None:
    """Join a spine to five histories of a million versions each."""
    keys, nights = 200_000, 5
    with duckdb.connect(str(home / "history.duckdb")) as connection:
        ledger(connection)
        for number in range(5):
            connection.execute(
                f"create table shop.h{number} as select id, 'name ' || (id + night) % 5000 as name{number}, "
                f"id * 1.5 + night as amount{number}, (id + night) % 7 as stage{number}, {INTERVAL} from ("
                "select id, night, timestamp '2026-01-01' + interval (night * 10) day as dbt_valid_from, "
                f"case when night < {nights - 1} then timestamp '2026-01-01' + interval (night * 10 + 10) day end "
                "as dbt_valid_to "
                f"from range({keys}) as ids(id), range({nights}) as nights(night))"
            )
            for night in range(nights):
                apply(connection, f"h{number}", night * 10)
        spine = connection.execute(
            f"select {', '.join(f'cast(hash(row + {n}) % {keys} as bigint) as k{n}' for n in range(5))}, "
            "timestamptz '2026-01-01 00:00:00+00' + interval (hash(row) % 5000000) second as label_time, row as label "
            f"from range({rows}) as rows(row)"
        ).to_arrow_table()
    history = History(DuckDBWarehouse(Settings(home=home)))

    def ours() -> pa.Table:
        return history.point_in_time(spine, {f"shop.h{n}": {f"k{n}": "id"} for n in range(5)}, time="label_time")

    names = [[f"{name}{n}" for name in ("name", "amount", "stage")] for n in range(5)]
    shown = ", ".join(
        f"case when m{n}.dbt_valid_to is null or s.known_at < m{n}.dbt_valid_to then m{n}.{name} end as {name}"
        for n, group in enumerate(names)
        for name in group
    )
    joins = " ".join(
        f"asof left join shop.h{n} as m{n} on s.k{n} = m{n}.id and s.known_at >= m{n}.dbt_valid_from" for n in range(5)
    )
    known = "(select *, timezone('UTC', label_time) as known_at from spine)"
    by_hand = f"select s.* exclude (known_at), {shown} from {known} as s {joins}"

    def hand() -> pa.Table:
        with duckdb.connect(str(home / "history.duckdb"), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            # Without it DuckDB takes the spine for a few rows, and is hundreds of times slower.
            connection.execute("set asof_loop_join_threshold = 0")
            connection.register("spine", spine)
            return connection.execute(by_hand).to_arrow_table()

    print(
        f"{rows:,} rows of a spine, 5 histories of {keys * nights:,} versions, 15 columns; by hand in no order, and unchecked:"
    )
    compare({"point in time": ours, "by hand": hand}, runs)


def ledger(connection: duckdb.DuckDBPyConnection) -> None:
    """Make an empty ledger."""
    connection.execute("create schema _history_assets")
    connection.execute("create schema shop")
    connection.execute(LEDGER)


def apply(connection: duckdb.DuckDBPyConnection, table: str, night: int) -> None:
    """Write a night into the ledger, with the columns that the history has."""
    own = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")
    described = connection.execute(f"describe shop.{table}").fetchall()
    columns = [{"name": name, "type": kind, "family": kind} for name, kind, *_ in described if name not in own]
    moment = (FIRST + dt.timedelta(days=night)).replace(tzinfo=None)
    row = ["shop", table, moment.date(), str(night), moment, moment, 0, 0, 0, json.dumps(columns), '["id"]', "applied", None]
    connection.execute(f"insert into _history_assets.applied values ({', '.join('?' * 16)})", [*row, "UTC", "00:00", 0])


def compare(readers: dict[str, Callable[[], pa.Table]], runs: int) -> None:
    """Print the medians of ways of reading the same, and the ratios of the first to the others."""
    seconds: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(runs + 1):
        sums = []
        for name, read in readers.items():
            start = time.perf_counter()
            found = read()
            if turn:  # the first fills the caches
                seconds[name].append(time.perf_counter() - start)
            else:
                sums.append(checksum(found))
            del found
        if len(set(sums)) > 1:
            raise SystemExit("they do not read the same")
    for name, found_seconds in seconds.items():
        print(
            f"  {name}: median {statistics.median(found_seconds):.2f} s of {', '.join(f'{each:.2f}' for each in found_seconds)}"
        )
    (ours, one), *others = ((name, statistics.median(each)) for name, each in seconds.items())
    for name, other in others:
        print(f"  {ours} / {name}: {one / other:.2f}")


def checksum(table: pa.Table) -> tuple[int, int, tuple[str, ...]]:
    """Return what differs if the rows of two tables do, whatever their order."""
    with duckdb.connect() as connection:
        connection.register("read", table)
        names = ", ".join(table.column_names)
        ((rows, total),) = connection.execute(f"select count(*), sum(hash({names})::hugeint) from read").fetchall()
    return rows, total, tuple(table.column_names)


if __name__ == "__main__":
    main()
