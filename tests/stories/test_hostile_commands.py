"""What is typed where a name, a date or a file is expected, and tries to be more: it is that, or is refused in one line."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from history_assets import cli
from tests.landing import Landing
from tests.stories.hostile import KINDS, PATH

DAY = "2026-11-20"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("around") / "home"
    table = "create table account (id int primary key, _fivetran_synced timestamptz)"
    Landing(home).execute("crm", "2026-11-19T22:00", table, "insert into account values (1, '2026-11-19 20:00:00+00')")
    return home


@pytest.fixture
def run(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a command in a folder of its own, two below the test's; returns its exit code and what it wrote to both streams."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    monkeypatch.setenv("HISTORY_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))

    def type_in(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["history-assets", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return type_in


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_night_beside_them(run: Run) -> None:
    assert run("run", "--date", DAY)[0] == 0


@pytest.mark.parametrize("piece", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(
    "words",
    [
        ("as-of", "crm.account", ""),
        ("as-of", "", DAY),
        ("run", "--date", ""),
        ("run", "--date", DAY, "--schema", ""),
        ("verify", "--date", ""),
        ("verify", "--schema", ""),
    ],
    ids=" ".join,
)
def test_what_is_none_is_refused_by_name(words: tuple[str, ...], piece: str, run: Run, home: Path, tmp_path: Path) -> None:
    before = files(home / "clones")

    code, printed, complaint = run(*(word or piece for word in words))

    assert (code, printed, complaint.count("\n")) == (2, "", 1), complaint
    assert complaint.startswith("error: found ")
    # Two dots are between two dates.
    assert piece[:20] in complaint or ("run" in words and piece is PATH and "found ''" in complaint)
    assert files(tmp_path) == []
    assert files(home / "clones") == before


@pytest.mark.parametrize("piece", KINDS.values(), ids=KINDS)
def test_a_file_is_that_file(piece: str, run: Run, tmp_path: Path) -> None:
    """Or is in a folder that is not there."""
    file = (tmp_path / "a" / "b" / piece).resolve()

    code, printed, complaint = run("as-of", "crm.account", DAY, "--format", "csv", "--output", piece)

    if file.parent.is_dir():
        assert (code, printed, complaint) == (0, "", "")
        assert files(tmp_path) == [file]
    else:
        assert (code, printed, complaint.count("\n")) == (2, "", 1)
        assert complaint.startswith(f"error: found {piece} not to be written")
        assert files(tmp_path) == []
