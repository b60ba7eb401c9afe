"""Settings, and a home, whose values try to be more than that: taken as they are, or refused by name in one line."""

import os
import stat
import subprocess
from pathlib import Path

import pytest

from history_assets.credentials import exact_name
from history_assets.errors import SettingsError
from history_assets.naming import quote
from history_assets.settings import Settings
from history_assets.terminal import legible
from history_assets.warehouse.snowflake_setup import setup_script
from tests.landing import Landing
from tests.stories.account import ROLE, SCRIPT, USER, WAREHOUSE

DAY = "2026-11-20"
HOME = "a'b \"c\"; {{ env_var('PATH') }} {% raw %} $(touch pwned) %s é"


def typed(folder: Path, *words: str, umask: int, **variables: str) -> subprocess.CompletedProcess[str]:
    """Type a command in a folder, as somebody whose files usually lack some permissions."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HISTORY_", "DAGSTER_"))}
    return subprocess.run(
        [SCRIPT, *words],
        cwd=folder,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        umask=umask,
    )


def test_a_night_in_a_home_of_any_name_is_for_its_owner_alone(tmp_path: Path) -> None:
    """However open files usually are; what somebody exports by name is as open as usual."""
    home = tmp_path / HOME
    landing = Landing(home)
    table = "create table account (id int primary key, _fivetran_synced timestamptz)"
    landing.execute("crm", "2026-11-19T22:00", table, "insert into account values (1, '2026-11-19 20:00:00+00')")
    around = {"HISTORY_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}

    night = typed(tmp_path, "run", "--date", DAY, umask=0, **around)
    proven = typed(tmp_path, "verify", umask=0, **around)
    exported = typed(tmp_path, "as-of", "crm.account", DAY, "--format", "csv", "--output", "out.csv", umask=0o026, **around)

    assert (night.returncode, night.stdout) == (0, f"{DAY}: 1 of 1 schemas cloned, 1 of 1 tables folded\n"), night.stderr
    assert (proven.returncode, proven.stdout) == (0, "1 of 1 table-nights are exact\n"), proven.stderr
    assert exported.returncode == 0, exported.stderr
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith("1,")
    assert stat.S_IMODE((tmp_path / "out.csv").stat().st_mode) == 0o640
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([HOME, "out.csv"])
    # Raw, and the home itself, were made by somebody else.
    made = [path for folder in home.iterdir() if folder.name != "raw" for path in (folder, *folder.rglob("*"))]
    assert {path.name for path in home.iterdir()} >= {"clones", "dagster", "dbt", "history.duckdb"}
    assert [path for path in made if stat.S_IMODE(path.stat().st_mode) & 0o077] == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HISTORY_TIMEZONE", "../../../etc/passwd"),
        ("HISTORY_TIMEZONE", "/etc/localtime"),
        ("HISTORY_TIMEZONE", ""),
        ("HISTORY_TIMEZONE", "Europe/Zurich\n"),
        ("HISTORY_CUTOFF", "00:00; drop"),
        ("HISTORY_ENGINE", "duckdb'; drop"),
        ("HISTORY_KEYS", "[" * 50_000),
        ("HISTORY_KEYS", '{"a":' * 20_000),
        ("HISTORY_KEYS", '{"crm.account": "id"}'),
        ("HISTORY_KEYS", '["crm.account"]'),
        ("HISTORY_THREADS", "9" * 5_000),
        ("HISTORY_THREADS", "1e9"),
        ("HISTORY_SHRUNKEN_SHARE", "nan"),
        ("HISTORY_SHRUNKEN_SHARE", "inf"),
        ("HISTORY_LOCK_TIMEOUT", "inf"),
        ("HISTORY_LOCK_TIMEOUT", "nan"),
        ("HISTORY_UNCHANGED_HOURS", "nan"),
        ("HISTORY_HEALING_DAYS", "1000000"),
        ("HISTORY_CLONE_RETENTION_DAYS", "9" * 30),
        ("HISTORY_CLONE_RETENTION_MONTHS", "9" * 30),
        ("HISTORY_WEBSERVER", "evil.example/x:80"),
        ("HISTORY_WEBSERVER", "user@evil.example:80"),
        ("HISTORY_WEBSERVER", "evil\n:80"),
        ("HISTORY_ALERT_URLS", "file\x1b[31m"),
        ("HISTORY_OWNER_ALERT_URL", "{owner}"),
        ("HISTORY_X\x1b[31m", "x"),
    ],
    ids=lambda value: legible(value)[:40],
)
def test_what_makes_no_sense_is_refused_by_name_in_a_line(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        Settings.from_env()
    assert name.removesuffix("\x1b[31m") in str(refused.value)
    assert len(legible(str(refused.value))) < 1_500


NAMES = ('RAW"; drop database HISTORY; --', "RAW'; drop", "RAW.PUBLIC", "{{ 1 }}", "$$;$$", "raw", "two\nlines")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("setting", ["raw_database", "clone_database", "database", "script_role"])
def test_a_name_of_snowflakes_stays_a_name(setting: str, name: str, tmp_path: Path) -> None:
    """The script that an administrator is to run is that of any other name, but for the name, which is in no comment."""
    plain, hostile = (
        setup_script(Settings(home=tmp_path, engine="snowflake", **{setting: each}), USER, ROLE, WAREHOUSE)  # type: ignore[arg-type]
        for each in ("PLAIN_ONE", name)
    )
    exact = exact_name(name) if setting == "script_role" else name

    assert plain.count("PLAIN_ONE") == plain.count('"PLAIN_ONE"') > 0
    assert hostile == plain.replace('"PLAIN_ONE"', quote(exact))
    assert [line for line in plain.splitlines() if line.startswith("--") and "PLAIN_ONE" in line] == []
