"""What is missing is said line by line, each with its remedy; the script gives it all."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
import sqlglot
from sqlglot import expressions
from typer.testing import CliRunner

from history_assets import __version__
from history_assets.cli import app
from history_assets.credentials import SnowflakeCredentials, exact_name
from history_assets.doctor import examine
from history_assets.errors import SettingsError
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from history_assets.warehouse.snowflake_setup import Privilege, inherited_roles, privileges, setup_script
from history_assets.warehouse.values import Check
from tests.fakes.fivetran import SECRET, FakeFivetran
from tests.landing import Landing
from tests.warehouse.recording import RecordingSessions, refused, table


def grant(privilege: str, kind: str, name: str) -> dict[str, str]:
    return {"privilege": privilege, "granted_on": kind, "name": name}


ENOUGH = [
    grant("USAGE", "WAREHOUSE", "NIGHTLY"),
    grant("USAGE", "DATABASE", "RAW"),
    grant("USAGE", "DATABASE", "CLONES"),
    grant("CREATE SCHEMA", "DATABASE", "CLONES"),
    grant("OWNERSHIP", "DATABASE", "HISTORY"),
    grant("SELECT", "TABLE", "RAW.CRM.ACCOUNT"),
    grant("SELECT", "TABLE", 'RAW."my ""shop"."order.item"'),
]
FUTURE = [
    {"privilege": "USAGE", "grant_on": "SCHEMA", "name": "RAW.<SCHEMA>"},
    {"privilege": "SELECT", "grant_on": "TABLE", "name": "RAW.<TABLE>"},
]


@pytest.fixture
def sessions() -> RecordingSessions:
    raw = {"CRM": [table("ACCOUNT", retention_time="1")], 'my "shop': [table("order.item", retention_time="7")]}
    sessions = RecordingSessions(raw)
    sessions.grants = {"HISTORIAN": ENOUGH, "future HISTORIAN": FUTURE}
    return sessions


@pytest.fixture
def warehouse(make_settings: Callable[..., Settings], sessions: RecordingSessions) -> SnowflakeWarehouse:
    who = SnowflakeCredentials(account="account", user="LOADER", role="historian", warehouse="nightly")
    return SnowflakeWarehouse(make_settings(engine="snowflake", snowflake=who), sessions)  # type: ignore[arg-type]


def missing(warehouse: SnowflakeWarehouse) -> list[str]:
    return [check.remedy for check in warehouse.checks() if not check.ok]


def test_where_all_is_granted_every_line_is_ok(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    checks = list(warehouse.checks())

    assert [check.what for check in checks] == [
        "a login to account as LOADER",
        "the role HISTORIAN",
        'USAGE on WAREHOUSE "NIGHTLY"',
        'USAGE on DATABASE "RAW"',
        'USAGE on DATABASE "CLONES"',
        'CREATE SCHEMA on DATABASE "CLONES"',
        'USAGE on DATABASE "HISTORY"',
        'CREATE SCHEMA on DATABASE "HISTORY"',
        '2 schemas of Fivetran in DATABASE "RAW"',
        'SELECT on 1 tables in SCHEMA "RAW"."CRM"',
        'Time Travel of 1 tables in SCHEMA "RAW"."CRM"',
        'SELECT on 1 tables in SCHEMA "RAW"."my ""shop"',
        'Time Travel of 1 tables in SCHEMA "RAW"."my ""shop"',
        'USAGE on future SCHEMAS in DATABASE "RAW"',
        'SELECT on future TABLES in DATABASE "RAW"',
    ]
    assert all(check.ok for check in checks)
    assert not any(statement.compute for statement in sessions.sent)


@pytest.mark.parametrize(
    ("lacking", "remedy"),
    [
        (0, 'GRANT USAGE ON WAREHOUSE "NIGHTLY" TO ROLE "HISTORIAN"'),
        (1, 'GRANT USAGE ON DATABASE "RAW" TO ROLE "HISTORIAN"'),
        (2, 'GRANT USAGE ON DATABASE "CLONES" TO ROLE "HISTORIAN"'),
        (3, 'GRANT CREATE SCHEMA ON DATABASE "CLONES" TO ROLE "HISTORIAN"'),
        (5, 'GRANT SELECT ON ALL TABLES IN SCHEMA "RAW"."CRM" TO ROLE "HISTORIAN"'),
        (6, 'GRANT SELECT ON ALL TABLES IN SCHEMA "RAW"."my ""shop" TO ROLE "HISTORIAN"'),
    ],
)
def test_a_missing_privilege_is_named_by_its_grant(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions, lacking: int, remedy: str
) -> None:
    sessions.grants["HISTORIAN"] = ENOUGH[:lacking] + ENOUGH[lacking + 1 :]

    assert missing(warehouse) == [remedy]


def test_what_is_granted_to_an_inherited_role_counts(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    sessions.grants |= {"HISTORIAN": [grant("USAGE", "ROLE", '"the base"')], "the base": ENOUGH[:3], "PUBLIC": ENOUGH[3:]}

    assert missing(warehouse) == []


def test_future_grants_may_be_on_each_schema(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    sessions.grants["future HISTORIAN"] = []
    assert missing(warehouse) == [
        'GRANT USAGE ON FUTURE SCHEMAS IN DATABASE "RAW" TO ROLE "HISTORIAN"',
        'GRANT SELECT ON FUTURE TABLES IN DATABASE "RAW" TO ROLE "HISTORIAN"',
    ]

    each = [{"privilege": "SELECT", "grant_on": "TABLE", "name": f"RAW.{name}.<TABLE>"} for name in ("CRM", '"my ""shop"')]
    sessions.grants["future HISTORIAN"] = [FUTURE[0], *each]
    assert missing(warehouse) == []


def test_a_table_without_time_travel_is_named(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    sessions.databases["RAW"]["CRM"]["tables"][0]["retention_time"] = "0"

    assert missing(warehouse) == ['ALTER TABLE "RAW"."CRM"."ACCOUNT" SET DATA_RETENTION_TIME_IN_DAYS = 1']


def test_grants_that_show_cuts_off_are_not_called_missing(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("history_assets.warehouse.snowflake_sql.PAGE", 6)
    sessions.grants["HISTORIAN"] = ENOUGH[:6]

    assert missing(warehouse) == []


def test_a_wrong_role_is_named(make_settings: Callable[..., Settings], sessions: RecordingSessions) -> None:
    who = SnowflakeCredentials(account="account", user="LOADER", role='"other role"', warehouse="NIGHTLY")
    warehouse = SnowflakeWarehouse(make_settings(engine="snowflake", snowflake=who), sessions)  # type: ignore[arg-type]

    assert missing(warehouse) == ['GRANT ROLE "other role" TO USER "LOADER"']


def test_it_ends_at_what_makes_the_rest_pointless(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    sessions.fail("SHOW TERSE SCHEMAS", refused(2003, "Database 'RAW' does not exist"))

    checks = list(examine(lambda: warehouse.settings, lambda _: warehouse))

    assert checks[0] == Check("the settings, for snowflake", True)
    assert checks[-1].what == "the warehouse"
    assert checks[-1].remedy.startswith('found no database "RAW" that historian may see')


def test_wrong_settings_are_a_line_too() -> None:
    def refuse() -> Settings:
        raise SettingsError("found no SNOWFLAKE_ACCOUNT")

    assert list(examine(refuse, pytest.fail)) == [Check("the settings", False, "found no SNOWFLAKE_ACCOUNT")]


def test_names_are_read_as_show_grants_writes_them() -> None:
    assert privileges(ENOUGH[-1:]) == {Privilege("SELECT", "TABLE", ("RAW", 'my "shop', "order.item"))}
    assert privileges(FUTURE[1:]) == {Privilege("SELECT", "TABLE", ("RAW",))}
    assert inherited_roles(privileges([grant("USAGE", "ROLE", "A"), grant("OWNERSHIP", "ROLE", "B")])) == {"A"}


@pytest.mark.parametrize(
    ("typed", "exact"),
    [("loader", "LOADER"), ('"loader"', "loader"), ('"a ""b"', 'a "b'), ("my role", "my role"), ("R$1", "R$1")],
)
def test_a_name_is_what_a_login_makes_of_it(typed: str, exact: str) -> None:
    assert exact_name(typed) == exact


def test_the_script_gives_all_that_is_checked_and_no_more(make_settings: Callable[..., Settings]) -> None:
    """Every statement is Snowflake's, as far as sqlglot has a grammar for it."""
    settings = make_settings(engine="snowflake", raw_database="raw", clone_readers=("ANALYST",))

    script = setup_script(settings, "LOADER", "my role", "NIGHTLY")

    statements = [parsed for parsed in sqlglot.parse(script, dialect="snowflake") if parsed]
    grants = [line for line in script.splitlines() if line.startswith("GRANT")]
    assert grants == [
        'GRANT ROLE "my role" TO ROLE SYSADMIN;',
        'GRANT USAGE ON WAREHOUSE "NIGHTLY" TO ROLE "my role";',
        'GRANT USAGE ON DATABASE "raw" TO ROLE "my role";',
        'GRANT USAGE ON ALL SCHEMAS IN DATABASE "raw" TO ROLE "my role";',
        'GRANT USAGE ON FUTURE SCHEMAS IN DATABASE "raw" TO ROLE "my role";',
        'GRANT SELECT ON ALL TABLES IN DATABASE "raw" TO ROLE "my role";',
        'GRANT SELECT ON FUTURE TABLES IN DATABASE "raw" TO ROLE "my role";',
        'GRANT USAGE, CREATE SCHEMA ON DATABASE "CLONES" TO ROLE "my role";',
        'GRANT USAGE, CREATE SCHEMA ON DATABASE "HISTORY" TO ROLE "my role";',
        'GRANT USAGE ON DATABASE "CLONES" TO ROLE "ANALYST";',
        'GRANT ROLE "my role" TO USER "LOADER";',
    ]
    assert len(statements) == len(grants) + 5
    assert not any(isinstance(each, expressions.Select) for each in statements)
    assert "PASSWORD" not in script.upper()
    assert "ALL PRIVILEGES" not in script


def test_the_script_gives_scripts_a_role_that_only_reads_histories(make_settings: Callable[..., Settings]) -> None:
    plain = setup_script(make_settings(engine="snowflake"), "LOADER", "WRITER", "NIGHTLY")
    script = setup_script(make_settings(engine="snowflake", script_role="reader"), "LOADER", "WRITER", "NIGHTLY")

    assert script.startswith(plain)
    assert [line for line in script.removeprefix(plain).splitlines() if line and not line.startswith("--")] == [
        'CREATE ROLE IF NOT EXISTS "READER";',
        'GRANT USAGE ON WAREHOUSE "NIGHTLY" TO ROLE "READER";',
        'GRANT USAGE ON DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT USAGE ON ALL SCHEMAS IN DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT USAGE ON FUTURE SCHEMAS IN DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT SELECT ON ALL TABLES IN DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT SELECT ON FUTURE TABLES IN DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT SELECT ON ALL VIEWS IN DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT SELECT ON FUTURE VIEWS IN DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT USAGE ON ALL FUNCTIONS IN DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT USAGE ON FUTURE FUNCTIONS IN DATABASE "HISTORY" TO ROLE "READER";',
        'GRANT ROLE "READER" TO USER "LOADER";',
        'ALTER USER "LOADER" SET DEFAULT_SECONDARY_ROLES = ();',
    ]


def test_what_the_role_of_scripts_lacks_is_said(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    settings = warehouse.settings.model_copy(update={"script_role": "reader"})
    reading = SnowflakeWarehouse(settings, sessions)  # type: ignore[arg-type]
    sessions.grants |= {
        "READER": [grant("USAGE", "WAREHOUSE", "NIGHTLY")],
        "future READER": [{"privilege": "USAGE", "grant_on": "SCHEMA", "name": "HISTORY.<SCHEMA>"}],
    }

    assert missing(warehouse) == []
    assert missing(reading) == [
        'GRANT USAGE ON DATABASE "HISTORY" TO ROLE "READER"',
        'GRANT SELECT ON FUTURE TABLES IN DATABASE "HISTORY" TO ROLE "READER"',
    ]
    sessions.fail('SHOW FUTURE GRANTS TO ROLE "READER"', refused(2003, "Role 'READER' does not exist"))
    assert missing(reading) == ['CREATE ROLE IF NOT EXISTS "READER"; GRANT ROLE "READER" TO USER "LOADER"']


def test_the_script_needs_no_credentials(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    monkeypatch.setenv("HISTORY_ENGINE", "snowflake")
    monkeypatch.setenv("SNOWFLAKE_ROLE", "historian")

    done = CliRunner().invoke(app, ["doctor", "--print-setup"])

    assert done.exit_code == 0
    assert 'CREATE ROLE IF NOT EXISTS "HISTORIAN";' in done.stdout
    assert 'CREATE USER IF NOT EXISTS "HISTORY_ASSETS"' in done.stdout


def test_the_embedded_engine_needs_its_files(landing: Landing, warehouse_on_files: DuckDBWarehouse) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table t (id int, _fivetran_synced timestamptz)")

    assert [(check.ok, Path(check.what.split(" ")[-1]).name) for check in warehouse_on_files.checks()] == [
        (True, "home"),
        (True, "crm.duckdb"),
        (True, "raw"),
    ]
    assert not warehouse_on_files.history.exists()


def test_a_file_in_use_is_a_line(landing: Landing, warehouse_on_files: DuckDBWarehouse) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table t (id int)")
    with duckdb.connect(str(landing.file("crm")), read_only=True):
        (found,) = [check for check in warehouse_on_files.checks() if not check.ok]

    assert "crm.duckdb" in found.what
    assert "still in use" in found.remedy


def test_the_command_says_each_line_and_how_it_ended(landing: Landing, monkeypatch: pytest.MonkeyPatch) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table t (id int, _fivetran_synced timestamptz)")
    done = CliRunner().invoke(app, ["doctor"])

    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "ok       the settings, for duckdb")

    monkeypatch.setenv("HISTORY_THREADS", "0")
    failed = CliRunner().invoke(app, ["doctor"])
    assert failed.exit_code == 1
    assert failed.stdout.splitlines()[0] == "missing  the settings"
    assert "found HISTORY_THREADS='0'" in failed.stdout


@pytest.fixture
def warehouse_on_files(settings: Settings) -> DuckDBWarehouse:
    return DuckDBWarehouse(settings)


def test_no_secret_is_said(make_settings: Callable[..., Settings], sessions: RecordingSessions) -> None:
    who: dict[str, Any] = {"account": "a", "user": "u", "role": "r", "warehouse": "w"}
    secret = SnowflakeCredentials(**who, token="c2VjcmV0", authenticator="oauth")
    warehouse = SnowflakeWarehouse(make_settings(engine="snowflake", snowflake=secret), sessions)  # type: ignore[arg-type]

    assert "c2VjcmV0" not in str(list(examine(lambda: warehouse.settings, lambda _: warehouse)))


def test_fivetrans_api_is_asked_where_it_is_configured(
    make_settings: Callable[..., Settings], landing: Landing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with FakeFivetran() as fivetran:
        fivetran.connect("crm")
        found = []
        for secret in (SECRET, "wrong"):
            settings = make_settings(fivetran=fivetran.credentials(secret=secret))
            found.append(list(examine(lambda settings=settings: settings, DuckDBWarehouse))[-1])  # type: ignore[misc]

    assert found == [
        Check("Fivetran's API, with 1 connections", True),
        Check(
            "Fivetran's API",
            False,
            "found 401 from Fivetran for GET /groups/projected_sickle/connections (Invalid authorization credentials): "
            "set FIVETRAN_API_KEY and FIVETRAN_API_SECRET to a key that is valid",
        ),
    ]


def test_a_home_that_is_not_there_is_told_from_a_locked_one(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    remedy = next(iter(DuckDBWarehouse(make_settings(home=tmp_path / "none")).checks())).remedy

    assert remedy == "set HISTORY_HOME to a folder that is there, or try `history-assets demo`"


def test_the_version_is_said() -> None:
    assert CliRunner().invoke(app, ["--version"]).stdout == f"{__version__}\n"
