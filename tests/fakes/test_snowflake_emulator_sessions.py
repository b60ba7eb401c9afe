"""Sessions, logins and warehouses of the emulator are Snowflake's, and its log tells what was asked."""

import threading
import time
import types
from pathlib import Path
from typing import Any

import pytest
import snowflake.connector
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from dagster_snowflake import SnowflakeResource
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import DatabaseError, ProgrammingError

from tests.fakes.snowflake import session
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.errors import insufficient_privileges


@pytest.fixture(scope="module")
def key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


def keyed(emulator: Emulator, **how: Any) -> dict[str, Any]:
    """Settings that log in with a key."""
    kept = {name: value for name, value in emulator.settings.items() if name not in ("authenticator", "token", "role")}
    return kept | {"user": "LOADER"} | how


def test_a_registered_key_logs_in(emulator: Emulator, key: RSAPrivateKey, tmp_path: Path) -> None:
    """https://docs.snowflake.com/en/user-guide/key-pair-auth"""
    emulator.add_user("LOADER", "LOADING", key.public_key())
    file = tmp_path / "key.p8"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    for how in ({"private_key": der}, {"private_key_file": str(file), "private_key_file_pwd": "secret"}):
        with snowflake.connector.connect(**keyed(emulator, **how)) as connection:
            found = connection.cursor().execute("select current_user(), current_role()").fetchall()
        assert found == [("LOADER", "LOADING")]


def test_another_key_is_refused(emulator: Emulator, key: RSAPrivateKey) -> None:
    """https://docs.snowflake.com/en/user-guide/key-pair-auth-troubleshooting"""
    emulator.add_user("LOADER", "LOADING", generate_private_key(public_exponent=65537, key_size=2048).public_key())
    der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    with pytest.raises(DatabaseError, match="JWT token is invalid") as caught:
        snowflake.connector.connect(**keyed(emulator, private_key=der))
    assert caught.value.errno == 394304


def test_tokens_log_in_and_passwords_do_not(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/user-guide/programmatic-access-tokens"""
    pat = {"authenticator": "PROGRAMMATIC_ACCESS_TOKEN", "token": "access-token"}
    snowflake.connector.connect(**emulator.settings | pat).close()

    for wrong in (pat | {"token": "other"}, {"token": "other"}, {"authenticator": "snowflake", "password": "secret"}):
        with pytest.raises(DatabaseError, match="Failed to connect to DB"):
            snowflake.connector.connect(**emulator.settings | wrong)


def test_a_role_that_is_not_there_is_refused(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/use-role"""
    with pytest.raises(DatabaseError, match="Role 'NOBODY' specified in the connect string does not exist or not authorized"):
        snowflake.connector.connect(**emulator.settings | {"role": "NOBODY"})


def test_dagsters_resource_logs_in_with_a_key(emulator: Emulator, key: RSAPrivateKey, tmp_path: Path) -> None:
    """https://docs.dagster.io/integrations/libraries/snowflake"""
    emulator.add_user("LOADER", "LOADING", key.public_key())
    file = tmp_path / "key.p8"
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    resource = SnowflakeResource(
        account=emulator.account,
        user="LOADER",
        private_key_path=str(file),
        additional_snowflake_connection_args={"host": "127.0.0.1", "port": emulator.port, "protocol": "http"},
    )

    with resource.get_connection() as connection:
        assert connection.cursor().execute("select current_user()").fetchall() == [("LOADER",)]


def test_the_log_tells_what_needs_a_warehouse(emulator: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/user-guide/cost-understanding-compute"""
    for statement in (
        "alter session set query_tag = 'night'",
        "create transient schema RAW.COPIED clone RAW.PUBLIC",
        "create table t (a int)",
        "show tables in schema RAW.COPIED",
        "describe table t",
        "begin",
        "insert into t values (1)",
        "commit",
        "select current_role(), current_timestamp()",
        "with x as (select a from t) select * from x",
        "create table u as select * from t",
        "merge into t using u on t.a = u.a when matched then delete",
    ):
        connection.cursor().execute(statement)

    assert [(entry.kind, entry.needs_warehouse) for entry in emulator.log] == [
        ("ALTER SESSION", False),
        ("CREATE SCHEMA", False),
        ("CREATE TABLE", False),
        ("SHOW TABLES", False),
        ("DESCRIBE TABLE", False),
        ("BEGIN", False),
        ("INSERT", True),
        ("COMMIT", False),
        ("SELECT", False),
        ("SELECT", True),
        ("CREATE TABLE", True),
        ("MERGE", True),
    ]
    assert {entry.tag for entry in emulator.log[1:]} == {"night"}
    assert emulator.log[3].text == "show tables in schema RAW.COPIED"
    assert {(entry.user, entry.role, entry.error) for entry in emulator.log} == {("TESTER", "TESTER_ROLE", "")}


def test_a_query_tag_is_given_by_connection_and_by_statement(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/sql-reference/parameters#query-tag"""
    with snowflake.connector.connect(**emulator.settings, session_parameters={"QUERY_TAG": "mine"}) as connection:
        connection.cursor().execute("select 1")
        connection.cursor().execute("select 2", _statement_params={"QUERY_TAG": "once"})
        connection.cursor().execute("select 3")
        shown = connection.cursor().execute("show parameters like 'query_tag' in session").fetchall()

    assert [entry.tag for entry in emulator.log] == ["mine", "once", "mine", "mine"]
    assert shown[0][:2] == ("QUERY_TAG", "mine")


def test_without_a_warehouse_rows_cannot_be_read_but_metadata_can(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/use-warehouse"""
    emulator.run("create table RAW.PUBLIC.t (a int)")
    kept = {name: value for name, value in emulator.settings.items() if name != "warehouse"}
    with snowflake.connector.connect(**kept) as connection:
        connection.cursor().execute("show tables in schema RAW.PUBLIC")
        connection.cursor().execute("create transient schema RAW.COPIED clone RAW.PUBLIC")
        assert connection.cursor().execute("select current_warehouse()").fetchall() == [(None,)]
        for statement in ("select * from RAW.PUBLIC.t", "insert into RAW.PUBLIC.t values (1)"):
            with pytest.raises(ProgrammingError, match="No active warehouse selected in the current session") as caught:
                connection.cursor().execute(statement)
            assert caught.value.errno == 606
        assert emulator.catalog.warehouses == {"WH": "SUSPENDED"}
        connection.cursor().execute("use warehouse WH")
        connection.cursor().execute("select * from RAW.PUBLIC.t")

    assert emulator.catalog.warehouses == {"WH": "STARTED"}


def test_the_current_database_and_schema_complete_names(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/sql-reference/name-resolution"""
    emulator.run("create schema RAW.S", "create table RAW.S.t as select 1 as a")
    with snowflake.connector.connect(**emulator.settings) as connection:
        with pytest.raises(ProgrammingError, match="does not have a current database") as caught:
            connection.cursor().execute("select * from t")
        assert caught.value.errno == 90105
        connection.cursor().execute("use schema RAW.S")
        assert connection.cursor().execute("select * from t").fetchall() == [(1,)]
    with snowflake.connector.connect(**emulator.settings, database="RAW", schema="S") as connection:
        assert connection.cursor().execute("select * from t").fetchall() == [(1,)]


def test_sessions_run_side_by_side_and_wait_for_what_is_not_committed(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#resource-locking"""
    emulator.run("create table RAW.PUBLIC.t as select 1 as a")
    with (
        snowflake.connector.connect(**emulator.settings, database="RAW") as one,
        snowflake.connector.connect(**emulator.settings, database="RAW") as other,
    ):
        one.cursor().execute("begin")
        one.cursor().execute("update t set a = a + 1")
        waiting = threading.Thread(target=lambda: other.cursor().execute("update t set a = a * 10"))
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
        one.cursor().execute("commit")
        waiting.join(timeout=5)

    assert emulator.run("select a from RAW.PUBLIC.t") == [(20,)]


def test_what_a_session_did_not_commit_ends_with_it(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions"""
    emulator.run("create table RAW.PUBLIC.t as select 1 as a")
    with snowflake.connector.connect(**emulator.settings, database="RAW") as closed:
        closed.cursor().execute("begin")
        closed.cursor().execute("update t set a = 2")
    with snowflake.connector.connect(**emulator.settings, database="RAW") as killed:
        killed.cursor().execute("begin")
        killed.cursor().execute("update t set a = 3")
        emulator.end_sessions()

        emulator.run("update RAW.PUBLIC.t set a = a + 10")

    assert emulator.run("select a from RAW.PUBLIC.t") == [(11,)]


def test_what_sets_a_test_up_is_neither_logged_nor_made_to_fail(emulator: Emulator) -> None:
    """The emulator's own rule."""
    emulator.fail("create table", insufficient_privileges("schema", "PUBLIC"))

    emulator.run("create table RAW.PUBLIC.t (a int)")

    assert emulator.log == []


def test_a_merge_that_only_inserts_makes_the_next_wait_and_see_what_it_left(emulator: Emulator) -> None:
    """MERGE locks its table whatever it does: https://docs.snowflake.com/en/sql-reference/transactions#resource-locking"""
    emulator.run("create table RAW.PUBLIC.t (a number)")
    merge = "merge into t using (select 1 as a) as s on t.a = s.a when not matched then insert (a) values (s.a)"
    with (
        snowflake.connector.connect(**emulator.settings, database="RAW") as one,
        snowflake.connector.connect(**emulator.settings, database="RAW") as other,
    ):
        one.cursor().execute("begin")
        one.cursor().execute(merge)
        waiting = threading.Thread(target=lambda: other.cursor().execute(merge))
        waiting.start()
        time.sleep(0.2)
        assert waiting.is_alive()
        one.cursor().execute("commit")
        waiting.join(timeout=5)

    assert emulator.run("select a from RAW.PUBLIC.t") == [(1,)]


def test_a_transaction_that_blocks_another_and_is_idle_is_aborted(emulator: Emulator) -> None:
    """As where its client died: https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions"""
    emulator.run("create table RAW.PUBLIC.t as select 1 as a")
    emulator.idle_limit = 0.2
    with (
        snowflake.connector.connect(**emulator.settings, database="RAW") as silent,
        snowflake.connector.connect(**emulator.settings, database="RAW") as other,
    ):
        silent.cursor().execute("begin")
        silent.cursor().execute("update t set a = a + 1")
        other.cursor().execute("update t set a = a * 10")

        assert other.cursor().execute("select a from t").fetchall() == [(10,)]


def test_a_session_that_ends_takes_its_transaction_with_it(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#scoped-transactions"""
    emulator.run("create table RAW.PUBLIC.t as select 1 as a")
    with snowflake.connector.connect(**emulator.settings, database="RAW") as one:
        one.cursor().execute("begin")
        one.cursor().execute("update t set a = 2")

    assert emulator.run("select a from RAW.PUBLIC.t") == [(1,)]
    assert emulator.locks == {}


def test_delays_of_several_sessions_overlap(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone that takes long holds up no other: https://docs.snowflake.com/en/sql-reference/sql/create-clone"""
    emulator.delay = 7.0
    all_at_once = threading.Barrier(4)

    def sleep(seconds: float) -> None:
        all_at_once.wait(timeout=60) if seconds == emulator.delay else time.sleep(seconds)

    clock = types.SimpleNamespace(sleep=sleep, perf_counter=time.perf_counter, monotonic=time.monotonic)
    monkeypatch.setattr(session, "time", clock)

    def clone(name: str) -> None:
        with snowflake.connector.connect(**emulator.settings) as connection:
            connection.cursor().execute(f"create transient schema RAW.{name} clone RAW.PUBLIC")

    threads = [threading.Thread(target=clone, args=(f"C{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not all_at_once.broken
    assert {f"C{number}" for number in range(4)} <= set(emulator.catalog.databases["RAW"].schemas)
