"""What missed nights cost in one run, beside a stock dbt run for each: ``python -m benchmarks.backfill 500``.

The nights were cloned, and none was folded but the first. ``ours`` is ``history-assets run --date A..B``, from process start to
finish. Stock dbt takes one ``dbt snapshot`` of all tables per night; a few of its nights are measured, and their median counts
as often as there are nights.
"""

import argparse
import functools
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arena import machine
from benchmarks.contenders import Ours, StockDbt
from benchmarks.figures import judged
from benchmarks.landed import Landed, date_of, size_of
from benchmarks.nights import show_phases
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse


def parser() -> argparse.ArgumentParser:
    """Return what this part can be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["500"], metavar="SIZE", help="a number of tables of 1,000 rows")
    parser.add_argument("--nights", type=int, default=30)
    parser.add_argument("--stock-nights", type=int, default=3)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4)
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print each size."""
    asked = parser().parse_args(words)
    print(machine())
    for word in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
            measure(Path(folder), word, asked)


def measure(folder: Path, word: str, asked: argparse.Namespace) -> None:
    """Compare nights in one run with single stock nights."""
    size = size_of(word)
    print(f"\n{asked.nights} missed nights, {size.said}, {asked.threads} threads:", flush=True)
    landed = Landed(folder / "ours", size)
    ours = Ours(folder / "ours", landed, asked.threads)
    stock = StockDbt(folder / "stock", landed, asked.threads)
    settings = Settings(home=ours.home, threads=asked.threads)
    warehouse = DuckDBWarehouse(settings)
    expected = {0: landed.fingerprints()}
    ours.run(0)
    stock.run(0)
    ours.keep()
    single = []
    for night in range(1, asked.nights + 1):
        landed.land(night)
        expected[night] = landed.fingerprints()
        for schema in size.schemas:
            date = date_of(night)
            warehouse.clone(schema, date, functools.partial(settings.cutoffs().at, date))
        if night <= asked.stock_nights:
            done = stock.run(night)
            stock.history.check("stock dbt", landed.columns, expected)
            single.append(done.seconds)
    dates = f"{date_of(1)}..{date_of(asked.nights)}"
    found = []
    for _ in range(asked.runs):
        ours.back()
        done = ours.run_dates(dates)
        ours.history.check("ours", landed.columns, expected)
        found.append(done.seconds)
    whole, each = statistics.median(found), statistics.median(single)
    print(f"  ours, all in one run: median {whole:.2f} s of {', '.join(f'{one:.2f}' for one in found)}")
    print(f"  one stock night: median {each:.2f} s of {', '.join(f'{one:.2f}' for one in single)}; {asked.nights} of them take")
    ratio = whole / (each * asked.nights)
    print(f"    {each * asked.nights:.0f} s, reckoned; ours / stock: {ratio:.3f}{judged(ratio, 0.2, '')}")
    ours.back()
    show_phases(ours, dates)


if __name__ == "__main__":
    main()
