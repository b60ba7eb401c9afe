"""What is printed: medians, ratios turn by turn, goals beside them.

Belongs here: how figures are said. Does not belong here: measuring them.
"""

import statistics
from collections.abc import Mapping, Sequence


def compare(seconds: Mapping[str, Sequence[float]], base: str) -> float:
    """Print medians, and the ratio of ours to the base: of the medians, and of the turns; return the former."""
    for name, found in seconds.items():
        print(f"  {name}: median {statistics.median(found):.2f} s of {', '.join(f'{each:.2f}' for each in found)}")
    return ratio(seconds, "ours", base)


def ratio(seconds: Mapping[str, Sequence[float]], one: str, base: str, goal: float | None = None) -> float:
    """Print the ratio of the medians of two, and of their turns, beside its goal; return the first."""
    of_medians = statistics.median(seconds[one]) / statistics.median(seconds[base])
    turns = [top / bottom for top, bottom in zip(seconds[one], seconds[base], strict=False)]
    said = f"  {one} / {base}: {of_medians:.2f} (turn by turn {', '.join(f'{each:.2f}' for each in turns)})"
    print(said if goal is None else f"{said}{judged(of_medians, goal, '')}")
    return of_medians


def limit(name: str, value: float, goal: float, unit: str) -> None:
    """Print a figure beside the most that it may be."""
    print(f"  {name}: {value:,.2f}{unit}{judged(value, goal, unit)}")


def judged(value: float, goal: float, unit: str) -> str:
    """Return a goal, and whether a value keeps to it."""
    return f"; goal: at most {goal:g}{unit}, {'met' if value <= goal else 'MISSED'}"


def mebibytes(size: float) -> str:
    """Return a number of bytes in MiB."""
    return f"{size / 2**20:,.0f} MiB"
