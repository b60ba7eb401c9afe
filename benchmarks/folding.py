"""What a night's folding costs, side by side with stock dbt snapshots and with statements written by hand.

    python -m benchmarks.folding tables       200 tables of 1,000 rows, 5 % changed: ours against stock dbt snapshots
    python -m benchmarks.folding rows         a million rows of 20 columns, 1 % changed: ours against a hand-written merge
    python -m benchmarks.folding statements   statements per table through dbt's adapter, and a table of 900 columns

Each repetition starts from the same history, put back as it was, and the two take turns. Seconds are those of the dbt
invocation with its manifest loaded (``tables``), or of the table's own node (``rows``, ``statements``), after a small table's:
dbt compiles macros, and reads what catalogs there are, once a process.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.arena import Ours, Stock, machine, restore, run_child
from benchmarks.figures import compare

SYNCED = "timestamptz '2026-11-01 00:00:00+00' + interval {night} day as _fivetran_synced"


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print one part."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("part", choices=["tables", "rows", "statements"])
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--tables", type=int, default=200)
    arguments.add_argument("--rows", type=int, default=1_000_000)
    arguments.add_argument("--memory-limit", help="DuckDB's memory_limit in the measured processes, such as 1GB")
    asked = arguments.parse_args(words)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        {"tables": many_tables, "rows": many_rows, "statements": count_statements}[asked.part](Path(folder), asked)


def many_tables(folder: Path, asked: argparse.Namespace) -> None:
    """Compare the second night of many small tables."""
    names = [f"t{number}" for number in range(asked.tables)]

    def fill(connection: duckdb.DuckDBPyConnection, night: int) -> None:
        for position, name in enumerate(names):
            every = 10 + position % 91  # 1 to 10 % of the rows change
            make(connection, name, small(1000, every, night))

    ours = Ours(folder / "home", fill, 2, asked.threads)
    stock = Stock(folder / "stock", {name: ["id"] for name in names}, asked.threads)
    fine(ours.run([0]) + stock.run({0: ours.clone(0)}))
    seconds: dict[str, list[float]] = {"ours": [], "stock": []}
    keep(ours.history, stock.history)
    for _ in range(asked.runs):
        back(ours.history, stock.history)
        seconds["ours"] += [run["seconds"] for run in fine(ours.run([1]))]
        seconds["stock"] += [run["seconds"] for run in fine(stock.run({1: ours.clone(1)}))]
    print(f"{asked.tables} tables of 1,000 rows x 10 columns, 1 to 10 % changed, {asked.threads} threads, second night:")
    compare(seconds, "stock")


def many_rows(folder: Path, asked: argparse.Namespace) -> None:
    """Compare the second night of one big table."""

    def fill(connection: duckdb.DuckDBPyConnection, night: int) -> None:
        make(connection, "a_small_one", small(10, 2, night))
        make(connection, "big", big(asked.rows, night))

    ours = Ours(folder / "home", fill, 2, threads=1)
    options = {"memory_limit": asked.memory_limit}
    fine(ours.run([0]))
    keep(ours.history)
    columns = [name for name, _ in duckdb_columns(ours.clone(0), "big")]
    seconds: dict[str, list[float]] = {"ours": [], "by hand": []}
    peaks: dict[str, list[int]] = {"ours": [], "by hand": []}
    for _ in range(asked.runs):
        back(ours.history)
        (run,) = fine(ours.run([1], **options))
        seconds["ours"].append(run["nodes"]["raw__big"])
        peaks["ours"].append(run["peak"] - run["base"])
        with duckdb.connect(str(ours.history), read_only=True) as connection:
            rows = connection.execute("select count(*), count(*) filter (dbt_valid_to is null) from raw.big").fetchall()
        back(ours.history)
        request = {"kind": "by hand", "history": str(ours.history), "clone": ours.clone(1), "statements": by_hand(columns)}
        (run,) = run_child({**request, **options}, {})
        seconds["by hand"].append(run["seconds"])
        peaks["by hand"].append(run["peak"] - run["base"])
        with duckdb.connect(str(ours.history), read_only=True) as connection:
            found = connection.execute("select count(*), count(*) filter (dbt_valid_to is null) from raw.big").fetchall()
        if found != rows:
            raise SystemExit(f"found {found} by hand, {rows} by us: they do not do the same")
    print(
        f"{asked.rows:,} rows x {len(columns)} columns, 1 % changed, memory_limit {asked.memory_limit or 'as DuckDB has it'}:"
    )
    compare(seconds, "by hand")
    for name, grown in peaks.items():
        print(f"  {name}: the process grew by {max(grown) / 2**20:,.0f} MiB at most")


def count_statements(folder: Path, asked: argparse.Namespace) -> None:
    """Print what one table takes of the adapter, by what is to be done; wide tables too."""
    for columns in (10, 900):
        print(f"a table of 1,000 rows x {columns} columns, calls / statements of its node through the adapter, its seconds:")

        def fill(connection: duckdb.DuckDBPyConnection, night: int, columns: int = columns) -> None:
            make(connection, "a_small_one", small(10, 2, night))
            make(connection, "t", small(1000, 20, 0 if night == 2 else night, columns))  # night 2 is as night 0

        ours = Ours(folder / f"home{columns}", fill, 4, threads=1)
        stock = Stock(folder / f"stock{columns}", {"a_small_one": ["id"], "t": ["id"]}, threads=1)
        first, newest, same, late = fine(ours.run([0, 3, 3, 1], count=True))
        for name, run in {"first night": first, "newest night": newest, "folded already": same, "late night": late}.items():
            show(f"ours, {name}", run)
        clones = {0: ours.clone(0), 1: ours.clone(1)}
        first, newest = fine(stock.run(clones, count=True))
        show("stock, first night", first)
        show("stock, newest night", newest)
        shutil.copyfile(ours.clone(1), folder / "again")
        (same,) = fine(stock.run({2: str(folder / "again")}, count=True))
        show("stock, nothing changed", same)


def show(name: str, run: dict[str, Any]) -> None:
    table = max(run["nodes"], key=lambda node: node.endswith("t"))
    print(f"  {name}: {run['calls'][table]} / {run['statements'][table]}, {run['nodes'][table]:.2f} s")


def fine(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return runs in which nothing failed."""
    for run in runs:
        if run["failed"]:
            raise SystemExit(f"dbt reported errors: {run['failed']}")
    return runs


def keep(*files: Path) -> None:
    for file in files:
        shutil.copyfile(file, file.with_suffix(".kept"))


def back(*files: Path) -> None:
    for file in files:
        restore(file.with_suffix(".kept"), file)


def make(connection: duckdb.DuckDBPyConnection, name: str, select: str) -> None:
    """Make a table with the key ``id``."""
    connection.execute("set TimeZone = 'UTC'")
    connection.execute(f"create table {name} as {select} limit 0")
    connection.execute(f"alter table {name} add primary key (id)")
    connection.execute(f"insert into {name} {select}")


def small(rows: int, every: int, night: int, columns: int = 10) -> str:
    """Return a table in which every so manieth row changes each night."""
    changing = f"case when i % {every} = 0 then {night} else 0 end"
    made = [("i % 97", "integer"), ("i / 7.0", "double"), ("'text ' || i", "varchar"), ("i % 2 = 0", "boolean")]
    values = [f"cast({made[each % 4][0]} as {made[each % 4][1]}) as c{each}" for each in range(columns - 2)]
    shown = ", ".join(["i as id", f"{changing} as state", *values, SYNCED.format(night=night)])
    return f"select {shown} from range({rows}) as made(i)"


def big(rows: int, night: int) -> str:
    """Return a table of 20 columns in which 1 % of the rows change each night: most are updated, some go, some come."""
    kinds = [
        "cast(i * 7 % 1000 as integer)",
        "i / 3.0::double",
        "'name ' || i % 5000",
        "date '2020-01-01' + cast(i % 2000 as integer)",
        "timestamp '2020-01-01' + interval (i) second",
        "cast(i % 100000 as decimal(12, 2))",
        "i % 3 = 0",
        "case when i % 5 = 0 then null else 'a note on ' || i end",
        "hash(i)::varchar",
    ]
    values = [f"{kinds[each % len(kinds)]} as c{each}" for each in range(18)]
    state = f"case when i % 125 = 0 then {night} else 0 end as state"
    start = rows // 1000 * night
    shown = ", ".join(["i as id", state, *values, SYNCED.format(night=night)])
    return f"select {shown} from range({start}, {rows + start}) as made(i)"


def duckdb_columns(file: str, table: str) -> list[tuple[str, str]]:
    with duckdb.connect(file, read_only=True) as connection:
        return connection.execute(
            "select column_name, data_type from duckdb_columns() where table_name = ? and column_name <> '_fivetran_synced' "
            "order by column_index",
            [table],
        ).fetchall()


def by_hand(columns: Sequence[str]) -> list[str]:
    """Return what somebody who knows the table would write: a diff by key, and a merge in one transaction."""
    at = "timestamp '2026-11-02'"
    differs = " or ".join(f"c.{name} is distinct from h.{name}" for name in columns if name != "id")
    names = ", ".join(columns)
    return [
        f"""create or replace temporary table changed as
        select c.id is not null as is_new, h.id is not null as is_gone, coalesce(c.id, h.id) as id,
               {", ".join(f"c.{name}" for name in columns if name != "id")}, c._fivetran_synced
        from clone.main.big as c full join (select * from raw.big where dbt_valid_to is null) as h on c.id = h.id
        where c.id is null or h.id is null or {differs}""",
        "begin",
        f"update raw.big as h set dbt_valid_to = {at} from changed where changed.is_gone and h.id = changed.id "
        "and h.dbt_valid_to is null",
        f"""insert into raw.big ({names}, _fivetran_synced, dbt_scd_id, dbt_updated_at, dbt_valid_from, dbt_valid_to)
        select {names}, _fivetran_synced, md5(id || '|' || {at}), {at}, {at}, null from changed where is_new""",
        "commit",
    ]


if __name__ == "__main__":
    main()
