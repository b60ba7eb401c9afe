"""How things look in a terminal: the two streams, a bar of long work, the grid of ``status``, documents for programs.

Belongs here: what is shown, wherever a command shows it. Does not belong here: what is typed (``cli``), or tables of rows
(``cli_tables``).
"""

import contextlib
import datetime as dt
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import typer
from rich.cells import cell_len, chop_cells
from rich.console import Console
from rich.table import Table
from rich.text import Text

from history_assets.interrupts import heed
from history_assets.progress import Watch

if TYPE_CHECKING:
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

_GAP = 2
"""Columns between those of the grid."""

_STATE = 11
"""Columns that a state may take before it is broken between its words."""


def print_document(document: Any) -> None:
    """Print a document for programs, in JSON; dates as they are written."""
    typer.echo(json.dumps(document, indent=2, default=str))


@contextlib.contextmanager
def bar(*, shown: bool = True) -> Iterator[Watch]:
    """Show how far work is, on the standard error of a terminal and nowhere else, until the context ends; or not at all.

    Whoever tells of work that it was told to stop is stopped.
    """
    if not (shown and err.is_interactive and err.file.isatty()):
        yield lambda *_: heed()
        return
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn("line"),
        TextColumn("{task.description}", markup=False),
        BarColumn(24),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    # Of its own: while a step runs, Dagster has what goes to the streams of this process written to files.
    with os.fdopen(os.dup(err.file.fileno()), "w", encoding=err.encoding, errors="replace") as terminal:
        console = Console(file=terminal, force_terminal=True, width=err.width)
        with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:

            def watch(what: str, done: int, total: int | None) -> None:
                heed()
                if [task.description for task in progress.tasks] != [what]:
                    for old in progress.task_ids:
                        progress.remove_task(old)
                    progress.add_task(what, total=total, count="")
                count = "" if total is None else f"{done}/{total}"
                progress.update(progress.task_ids[0], completed=done, total=total, count=count)

            yield watch


def grid(dates: Sequence[dt.date], rows: Mapping[str, "Sequence[Night]"], width: int) -> Iterator[Table]:
    """Lay schemas and dates out in so many columns, one block of dates under the other where not all fit side by side.

    Names that are too long are broken, never cut.
    """
    names = {name: _printable(name) for name in rows}
    states = [str(night) for nights in rows.values() for night in nights]
    longest = max((len(word) for state in states for word in state.split()), default=0)
    state = max(longest, min(_STATE, max(map(len, states), default=0)), len("mm-dd"))
    left = max(width // 3, width - len(dates) * (_GAP + state))
    name_width = min(left, max((cell_len(name) for name in names.values()), default=0))
    name_width = max(name_width, len("schema"))
    fitting = max(1, (width - name_width) // (_GAP + state))
    for first in range(0, len(dates), fitting):
        places = range(len(dates))[first : first + fitting]
        block = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0))
        block.add_column("schema", width=name_width)
        for place in places:
            block.add_column(f"{dates[place]:%m-%d}", width=state)
        for name, nights in rows.items():
            shown = Text("\n".join(chop_cells(names[name], name_width)))
            block.add_row(shown, *(Text(str(nights[place]), _style(nights[place])) for place in places))
        yield block


def _style(night: "Night") -> str:
    if night.quarantined:
        return "red"
    return "" if night.before or (night.applied and night.applied >= (night.cloned or 0)) else "yellow"


def _printable(name: str) -> str:
    """Return a name as it can be told from every other, whatever is in it."""
    return legible(name.replace("\\", r"\\"))
