"""Tables of rows as they are taken away: shown in the terminal, or written to a file that is there whole or not at all.

Belongs here: the formats of ``as-of``, and putting a file in its place. Does not belong here: which rows.
"""

import contextlib
import datetime as dt
import enum
import itertools
import os
import shutil
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console

from history_assets.errors import UsageError
from history_assets.own_process import USUAL_UMASK
from history_assets.terminal import err, legible
from history_assets.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa
    import rich.table


class Format(enum.StrEnum):
    """How `as-of` writes a table."""

    TABLE = "table"
    CSV = "csv"
    PARQUET = "parquet"


_SUFFIXES = {".csv": Format.CSV, ".parquet": Format.PARQUET}

_MOST_ROWS = 40
"""Rows that a terminal is shown."""

_WIDEST = 24
"""Characters of a value that a terminal is shown, where not all columns fit."""

_FRAME = 3
"""Characters around a column's values."""


def format_of(asked: Format | None, output: Path | None) -> Format:
    """Return the format that is asked for, else that of the file's suffix, else a table for the terminal.

    Raises UsageError where the suffix says nothing, and for Parquet on a terminal.
    """
    if asked is Format.PARQUET and output is None:
        raise UsageError("found --format parquet without --output: expected a file to write to, such as --output table.parquet")
    if asked or output is None:
        return asked or Format.TABLE
    if found := _SUFFIXES.get(output.suffix.lower()):
        return found
    raise UsageError(f"found --output {output} without --format: expected a file called .csv or .parquet, or --format")


def write(table: "pa.Table", form: Format, output: Path | None) -> None:
    """Write a table to a file, or else to the terminal; raises UsageError where the file cannot be written."""
    if output is None:
        _write(table, form, None)
        return
    try:
        with _in_place_of(output) as unfinished:
            _write(table, form, unfinished)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise UsageError(
            f"found {output} not to be written ({reason}), expected a file in a folder that is there, with room for it: give "
            "another --output"
        ) from error


def _write(table: "pa.Table", form: Format, output: Path | None) -> None:
    target: Any = output or sys.stdout.buffer
    if form is Format.CSV:
        from pyarrow import csv

        csv.write_csv(table, target)
    elif form is Format.PARQUET:
        from pyarrow import parquet

        parquet.write_table(table, target)
    else:
        _write_grid(table, output)


def _write_grid(table: "pa.Table", output: Path | None) -> None:
    from rich.measure import Measurement

    with output.open("w", encoding="utf-8") if output else contextlib.nullcontext() as file:
        console = Console(file=file)
        if output is None and _on_terminal():
            _show(table, console)
            return
        grid = _grid(table.column_names, _texts(table))
        # As wide as its values: a table that is cut off says less than one that is scrolled.
        console.width = max(console.width, Measurement.get(console, console.options.update(max_width=100_000), grid).maximum)
        console.print(grid)


def _on_terminal() -> bool:
    return sys.stdout.isatty()


def _show(table: "pa.Table", console: Console) -> None:
    """Show the first rows and columns of a table that fit a terminal, and say how many there are."""
    shown = table.slice(0, _MOST_ROWS)
    texts = _texts(shown)
    columns = zip(map(legible, table.column_names), *texts, strict=True)
    widths = [max(cell_len(line) for text in column for line in text.split("\n")) + _FRAME for column in columns]
    fits, fitting = sum(widths) < console.width, shown.num_columns
    if not fits:
        ends = itertools.accumulate(min(width, _WIDEST + _FRAME) for width in widths)
        fitting = max(1, sum(end < console.width for end in ends))
    console.print(_grid(table.column_names[:fitting], [row[:fitting] for row in texts], None if fits else _WIDEST))
    left_out = [
        f"{there} of {counted(every, what)}"
        for there, every, what in ((shown.num_rows, table.num_rows, "row"), (fitting, table.num_columns, "column"))
        if there < every
    ]
    if left_out:
        err.print(f"{', '.join(left_out)}; --format csv for all", markup=False)


def _grid(names: Sequence[str], rows: Sequence[Sequence[str]], widest: int | None = None) -> "rich.table.Table":
    from rich.table import Column, Table
    from rich.text import Text

    cut: dict[str, Any] = {"no_wrap": True, "max_width": widest} if widest else {"overflow": "fold"}
    grid = Table(*(Column(Text(legible(name)), **cut) for name in names))
    for row in rows:
        grid.add_row(*map(Text, row))
    return grid


def _texts(table: "pa.Table") -> list[list[str]]:
    return [[legible(_text(value), "\n") for value in row.values()] for row in table.to_pylist()]


def _text(value: Any) -> str:
    if isinstance(value, dt.datetime) and value.tzinfo and not value.utcoffset():
        value = value.replace(tzinfo=None)  # all instants are UTC
    return "" if value is None else str(value)


@contextlib.contextmanager
def _in_place_of(output: Path) -> Iterator[Path]:
    """Give a file to write that takes the place of ``output`` once it is whole; of one that is not, nothing is left."""
    if output.exists() and not output.is_file():  # a pipe or a device, which takes what it is given
        yield output
        return
    target = output.resolve()
    unfinished = target.with_name(f".{uuid.uuid4()}")
    try:
        yield unfinished
        if target.exists():
            shutil.copymode(target, unfinished)
        else:
            unfinished.chmod(0o666 & ~USUAL_UMASK)
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)
