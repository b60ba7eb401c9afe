"""How things look in a terminal: the grid of status, and the bar of long work."""

import datetime as dt
import io
import os
import pty
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from history_assets.status import Night
from history_assets.terminal import grid

FIRST = dt.date(2026, 11, 1)
NIGHTS = st.builds(Night, st.none() | st.integers(0, 5_000), st.integers(0, 5_000), st.just(0) | st.integers(0, 5_000))


def drawn(rows: Mapping[str, Sequence[Night]], width: int = 80) -> list[str]:
    """Return the lines of a grid, without colour."""
    days = max((len(nights) for nights in rows.values()), default=5)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    for block in grid([FIRST + dt.timedelta(days=day) for day in range(days)], rows, width):
        console.print(block)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_states_stand_under_their_dates() -> None:
    rows = {
        "crm": [Night(None, 0, 0), Night(4, 0, 0), Night(4, 3, 0), Night(4, 4, 0), Night(4, 3, 1)],
        "billing": [Night(None, 4, 0), *[Night(4, 4, 0)] * 4],
    }

    assert drawn(rows) == [
        "schema   11-01        11-02        11-03        11-04        11-05",
        "crm      missing      cloned       3/4          applied      1",
        "                                                             quarantined",
        "billing  applied,     applied      applied      applied      applied",
        "         clone gone",
    ]


def test_dates_that_do_not_fit_stand_below() -> None:
    assert drawn({"crm": [Night(1, 1, 0)] * 9}) == [
        "schema  11-01    11-02    11-03    11-04    11-05    11-06    11-07    11-08",
        "crm     applied  applied  applied  applied  applied  applied  applied  applied",
        "schema  11-09",
        "crm     applied",
    ]


def test_a_long_name_is_broken_and_not_cut() -> None:
    rows = {"google_analytics_4_export_" + name: [Night(1, 1, 0)] * 6 for name in ("eu", "us")}

    assert drawn(rows) == [
        "schema                      11-01    11-02    11-03    11-04    11-05    11-06",
        "google_analytics_4_export_  applied  applied  applied  applied  applied  applied",
        "eu",
        "google_analytics_4_export_  applied  applied  applied  applied  applied  applied",
        "us",
    ]


@given(
    st.integers(1, 60).flatmap(lambda days: st.dictionaries(st.text(), st.lists(NIGHTS, min_size=days, max_size=days))),
    st.integers(40, 120),
)
def test_no_line_is_wider_than_the_terminal(rows: Mapping[str, Sequence[Night]], width: int) -> None:
    assert [line for line in drawn(rows, width) if cell_len(line) > width] == []


@given(
    st.lists(
        st.text("ab .\\\n\t[]x'ä", min_size=1, max_size=60).filter(lambda name: name == name.strip(" ")),
        min_size=2,
        max_size=2,
        unique=True,
    )
)
def test_two_names_never_look_the_same(names: list[str]) -> None:
    one, other = (drawn({name: [Night(1, 1, 0)] * 5}) for name in names)

    assert one != other


BAR = (
    "from history_assets.terminal import bar, out\n"
    "with bar(shown={shown}) as watch:\n    watch('counting', 1, 2)\nout.print('counted', markup=False)"
)


def said(program: str, terminal: bool, **environment: str) -> tuple[str, str]:
    """Return what a program says on standard output, which is piped, and on standard error, of a terminal or not."""
    command = [sys.executable, "-c", program]
    known = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")}
    if not terminal:
        done = subprocess.run(command, env=known | environment, capture_output=True, text=True, check=True)
        return done.stdout, done.stderr
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as reading:
        done = subprocess.run(command, env=known | environment, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True)
        os.close(theirs)
        heard = b""
        try:
            while chunk := reading.read(65_536):
                heard += chunk
        except OSError:  # as Linux says that nobody has the terminal open any more
            pass
    return done.stdout, heard.decode()


def test_a_bar_is_shown_on_a_terminals_standard_error() -> None:
    printed, shown = said(BAR.format(shown=True), True, TERM="xterm")

    assert printed == "counted\n"
    assert "counting" in shown
    assert "1/2" in shown


@pytest.mark.parametrize(
    ("terminal", "shown", "environment"),
    [
        pytest.param(False, True, {"TERM": "xterm"}, id="piped"),
        pytest.param(False, True, {"TERM": "xterm", "FORCE_COLOR": "1"}, id="piped and coloured"),
        pytest.param(True, True, {"TERM": "dumb"}, id="a terminal that cannot"),
        pytest.param(True, False, {"TERM": "xterm"}, id="for a program"),
    ],
)
def test_elsewhere_there_is_no_bar(terminal: bool, shown: bool, environment: dict[str, str]) -> None:
    assert said(BAR.format(shown=shown), terminal, **environment) == ("counted\n", "")
