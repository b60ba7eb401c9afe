"""What a whole night costs, from process start to finish, beside stock dbt, the case study's two flows, and SQL by hand.

    python -m benchmarks.nights 500 5000 million wide    sizes: tables of 1,000 rows, or one large, or one wide table

The second night, after a first that is not measured. Each turn starts from what the first night left, put back as it was, and
the contenders take turns on the same raw files; a turn counts once every table of both nights came back exactly. ``ours`` is
``history-assets run --date D``; the phases are of one more turn of it. ``no skip`` is the same with
``HISTORY_SKIP_UNCHANGED=false``: the ratio of the two tells what skipping is worth. Every dbt project was parsed in the first
night. Ours, the two flows and the one by hand copy raw each night, stock dbt reads it in place.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.arena import machine
from benchmarks.contenders import ByHand, Contender, NoSkip, Ours, StockDbt, TwoFlows
from benchmarks.figures import limit, mebibytes, ratio
from benchmarks.landed import Landed, Size, date_of, size_of
from benchmarks.phases import DAGSTER, EVENT
from benchmarks.records import repeat_ledger

SIZES = ("500", "5000", "million", "wide")
KINDS: dict[str, type[Contender]] = {kind.name: kind for kind in (Ours, NoSkip, StockDbt, TwoFlows, ByHand)}
_MANY = 1_000
"""Tables from which on those that look at every table, which takes minutes then, have one turn."""


def parser() -> argparse.ArgumentParser:
    """Return what this part can be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=SIZES, metavar="SIZE", help="a number of tables, million, or wide")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--before", type=int, default=0, help="nights that our ledger holds besides")
    parser.add_argument("--contenders", nargs="+", choices=[*KINDS], default=[*KINDS])
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print each size."""
    asked = parser().parse_args(words)
    print(machine())
    for word in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
            measure(Path(folder), word, asked)


def measure(folder: Path, word: str, asked: argparse.Namespace) -> None:
    """Compare the second night of one size."""
    size = size_of(word)
    print(f"\nsecond night, {size.said}, {asked.threads} threads:", flush=True)
    landed = Landed(folder / "ours", size)
    contenders = [KINDS[name](folder / name.replace(" ", "_"), landed, asked.threads) for name in asked.contenders]
    expected = {0: landed.fingerprints()}
    for each in contenders:
        first = each.run(0)
        each.history.check(each.name, landed.columns, expected)
        if isinstance(each, Ours):
            repeat_ledger(each.home, date_of(0), asked.before)
        each.keep()
        print(f"  first night {each.name}: {first.seconds:.2f} s", flush=True)
    landed.land(1)
    expected[1] = landed.fingerprints()
    seconds: dict[str, list[float]] = {each.name: [] for each in contenders}
    memory = {each.name: 0 for each in contenders}
    for turn in range(asked.runs):
        for each in contenders:
            if turn and size.tables >= _MANY and isinstance(each, NoSkip | StockDbt | TwoFlows):
                continue
            each.back(1)
            done = each.run(1)
            each.history.check(each.name, landed.columns, expected)
            seconds[each.name].append(done.seconds)
            memory[each.name] = max(memory[each.name], done.together)
    for name, found in seconds.items():
        turns = ", ".join(f"{each:.2f}" for each in found)
        print(f"  {name}: median {statistics.median(found):.2f} s of {turns}; at most {mebibytes(memory[name])} of memory")
    ours = next((each for each in contenders if type(each) is Ours), None)
    if ours is None:
        return
    for name in seconds:
        if name != "ours":
            ratio(seconds, "ours", name, _goal(size, name))
    if size.tables >= _MANY:
        limit("ours", statistics.median(seconds["ours"]), 150, " s")
    ours.back(1)
    bookkeeping = show_phases(ours, str(date_of(1)))
    ours.history.check("ours", landed.columns, expected)
    if ByHand.name in seconds:
        rest = statistics.median(seconds["ours"]) - bookkeeping
        floor = statistics.median(seconds[ByHand.name])
        print(f"  ours but for Dagster's own bookkeeping / by hand: {rest / floor:.2f}")


def show_phases(ours: Ours, dates: str) -> float:
    """Run dates once more and print what each phase took; return Dagster's own bookkeeping, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        done = ours.run_dates(dates, timed=Path(folder) / "phases.json")
        found = json.loads((Path(folder) / "phases.json").read_text())
    seconds: dict[str, float] = found["seconds"]
    bookkeeping = sum(seconds.get(name, 0) for name in DAGSTER)
    print(f"  one more turn of ours, by phase, {done.seconds:.2f} s in all:")
    for name, took in seconds.items():
        if name not in DAGSTER:
            print(f"    {name}: {took:.2f} s")
    print(f"    the process's end: {max(0.0, done.seconds - sum(seconds.values())):.2f} s")
    events = found["calls"][EVENT]
    parts = ", ".join(f"{name.removeprefix('Dagster: ')} {seconds.get(name, 0):.2f} s" for name in DAGSTER)
    print(f"    Dagster's own bookkeeping: {bookkeeping:.2f} s ({parts}; {events:,} events)")
    return bookkeeping


def _goal(size: Size, name: str) -> float | None:
    if name == TwoFlows.name and size.tables == 500:
        return 0.2
    return 3 if name == ByHand.name and size.tables >= _MANY else None


if __name__ == "__main__":
    main()
