"""SHOW, DESCRIBE and INFORMATION_SCHEMA of the emulator are Snowflake's: https://docs.snowflake.com/en/sql-reference/sql/show"""

import datetime as dt
import json
from typing import Any

import pytest
from snowflake.connector import DictCursor, SnowflakeConnection
from snowflake.connector.errors import NotSupportedError, ProgrammingError

from tests.fakes.snowflake.emulator import Emulator

ODD = '"weird ""name"" with ünïcode"'


def listed(connection: SnowflakeConnection, sql: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.cursor(DictCursor).execute(sql).fetchall()]


def names(connection: SnowflakeConnection, sql: str) -> list[str]:
    return [row["name"] for row in listed(connection, sql)]


@pytest.fixture
def shop(emulator: Emulator) -> Emulator:
    """A schema with a table of every type that Fivetran writes."""
    emulator.run(
        "create schema RAW.SHOP comment = 'the shop' data_retention_time_in_days = 9",
        'create table RAW.SHOP.orders (id number(38,0), "line no" number(38,0), amount number(10,2), rate float, paid boolean, '
        "day date, at_ntz timestamp_ntz, at_tz timestamp_tz, at_ltz timestamp_ltz, note varchar, code varchar(3), doc variant, "
        "raw binary, primary key (\"line no\", id)) comment = 'all orders'",
        f"create transient table RAW.SHOP.{ODD} (a int not null)",
        'insert into RAW.SHOP.orders (id, "line no") values (1, 2)',
        at="2026-11-20 10:00",
    )
    return emulator


def test_show_schemas_tells_options_comment_and_retention(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-schemas"""
    shop.run("create transient schema RAW.KEPT data_retention_time_in_days = 0")

    rows = {row["name"]: row for row in listed(connection, "show schemas in database RAW")}

    assert list(rows) == ["INFORMATION_SCHEMA", "KEPT", "PUBLIC", "SHOP"]
    assert (rows["KEPT"]["options"], rows["KEPT"]["retention_time"]) == ("TRANSIENT", "0")
    assert (rows["SHOP"]["options"], rows["SHOP"]["retention_time"], rows["SHOP"]["comment"]) == ("", "9", "the shop")
    assert rows["SHOP"]["created_on"] == dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)
    assert names(connection, "show schemas like 'k%' in database RAW") == ["KEPT"]
    assert names(connection, "show terse schemas in database RAW starts with 'S'") == ["SHOP"]


def test_show_tables_tells_kind_rows_bytes_and_retention(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-tables"""
    orders, odd = listed(connection, "show tables in schema RAW.SHOP")

    assert (orders["name"], orders["kind"], orders["rows"], orders["retention_time"]) == ("ORDERS", "TABLE", 1, "9")
    assert (odd["name"], odd["kind"], odd["rows"], odd["bytes"]) == ('weird "name" with ünïcode', "TRANSIENT", 0, 0)
    assert (orders["comment"], orders["is_hybrid"], orders["is_dynamic"]) == ("all orders", "N", "N")


def test_show_gives_no_more_records_than_the_cap_and_pages_by_name(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-objects"""
    shop.run("create schema RAW.MANY", *(f"create table RAW.MANY.t{number} (a int)" for number in range(5)))
    shop.cap = 2

    assert names(connection, "show objects in RAW.MANY") == ["T0", "T1"]
    assert names(connection, "show objects in RAW.MANY limit 10000 from 'T1'") == ["T2", "T3"]
    assert names(connection, "show tables in schema RAW.MANY limit 1 from 'T3'") == ["T4"]
    assert names(connection, "show terse tables in schema RAW.MANY limit 2 from 'T4'") == []
    assert names(connection, "show schemas in database RAW limit 2 from 'MANY'") == ["PUBLIC", "SHOP"]
    assert len(listed(connection, "show columns in schema RAW.MANY")) == 2


@pytest.mark.parametrize("command", ["show primary keys in schema RAW.SHOP", "show columns in schema RAW.SHOP"])
def test_keys_and_columns_cannot_be_paged(shop: Emulator, connection: SnowflakeConnection, command: str) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-primary-keys"""
    with pytest.raises(ProgrammingError, match="unexpected 'LIMIT'"):
        connection.cursor().execute(f"{command} limit 10")


def test_show_columns_tells_types_as_json(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-columns"""
    rows = listed(connection, "show columns in schema RAW.SHOP")
    types = {row["column_name"]: json.loads(row["data_type"]) for row in rows if row["table_name"] == "ORDERS"}

    assert list(types) == [
        "ID", "line no", "AMOUNT", "RATE", "PAID", "DAY", "AT_NTZ", "AT_TZ", "AT_LTZ", "NOTE", "CODE", "DOC", "RAW",
    ]  # fmt: skip
    assert types["ID"] == {"type": "FIXED", "precision": 38, "scale": 0, "nullable": False}
    assert types["AMOUNT"] == {"type": "FIXED", "precision": 10, "scale": 2, "nullable": True}
    assert types["RATE"] == {"type": "REAL", "nullable": True}
    assert types["AT_NTZ"] == {"type": "TIMESTAMP_NTZ", "precision": 0, "scale": 9, "nullable": True}
    assert types["AT_LTZ"]["type"] == "TIMESTAMP_LTZ"
    assert types["NOTE"] == {"type": "TEXT", "length": 16777216, "byteLength": 16777216, "nullable": True, "fixed": False}
    assert types["CODE"]["length"] == 3
    assert types["DOC"] == {"type": "VARIANT", "nullable": True}
    assert types["RAW"]["type"] == "BINARY"
    assert [row["null?"] for row in rows if row["table_name"] == 'weird "name" with ünïcode'] == ["false"]
    assert len(listed(connection, f"show columns in table RAW.SHOP.{ODD}")) == 1


@pytest.mark.parametrize("scope", ["table RAW.SHOP.orders", "schema RAW.SHOP", "database RAW", "account"])
def test_show_primary_keys_tells_columns_in_their_declared_order(
    shop: Emulator, connection: SnowflakeConnection, scope: str
) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-primary-keys"""
    rows = listed(connection, f"show primary keys in {scope}")

    assert list(rows[0]) == [
        "created_on", "database_name", "schema_name", "table_name", "column_name", "key_sequence", "constraint_name", "rely",
        "comment",
    ]  # fmt: skip
    assert [(row["schema_name"], row["table_name"], row["column_name"], row["key_sequence"]) for row in rows] == [
        ("SHOP", "ORDERS", "line no", 1),
        ("SHOP", "ORDERS", "ID", 2),
    ]


def test_primary_keys_are_declared_not_enforced(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/constraints-overview"""
    connection.cursor().execute('insert into RAW.SHOP.orders (id, "line no") values (1, 2), (1, 2)')

    assert connection.cursor().execute("select count(*) from RAW.SHOP.orders").fetchall() == [(3,)]


def test_what_does_not_exist_cannot_be_shown(emulator: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-tables"""
    for command in ("show tables in schema RAW.NONE", "show schemas in database NONE", "show columns in schema NONE.NONE"):
        with pytest.raises(ProgrammingError, match="Object does not exist, or operation cannot be performed") as caught:
            connection.cursor().execute(command)
        assert caught.value.errno == 2043


def test_hidden_tables_are_in_no_list(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/info-schema/tables"""
    shop.hide("RAW.SHOP.orders")

    assert names(connection, "show tables in schema RAW.SHOP") == ['weird "name" with ünïcode']
    assert listed(connection, "show primary keys in schema RAW.SHOP") == []
    assert {row["table_name"] for row in listed(connection, "show columns in schema RAW.SHOP")} == {'weird "name" with ünïcode'}
    assert listed(connection, "select table_name as t from RAW.INFORMATION_SCHEMA.TABLES") == [
        {"T": 'weird "name" with ünïcode'}
    ]


def test_information_schema_columns_names_types_as_snowflake_does(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/info-schema/columns"""
    rows = connection.cursor().execute(
        "select column_name, data_type, numeric_precision, numeric_scale, character_maximum_length "
        "from RAW.INFORMATION_SCHEMA.COLUMNS where table_schema = 'SHOP' and table_name = 'ORDERS' order by ordinal_position"
    )

    assert list(rows) == [
        ("ID", "NUMBER", 38, 0, None),
        ("line no", "NUMBER", 38, 0, None),
        ("AMOUNT", "NUMBER", 10, 2, None),
        ("RATE", "FLOAT", None, None, None),
        ("PAID", "BOOLEAN", None, None, None),
        ("DAY", "DATE", None, None, None),
        ("AT_NTZ", "TIMESTAMP_NTZ", None, None, None),
        ("AT_TZ", "TIMESTAMP_TZ", None, None, None),
        ("AT_LTZ", "TIMESTAMP_LTZ", None, None, None),
        ("NOTE", "TEXT", None, None, 16777216),
        ("CODE", "TEXT", None, None, 3),
        ("DOC", "VARIANT", None, None, None),
        ("RAW", "BINARY", None, None, 8388608),
    ]


def test_last_altered_moves_with_every_write_even_of_no_rows(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/info-schema/tables"""
    read = (
        "select created, last_altered, is_transient, retention_time, row_count "
        "from RAW.INFORMATION_SCHEMA.TABLES where table_name = 'ORDERS'"
    )
    landed = dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)
    assert connection.cursor().execute(read).fetchall() == [(landed, landed, "NO", 9, 1)]

    shop.run("delete from RAW.SHOP.orders where false", at="2026-11-21 10:00")

    assert connection.cursor().execute(read).fetchall() == [(landed, landed + dt.timedelta(days=1), "NO", 9, 1)]


def test_describe_table_gives_types_as_ddl(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/desc-table"""
    rows = {row["name"]: row for row in listed(connection, "describe table RAW.SHOP.orders")}

    assert (rows["ID"]["type"], rows["ID"]["null?"], rows["ID"]["primary key"]) == ("NUMBER(38,0)", "N", "Y")
    assert (rows["NOTE"]["type"], rows["AT_TZ"]["type"]) == ("VARCHAR(16777216)", "TIMESTAMP_TZ(9)")


def test_grants_are_recorded_and_shown(shop: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/show-grants"""
    for statement in (
        "create role if not exists reader",
        "grant usage, monitor on schema RAW.SHOP to role reader",
        "grant select on all tables in schema RAW.SHOP to role reader",
        "grant select on future tables in database RAW to role reader",
        "grant create schema on database RAW to role reader",
        "grant usage on warehouse WH to role reader",
        "revoke monitor on schema RAW.SHOP from role reader",
    ):
        connection.cursor().execute(statement)

    held = [(row["privilege"], row["granted_on"], row["name"]) for row in listed(connection, "show grants to role reader")]
    assert held == [
        ("USAGE", "SCHEMA", "RAW.SHOP"),
        ("SELECT", "TABLE", "RAW.SHOP.ORDERS"),
        ("SELECT", "TABLE", f"RAW.SHOP.{ODD}"),
        ("CREATE SCHEMA", "DATABASE", "RAW"),
        ("USAGE", "WAREHOUSE", "WH"),
    ]
    assert [row["grantee_name"] for row in listed(connection, "show grants on schema RAW.SHOP")] == ["ACCOUNTADMIN", "READER"]
    future = listed(connection, "show future grants in database RAW")
    assert [(row["privilege"], row["grant_on"], row["name"]) for row in future] == [("SELECT", "TABLE", "RAW.<TABLE>")]


def test_show_results_cannot_be_fetched_as_arrow(emulator: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api"""
    with pytest.raises(NotSupportedError):
        connection.cursor().execute("show roles").fetch_arrow_all()
