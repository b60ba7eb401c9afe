"""How much a history holds, beside every night's full copy: ``python -m benchmarks.storage`` (a number of rows each).

One table of 10 columns, of which 1 % of the rows change every night for a year: most are updated, some go, some come. The
history is folded for real, many nights in one dbt process, from clones that are dropped once they are folded. Both are told as
DuckDB files after a checkpoint, and as their data takes when it is written anew.
"""

import argparse
import functools
import tempfile
from collections.abc import Sequence
from pathlib import Path

import duckdb

from benchmarks.arena import machine
from benchmarks.contenders import Ours
from benchmarks.figures import mebibytes
from benchmarks.landed import Landed, Size, date_of
from history_assets import dbt_run
from history_assets.folding import Plan, night
from history_assets.naming import quote_literal
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse

_AT_ONCE = 61
"""Nights that are cloned before they are folded in one process."""


def parser() -> argparse.ArgumentParser:
    """Return what this part can be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=int, default=[100_000])
    parser.add_argument("--nights", type=int, default=365)
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print each number of rows."""
    asked = parser().parse_args(words)
    print(machine())
    for rows in asked.rows:
        with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
            measure(Path(folder), rows, asked.nights)


def measure(folder: Path, rows: int, nights: int) -> None:
    """Fold a year of one table, and print the bytes."""
    size = Size(f"one table of {rows:,} rows x 10 columns, 1 % of the rows changed a night", 1, rows, 10, 1, 100)
    landed = Landed(folder / "ours", size)
    settings = Settings(home=folder / "ours")
    warehouse = DuckDBWarehouse(settings)
    project = refresh(settings, warehouse).project
    table = size.names[0]
    copies, anew, expected, waiting = 0, 0, {}, []
    for number in range(nights):
        if number:
            landed.land(number)
        expected[number] = landed.fingerprints()
        date = date_of(number)
        clone = warehouse.clone(table[0], date, functools.partial(settings.cutoffs().at, date))
        copies += clone.bytes
        anew += _anew(folder, landed.files()[table[0]])
        waiting.append(clone)
        if len(waiting) == _AT_ONCE or number == nights - 1:
            asked = [night(Plan(each.date, {each.schema: each}, (table,), {}), [table], warehouse) for each in waiting]
            for result in dbt_run.fold(project.folder, asked, settings, lambda _: None):
                if result.failed or result.error:
                    raise SystemExit(f"dbt reported errors: {result}")
            for each in waiting:
                Path(each.location).unlink()
            waiting = []
    history = Ours(folder / "ours", landed, settings.threads).history
    history.check("ours", landed.columns, expected)
    with duckdb.connect(str(history.path)) as connection:
        connection.execute("checkpoint")
        (count,) = connection.execute(f"select count(*) from {history.named(table)}").fetchone() or (0,)
    held, held_anew = history.path.stat().st_size, _anew(folder, history.path)
    print(f"\n{size.said}, {nights} nights:")
    print(f"  rows: history {count:,}, every night's full copy {rows * nights:,}: {count / rows / nights:.4f}")
    print(f"  files: history {mebibytes(held)}, copies {mebibytes(copies)}: {held / copies:.4f}")
    print(f"  written anew: history {mebibytes(held_anew)}, copies {mebibytes(anew)}: {held_anew / anew:.4f}")


def _anew(folder: Path, path: Path) -> int:
    """Return the bytes of a file's data without what its updates left free."""
    fresh = folder / "fresh.duckdb"
    fresh.unlink(missing_ok=True)
    with duckdb.connect() as connection:
        connection.execute(f"attach {quote_literal(str(path))} as old (read_only)")
        connection.execute(f"attach {quote_literal(str(fresh))} as new")
        connection.execute("copy from database old to new")
        connection.execute("checkpoint new")
    return fresh.stat().st_size


if __name__ == "__main__":
    main()
