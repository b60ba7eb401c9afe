"""SQL that the emulator runs means what it means on Snowflake: https://docs.snowflake.com/en/sql-reference"""

import datetime as dt
import decimal
import math
from typing import Any

import pyarrow as pa
import pytest
import snowflake.connector
from snowflake.connector import SnowflakeConnection
from snowflake.connector.errors import ProgrammingError

from tests.fakes.snowflake.emulator import Emulator


def rows(connection: SnowflakeConnection, sql: str) -> list[Any]:
    return list(connection.cursor().execute(sql).fetchall())


def run(connection: SnowflakeConnection, *statements: str) -> None:
    for statement in statements:
        connection.cursor().execute(statement)


@pytest.fixture
def connection(connection: SnowflakeConnection) -> SnowflakeConnection:
    connection.cursor().execute("create schema RAW.S")
    return connection


def test_every_type_that_fivetran_writes_round_trips_with_its_nulls(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/intro-summary-data-types"""
    run(
        connection,
        "create table t (n number(38,0), d number(10,2), f float, b boolean, day date, ntz timestamp_ntz, tz timestamp_tz, "
        "s varchar, v variant, x binary)",
        "insert into t select 1, 1.25, 'NaN'::float, true, '2026-11-22', '9999-12-31 23:59:59.123456'::timestamp_ntz, "
        "'2026-11-22 01:00:00 +01:00'::timestamp_tz, 'é', parse_json('{\"b\": [1, 2.0], \"a\": null}'), to_binary('ab', 'hex')",
        "insert into t select 99999999999999999999999999999999999999, null, null, null, null, null, null, null, null, null",
    )

    full, empty = rows(connection, "select * from t order by n")

    assert math.isnan(full[2])
    assert full[:2] + full[3:] == (
        1,
        decimal.Decimal("1.25"),
        True,
        dt.date(2026, 11, 22),
        dt.datetime(9999, 12, 31, 23, 59, 59, 123456),  # noqa: DTZ001
        dt.datetime(2026, 11, 22, tzinfo=dt.UTC),
        "é",
        '{"a":null,"b":[1,2]}',
        b"\xab",
    )
    assert empty == (99999999999999999999999999999999999999, *[None] * 9)


def test_arrow_gives_exact_decimals_only_where_the_connection_asks_for_them(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api (arrow_number_to_decimal)"""
    query = "select 1::number(38,0) as n, 1.25::number(10,2) as d, '9999-12-31'::timestamp_ntz as t, null::timestamp_ntz as m"
    with snowflake.connector.connect(**emulator.settings) as connection:
        (floats,) = connection.cursor().execute(query).fetch_arrow_batches()
        assert list(connection.cursor().execute("select 1 as n where false").fetch_arrow_batches()) == []
    with snowflake.connector.connect(**emulator.settings, arrow_number_to_decimal=True) as connection:
        (decimals,) = connection.cursor().execute(query).fetch_arrow_batches()

    expected = {"N": 1, "D": 1.25, "T": dt.datetime(9999, 12, 31), "M": None}  # noqa: DTZ001
    assert floats.to_pylist() == [expected]
    assert floats.schema.field("D").type == pa.float64()
    assert decimals.to_pylist() == [expected | {"D": decimal.Decimal("1.25")}]


def test_merge_updates_deletes_and_inserts(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/merge"""
    run(connection, "create table t (id int, a varchar, b int)", "insert into t values (1, 'x', 1), (2, 'y', 2), (3, 'z', 3)")

    done = rows(
        connection,
        "merge into t as target using (with s as (select 1 as id, 'X' as a union all select 2, null union all select 4, 'W') "
        "select * from s) as source on target.id = source.id when matched and source.a is null then delete "
        "when matched then update set target.a = source.a, b = source.id + 10 "
        "when not matched and source.id > 3 then insert (id, a) values (source.id, source.a)",
    )

    assert done == [(1, 1, 1)]
    assert rows(connection, "select * from t order by id") == [(1, "X", 11), (3, "z", 3), (4, "W", None)]


def test_merge_refuses_a_row_that_is_met_twice(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/merge#duplicate-join-behavior"""
    run(connection, "create table t (id int, a int)", "insert into t values (1, 1)")

    with pytest.raises(ProgrammingError, match="Duplicate row detected during DML action") as caught:
        run(
            connection,
            "merge into t using (select 1 as id, 2 as a union all select 1, 3) as s on t.id = s.id "
            "when matched then update set a = s.a",
        )
    assert caught.value.errno == 100090


def test_a_transaction_is_seen_by_itself_until_it_commits(emulator: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions"""
    run(connection, "create table t (a int)", "begin", "insert into t values (1)")
    assert rows(connection, "select count(*) from t") == [(1,)]
    assert emulator.run("select count(*) from RAW.S.t") == [(0,)]
    run(connection, "rollback", "begin", "insert into t values (2)", "commit")

    assert emulator.run("select a from RAW.S.t") == [(2,)]


def test_a_transaction_sees_what_others_commit_meanwhile(emulator: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#read-committed-isolation"""
    run(connection, "begin")
    emulator.run("create table RAW.S.t as select 1 as a")

    assert rows(connection, "select a from t") == [(1,)]


def test_without_autocommit_a_write_begins_a_transaction(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#autocommit"""
    emulator.run("create table RAW.PUBLIC.t (a int)")
    with snowflake.connector.connect(**emulator.settings, autocommit=False) as connection:
        run(connection, "insert into RAW.PUBLIC.t values (1)")
        connection.rollback()
        run(connection, "insert into RAW.PUBLIC.t values (2)")
        connection.commit()

    assert emulator.run("select a from RAW.PUBLIC.t") == [(2,)]


def test_a_failed_statement_leaves_its_transaction_open(emulator: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions"""
    run(connection, "create table t (a int)", "begin", "insert into t values (1)")
    with pytest.raises(ProgrammingError, match="Could not convert"):
        run(connection, "insert into t select 'x'::number")
    run(connection, "insert into t values (2)", "commit")

    assert emulator.run("select a from RAW.S.t order by a") == [(1,), (2,)]


def test_ddl_commits_the_open_transaction(emulator: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions#ddl"""
    run(connection, "create table t (a int)", "begin", "insert into t values (1)", "create table u (a int)", "rollback")

    assert emulator.run("select a from RAW.S.t") == [(1,)]


def test_two_databases_are_written_in_one_transaction(emulator: Emulator, connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/transactions"""
    emulator.run("create database HISTORY", "create table HISTORY.PUBLIC.t (a int)")
    run(connection, "create table t (a int)", "begin", "insert into t values (1)")
    run(connection, "insert into HISTORY.PUBLIC.t select a from t", "commit")

    assert emulator.run("select a from HISTORY.PUBLIC.t") == [(1,)]


def test_temporary_tables_have_qualified_names_and_hide_others_in_their_session(
    emulator: Emulator, connection: SnowflakeConnection
) -> None:
    """https://docs.snowflake.com/en/user-guide/tables-temp-transient"""
    run(connection, "create table t as select 'kept' as a", 'create or replace temporary table "RAW"."S"."T" as select 1 as a')

    assert rows(connection, "select a from raw.s.t") == [(1,)]
    assert emulator.run("select a from RAW.S.T") == [("kept",)]
    run(connection, "drop table RAW.S.T")
    assert rows(connection, "select a from raw.s.t") == [("kept",)]


def test_names_are_exact(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/identifiers-syntax"""
    table = 'RAW.S."weird ""name"" with ünïcode"'
    run(
        connection,
        f'create transient table {table} ("a" int, A int, "select" varchar, "É" int, "é" int)',
        f"insert into {table} values (1, 2, 'x', 3, 4)",
        f'update {table} as t set "a" = t."a" + 10 where "select" is not distinct from \'x\'',
        'create table "weird" as select 1 as lower_', "create table weird as select 2 as upper_",
    )  # fmt: skip

    cursor = connection.cursor().execute(f"select * from {table}")
    assert [column.name for column in cursor.description] == ["a", "A", "select", "É", "é"]
    assert cursor.fetchall() == [(11, 2, "x", 3, 4)]
    assert rows(connection, f'select t.a, t."a" from {table} as t') == [(2, 11)]
    assert rows(connection, 'select * from "weird", weird') == [(1, 2)]
    with pytest.raises(ProgrammingError, match='"Weird"\' does not exist or not authorized'):
        rows(connection, 'select * from "Weird"')


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("equal_null(null, null)", True),
        ("null is distinct from 1", True),
        ("concat('a', 1, 'b')", "a1b"),
        ("concat('a', null)", None),
        ("'a' || 1.50::number(10,2) || true", "a1.50true"),
        ("sha2('a', 256)", "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
        ("1::float::varchar", "1"),
        ("'NaN'::float::varchar", "NaN"),
        ("'2026-11-22 10:00:00.123456'::timestamp_ntz::varchar", "2026-11-22 10:00:00.123"),
        ("to_varchar('2026-11-22 10:00:00.123456'::timestamp_ntz, 'YYYY-MM-DD HH24:MI:SS.FF6')", "2026-11-22 10:00:00.123456"),
        ("to_binary('ab', 'hex')::varchar", "AB"),
        ('to_json(parse_json(\'{"b": 1, "a": "x"}\'))', '{"a":"x","b":1}'),
        ('parse_json(\'{"a": "x"}\'):a::varchar', "x"),
        ("parse_json('\"x\"')::varchar", "x"),
        ("parse_json('null')", "null"),
        ("try_cast('x' as number)", None),
        (
            "try_cast(to_varchar('2026-11-22 10:00:00.5 +00:00'::timestamp_tz) as timestamp_ntz)",
            dt.datetime(2026, 11, 22, 10, 0, 0, 500_000),  # noqa: DTZ001
        ),
        (
            "try_cast(to_varchar('2026-11-22 10:00:00.5'::timestamp_ntz) || ' +0200' as timestamp_tz)",
            dt.datetime(2026, 11, 22, 8, 0, 0, 500_000, dt.UTC),
        ),
        ("try_to_timestamp('x')", None),
        ("try_parse_json('{')", None),
        ("1.5::number(38,0)", 2),
        ("nullif('9999-12-31'::timestamp_ntz, '9999-12-31'::timestamp_ntz)", None),
        ("iff(greatest(1, 2) = 2, 'yes', 'no')", "yes"),
    ],
)
def test_expressions(connection: SnowflakeConnection, expression: str, expected: object) -> None:
    """https://docs.snowflake.com/en/sql-reference/functions-all"""
    assert rows(connection, f"select {expression}") == [(expected,)]


def test_aggregates_and_windows(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/functions/max_by"""
    run(connection, "create table t (id int, a varchar)", "insert into t values (1, 'x'), (2, 'y'), (3, null)")

    assert rows(connection, "select max_by(a, id), min_by(a, id), count_if(a is null), max(id) from t") == [(None, "x", 1, 3)]
    windows = "lag(a) over (order by id), lead(id) over (order by id), sum(id) over (order by id)"
    assert rows(connection, f"select id, {windows} from t") == [(1, None, 2, 1), (2, "x", 3, 3), (3, "y", None, 6)]


def test_numbers_are_made_by_flattening_a_range(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/functions/array_generate_range"""
    assert rows(
        connection,
        "select t.n, f.value from (select 1 as n union all select 3) as t, "
        "lateral flatten(input => array_generate_range(1, t.n)) as f order by 1, 2",
    ) == [(3, 1), (3, 2)]
    run(connection, "create temporary table most as select 3 as copies")
    up_to = "flatten(input => array_generate_range(1, (select max(copies) from most)))"
    assert rows(connection, f"select n.value from table({up_to}) as n") == [(1,), (2,)]
    assert rows(connection, "select value::number from table(flatten(input => array_generate_range(1, 3)))") == [(1,), (2,)]
    assert rows(connection, "select row_number() over (order by seq4()) from table(generator(rowcount => 2))") == [(1,), (2,)]


def test_columns_are_added_renamed_and_widened_only(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/alter-table-column"""
    run(
        connection,
        "create table t (a number(10,2), s varchar(5))",
        'alter table t add column if not exists "b c" float',
        'alter table t add column if not exists "b c" float',
        'alter table t rename column "b c" to d',
        "alter table t alter column a set data type number(20,2)",
        "alter table t alter column s set data type varchar(10)",
        "insert into t (a, s, d) values (1.25, 'x', 2)",
    )

    assert rows(connection, "select * from t") == [(decimal.Decimal("1.25"), "x", 2.0)]
    for change in ("a set data type number(20,3)", "a set data type varchar", "s set data type varchar(3)"):
        with pytest.raises(ProgrammingError, match="cannot change column") as caught:
            run(connection, f"alter table t alter column {change}")
        assert caught.value.errno == 2108


def test_rows_are_inserted_updated_and_deleted_by_other_tables(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/sql-reference/sql/update"""
    run(connection, "create table t (id int, a varchar)", "create table u as select 1 as id, 'x' as a union all select 2, 'y'")

    assert rows(connection, "insert into t (id, a) with s as (select * from u) select id, null from s") == [(2,)]
    assert rows(connection, "update t set a = u.a from u where t.id = u.id and u.id = 1") == [(1, 0)]
    assert rows(connection, "delete from t using u where t.id is not distinct from u.id and u.a = 'y'") == [(1,)]
    assert rows(connection, "select * from t") == [(1, "x")]


def test_a_sql_table_function_is_called(connection: SnowflakeConnection) -> None:
    """https://docs.snowflake.com/en/developer-guide/udf/sql/udf-sql-tabular-functions"""
    run(
        connection,
        'create table t as select 1 as id, 2 as "a"',
        'create or replace function RAW.S.as_of(wanted number) returns table (id number, "a" number) '
        "as 'select id, \"a\" from RAW.S.t where id <= wanted'",
    )

    assert rows(connection, "select * from table(RAW.S.as_of(1))") == [(1, 2)]
    assert rows(connection, "select f.id from table(as_of(0)) as f") == []


def test_values_are_bound_on_the_server(emulator: Emulator) -> None:
    """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-example"""
    moment = dt.datetime(2026, 11, 22, 1, 2, 3, 456789)  # noqa: DTZ001
    with snowflake.connector.connect(**emulator.settings, paramstyle="qmark") as connection:
        found = (
            connection.cursor().execute("select ?, ?, ?, ?, '?'", (1, "it's \\ ?", None, ("TIMESTAMP_NTZ", moment))).fetchall()
        )

    assert found == [(1, "it's \\ ?", None, moment, "?")]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("select nope", 904),
        ("select * from nope", 2003),
        ("select * from RAW.NOPE.t", 2003),
        ("select nope(1)", 2140),
        ("select 1 from", 1003),
        ("select 1; select 2", 8),
        ("create table RAW.S.made (a int)", 2002),
        ("explain select 1", 9999),
    ],
)
def test_errors_bear_snowflakes_numbers(connection: SnowflakeConnection, sql: str, code: int) -> None:
    """https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-api#errors"""
    run(connection, "create table RAW.S.made (a int)")

    with pytest.raises(ProgrammingError) as caught:
        rows(connection, sql)
    assert caught.value.errno == code
