"""How much memory a night's processes take at most: ``python -m benchmarks.memory 5000``.

The second night, as ``benchmarks.nights`` has it: the command itself and the dbt process that it starts, each at its peak, and
both at one time; the ledger holds 120 nights before. What the definitions' server takes is told by ``benchmarks.location``.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arena import machine
from benchmarks.contenders import Ours
from benchmarks.figures import limit, mebibytes
from benchmarks.landed import Landed, date_of, size_of
from benchmarks.records import repeat_ledger

GIGABYTE = 1e9


def parser() -> argparse.ArgumentParser:
    """Return what this part can be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["5000"], metavar="SIZE", help="a number of tables, million, or wide")
    parser.add_argument("--before", type=int, default=120, help="nights that the ledger holds besides")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--limit", default="150MB", help="what DuckDB may take in each process, or none for its own rule")
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print each size."""
    asked = parser().parse_args(words)
    print(machine())
    for word in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
            measure(Path(folder), word, asked.threads, asked.before, asked.limit)


class Limited(Ours):
    """This project, with a limit of what DuckDB may take."""

    limit: str

    @property
    def environment(self) -> dict[str, str]:
        return super().environment | ({} if self.limit == "none" else {"HISTORY_MEMORY_LIMIT": self.limit})


def measure(folder: Path, word: str, threads: int, before: int, limited: str) -> None:
    """Print the memory of two nights of one size."""
    size = size_of(word)
    print(f"\nmemory of a night, {size.said}, {threads} threads, HISTORY_MEMORY_LIMIT={limited}:", flush=True)
    landed = Landed(folder / "ours", size)
    ours = Limited(folder / "ours", landed, threads)
    ours.limit = limited
    expected = {}
    for night, said in enumerate(("first", "second")):
        if night:
            landed.land(night)
            repeat_ledger(ours.home, date_of(0), before)
        expected[night] = landed.fingerprints()
        done = ours.run(night)
        ours.history.check("ours", landed.columns, expected)
        for name, peak in done.peaks.items():
            print(f"  {said} night, {name}: {mebibytes(peak)}")
        print(f"  {said} night: {done.seconds:.2f} s")
        limit(f"{said} night, all processes at one time", done.together / GIGABYTE, 1, " GB")


if __name__ == "__main__":
    main()
