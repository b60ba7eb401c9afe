"""No secret is written or printed, whatever fails: a login, a fold, Fivetran's API, a channel. All of them are set at once."""

import base64
import sqlite3
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

import dagster as dg
import pytest
from pydantic import SecretStr

from history_assets.location import build_definitions
from history_assets.nights import open_instance
from tests.fakes.fivetran import KEY, SECRET, FakeFivetran, Fault
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.errors import SnowflakeError
from tests.stories.account import USER, Account, Typed
from tests.stories.test_snowflake_secrets import PASSPHRASE, Logins

WORD = "al3rt pass/w0rd"
CHANNEL = f"json://bob:{urllib.parse.quote(WORD, safe='')}@127.0.0.1:9"
OTHER = {"passphrase": "wr0ng-passphrase", "password": "passw0rd-of-old", "api secret": "secret-0f-before"}
DATES = {"fold": "2026-10-02", "401": "2026-10-03", "500": "2026-10-04", "login": "2026-10-05"}


def secrets(logins: Logins) -> dict[str, bytes]:
    """Return all that must not be seen, by what it is, as it is and as it goes over the wire."""
    texts = {"api key": KEY, "api secret": SECRET, "channel": WORD, "token": "oauth-token", **OTHER}
    found = {name: text.encode() for name, text in texts.items()}
    found |= {f"login {name}": base64.b64encode(f"{KEY}:{text}".encode()) for name, text in texts.items()}
    found |= {f"encoded {name}": urllib.parse.quote(text, safe="").encode() for name, text in texts.items()}
    found["form channel"] = urllib.parse.quote_plus(WORD).encode()
    return found | {f"key {number}": secret for number, secret in enumerate(logins.secrets) if secret != b"wrong-token"}


def seen(home: Path, printed: Mapping[str, str], secrets: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Return which secret stands where: in the bytes of a file, in what a database holds, or in what was printed."""
    files = [path for path in home.rglob("*") if path.is_file()]
    texts = {str(path.relative_to(home)): path.read_bytes() for path in files}
    # A long value lies on several pages, with other bytes between.
    databases = [path for path in files if texts[str(path.relative_to(home))].startswith(b"SQLite format 3")]
    texts |= {f"dump of {path.relative_to(home)}": dump(path) for path in databases}
    texts |= {name: text.encode() for name, text in printed.items()}
    return sorted((name, where) for where, text in texts.items() for name, secret in secrets.items() if secret in text)


def dump(database: Path) -> bytes:
    with sqlite3.connect(database) as connection:
        lines = list(connection.iterdump())
    connection.close()
    return "\n".join(lines).encode("utf-8", "replace")


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Logins:
    return Logins(tmp_path_factory.mktemp("keys") / "own")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory, logins: Logins) -> Iterator[tuple[Account, dict[str, Typed]]]:
    """A home in which one thing after the other failed."""
    with Emulator() as emulator, FakeFivetran() as fivetran:
        account = Account(emulator, tmp_path_factory.mktemp("secrets") / "home", **logins.ways["key by path"])
        emulator.users[USER].keys.append(logins.public)
        emulator.run("create schema RAW.CRM data_retention_time_in_days = 90", at="2026-09-01")
        table = 'create table ACCOUNT (ID number(38,0) primary key, "_FIVETRAN_SYNCED" timestamp_tz)'
        emulator.land("RAW.CRM", "2026-10-01T20:00", table, "insert into ACCOUNT (ID) select 1")
        account.set_up()
        fivetran.connect("CRM", succeeded_at="2026-10-01T20:00:00Z")
        around = {
            "NO_PROXY": "127.0.0.1",
            "HISTORY_ALERT_URLS": CHANNEL,
            "FIVETRAN_API_KEY": KEY,
            "FIVETRAN_API_SECRET": SECRET,
            "FIVETRAN_GROUP_ID": "projected_sickle",
            "FIVETRAN_API_URL": fivetran.url,
        }

        def run(what: str, **changed: str) -> Typed:
            return account.type("run", "--date", DATES[what], **around | changed)

        emulator.fail(
            r"into \"HISTORY\".\"CRM\"|table \"HISTORY\".\"CRM\"", SnowflakeError("002003", "02000", "Object is gone")
        )
        said = {"fold": run("fold")}
        said["401"] = run("401", FIVETRAN_API_SECRET=OTHER["api secret"])
        fivetran.faults.extend(20 * [Fault(500, {"Retry-After": "0"})])
        said["500"] = run("500")
        fivetran.faults.clear()
        said["login"] = run("login", SNOWFLAKE_PRIVATE_KEY_PASSPHRASE=OTHER["passphrase"])
        said["password"] = account.type("refresh", **around, SNOWFLAKE_PASSWORD=OTHER["password"])
        yield account, said


def test_each_fails_as_it_should(told: tuple[Account, dict[str, Typed]]) -> None:
    """Or the search below would look at nothing."""
    said = told[1]

    codes = {"fold": 1, "401": 1, "500": 1, "login": 2, "password": 2}
    assert {name: typed.code for name, typed in said.items()} == codes
    assert "Object is gone" in said["fold"].err
    assert "found 401 from Fivetran" in said["401"].err
    assert "found 500 from Fivetran" in said["500"].err
    assert "found a private key that cannot be read" in said["login"].err
    assert said["password"].err.startswith("error: found SNOWFLAKE_PASSWORD")
    assert all(typed.err.count("\n") <= 3 for typed in said.values())


def test_no_secret_is_in_any_file_nor_printed(told: tuple[Account, dict[str, Typed]], logins: Logins) -> None:
    account, said = told
    printed = {name: typed.out + typed.err for name, typed in said.items()}
    printed["statements"] = "\n".join(statement.text + statement.tag for statement in account.emulator.log)
    places = {path.relative_to(account.home).parts[0] for path in account.home.rglob("*") if path.is_file()}

    assert {"dagster", "dbt"} <= places
    assert seen(account.home, printed, secrets(logins)) == []


def test_a_channel_out_of_reach_is_told_of_by_its_number(
    told: tuple[Account, dict[str, Typed]],
    logins: Logins,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    account = told[0]
    settings = account.settings(alert_urls=(SecretStr(CHANNEL),))
    caplog.set_level("DEBUG")
    with open_instance(settings) as instance:
        (failed, *_) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]), limit=1)
        (record,) = instance.get_records_for_run(failed.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
        ended = record.event_log_entry.dagster_event
        assert ended
        sensor = build_definitions(settings).get_repository_def().get_sensor_def("alert")
        sensor(dg.build_run_status_sensor_context("alert", ended, instance, failed).for_run_failure())
    out, err = capfd.readouterr()

    assert "found channel 1 of HISTORY_ALERT_URLS (json) out of reach" in caplog.text + out + err
    assert seen(account.home, {"log": caplog.text, "out": out, "err": err}, secrets(logins)) == []


def test_the_search_finds_what_is_there(tmp_path: Path, logins: Logins) -> None:
    """Deep in a folder, among other bytes, on two pages of a database, and printed."""
    known = secrets(logins)
    deep = tmp_path / "dagster" / "storage"
    deep.mkdir(parents=True)
    (deep / "log").write_bytes(b"\x00\xff" + known["login api secret"] + b"\xff")
    with sqlite3.connect(deep / "runs.db") as connection:
        connection.execute("create table t (x text)")
        connection.execute("insert into t values (?)", ["x" * 5_000 + PASSPHRASE + "x" * 5_000])
        connection.execute("insert into t values (?)", [OTHER["passphrase"] * 2_000])
    connection.close()
    found = seen(tmp_path, {"refresh": f"json://bob:{WORD}@127.0.0.1"}, known)

    passphrase = next(name for name, secret in known.items() if secret == PASSPHRASE.encode())
    assert {
        ("login api secret", "dagster/storage/log"),
        ("channel", "refresh"),
        (passphrase, "dump of dagster/storage/runs.db"),
        ("passphrase", "dump of dagster/storage/runs.db"),
    } <= set(found)
    assert seen(tmp_path, {}, {"none": b"n0t-there"}) == []
