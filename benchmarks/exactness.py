"""How many nights of random timelines come back exactly: from stock dbt snapshots, and from this project.

The timelines are those of the tests. Stock is dbt's own snapshot of every table, strategy ``check`` over all columns but
``_fivetran_synced``, hard deletes invalidated, its key the timeline's, else all columns of the first night; it runs once per
night, in order, with the night's cutoff as its time. A night counts as exact when the table, as of its cutoff and after the
last night, holds the clone's rows: as a multiset, in the columns of that night, cast to their types and compared as text. A
night on which dbt reports an error for the table counts as not exact, a table that is absent included.

    python -m benchmarks.exactness --timelines 60 --seed 1
"""

import argparse
import collections
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

from benchmarks.arena import Stock, machine
from history_assets.naming import quote
from history_assets.warehouse import duckdb_history, history_sql
from history_assets.warehouse.values import Status
from tests.stories.engines.duckdb import DuckDB
from tests.stories.test_timelines import Bench, date_of
from tests.stories.timelines import NIGHTS, State, collect

SCHEMA = "in_order"
ABSENT = "where dbt reported an error because the table was absent"


def main(words: Sequence[str] | None = None) -> None:
    """Count and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--timelines", type=int, default=60)
    arguments.add_argument("--seed", type=int, default=1)
    asked = arguments.parse_args(words)
    print(machine())
    with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
        compare(Path(folder), asked.timelines, asked.seed)


def compare(folder: Path, count: int, seed: int) -> None:
    """Fold the same clones both ways, and print how many nights are exact."""
    engine = DuckDB(folder / "home")
    bench, warehouse = Bench(engine, collect(count, seed, engine.holds)), engine.warehouse()
    for number in range(NIGHTS):
        bench.land(number, SCHEMA)
    bench.fold(bench.nights([SCHEMA], range(NIGHTS)))

    keys = {}
    for name, timeline in bench.timelines.items():
        first = timeline[0]
        assert first is not None
        keys[name] = first.key or [column for column, _ in first.columns]
    stock = Stock(folder / "stock", keys, threads=2)
    clones = {number: str(warehouse.clones / SCHEMA / f"{date_of(number)}.duckdb") for number in range(NIGHTS)}
    runs = stock.run(clones)

    total = NIGHTS * len(bench.timelines)
    ours, by_stock = 0, collections.Counter[str]()
    for number, clone in clones.items():
        with duckdb.connect() as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute(f"attach '{clone}' as clone (read_only)")
            connection.execute(f"attach '{warehouse.history}' as ours (read_only)")
            connection.execute(f"attach '{stock.history}' as stock (read_only)")
            for name, timeline in bench.timelines.items():
                ours += ours_is_exact(connection, bench, name, number)
                by_stock[judge_stock(connection, name, number, timeline[number], runs[number]["failed"])] += 1
    exact, absent = by_stock.pop("exact", 0), by_stock[ABSENT]
    print(f"{len(bench.timelines)} timelines x {NIGHTS} nights, seed {seed}")
    print(f"stock: {exact} of {total} nights exact; ours: {ours} of {total}")
    print(f"where the table was there, stock: {exact} of {total - absent} nights exact")
    print("stock's others: " + ", ".join(f"{number} {reason}" for reason, number in by_stock.most_common()))


def judge_stock(
    connection: duckdb.DuckDBPyConnection, name: str, number: int, state: State | None, failed: dict[str, str]
) -> str:
    """Say what became of a table's night in stock dbt: ``exact``, or why not."""
    if name in failed:
        return "where dbt reported an error" if state else ABSENT
    assert state is not None, f"found no error from dbt for {name} on night {number}, expected one: it is absent"
    at = f"timestamp '{date_of(number)}'"
    shown = ", ".join(f"cast({quote(column)} as {kind}) as {quote(column)}" for column, kind in state.columns)
    held = (
        f"select {shown} from stock.main.{name} where dbt_valid_from <= {at} and (dbt_valid_to is null or dbt_valid_to > {at})"
    )
    try:
        return "exact" if same_rows(connection, held, name, state) else "wrong without an error"
    except duckdb.Error:
        return "wrong without an error"  # a column or a type that cannot hold the night


def ours_is_exact(connection: duckdb.DuckDBPyConnection, bench: Bench, name: str, number: int) -> bool:
    """Say whether our history of a table is exact on a night."""
    found = [
        row
        for row in bench.warehouse.ledger({SCHEMA}, date_of(number))
        if (row.table, row.date, row.status) == (name, date_of(number), Status.APPLIED)
    ]
    state = bench.timelines[name][number]
    if len(found) != 1:
        return False
    connection.execute("use ours")
    history = duckdb_history.history_table(connection, found[0])
    held = history_sql.as_of(duckdb_history.DIALECT, history, found[0], deleted=True)
    if state is None:
        return not connection.execute(held.text, held.values).fetchall()
    return same_rows(connection, held.text, name, state, held.values)


def same_rows(connection: duckdb.DuckDBPyConnection, held: str, name: str, state: State, values: Sequence[object] = ()) -> bool:
    """Say whether a select gives the rows of a clone's table, as a multiset of texts."""
    texts = ", ".join(f"cast({quote(column)} as varchar)" for column, _ in state.columns)
    found = collections.Counter(connection.execute(f"select {texts} from ({held})", list(values)).fetchall())
    return found == collections.Counter(connection.execute(f"select {texts} from clone.main.{name}").fetchall())


if __name__ == "__main__":
    main()
