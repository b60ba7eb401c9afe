"""Tables of rows as they are taken away: shown in the terminal, or written to a file that is there whole or not at all.

Belongs here: the formats of ``as-of``, and putting a file in its place. Does not belong here: which rows.
"""

import contextlib
import enum
import os
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from history_assets.errors import UsageError
from history_assets.own_process import USUAL_UMASK
from history_assets.terminal import legible

if TYPE_CHECKING:
    import pyarrow as pa


class Format(enum.StrEnum):
    """How `as-of` writes a table."""

    TABLE = "table"
    CSV = "csv"
    PARQUET = "parquet"


def write(table: "pa.Table", form: Format, output: Path | None) -> None:
    """Write a table to a file, or else to the terminal; raises UsageError where the file cannot be written."""
    if output is None:
        _write(table, form, None)
        return
    try:
        with _in_place_of(output) as unfinished:
            _write(table, form, unfinished)
    except OSError as error:
        raise UsageError(
            f"found {output} not to be written ({error.strerror or error}), expected a file in a folder that is there, with "
            "room for it: give another --output"
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
    from rich.table import Column, Table
    from rich.text import Text

    grid = Table(*(Column(Text(legible(name))) for name in table.column_names))
    for row in table.to_pylist():
        grid.add_row(*("" if value is None else Text(legible(str(value), "\n")) for value in row.values()))
    with output.open("w", encoding="utf-8") if output else contextlib.nullcontext() as file:
        console = Console(file=file)
        # As wide as its values: a table that is cut off says less than one that is scrolled.
        console.width = max(console.width, Measurement.get(console, console.options.update(max_width=100_000), grid).maximum)
        console.print(grid)


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
