"""Tables of rows: what a terminal is shown of them, and files that are there whole or not at all."""

import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from history_assets.cli_tables import Format, format_of, write


@pytest.mark.parametrize("form", list(Format))
def test_a_file_is_written_whole_or_not_at_all(form: Format, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "table"
    file.write_text("before")
    monkeypatch.setattr("history_assets.cli_tables.os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))

    with pytest.raises(KeyboardInterrupt):
        write(pa.table({"a": [1]}), form, file)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"table": "before"}


def test_what_would_steer_a_terminal_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    write(pa.table({"a\x1b[2J": ["one\r", "two"]}), Format.TABLE, None)

    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "\r" not in printed
    assert r"a\x1b[2J" in printed
    assert r"one\r" in printed


@pytest.mark.parametrize("name", ["a.csv", "b.tar.CSV", "c.parquet"])
def test_a_file_without_a_format_is_written_as_it_is_called(name: str) -> None:
    assert format_of(None, Path(name)) == Path(name).suffix[1:].lower()
    assert format_of(Format.TABLE, Path(name)) is Format.TABLE


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 80 columns, on standard output."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setattr("history_assets.cli_tables._on_terminal", lambda: True)


@pytest.mark.usefixtures("terminal")
def test_a_terminal_is_shown_what_fits_it(capsys: pytest.CaptureFixture[str]) -> None:
    write(pa.table({f"column {number}": [f"{number} " + "long " * 20] * 1234 for number in range(9)}), Format.TABLE, None)

    printed, said = capsys.readouterr()
    lines = printed.splitlines()
    assert {len(line) for line in lines} == {1 + 2 * (24 + 3)}
    assert sum("long" in line for line in lines) == 40
    assert said == "40 of 1,234 rows, 2 of 9 columns; --format csv for all\n"


@pytest.mark.usefixtures("terminal")
def test_a_table_that_fits_is_shown_whole(capsys: pytest.CaptureFixture[str]) -> None:
    write(pa.table({"a": ["x" * 40], "b": ["y\nz"]}), Format.TABLE, None)
    write(pa.table({"a": pa.array([], "int64")}), Format.TABLE, None)

    printed, said = capsys.readouterr()
    assert "x" * 40 in printed
    assert said == ""


def test_an_instant_is_shown_without_its_zone(capsys: pytest.CaptureFixture[str]) -> None:
    write(pa.table({"at": [dt.datetime(2026, 11, 20, tzinfo=dt.UTC)]}), Format.TABLE, None)

    assert " 2026-11-20 00:00:00 " in capsys.readouterr().out
