"""The embedded engine: schemas and tables by any name, logs old and new, and the history's file."""

import datetime as dt
import unittest.mock
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from history_assets.errors import CloneError, UsageError, WarehouseError
from history_assets.inventory import Column, KeySource, Schema, Table
from history_assets.settings import Settings
from history_assets.warehouse import duckdb_files
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.duckdb_files import read_tables
from history_assets.warehouse.values import Applied
from tests.landing import Landing
from tests.warehouse.crm import BEFORE, DATE, SYNCED, no_log


def test_inventory_reads_tables_columns_and_keys(crm: Landing, make_settings: Callable[..., Settings]) -> None:
    crm.execute("elsewhere", BEFORE, "create table t (id int)")
    crm.execute("fivetran_metadata", BEFORE, f"create table log (id int, {SYNCED})")

    found = DuckDBWarehouse(make_settings(keys={"crm.tag": ["name"]})).inventory()

    stamp = "TIMESTAMP WITH TIME ZONE"
    assert found.schemas == (
        Schema(
            "crm",
            (
                Table(
                    "item",
                    (
                        Column("line", "INTEGER", 1),
                        Column("order_id", "INTEGER", 2),
                        Column("amount", "DECIMAL(12,2)", 3),
                        Column("raw", "JSON", 4),
                        Column("_fivetran_synced", stamp, 5),
                    ),
                    ("order_id", "line"),
                    KeySource.DECLARED,
                ),
                Table(
                    "nothing",
                    (Column("id", "INTEGER", 1), Column("_fivetran_id", "VARCHAR", 2), Column("_fivetran_synced", stamp, 3)),
                    ("_fivetran_id",),
                    KeySource.SURROGATE,
                ),
                Table(
                    "tag", (Column("name", "VARCHAR", 1), Column("_fivetran_synced", stamp, 2)), ("name",), KeySource.CONFIGURED
                ),
            ),
        ),
    )


def test_inventory_takes_a_constant_number_of_statements(landing: Landing) -> None:
    landing.execute("narrow", BEFORE, f"create table t (id int primary key, {SYNCED})")
    landing.execute("wide", BEFORE, *(f"create table t{number} (id int primary key, {SYNCED})" for number in range(100)))
    asked: dict[str, list[str]] = {"narrow": [], "wide": []}
    for schema, statements in asked.items():
        with duckdb.connect(str(landing.file(schema)), read_only=True) as connection:
            counting = unittest.mock.Mock(wraps=connection)
            found = read_tables(counting, schema, {})
            statements += [call.args[0] for call in counting.execute.call_args_list]

    assert len(found.tables) == 100
    assert asked["narrow"] == asked["wide"]


def test_clones_are_compared_with_their_histories_by_several_at_once(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    """A process has a file open once, so that what one attaches is there for all."""
    first, second = (warehouse.clone("crm", DATE + dt.timedelta(days=day), no_log) for day in (0, 1))
    duckdb.connect(str(warehouse.history)).close()

    with duckdb_files.connect(warehouse.history, read_only=True, timeout=1) as other:
        other.execute(f"attach '{first.location}' as clone (read_only)")
        assert warehouse.differences(second, []) == []
        assert warehouse.differences(second, []) == []


@pytest.mark.parametrize("name", ["a b", 'qu"ote', "it's", "ünï", "semi;colon", "select", "UPPER"])
def test_any_schema_and_table_name_works(name: str, landing: Landing, warehouse: DuckDBWarehouse) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    landing.execute(name, BEFORE, f"create table {quoted} ({quoted} int, {SYNCED})", f"insert into {quoted} values (1, now())")

    clone = warehouse.clone(name, DATE, no_log)

    assert [table.name for table in warehouse.read_clone(clone).tables] == [name]
    assert warehouse.clone_dates() == {name: [DATE]}


def test_schemas_that_duckdb_cannot_tell_apart_are_refused(landing: Landing, warehouse: DuckDBWarehouse) -> None:
    for name in ("crm", "CRM"):
        landing.execute(name, BEFORE, f"create table t (id int, {SYNCED})")

    with pytest.raises(WarehouseError, match="differ from CRM in case only"):
        warehouse.inventory()


@pytest.mark.parametrize("name", ["main", "information_schema", "_history_assets"])
def test_schemas_that_would_shadow_the_engines_own_are_refused(name: str, landing: Landing, warehouse: DuckDBWarehouse) -> None:
    landing.execute(name, BEFORE, f"create table t (id int, {SYNCED})")

    with pytest.raises(WarehouseError, match=f"found a schema named {name}"):
        warehouse.inventory()


def test_bad_input_is_told_apart(landing: Landing, warehouse: DuckDBWarehouse, make_settings: Callable[..., Settings]) -> None:
    landing.execute("crm", BEFORE, f"create table t (id int, {SYNCED})")
    landing.execute("other", BEFORE, "create table t (id int)")

    with pytest.raises(UsageError, match="found no schema nope to clone: expected one of crm, other"):
        warehouse.inventory(["nope"])
    with pytest.raises(UsageError, match="found no table with _fivetran_synced in other"):
        warehouse.inventory(["other"])
    with pytest.raises(CloneError, match="cannot clone gone, because"):
        warehouse.clone("gone", DATE, no_log)
    with pytest.raises(WarehouseError, match="found no folder"):
        DuckDBWarehouse(make_settings(home=Path("/nowhere"))).inventory()
    landing.file("broken").write_bytes(b"this is no database")
    with pytest.raises(WarehouseError, match=r"broken\.duckdb, expected a DuckDB file"):
        warehouse.inventory()


def test_the_history_is_read_with_no_more_memory_than_may_be_taken(make_settings: Callable[..., Settings]) -> None:
    warehouse = DuckDBWarehouse(make_settings(memory_limit="300MB"))
    with duckdb.connect(str(warehouse.history)) as connection:
        connection.execute("create schema _history_assets")
    with duckdb.connect(str(warehouse.history), read_only=True) as same:  # what is set is set for the whole process
        assert warehouse.ledger() == []

        assert same.execute("select current_setting('memory_limit')").fetchall() == [("286.1 MiB",)]


def test_old_and_new_logs_are_read(landing: Landing, warehouse: DuckDBWarehouse) -> None:
    """Accounts from before 2023 have connector where newer ones have connection."""
    for log, word in (("fivetran_log", "connector"), ("fivetran_metadata", "connection")):
        landing.execute(
            log,
            BEFORE,
            f"create table {word} ({word}_id varchar, {word}_name varchar)",
            f"insert into {word} values ('id', 'crm')",
            f"create table log (time_stamp timestamptz, {word}_id varchar, message_event varchar, message_data varchar)",
            "insert into log values ('2026-11-19 22:00:00+00', 'id', 'sync_start', null), "
            "('2026-11-19 22:01:00.5+00', 'id', 'warning', null), ('2026-11-19 22:02:00+00', 'id', 'sync_end', '{}')",
        )

    events = warehouse.sync_events()

    assert [(event.name, event.at.isoformat(), event.event, event.data) for event in events] == 2 * [
        ("crm", "2026-11-19T22:00:00+00:00", "sync_start", None),
        ("crm", "2026-11-19T22:02:00+00:00", "sync_end", "{}"),
    ]


def test_a_log_that_lacks_columns_is_refused_by_name(landing: Landing, warehouse: DuckDBWarehouse) -> None:
    landing.execute(
        "fivetran_log",
        BEFORE,
        "create table connection (connection_id varchar, connection_name varchar)",
        "create table log (time_stamp timestamptz, connection_id varchar, message_event varchar)",
    )

    with pytest.raises(WarehouseError) as refused:
        warehouse.sync_events()

    assert str(refused.value) == "found a log of Fivetran in fivetran_log without data: exclude it from raw"


def test_what_is_wrong_with_the_functions_is_told_by_who_writes_them(make_settings: Callable[..., Settings]) -> None:
    """Whoever asks whether there are any to be written has a night to tell of first."""
    warehouse = DuckDBWarehouse(make_settings())
    warehouse.await_history()
    with duckdb.connect(str(warehouse.history)) as connection:
        connection.execute("create schema _history_assets")
        connection.execute("create table _history_assets.functions (somebodys integer)")
    ledger = [unittest.mock.create_autospec(Applied, instance=True)]

    assert warehouse.lacks_functions([]) is False
    assert warehouse.lacks_functions(ledger) is True
    with pytest.raises(duckdb.Error, match="schema_name"):
        warehouse.keep_functions(ledger)


def test_a_new_history_is_of_small_blocks_and_small_statistics(make_settings: Callable[..., Settings]) -> None:
    """Of thousands of small tables, what is read whenever the file is opened would be most of it."""
    warehouse = DuckDBWarehouse(make_settings())
    warehouse.await_history()
    tables = ", ".join(f"c{number} integer" for number in range(100))
    with duckdb.connect(str(warehouse.history)) as connection:
        connection.execute(f"create table wide ({tables})")
        connection.execute(f"insert into wide select {', '.join(['1'] * 100)}")
        connection.execute("checkpoint")
        ((tags, size),) = connection.execute(
            "select tags, block_size from duckdb_databases(), pragma_database_size() as of_file "
            "where of_file.database_name = duckdb_databases.database_name"
        ).fetchall()

    assert (tags["storage_version"], size) == ("v1.3.0+", 65_536)
    # 3 KB of statistics for each of its columns would be 300.
    assert warehouse.history.stat().st_size < 8 * 65_536
