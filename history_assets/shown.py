"""How the command line shows things: in colour or without, as tables of at most 80 columns, as JSON, and how far long work is.

Belongs here: what is made of results for people and for other programs. Does not belong here: which results (``cli``).
"""

import contextlib
import datetime as dt
import enum
import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table
from rich.text import Text

from history_assets.own_process import USUAL_UMASK

if TYPE_CHECKING:
    import pyarrow as pa

    from history_assets.status import Night


def legible(text: str, kept: str = "") -> str:
    """Return a text whose characters all show: names may hold any, and a terminal would obey some, but for those to be kept."""
    return "".join(each if each.isprintable() or each in kept else ascii(each)[1:-1] for each in text)


class Lines(Console):
    """A console that shows texts as they are, each on the line or lines that it is given."""

    def __init__(self, *, stderr: bool = False, file: IO[str] | None = None) -> None:
        super().__init__(stderr=stderr, file=file, soft_wrap=True, highlight=False)
        # What goes wrong is told in a line each, which a name must not break.
        self._kept = "" if stderr else "\n"

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts, without what would steer a terminal, and whatever else rich can draw."""
        super().print(*(legible(each, self._kept) if isinstance(each, str) else each for each in objects), **options)


out = Lines()
err = Lines(stderr=True)

_DATES, _NAME = 5, 22
"""Dates side by side, and the width of the schemas' names, longer ones being broken: what 80 columns have room for."""


class Format(enum.StrEnum):
    """How a table is written."""

    TABLE = "table"
    CSV = "csv"
    PARQUET = "parquet"


def said_as_json(document: Any) -> str:
    """Return what another program reads: one document, with dates as text."""
    return json.dumps(document, indent=2, default=str, ensure_ascii=False)


def status_grids(dates: Sequence[dt.date], schemas: Mapping[str, Sequence["Night"]]) -> Iterator[Table | str]:
    """Yield the state of each schema on each date, a few dates at a time, and then what a sign stands for, if there is one."""
    for first in range(0, len(dates), _DATES):
        some = slice(first, first + _DATES)
        days = (Column(f"{date:%m-%d}", no_wrap=True, min_width=8) for date in dates[some])
        grid = Table(Column("schema", overflow="fold", width=_NAME), *days, box=None)
        for name, nights in schemas.items():
            grid.add_row(Text(legible(name)), *(str(night) for night in nights[some]))
        yield grid
    if any(night.clone_gone for nights in schemas.values() for night in nights):
        yield "* its clone is gone"


@contextlib.contextmanager
def progress(console: Console = err) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done, and for how long it has been; nowhere else. The function says what."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal, redirect_stdout=False)
    with shown:
        task = shown.add_task("", total=None)
        yield lambda what: shown.update(task, description=what)


def write(table: "pa.Table", form: Format, output: Path | None) -> None:
    """Write a table to a file, which is there whole or not at all, or to the terminal."""
    with _whole(output) if output else contextlib.nullcontext(sys.stdout.buffer) as target:
        if form is Format.CSV:
            from pyarrow import csv

            csv.write_csv(table, target)
        elif form is Format.PARQUET:
            from pyarrow import parquet

            parquet.write_table(table, target)
        else:
            target.write(_drawn(table).encode())


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[BinaryIO]:
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with unfinished.open("wb") as file:
            yield file
        unfinished.chmod(0o666 & ~USUAL_UMASK)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _drawn(table: "pa.Table") -> str:
    from rich.measure import Measurement

    grid = Table(*(Column(Text(legible(name))) for name in table.column_names))
    for row in table.to_pylist():
        grid.add_row(*("" if value is None else Text(legible(str(value), "\n")) for value in row.values()))
    console = Console(file=None, highlight=False)
    # As wide as its values: a table that is cut off says less than one that is scrolled.
    console.width = max(console.width, Measurement.get(console, console.options.update(max_width=100_000), grid).maximum)
    with console.capture() as captured:
        console.print(grid)
    return captured.get()
