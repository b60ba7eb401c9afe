"""Names and dates that try to be more than that: nothing executes, nothing leaves the home, no other table is touched."""

import contextlib
import gc
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from history_assets import cli
from history_assets.history import History
from history_assets.naming import quote, refusal
from history_assets.own_process import settle
from history_assets.settings import Settings
from history_assets.terminal import Lines
from history_assets.verification import verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.stories.hostile import PIECES

DAY = "2026-11-20"
SCHEMAS = [name for name in PIECES if "/" not in name and name != ".."]
"""Those that can name a file."""


@contextlib.contextmanager
def as_a_process() -> Iterator[None]:
    """Be settled as the command's process is."""
    before, thresholds = os.umask(0o022), gc.get_threshold()
    try:
        settle()
        yield
    finally:
        os.umask(before)
        gc.set_threshold(*thresholds)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, tuple[int, str]]]]:
    """A home in which healthy tables lie beside hostile ones, after every command: its code, and all that it printed."""
    folder = tmp_path_factory.mktemp("around")
    home, landing = folder / "home", Landing(folder / "home")
    plain = "(id int primary key, _fivetran_synced timestamptz)"
    tables = [
        f"create table {quote(name)} ({quote(name)} int primary key, id int, _fivetran_synced timestamptz)" for name in PIECES
    ]
    rows = [f"insert into {quote(name)} values (7, 1, now())" for name in PIECES]
    landing.execute(
        "crm", "2026-11-19T22:00", f"create table account {plain}", "insert into account values (1, now())", *tables, *rows
    )
    key = quote(PIECES[-6])
    landing.execute("crm", "2026-11-19T22:00", f"create table keyed ({key} int primary key, _fivetran_synced timestamptz)")
    landing.execute("crm", "2026-11-19T22:00", "insert into keyed values (3, now())")
    for name in SCHEMAS:
        landing.execute(name, "2026-11-19T22:00", f"create table t {plain}", "insert into t values (2, now())")
    said = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HISTORY_HOME", str(home))
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        for words in (
            ("refresh",),
            ("run", "--date", DAY),
            ("verify",),
            ("status", "--days", "60"),
            ("doctor",),
            ("as-of", "crm." + PIECES[0], DAY),
            ("as-of", "crm." + PIECES[11], DAY, "--format", "csv"),
            ("as-of", PIECES[5], DAY),
            ("run", "--date", DAY, "--schema", PIECES[1]),
            ("run", "--date", "2026-11-20'; drop table x; --"),
            ("run", "--date", "../../pwned"),
            ("run", "--date", "0001-01-01"),
            ("as-of", "crm.account", "9999-12-31"),
            ("as-of", "crm.account", "0001-01-01T00:00:00+14:00"),
        ):
            with Path(folder / "said").open("w+") as file:
                patch.setattr(cli, "out", Lines(file=file))
                patch.setattr(cli, "err", Lines(file=file, stderr=True))
                patch.setattr(sys, "argv", ["history-assets", *words])
                with pytest.raises(SystemExit) as ended, as_a_process():
                    cli.main()
                file.seek(0)
                said[" ".join(words)] = int(ended.value.code or 0), file.read()
            (folder / "said").unlink()
        yield home, said


def test_each_is_exact_or_refused_by_name(told: tuple[Path, dict[str, tuple[int, str]]]) -> None:
    home, said = told
    found = {(each.schema, each.table): each.problem for each in verify(DuckDBWarehouse(Settings(home=home))) if each.date}
    taken = {("crm", "account"), ("crm", "keyed"), *(("crm", name) for name in PIECES if refusal("crm", name) is None)}
    taken |= {(name, "t") for name in SCHEMAS if refusal(name, "t") is None}

    assert found == dict.fromkeys(taken)
    assert ("crm", PIECES[0]) in taken
    refused = [name for name in PIECES if refusal("crm", name)]
    assert refused == list(PIECES[-6:])
    assert said["refresh"][1].count("left out ") == 2 * len(refused)


def test_rows_are_those_of_their_own_table(told: tuple[Path, dict[str, tuple[int, str]]]) -> None:
    history = History(DuckDBWarehouse(Settings(home=told[0])))
    for name in (name for name in PIECES if refusal("crm", name) is None):
        assert history.as_of(f"crm.{name}", DAY).drop_columns("_fivetran_synced").to_pylist() == [{name: 7, "id": 1}]
    assert history.as_of("crm.account", DAY).drop_columns("_fivetran_synced").to_pylist() == [{"id": 1}]


def test_nothing_is_made_outside_the_home_nor_for_others_to_read(told: tuple[Path, dict[str, tuple[int, str]]]) -> None:
    home, _ = told

    assert [path.name for path in home.parent.iterdir()] == ["home"]
    assert list(home.rglob("pwned")) == []
    made = [path for folder in home.iterdir() if folder.name != "raw" for path in (folder, *folder.rglob("*"))]
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


def test_what_is_printed_steers_no_terminal(told: tuple[Path, dict[str, tuple[int, str]]]) -> None:
    for words, (_, printed) in told[1].items():
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(printed), words


def test_each_command_ends_as_it_should(told: tuple[Path, dict[str, tuple[int, str]]]) -> None:
    codes = {words: code for words, (code, _) in told[1].items()}

    assert list(codes.values()) == [0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 2, 2, 2, 2], codes
