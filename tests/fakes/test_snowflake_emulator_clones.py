"""Clones and Time Travel of the emulator are Snowflake's: https://docs.snowflake.com/en/sql-reference/sql/create-clone"""

from typing import Any

import pytest
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import ProgrammingError

from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.errors import already_exists, insufficient_privileges

MIDNIGHT = "at (timestamp => '2026-11-22 00:00:00 +00:00'::timestamp_tz)"


def rows(connection: SnowflakeConnection, sql: str) -> list[Any]:
    return list(connection.cursor().execute(sql).fetchall())


def listed(connection: SnowflakeConnection, sql: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return some columns of what a SHOW command lists."""
    cursor = connection.cursor().execute(sql)
    names = [column.name for column in cursor.description]
    return [tuple(row[names.index(column)] for column in columns) for row in cursor.fetchall()]


@pytest.fixture
def landed(emulator: Emulator) -> Emulator:
    """A schema as it was on three evenings, with a table that came on the last one; seen in the morning after."""
    emulator.now = "2026-11-23 06:00"
    emulator.run("alter database RAW set data_retention_time_in_days = 30")
    emulator.land(
        "RAW.SHOP",
        "2026-11-20 20:00",
        "create table account (id number(38,0), name varchar, primary key (id)) comment = 'all accounts'",
        "insert into account values (1, 'Ann')",
    )
    emulator.land("RAW.SHOP", "2026-11-21 20:00", "update account set name = 'Bob'")
    emulator.land("RAW.SHOP", "2026-11-22 20:00", "delete from account", "create table late (id int)")
    return emulator


def test_a_schema_clone_holds_what_the_schema_held_at_the_instant(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-clone"""
    connection.cursor().execute(f"create transient schema RAW.BEFORE_ clone RAW.SHOP {MIDNIGHT} ignore hybrid tables")

    assert rows(connection, "select * from RAW.BEFORE_.account") == [(1, "Bob")]
    assert rows(connection, "select * from RAW.SHOP.account") == []


def test_a_clone_leaves_out_tables_created_after_the_instant(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-clone"""
    connection.cursor().execute(f"create transient schema RAW.BEFORE_ clone RAW.SHOP {MIDNIGHT}")
    connection.cursor().execute("create transient schema RAW.TODAY clone RAW.SHOP")

    assert listed(connection, "show tables in schema RAW.BEFORE_", "name") == [("ACCOUNT",)]
    assert listed(connection, "show tables in schema RAW.TODAY", "name") == [("ACCOUNT",), ("LATE",)]


def test_a_clone_keeps_keys_and_comments_and_is_transient_where_its_schema_is(
    landed: Emulator, connection: SnowflakeConnection
) -> None:
    """https://docs.snowflake.com/en/sql-reference/constraints-overview"""
    connection.cursor().execute(
        f"create transient schema RAW.BEFORE_ clone RAW.SHOP {MIDNIGHT} ignore tables with insufficient data retention "
        "ignore hybrid tables data_retention_time_in_days = 0 comment = 'it''s {\"a\": 1}'"
    )

    keys = listed(connection, "show primary keys in schema RAW.BEFORE_", "table_name", "column_name", "key_sequence")
    assert keys == [("ACCOUNT", "ID", 1)]
    tables = listed(connection, "show tables in schema RAW.BEFORE_", "name", "kind", "comment", "retention_time")
    assert tables == [("ACCOUNT", "TRANSIENT", "all accounts", "0")]
    schemas = listed(connection, "show schemas like 'before_' in database RAW", "name", "options", "retention_time", "comment")
    assert schemas == [("BEFORE_", "TRANSIENT", "0", 'it\'s {"a": 1}')]


def test_creating_a_schema_makes_it_the_current_one(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-schema"""
    connection.cursor().execute("create transient schema RAW.AFTER_ clone RAW.SHOP")

    assert rows(connection, "select current_database(), current_schema()") == [("RAW", "AFTER_")]


def test_a_clone_as_of_before_the_schema_was_created_fails(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/user-guide/object-clone"""
    with pytest.raises(ProgrammingError, match=r"Object 'RAW\.SHOP' does not exist") as caught:
        connection.cursor().execute(
            "create transient schema RAW.BEFORE_ clone RAW.SHOP at (timestamp => '2026-11-01 00:00:00 +00:00'::timestamp_tz)"
        )

    assert (caught.value.errno, caught.value.sqlstate) == (2003, "02000")
    assert listed(connection, "show schemas like 'before_' in database RAW", "name") == []


def test_a_clone_beyond_a_tables_retention_fails_or_leaves_the_table_out(
    landed: Emulator, connection: SnowflakeConnection
) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-clone"""
    landed.run("alter table RAW.SHOP.account set data_retention_time_in_days = 0")

    with pytest.raises(ProgrammingError, match="Time travel data is not available for table") as caught:
        connection.cursor().execute(f"create transient schema RAW.BEFORE_ clone RAW.SHOP {MIDNIGHT}")
    assert caught.value.errno == 707
    connection.cursor().execute(
        f"create transient schema RAW.BEFORE_ clone RAW.SHOP {MIDNIGHT} ignore tables with insufficient data retention"
    )
    assert listed(connection, "show tables in schema RAW.BEFORE_", "name") == []


def test_an_instant_that_is_not_cast_is_refused(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-clone"""
    with pytest.raises(ProgrammingError, match="Time travel data is not available"):
        connection.cursor().execute("create schema RAW.BEFORE_ clone RAW.SHOP at (timestamp => '2026-11-22 00:00:00')")


def test_a_clone_silently_leaves_out_tables_that_the_role_may_not_see(
    landed: Emulator, connection: SnowflakeConnection
) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-clone"""
    landed.hide("RAW.SHOP.account")

    connection.cursor().execute("create transient schema RAW.AFTER_ clone RAW.SHOP")

    assert listed(connection, "show tables in schema RAW.AFTER_", "name") == [("LATE",)]
    with pytest.raises(ProgrammingError, match="does not exist or not authorized"):
        connection.cursor().execute("select * from RAW.SHOP.account")


def test_hybrid_tables_are_left_out_and_iceberg_tables_are_told(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-tables"""
    landed.flag("RAW.SHOP.account", "is_hybrid")
    landed.flag("RAW.SHOP.late", "is_iceberg")

    connection.cursor().execute("create transient schema RAW.AFTER_ clone RAW.SHOP ignore hybrid tables")

    flags = listed(connection, "show tables in schema RAW.SHOP", "name", "is_hybrid", "is_iceberg")
    assert flags == [("ACCOUNT", "Y", "N"), ("LATE", "N", "Y")]
    assert listed(connection, "show tables in schema RAW.AFTER_", "name") == [("LATE",)]


def test_a_transient_table_cannot_be_cloned_to_a_permanent_schema(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/user-guide/object-clone"""
    landed.run("create transient table RAW.SHOP.passing (id int)")

    with pytest.raises(ProgrammingError, match="Transient object cannot be cloned to a permanent object") as caught:
        connection.cursor().execute("create schema RAW.AFTER_ clone RAW.SHOP")
    assert caught.value.errno == 2120
    connection.cursor().execute("create transient schema RAW.AFTER_ clone RAW.SHOP")


def test_a_view_in_a_clone_reads_live_data(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-clone"""
    landed.run("create view RAW.SHOP.everyone as select id from RAW.SHOP.account")
    connection.cursor().execute("create transient schema RAW.AFTER_ clone RAW.SHOP")

    landed.run("insert into RAW.SHOP.account values (7, 'Gil')")

    assert rows(connection, "select * from RAW.AFTER_.everyone") == [(7,)]
    assert rows(connection, "select id from RAW.AFTER_.account") == []


def test_select_at_reads_the_past(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/constructs/at-before"""
    assert rows(connection, f"select name from RAW.SHOP.account {MIDNIGHT}") == [("Bob",)]


def test_an_existing_schema_is_kept_or_refused_or_replaced(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/create-schema"""
    cursor = connection.cursor()
    cursor.execute("create schema RAW.MINE")
    cursor.execute("create table RAW.MINE.t (a int)")

    cursor.execute("create transient schema if not exists RAW.MINE clone RAW.SHOP")
    assert listed(connection, "show tables in schema RAW.MINE", "name") == [("T",)]
    with pytest.raises(ProgrammingError, match="already exists") as caught:
        cursor.execute("create transient schema RAW.MINE clone RAW.SHOP")
    assert (caught.value.errno, caught.value.sqlstate) == (2002, "42710")
    cursor.execute("create or replace transient schema RAW.MINE clone RAW.SHOP")
    assert listed(connection, "show tables in schema RAW.MINE", "name") == [("ACCOUNT",), ("LATE",)]


def test_schemas_are_renamed_swapped_and_dropped_with_all_they_hold(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/alter-schema"""
    cursor = connection.cursor()
    cursor.execute(f"create transient schema RAW.BEFORE_ clone RAW.SHOP {MIDNIGHT} comment = 'then'")
    cursor.execute("create transient schema RAW.AFTER_ clone RAW.SHOP comment = 'now'")

    cursor.execute("alter schema RAW.BEFORE_ swap with RAW.AFTER_")
    assert rows(connection, "select name from RAW.AFTER_.account") == [("Bob",)]
    assert rows(connection, "select name from RAW.BEFORE_.account") == []
    cursor.execute('alter schema RAW.AFTER_ rename to RAW."kept aside"')
    assert rows(connection, 'select name from RAW."kept aside".account') == [("Bob",)]
    cursor.execute("comment on schema RAW.\"kept aside\" is 'mine'")
    cursor.execute("drop schema RAW.BEFORE_")
    cursor.execute("drop schema if exists RAW.BEFORE_ cascade")
    assert listed(connection, "show schemas in database RAW", "name", "comment") == [
        ("INFORMATION_SCHEMA", ""),
        ("PUBLIC", ""),
        ("SHOP", ""),
        ("kept aside", "mine"),
    ]


def test_an_injected_error_meets_the_nth_statement_that_matches(landed: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/user-guide/object-clone (DDL that competes with a clone)"""
    landed.fail("clone RAW.SHOP", already_exists("T_SALES"), nth=2)
    landed.fail("grant", insufficient_privileges("schema", "FIRST"))
    cursor = connection.cursor()

    cursor.execute("create transient schema RAW.FIRST clone RAW.SHOP")
    with pytest.raises(ProgrammingError, match="Object 'T_SALES' already exists") as caught:
        cursor.execute("create transient schema RAW.SECOND clone RAW.SHOP")
    assert caught.value.errno == 2002
    with pytest.raises(ProgrammingError, match="Insufficient privileges to operate on schema 'FIRST'") as caught:
        cursor.execute("grant usage on schema RAW.FIRST to role PUBLIC")
    assert caught.value.errno == 3001
    cursor.execute("create transient schema RAW.SECOND clone RAW.SHOP")
