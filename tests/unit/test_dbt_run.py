"""How dbt is run: which target, with which environment; and that nothing secret is written anywhere."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
import yaml

from history_assets import dbt_child, dbt_files, dbt_run
from history_assets.credentials import SnowflakeCredentials
from history_assets.dbt_child import Night
from history_assets.errors import ProjectError
from history_assets.inventory import Column, Inventory, KeySource, Schema, Table
from history_assets.naming import snapshot_name
from history_assets.settings import Settings

WHO = {"account": "myorg-account", "user": "LOADER", "role": "HISTORIAN", "warehouse": "NIGHTLY"}
PEM = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
PROFILES = Path(__file__).parents[2] / "dbt_project" / "profiles.yml"
INVENTORY = Inventory((Schema("CRM", (Table("ACCOUNT", (Column("ID", "NUMBER(38,0)", 1),), ("ID",), KeySource.DECLARED),)),))


def snowflake(make_settings: Callable[..., Settings], **credentials: object) -> Settings:
    return make_settings(engine="snowflake", database="H", snowflake=SnowflakeCredentials(**WHO, **credentials))  # type: ignore[arg-type]


def test_dbt_is_told_of_a_key_by_path(make_settings: Callable[..., Settings]) -> None:
    assert dbt_run.snowflake_environment(snowflake(make_settings, private_key_path=Path("/keys/k.p8"))) == {
        "HISTORY_DATABASE": "H",
        "HISTORY_CLONE_DATABASE": "CLONES",
        "SNOWFLAKE_ACCOUNT": "myorg-account",
        "SNOWFLAKE_USER": "LOADER",
        "SNOWFLAKE_ROLE": "HISTORIAN",
        "SNOWFLAKE_WAREHOUSE": "NIGHTLY",
        "SNOWFLAKE_PROTOCOL": "https",
        "SNOWFLAKE_HOST": "",
        "SNOWFLAKE_PORT": "443",
        "SNOWFLAKE_AUTHENTICATOR": "",
        "SNOWFLAKE_PRIVATE_KEY_PATH": "/keys/k.p8",
    }


def test_secrets_go_by_names_that_dbt_hides(make_settings: Callable[..., Settings]) -> None:
    by_key = dbt_run.snowflake_environment(snowflake(make_settings, private_key=PEM, private_key_passphrase="x"))
    by_token = dbt_run.snowflake_environment(snowflake(make_settings, token="t", authenticator="oauth", host="h", port=8080))

    assert by_key["DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY"] == PEM
    assert by_key["DBT_ENV_SECRET_SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"] == "x"
    assert by_token["DBT_ENV_SECRET_SNOWFLAKE_TOKEN"] == "t"
    assert (by_token["SNOWFLAKE_AUTHENTICATOR"], by_token["SNOWFLAKE_HOST"], by_token["SNOWFLAKE_PORT"]) == (
        "oauth",
        "h",
        "8080",
    )


def test_the_profile_holds_references_alone() -> None:
    target = yaml.safe_load(PROFILES.read_text())["history_assets"]["outputs"]["snowflake"]
    plain = {name: value for name, value in target.items() if "env_var(" not in str(value)}

    assert plain == {
        "type": "snowflake",
        "schema": "_history_assets",
        "query_tag": "history_assets:fold::",
        "client_session_keep_alive": False,
        "reuse_connections": True,
    }
    secret = {"private_key", "private_key_passphrase", "token"}
    assert {name for name, value in target.items() if "DBT_ENV_SECRET_" in str(value)} == secret
    assert "password" not in target


def test_a_parsed_project_holds_no_secret(make_settings: Callable[..., Settings], home: Path) -> None:
    settings = snowflake(make_settings, private_key=PEM, private_key_passphrase="xyzzy-passphrase")
    rendered = dbt_files.render(INVENTORY, settings.engine)

    project = dbt_files.write(rendered, home, lambda folder: dbt_run.parse(folder, settings))

    assert '"adapter_type": "snowflake"' in project.manifest.read_text().replace('":"', '": "')
    for path in home.rglob("*"):
        if path.is_file():
            assert not any(secret in path.read_bytes() for secret in (b"c2VjcmV0", b"xyzzy-passphrase")), path


def test_a_project_names_the_adapter_in_use() -> None:
    assert "dbt-snowflake" in dbt_files.render(INVENTORY, "snowflake").files["versions.json"]
    assert "dbt-duckdb" in dbt_files.render(INVENTORY).files["versions.json"]
    assert dbt_files.render(INVENTORY, "snowflake").hash != dbt_files.render(INVENTORY).hash


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated project, parsed, which nobody changes."""
    settings = Settings(home=tmp_path_factory.mktemp("project"))
    return dbt_files.write(dbt_files.render(INVENTORY), settings.home, lambda folder: dbt_run.parse(folder, settings)).folder


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[str]"]:
    """The processes that are started from here on."""
    found: list[subprocess.Popen[str]] = []
    popen = subprocess.Popen
    monkeypatch.setattr(dbt_run.subprocess, "Popen", lambda *args, **rest: found.append(popen(*args, **rest)) or found[-1])
    return found


def test_what_was_loaded_ahead_is_what_folds(
    project: Path, make_settings: Callable[..., Settings], started: list["subprocess.Popen[str]"]
) -> None:
    settings = make_settings()
    with dbt_run.ahead(project, settings), dbt_run.ahead(project, settings):
        assert dbt_run.fold(project, [], settings, lambda _: None) == []

    assert [process.returncode for process in started] == [0]


def test_what_was_loaded_ahead_and_is_of_another_project_is_not(
    project: Path, make_settings: Callable[..., Settings], started: list["subprocess.Popen[str]"]
) -> None:
    """One that a refresh has replaced, and whose folder may be gone."""
    settings = make_settings()
    with dbt_run.ahead(project.with_name("replaced"), settings):
        assert dbt_run.fold(project, [], settings, lambda _: None) == []

    _, folded = (process.returncode for process in started)
    assert folded == 0


def test_what_was_loaded_ahead_and_is_not_needed_is_ended(
    project: Path, make_settings: Callable[..., Settings], started: list["subprocess.Popen[str]"]
) -> None:
    with dbt_run.ahead(project, make_settings()):
        (process,) = started
        folder = Path(process.args[3]).parent  # type: ignore[index]
        assert folder.is_dir()

    assert process.poll() is not None
    assert not folder.exists()


@pytest.mark.parametrize("limit", ["300MB", None])
def test_dbt_takes_no_more_memory_than_it_may(
    limit: str | None, project: Path, make_settings: Callable[..., Settings], started: list["subprocess.Popen[str]"]
) -> None:
    with dbt_run.ahead(project, make_settings(memory_limit=limit)):
        (process,) = started
        environment = dict(each.split("=", 1) for each in Path(f"/proc/{process.pid}/environ").read_text().split("\0") if each)
    with duckdb.connect() as connection:
        ((own,),) = connection.execute("select current_setting('memory_limit')").fetchall()
        connection.execute(f"set memory_limit = '{environment['HISTORY_MEMORY_LIMIT']}'")  # it can be read

    profile = yaml.safe_load(PROFILES.read_text())["history_assets"]["outputs"]["duckdb"]
    assert profile["config_options"]["memory_limit"] == "{{ env_var('HISTORY_MEMORY_LIMIT', '4GB') }}"
    assert environment["HISTORY_MEMORY_LIMIT"] == ("300000KB" if limit else own)


def test_all_is_parsed_once_more_for_another_home_and_then_no_more(
    project: Path, home: Path, make_settings: Callable[..., Settings]
) -> None:
    """As somebody may have moved it, or given it other memory; dbt takes no parse that was saved for another connection."""
    moved = shutil.copytree(project, home / "moved")
    saved = moved / "target" / "partial_parse.msgpack"
    parses = [saved.stat().st_mtime_ns]
    for limit in ("1GB", "1GB", "2GB", "2GB"):
        assert dbt_run.fold(moved, [], make_settings(memory_limit=limit), lambda _: None) == []
        parses.append(saved.stat().st_mtime_ns)

    copied, first, second, third, fourth = parses
    assert copied < first == second < third == fourth
    assert sorted(path.name for path in saved.parent.iterdir()) == sorted(path.name for path in (project / "target").iterdir())


def test_a_parse_that_cannot_be_saved_is_said_so_and_harms_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parse, saved = home / "new", home / "saved"
    parse.write_text("new")
    saved.mkdir()

    dbt_child._save(parse, saved)

    assert capsys.readouterr().out.startswith("dbt's new parse was not saved: ")
    assert sorted(path.name for path in home.iterdir()) == ["new", "saved"]


def test_a_project_that_dbt_cannot_load_is_said_so(project: Path, home: Path, settings: Settings) -> None:
    broken = shutil.copytree(project, home / "broken")
    (broken / "dbt_project.yml").write_text("name: [")

    with pytest.raises(ProjectError, match="dbt's process ended with 1, expected 0"):
        dbt_run.fold(broken, [], settings, lambda _: None)


def test_what_stops_dbt_is_said_and_not_taken_for_a_table_that_was_folded(project: Path, settings: Settings) -> None:
    """As where the ledger is something else: no table of the night has a result of its own."""
    with duckdb.connect(str(settings.home / "history.duckdb")) as connection:
        connection.execute("create schema _history_assets")
        connection.execute("create view _history_assets.applied as select 1 as one")
    run = {"clone_date": "2026-11-20", "schemas": {}}
    said: list[str] = []

    (result,) = dbt_run.fold(project, [Night(run, {snapshot_name("CRM", "ACCOUNT"): {"columns": []}})], settings, said.append)

    (line,) = said
    assert re.match(r"2026-11-20: dbt stopped after \d+\.\d s: .*view", line)
    assert result.failed == {}
    assert result.error
    assert "view" in result.error


_LATE = """
{% macro enter_late() %}
  {% do create_ledger() %}
  {% do run_query('create table account as select 1 as id') %}
  {% set entering = 'insert into account select 3 where ' ~ if_none_since(var('since')) %}
  {% do duckdb__transact(['insert into account values (2)', entering]) %}
{% endmacro %}
"""


@pytest.mark.parametrize(("since", "left"), [("0", [(1,), (2,), (3,)]), ("1", [(1,)])])
def test_what_cannot_be_entered_into_the_ledger_is_undone_in_the_history(
    project: Path, home: Path, since: str, left: list[tuple[int]]
) -> None:
    """On DuckDB no other process can come between, but if anything did, nothing of it would stay."""
    late = shutil.copytree(project, home / "late")
    (late / "macros" / "late.sql").write_text(_LATE)
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "run-operation", "enter_late"]
    folders = dbt_child.folders_of(late, home / "target", "duckdb")
    done = subprocess.run(
        [*command, "--vars", f"since: {since}", *folders],
        env=os.environ | {"HISTORY_HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ("found the table folded by somebody else meanwhile" in done.stdout) == (since == "1"), done.stdout
    with duckdb.connect(str(home / "history.duckdb")) as connection:
        assert connection.execute("from account order by 1").fetchall() == left


def test_a_clone_that_is_gone_fails_its_tables_by_name(project: Path, home: Path, settings: Settings) -> None:
    schema = {"clone_id": "1", "quiet_point": "2026-11-20", "location": str(home / "dropped.duckdb")}
    run = {"clone_date": "2026-11-20", "cutoff": "2026-11-20", "time_zone": "UTC", "cutoff_time": "00:00", "force": False}
    table = {"columns": [{"name": "ID", "type": "BIGINT"}], "key": ["ID"], "key_holds": False, "created": None, "altered": None}
    asked = Night(run | {"gates": {}, "schemas": {"CRM": schema}}, {snapshot_name("CRM", "ACCOUNT"): table})
    said: list[str] = []

    (result,) = dbt_run.fold(project, [asked], settings, said.append)

    (line,) = said
    assert re.fullmatch(r"2026-11-20: 0 of 1 tables folded in \d+\.\d s", line)
    assert list(result.failed) == [snapshot_name("CRM", "ACCOUNT")]
    assert "dropped.duckdb" in result.failed[snapshot_name("CRM", "ACCOUNT")]
    assert result.error is None


_LOOKS_FOR_KEYS = """
import sys, types
from pathlib import Path
from dbt.adapters.duckdb.impl import DuckDBAdapter
from history_assets.dbt_child import _load

def looks():
    kinds = DuckDBAdapter._foreign_key_catalog_types
    history = types.SimpleNamespace(_catalog_type=lambda name: "duckdb", _foreign_key_catalog_types=kinds)
    return DuckDBAdapter._catalog_supports_foreign_keys(history, "history")

before = looks()
_load(Path(sys.argv[1]), "duckdb", Path(sys.argv[2]))
print(before, looks())
"""


def test_dbt_does_not_go_through_all_files_for_keys_that_histories_do_not_have(project: Path, home: Path) -> None:
    command = [sys.executable, "-c", _LOOKS_FOR_KEYS, str(project), str(home / "target")]
    told = subprocess.run(command, env=os.environ | {"HISTORY_HOME": str(home)}, capture_output=True, text=True, check=True)

    assert told.stdout.splitlines()[-1] == "True False"
