"""What is shown fits a terminal and says the same without colour; what is written is there whole or not at all."""

import datetime as dt
import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from history_assets.shown import Format, progress, said_as_json, status_grids, write
from history_assets.status import Night

DAY = dt.date(2026, 11, 1)
NIGHTS = st.builds(
    Night,
    st.none() | st.integers(0, 9_999),
    st.integers(0, 9_999),
    st.sampled_from([0, 0, 7, 9_999]),
)


def shown(dates: list[dt.date], schemas: dict[str, list[Night]]) -> list[str]:
    console = Console(file=io.StringIO(), width=80, no_color=True)
    for part in status_grids(dates, schemas):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@given(st.data(), st.integers(1, 12))
def test_status_fits_80_columns_and_leaves_nothing_out(data: st.DataObject, days: int) -> None:
    names = data.draw(st.lists(st.text("ab_[/]é", min_size=1, max_size=60), max_size=2, unique=True))
    dates = [DAY + dt.timedelta(days=number) for number in range(days)]
    schemas = {name: data.draw(st.lists(NIGHTS, min_size=days, max_size=days)) for name in names}

    lines = shown(dates, schemas)

    assert all(len(line) <= 80 for line in lines)
    words = " ".join(lines).split()
    assert [word for word in words if word in {f"{date:%m-%d}" for date in dates}] == [f"{date:%m-%d}" for date in dates]
    # A name that is too long is broken, never cut, once for every few dates.
    grids = -(-days // 5)
    for letter in "é[":
        assert "".join(words).count(letter) == grids * sum(name.count(letter) for name in names)
    for night in (night for nights in schemas.values() for night in nights):
        assert str(night) in " ".join(words)


def test_a_state_is_a_word_that_needs_no_colour() -> None:
    nights = [Night(3, 3, 0), Night(3, 1, 0), Night(3, 0, 0), Night(3, 2, 1), Night(None, 3, 0), Night(None, 0, 0)]
    dates = [DAY + dt.timedelta(days=number) for number in range(6)]

    assert [line.rstrip() for line in shown(dates, {"crm": nights})] == [
        " schema                  11-01     11-02     11-03     11-04     11-05",
        " crm                     applied   1/3       cloned    1 held    applied*",
        " schema                  11-06",
        " crm                     missing",
        "* its clone is gone",
    ]


def test_json_is_what_it_was() -> None:
    assert json.loads(said_as_json({"a": [DAY, None, "é\x1b[31m"]})) == {"a": ["2026-11-01", None, "é\x1b[31m"]}
    assert "\x1b" not in said_as_json("\x1b[31m")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_terminals(terminal: bool) -> None:
    console = Console(file=io.StringIO(), force_terminal=terminal)

    with progress(console) as say:
        say("cloning [5] schemas")

    assert isinstance(console.file, io.StringIO)
    assert ("cloning [5] schemas" in console.file.getvalue()) == terminal


@pytest.mark.parametrize("form", list(Format))
def test_a_file_is_written_whole_or_not_at_all(form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "table"
    file.write_text("before")
    monkeypatch.setattr("history_assets.shown.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        write(pa.table({"a": [1]}), form, file)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"table": "before"}
