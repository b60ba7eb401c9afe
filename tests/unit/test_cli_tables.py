"""A table that is written to a file is there whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pytest

from history_assets.cli_tables import Format, write


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
