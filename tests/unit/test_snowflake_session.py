"""Connections: what they are opened with, how many there are, what is tried again; and that no secret leaves by an error."""

import contextlib
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from snowflake.connector.errors import DatabaseError, OperationalError, ProgrammingError

import probes.snowflake
from history_assets.credentials import SnowflakeCredentials
from history_assets.errors import SettingsError, WarehouseError
from history_assets.settings import Settings
from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError, explain, kind_of
from history_assets.warehouse.snowflake_session import Sessions, connection_arguments, tag
from history_assets.warehouse.statements import Statement

PEM = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n"
WHO = {"account": "myorg-account", "user": "LOADER", "role": "HISTORIAN", "warehouse": "NIGHTLY"}
SHOW = Statement("SHOW TABLES")
SELECT = Statement("select ?", ("a",), compute=True)
DDL = Statement("DROP SCHEMA x")


class Connector:
    """Stands in for ``snowflake.connector.connect``: opens connections, and fails as it is told to."""

    def __init__(self) -> None:
        self.opened: list[dict[str, Any]] = []
        self.closed = 0
        self.sent: list[tuple[str, Any, Any]] = []
        self.failures: list[Exception] = []
        self.expired = False

    def connect(self, **arguments: Any) -> Any:
        self.opened.append(arguments)
        who = {name: arguments.get(name) for name in ("account", "user", "role", "warehouse")}
        return SimpleNamespace(**who, cursor=self.cursor, close=self.close, is_closed=lambda: False, expired=self.expired)

    def close(self) -> None:
        self.closed += 1

    def cursor(self) -> Any:
        columns = [SimpleNamespace(name="name"), SimpleNamespace(name="kind")]
        return SimpleNamespace(execute=self.execute, fetchall=lambda: [("T", "TABLE")], description=columns, close=lambda: None)

    def execute(self, text: str, values: Any, _statement_params: Any) -> None:
        self.sent.append((text, values, _statement_params))
        if self.failures:
            raise self.failures.pop(0)


@pytest.fixture
def connector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connector]:
    connector = Connector()
    monkeypatch.setattr("snowflake.connector.connect", connector.connect)
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: None)
    return connector


@pytest.fixture
def make(make_settings: Callable[..., Settings]) -> Callable[..., Settings]:
    def make(threads: int = 2, **credentials: Any) -> Settings:
        who = credentials or {"token": "c2VjcmV0", "authenticator": "oauth"}
        return make_settings(engine="snowflake", threads=threads, snowflake=SnowflakeCredentials(**WHO, **who))

    return make


def test_a_statement_bears_its_tag_and_its_values(connector: Connector, make: Callable[..., Settings]) -> None:
    sessions = Sessions(make())

    assert sessions.rows(SELECT, tag("ledger", "crm.account")) == [{"name": "T", "kind": "TABLE"}]
    assert sessions.rows(SHOW, tag("inventory")) == [{"name": "T", "kind": "TABLE"}]
    assert connector.sent == [
        ("select ?", ("a",), {"QUERY_TAG": "history_assets:ledger:crm.account:"}),
        ("SHOW TABLES", None, {"QUERY_TAG": "history_assets:inventory::"}),
    ]


def test_only_a_query_has_a_warehouse(connector: Connector, make: Callable[..., Settings]) -> None:
    sessions = Sessions(make())
    for statement in (SHOW, DDL, SELECT, SHOW, SELECT):
        sessions.rows(statement, "tag")

    assert [arguments.get("warehouse") for arguments in connector.opened] == [None, "NIGHTLY"]
    assert sessions.identity(compute=True).warehouse == "NIGHTLY"
    assert sessions.identity().role == "HISTORIAN"


def test_a_token_logs_in(connector: Connector, make: Callable[..., Settings]) -> None:
    Sessions(make()).rows(SHOW, "tag")

    (arguments,) = connector.opened
    assert arguments == {
        "account": "myorg-account",
        "user": "LOADER",
        "role": "HISTORIAN",
        "authenticator": "oauth",
        "token": "c2VjcmV0",
        "autocommit": True,
        "paramstyle": "qmark",
        "login_timeout": 60,
        "protocol": "https",
        "arrow_number_to_decimal": True,
        "platform_detection_timeout_seconds": 0.0,
        "session_parameters": {
            "TIMEZONE": "UTC",
            "TIMESTAMP_INPUT_FORMAT": "AUTO",
            "DATE_INPUT_FORMAT": "AUTO",
            "TIMESTAMP_NTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF9",
            "CLIENT_TELEMETRY_ENABLED": False,
        },
        "application": arguments["application"],
    }


def test_a_key_logs_in(make: Callable[..., Settings]) -> None:
    inline = connection_arguments(make(private_key=PEM, private_key_passphrase="x"), compute=False)
    by_path = connection_arguments(make(private_key_path=Path("/keys/k.p8"), host="h", port=1, protocol="http"), compute=True)

    assert (inline["private_key"], inline["private_key_password"]) == (PEM, "x")
    assert (by_path["private_key_path"], by_path["warehouse"]) == ("/keys/k.p8", "NIGHTLY")
    more = by_path["additional_snowflake_connection_args"]
    assert (more["host"], more["port"], more["protocol"]) == ("h", 1, "http")
    assert {"authenticator", "token", "password"} & (inline.keys() | by_path.keys() | more.keys()) == set()


def test_no_more_connections_than_threads_and_each_is_used_again(connector: Connector, make: Callable[..., Settings]) -> None:
    sessions = Sessions(make(threads=3))
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: sessions.rows(SHOW, "tag"), range(200)))

    assert len(connector.opened) <= 3
    sessions.close()
    assert connector.closed == len(connector.opened)


def test_a_session_that_is_idle_for_long_is_not_used_again(
    connector: Connector, make: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(make())
    sessions.rows(SHOW, "tag")
    monkeypatch.setattr("history_assets.warehouse.snowflake_session._IDLE", -1)
    sessions.rows(SHOW, "tag")

    assert (len(connector.opened), connector.closed) == (2, 1)


@pytest.mark.parametrize("statement", [SHOW, SELECT])
def test_what_changes_nothing_is_sent_again_over_another_connection(
    connector: Connector, make: Callable[..., Settings], statement: Statement
) -> None:
    sessions = Sessions(make())
    connector.failures = [OperationalError("connection reset", errno=250003)] * 2

    assert sessions.rows(statement, "tag")
    assert (len(connector.sent), len(connector.opened), connector.closed) == (3, 3, 2)


def test_what_changes_something_is_sent_once(connector: Connector, make: Callable[..., Settings]) -> None:
    connector.failures = [OperationalError("connection reset", errno=250003)]

    with pytest.raises(SnowflakeError, match="check the network"):
        Sessions(make()).rows(DDL, "tag")
    assert len(connector.sent) == 1


@pytest.mark.parametrize("statement", [SHOW, SELECT])
def test_an_expired_session_is_followed_by_a_new_one(
    connector: Connector, make: Callable[..., Settings], statement: Statement
) -> None:
    """And those that waited with it are not tried one by one."""
    sessions = Sessions(make(threads=9))
    with contextlib.ExitStack() as lent:
        for _ in range(8):
            lent.enter_context(sessions._connection(statement.compute))
    connector.failures = [ProgrammingError("Authentication token has expired.", errno=390114, sqlstate="08001")]

    assert sessions.rows(statement, "tag")
    assert (len(connector.sent), len(connector.opened), connector.closed) == (2, 9, 8)


def test_an_expired_session_that_changes_something_is_gone_the_next_time(
    connector: Connector, make: Callable[..., Settings]
) -> None:
    """A statement may have been at work when it expired, so that only its sender knows what a second time would do."""
    sessions = Sessions(make())
    connector.failures = [ProgrammingError("Authentication token has expired.", errno=390114, sqlstate="08001")]

    with pytest.raises(SnowflakeError, match=r"Authentication token has expired\): run it again") as refused:
        sessions.rows(DDL, "tag")
    assert refused.value.passing
    assert sessions.rows(DDL, "tag")
    assert (len(connector.sent), len(connector.opened), connector.closed) == (2, 2, 1)


def test_a_session_that_says_it_has_expired_is_not_kept(connector: Connector, make: Callable[..., Settings]) -> None:
    sessions, connector.expired = Sessions(make()), True
    sessions.rows(SHOW, "tag")
    sessions.rows(SHOW, "tag")

    assert (len(connector.opened), connector.closed) == (2, 2)


def test_a_refused_statement_keeps_its_connection(connector: Connector, make: Callable[..., Settings]) -> None:
    sessions = Sessions(make())
    connector.failures = [ProgrammingError("no such table", errno=2003, sqlstate="02000")]
    with pytest.raises(SnowflakeError):
        sessions.rows(SHOW, "tag")
    sessions.rows(SHOW, "tag")

    assert (len(connector.opened), connector.closed) == (1, 0)


@pytest.mark.parametrize(
    ("number", "state", "kind"),
    [
        (707, "02000", Kind.BEYOND_TIME_TRAVEL),
        (2003, "02000", Kind.MISSING),
        (2003, "42S02", Kind.MISSING),
        (2043, "02000", Kind.MISSING),
        (2002, "42710", Kind.RACE),
        (3041, "42710", Kind.RACE),
        (3001, "42501", Kind.PRIVILEGE),
        (2120, "0A000", Kind.TRANSIENT_SOURCE),
        (606, "57P03", Kind.NO_WAREHOUSE),
        (250001, "08001", Kind.NETWORK),
        (390110, "08001", Kind.EXPIRED),
        (390114, "08001", Kind.EXPIRED),
        (390115, "08001", Kind.EXPIRED),
        (390195, "08001", Kind.OTHER),
        (904, "42000", Kind.OTHER),
        (None, None, Kind.OTHER),
    ],
)
def test_an_error_is_known_by_its_number(number: int | None, state: str | None, kind: Kind) -> None:
    assert kind_of(number, state) is kind


def test_an_error_is_one_line_without_the_querys_id() -> None:
    said = "SQL compilation error:\nObject 'X' does not exist."
    error = ProgrammingError(said, errno=2003, sqlstate="02000", sfqid="01b2c3d4-0000-1111-0000-1234567890ab")

    explained = explain(error, "run SHOW TABLES")

    assert explained.said == "002003 (02000): SQL compilation error: Object 'X' does not exist"
    assert str(explained).startswith(f"Snowflake failed to run SHOW TABLES ({explained.said}): create it, or grant")


def test_a_refused_login_says_who_and_never_how(make: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**arguments: Any) -> None:
        raise DatabaseError("Incorrect username or password was specified.", errno=390100)

    monkeypatch.setattr("snowflake.connector.connect", refuse)

    with pytest.raises(WarehouseError, match="account myorg-account as LOADER with the role HISTORIAN") as refused:
        Sessions(make()).rows(SHOW, "tag")
    assert "c2VjcmV0" not in "".join(traceback.format_exception(refused.value))


def test_an_unreadable_key_is_a_setting(make: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match="found a private key that cannot be read") as refused:
        Sessions(make(private_key=PEM)).rows(SHOW, "tag")

    assert "c2VjcmV0" not in "".join(traceback.format_exception(refused.value))


def test_without_credentials_nothing_is_opened(make_settings: Callable[..., Settings]) -> None:
    with pytest.raises(SettingsError, match="found no credentials of Snowflake"):
        Sessions(make_settings(engine="snowflake")).rows(SHOW, "tag")


def test_without_credentials_an_account_is_not_probed() -> None:
    with pytest.raises(SystemExit, match="error: found no credentials of Snowflake, expected HISTORY_ENGINE=snowflake"):
        probes.snowflake.main()
