"""The commands, as a person types them: what they print, and how they end."""

import contextlib
import csv
import io
import json
import re
import shutil
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet
import pytest
import time_machine

from history_assets import History, cli, cli_checks
from history_assets.errors import HistoryMissingError
from history_assets.event_log import BatchingEventLogStorage
from tests.landing import Landing

Run = Callable[..., tuple[int, str, str]]

REMEDY = "expected one DuckDB file per Fivetran schema in it; set HISTORY_HOME, or try `history-assets demo`"
DAY_BEFORE, DAY = "2026-11-20", "2026-11-21"
FILES = ("raw/crm", "history")


@pytest.fixture(scope="module")
def story_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def run(story_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Type a command; returns its exit code and what it wrote to both streams."""
    monkeypatch.setenv("HISTORY_HOME", str(story_home))
    monkeypatch.setenv("DAGSTER_HOME", str(story_home / "dagster"))

    def type_in(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["history-assets", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return type_in


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_wrong_use_is_one_line_exit_2_and_nothing_written(run: Run, story_home: Path) -> None:
    """Before there is a raw database, and after."""
    assert run("run", "--date", DAY) == (2, "", f"error: found no folder {story_home}/raw: {REMEDY}\n")
    Landing(story_home).execute(
        "crm",
        "2026-11-19T22:00",
        "create table account (id int primary key, name varchar, _fivetran_deleted boolean, _fivetran_synced timestamptz)",
        "insert into account values (1, 'Ann', false, now()), (2, null, true, now()), (3, 'a,\"b', false, now())",
    )
    before = tree(story_home)

    for words, says in {
        ("run", "--date", "2026-11-31"): "found '2026-11-31' where a clone date was expected",
        ("run", "--date", "2199-01-01"): "whose cutoff 2199-01-01 00:00 UTC is in the future",
        ("run", "--date", f"{DAY}..2199-01-01"): "in the future",
        ("run", "--date", f"{DAY}..{DAY_BEFORE}"): f"write the earlier date first, {DAY_BEFORE}..{DAY}",
        ("run", "--date", f"{DAY}.."): "found '' where a clone date was expected",
        ("run", "--date", DAY, "--schema", "nope"): "found no schema nope to clone: expected one of crm",
        ("as-of", "crm.account", DAY): "found no history of crm.account, nor any in HISTORY_HOME=",
        ("verify",): "found no histories in HISTORY_HOME=",
        ("run", "--date", "1969-01-01"): "a clone date was expected: give one from 1970-01-01 to 9998-12-31",
        ("as-of", "crm.account", "today"): "found 'today' where a clone date was expected",
        ("as-of", "crm.account", DAY, "--format", "parquet"): "found --format parquet without --output",
        ("as-of", "crm.account", DAY, "--output", "account.txt"): "expected a file called .csv or .parquet, or --format",
    }.items():
        code, printed, complaint = run(*words)
        assert (code, printed, complaint.count("\n")) == (2, "", 1), words
        assert complaint.startswith("error: "), words
        assert says in complaint, words
    assert tree(story_home) == before


def test_a_port_that_is_taken_is_said_before_the_nights(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_HOME", str(tmp_path / "sandbox"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])

        assert run("demo", "--port", port) == (2, "", f"error: found port {port} in use: choose another with --port\n")

    assert tree(tmp_path) == []


def test_where_there_is_no_schema_to_clone_it_is_said(run: Run, story_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_INCLUDE", "nope,none")
    monkeypatch.setenv("HISTORY_EXCLUDE", "c*")
    said = (
        f"found no schema to clone in {story_home}/raw, expected one that Fivetran fills and HISTORY_INCLUDE=nope,none and "
        "HISTORY_EXCLUDE=c* selects: load one, or set these otherwise"
    )

    assert run("run", "--date", DAY) == (2, "", f"error: {said}\n")
    assert run("status") == (2, "", f"error: {said}\n")
    code, printed, _ = run("doctor")
    assert code == 1
    assert f"missing  0 schemas of Fivetran in {story_home}/raw\n         {said}\n" in printed


def test_a_home_that_is_not_there_is_said_and_not_made(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "none"
    monkeypatch.setenv("HISTORY_HOME", str(home))
    monkeypatch.setenv("HISTORY_SCRIPTS", str(tmp_path))
    monkeypatch.delenv("DAGSTER_HOME")
    (tmp_path / "model.py").write_text('# /// script\n# [tool.history-assets]\n# schedule = "0 6 * * MON"\n# ///\n')

    assert run("script", "run", "model") == (
        2,
        "",
        f"error: found no folder HISTORY_HOME={home}, expected that of the histories: set it, or run a night\n",
    )
    with pytest.raises(HistoryMissingError, match="found no histories in HISTORY_HOME="):
        History.from_env().tables()
    assert not home.exists()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, int | None]]:
    """What a bar is told from here on."""
    told: list[tuple[str, int, int | None]] = []
    for module in (cli, cli_checks):
        monkeypatch.setattr(module, "bar", lambda **_: contextlib.nullcontext(lambda *each: told.append(each)))
    return told


def test_a_night_is_cloned_and_folded(run: Run, watched: list[tuple[str, int, int | None]]) -> None:
    assert run("run", "--date", DAY_BEFORE) == (0, "2026-11-20: 1 of 1 schemas cloned, 1 of 1 tables folded\n", "")
    assert watched == [
        ("loading Dagster", 0, None),
        ("reading the inventory", 0, None),
        ("having dbt parse the project", 0, None),
        ("loading the definitions", 0, None),
        ("cloning schemas", 0, 1),
        ("cloning schemas", 1, 1),
        ("folding tables", 0, 1),
        ("folding tables", 1, 1),
    ]


def test_the_runs_of_a_command_are_found_with_their_job(run: Run) -> None:
    with dg.DagsterInstance.get() as instance:
        found = instance.get_runs(
            dg.RunsFilter(job_name="clones", tags={".dagster/repository": "__repository__@history_assets"})
        )

    assert [each.tags["user"] for each in found] == ["history-assets"]


def test_a_second_night_sees_what_changed(run: Run, story_home: Path) -> None:
    Landing(story_home).execute("crm", "2026-11-20T22:00", "update account set name = 'Änn' where id = 1")

    assert run("run", "--date", DAY, "--schema", "crm") == (0, "2026-11-21: 1 of 1 schemas cloned, 1 of 1 tables folded\n", "")


def test_a_night_can_be_run_again(run: Run) -> None:
    assert run("run", "--date", DAY) == (0, "2026-11-21: 1 of 1 schemas cloned, 1 of 1 tables folded\n", "")


def test_nights_leave_a_function_and_a_view_beside_the_history(story_home: Path) -> None:
    with duckdb.connect(str(story_home / "history.duckdb"), read_only=True) as connection:
        shown = [
            connection.execute(f"select id, name from crm.{each} order by id").fetchall()
            for each in ("account_current", f"account_as_of('{DAY}')", f"account_as_of('{DAY_BEFORE}')")
        ]

    assert shown == [[(1, name), (3, 'a,"b')] for name in ("Änn", "Änn", "Ann")]


@pytest.mark.parametrize(("date", "name"), [(DAY_BEFORE, "Ann"), (DAY, "Änn")])
def test_as_of_writes_csv_of_that_day(date: str, name: str, run: Run, tmp_path: Path) -> None:
    file = tmp_path / "account.csv"

    assert run("as-of", "crm.account", date, "--output", str(file)) == (0, "", "")

    rows = list(csv.DictReader(io.StringIO(file.read_text())))
    assert sorted((row["id"], row["name"]) for row in rows) == [("1", name), ("3", 'a,"b')]


def test_as_of_writes_parquet_typed_as_the_source(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "account.parquet"

    assert run("as-of", "crm.account", DAY, "--output", str(file), "--deleted")[0] == 0

    found = pyarrow.parquet.read_table(file)
    assert found.schema == pa.schema(
        [
            ("id", pa.int32()),
            ("name", pa.string()),
            ("_fivetran_deleted", pa.bool_()),
            ("_fivetran_synced", pa.timestamp("us", "UTC")),
        ]
    )
    assert sorted(found.drop_columns("_fivetran_synced").to_pylist(), key=lambda row: row["id"]) == [
        {"id": 1, "name": "Änn", "_fivetran_deleted": False},
        {"id": 2, "name": None, "_fivetran_deleted": True},
        {"id": 3, "name": 'a,"b', "_fivetran_deleted": False},
    ]


def test_as_of_shows_a_table(run: Run) -> None:
    code, printed, _ = run("as-of", "crm.account", DAY_BEFORE)

    assert code == 0
    assert "Ann" in printed
    assert "Änn" not in printed


def test_a_date_that_was_never_applied_names_the_nearest(run: Run) -> None:
    assert run("as-of", "crm.account", "2026-11-01") == (
        2,
        "",
        "error: found no night 2026-11-01 in the history of crm.account: the nearest that it holds is 2026-11-20\n",
    )


def test_verify_proves_every_night(run: Run, watched: list[tuple[str, int, int | None]]) -> None:
    assert run("verify") == (0, "2 of 2 table-nights are exact\n", "")
    assert watched == [("comparing with clones", 0, 3), ("comparing with clones", 1, 3), ("looking at histories", 2, 3)]
    assert run("verify", "--date", DAY, "--schema", "crm") == (0, "1 of 1 table-nights are exact\n", "")


def test_verify_refuses_what_cannot_be_there(run: Run) -> None:
    unknown = "error: found no histories of schema nope: expected one of crm\n"
    assert run("verify", "--schema", "nope", "--schema", "crm") == (2, "", unknown)

    code, printed, complaint = run("verify", "--date", "2199-01-01")
    assert (code, printed) == (2, "")
    assert "whose cutoff 2199-01-01 00:00 UTC is in the future" in complaint


def test_verify_tells_programs_what_it_tells_people(run: Run, story_home: Path) -> None:
    """With ``--json`` there is one document on standard output, and the exit codes are the same."""
    sound = {"table_nights": 2, "exact": 2, "differs": [], "repaired": [], "failed": []}
    assert run("verify", "--json") == (0, json.dumps(sound, indent=2) + "\n", "")
    with duckdb.connect(str(story_home / "history.duckdb")) as connection:
        connection.execute("update crm.account set name = 'wrong' where name = 'Ann'")

    problem = (
        "crm.account as of 2026-11-20: 1 rows only in history, 1 only in the clone, "
        "such as (1, 'wrong', False); (1, 'Ann', False)"
    )
    found = {"schema": "crm", "table": "account", "date": DAY_BEFORE, "problem": problem}
    code, printed, complaint = run("verify", "--json")
    assert (code, json.loads(printed)) == (1, sound | {"exact": 1, "differs": [found]})
    assert complaint == f"differs: {problem}\n"

    code, printed, complaint = run("verify", "--json", "--repair")
    assert (code, json.loads(printed)) == (0, sound | {"repaired": [found]})
    assert complaint.startswith(f"repairing: {problem}\n{DAY_BEFORE}: 1 of 1 tables folded in ")
    assert run("verify", "--json", "--date", "2026-11-01") == (
        1,
        json.dumps(sound | {"table_nights": 0, "exact": 0}, indent=2) + "\n",
        "error: found no applied night with a clone to compare with: run a night first\n",
    )


def test_status_tells_programs_what_it_tells_people(run: Run) -> None:
    with time_machine.travel(f"{DAY}T12:00+00:00"):
        code, printed, complaint = run("status", "--days", "3", "--json")

    fine = {"quarantined": 0, "unreadable": False}
    assert (code, complaint) == (0, "")
    assert json.loads(printed) == {
        "schemas": [
            {
                "schema": "crm",
                "nights": [
                    {"date": "2026-11-19", "state": "-", "cloned": None, "applied": 0, "before": True, **fine},
                    {"date": DAY_BEFORE, "state": "applied", "cloned": 1, "applied": 1, "before": False, **fine},
                    {"date": DAY, "state": "applied", "cloned": 1, "applied": 1, "before": False, **fine},
                ],
            }
        ]
    }


def test_doctor_tells_programs_what_it_tells_people(
    run: Run, story_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = ["the settings, for duckdb", f"the folder {story_home}", f"the file {story_home}/raw/crm.duckdb"]
    what += [f"1 schemas of Fivetran in {story_home}/raw", f"the file {story_home}/history.duckdb"]
    what += ["the cutoff of clone dates, at 00:00 in UTC"]
    checks = [{"what": each, "ok": True, "remedy": None} for each in what]
    assert run("doctor", "--json") == (0, json.dumps({"ok": True, "checks": checks}, indent=2) + "\n", "")

    monkeypatch.setenv("HISTORY_HOME", str(tmp_path))
    remedy = f"found no folder {tmp_path}/raw: {REMEDY}"
    code, printed, complaint = run("doctor", "--json")
    assert (code, complaint) == (1, "")
    assert json.loads(printed) == {
        "ok": False,
        "checks": [
            {"what": "the settings, for duckdb", "ok": True, "remedy": None},
            {"what": f"the folder {tmp_path}", "ok": True, "remedy": None},
            {"what": "the warehouse", "ok": False, "remedy": remedy},
        ],
    }
    assert run("doctor", "--json", "--print-setup") == (
        2,
        "",
        "error: found --print-setup with --json, which is a script in SQL: leave one of them out\n",
    )


def test_a_file_that_cannot_be_written_is_named_and_one_that_was_there_stays(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "account.csv"
    assert run("as-of", "crm.account", DAY, "--output", str(tmp_path / "none" / "account.csv")) == (
        2,
        "",
        f"error: found {tmp_path}/none/account.csv not to be written (No such file or directory), expected a file in a folder "
        "that is there, with room for it: give another --output\n",
    )
    file.write_text("as it was")
    file.chmod(0o640)
    (tmp_path / "link.csv").symlink_to(file)
    assert run("as-of", "crm.account", "2026-11-01", "--format", "csv", "--output", str(file))[0] == 2
    assert file.read_text() == "as it was"

    assert run("as-of", "crm.account", DAY, "--format", "csv", "--output", str(tmp_path / "link.csv"))[0] == 0

    assert file.read_text().splitlines()[0] == '"id","name","_fivetran_deleted","_fivetran_synced"'
    assert file.stat().st_mode & 0o777 == 0o640
    assert tree(tmp_path) == ["account.csv", "link.csv"]


def test_status_shows_the_recent_dates(run: Run) -> None:
    with time_machine.travel("2026-11-22T12:00+00:00"):
        code, printed, complaint = run("status", "--days", "3")

    assert (code, complaint) == (0, "")
    header, row = printed.splitlines()[:2]
    assert header.split() == ["schema", "11-20", "11-21", "11-22"]
    assert row.split() == ["crm", "applied", "applied", "missing"]


def test_what_cannot_be_cloned_fails_the_run_by_name(run: Run, story_home: Path) -> None:
    Landing(story_home).touch("crm", "2026-11-22T05:00")

    code, printed, complaint = run("run", "--date", "2026-11-22")

    assert (code, printed) == (1, "2026-11-22: 0 of 1 schemas cloned, 0 of 0 tables folded\n")
    assert "cannot clone crm as it was at 2026-11-22 00:00 UTC" in complaint


def test_of_a_range_each_date_is_run_and_one_that_cannot_be_cloned_stops_no_other(run: Run, story_home: Path) -> None:
    """2026-11-22 is as raw is now; the dates before are kept, and the one between was never to be had."""
    Landing(story_home).touch("crm", "2026-11-21T23:00")

    code, printed, complaint = run("run", "--date", "2026-11-19..2026-11-22")

    assert (code, printed.splitlines()) == (
        1,
        [
            "2026-11-19: 0 of 1 schemas cloned, 0 of 0 tables folded",
            "2026-11-20: 1 of 1 schemas cloned, 1 of 1 tables folded",
            "2026-11-21: 1 of 1 schemas cloned, 1 of 1 tables folded",
            "2026-11-22: 1 of 1 schemas cloned, 1 of 1 tables folded",
        ],
    )
    assert complaint.startswith("error: 1 of 4 clones failed: cannot clone crm as it was at 2026-11-19 00:00 UTC, because ")
    assert complaint.count("\n") == 1


def test_another_cutoff_than_the_historys_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch, story_home: Path) -> None:
    """Before a clone is made by it."""
    Landing(story_home).touch("crm", "2026-11-20T22:00")
    monkeypatch.setenv("HISTORY_TIMEZONE", "Europe/Zurich")
    before = tree(story_home)

    code, printed, complaint = run("run", "--date", "2026-11-28")

    assert (code, printed) == (2, "")
    assert "built with 00:00 and UTC: set these again" in complaint
    assert tree(story_home) == before
    code, printed, _ = run("doctor")
    assert code == 1
    assert (
        "missing  the cutoff of clone dates\n         found HISTORY_CUTOFF=00:00 and HISTORY_TIMEZONE=Europe/Zurich" in printed
    )


def test_another_cutoff_than_that_of_the_clones_is_refused_without_the_ledger(
    run: Run, monkeypatch: pytest.MonkeyPatch, story_home: Path
) -> None:
    monkeypatch.setattr("history_assets.nights.check_rule", lambda warehouse: None)
    monkeypatch.setenv("HISTORY_CUTOFF", "04:00")
    clones = tree(story_home / "clones")

    code, _, complaint = run("run", "--date", "2026-11-27")

    assert (code, tree(story_home / "clones")) == (1, clones)
    assert complaint == (
        "error: nothing was cloned: found HISTORY_CUTOFF and HISTORY_TIMEZONE by which 2026-11-20 is cut off at 04:00 UTC of "
        "2026-11-20, but its clone of crm at 00:00 UTC of 2026-11-20: set them as they were, or start another HISTORY_HOME\n"
    )


def test_refresh_says_what_has_changed_and_what_there_is(run: Run, story_home: Path) -> None:
    """What has changed once, though nights have refreshed before."""
    Landing(story_home).execute("crm", "2026-11-20T22:00", "create table bad (dbt_valid_to int, _fivetran_synced timestamptz)")

    code, printed, complaint = run("refresh")
    again = run("refresh")

    counts = rf"1 schemas, 2 tables; project (un)?changed: {story_home}/dbt/\w+\n"
    assert code == 0
    assert re.fullmatch(rf"new schema crm with 2 tables\n{counts}", printed)
    assert re.fullmatch(counts, again[1])
    assert complaint == (
        "left out crm.bad: it has a column dbt_valid_to, which history tables use themselves: "
        "exclude the table or rename the column\n"
    )


def test_refresh_leaves_an_instance_that_servers_can_open(run: Run, story_home: Path) -> None:
    shutil.rmtree(story_home / "dagster", ignore_errors=True)

    code, _, _ = run("refresh")

    assert code == 0
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.event_log_storage, BatchingEventLogStorage)
        assert instance.get_concurrency_config().pool_config.default_pool_limit == 1
