"""How the Snowflake engine reads: which statements it sends, in which order, and what it makes of answers."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from history_assets.clones import clone_schema
from history_assets.errors import WarehouseError
from history_assets.history import History
from history_assets.inventory import Column, KeySource
from history_assets.settings import Settings
from history_assets.warehouse import open_warehouse, snowflake_sql
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from history_assets.warehouse.statements import Statement
from history_assets.warehouse.values import Clone, Difference
from tests.unit.test_snowflake_sql import APPLIED
from tests.warehouse.recording import RecordingSessions, refused, table
from tests.warehouse.snowflake.account import CLONE, CUTOFF, DATE, Make, no_log, quiet_points


def test_the_engine_is_chosen_by_the_settings(make_settings: Callable[..., Settings]) -> None:
    """And nothing is connected to by that, nor needed."""
    assert type(open_warehouse(make_settings(engine="snowflake"))) is SnowflakeWarehouse


def test_an_inventory_is_three_statements_per_schema(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    inventory = warehouse.inventory()

    assert sorted(sessions.texts) == [
        'SHOW COLUMNS IN SCHEMA "RAW"."CRM"',
        'SHOW COLUMNS IN SCHEMA "RAW"."PUBLIC"',
        'SHOW PRIMARY KEYS IN SCHEMA "RAW"."CRM"',
        'SHOW PRIMARY KEYS IN SCHEMA "RAW"."PUBLIC"',
        'SHOW TABLES IN SCHEMA "RAW"."CRM" LIMIT 10000',
        'SHOW TABLES IN SCHEMA "RAW"."PUBLIC" LIMIT 10000',
        'SHOW TERSE SCHEMAS IN DATABASE "RAW" LIMIT 10000',
    ]
    assert not any(statement.compute for statement in sessions.sent)
    assert [schema.name for schema in inventory.schemas] == ["CRM"]
    account, item = inventory.schemas[0].tables
    names = ("ID", "NAME", "_FIVETRAN_SYNCED")
    assert account.columns == tuple(Column(name, "VARCHAR", position) for position, name in enumerate(names, 1))
    assert (item.name, item.key, item.key_source) == ("order item", ("a", "b"), KeySource.DECLARED)
    assert set(sessions.tags) == {f"history_assets:inventory:{schema}:" for schema in ("", "CRM", "PUBLIC")}


def test_more_than_a_page_is_read_page_by_page(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages follow the last name; what has no pages is asked for table by table, from the one that may be cut on."""
    monkeypatch.setattr(snowflake_sql, "PAGE", 5)
    sessions.page = 5
    sessions.databases["RAW"]["BIG"] = {"comment": "", "tables": [table(f"T{n}", "A", "B", key=("A", "B")) for n in range(7)]}

    found = warehouse.read_schema("BIG")

    assert sessions.texts == [
        'SHOW TABLES IN SCHEMA "RAW"."BIG" LIMIT 5',
        'SHOW TABLES IN SCHEMA "RAW"."BIG" LIMIT 5 FROM \'T4\'',
        'SHOW COLUMNS IN SCHEMA "RAW"."BIG"',
        *(f'SHOW COLUMNS IN TABLE "RAW"."BIG"."T{n}"' for n in range(1, 7)),
        'SHOW PRIMARY KEYS IN SCHEMA "RAW"."BIG"',
        *(f'SHOW PRIMARY KEYS IN TABLE "RAW"."BIG"."T{n}"' for n in range(2, 7)),
    ]
    assert [(each.name, len(each.columns), each.key) for each in found.tables] == [(f"T{n}", 3, ("A", "B")) for n in range(7)]


def test_a_database_that_is_not_there_is_named_with_its_setting(make: Make) -> None:
    with pytest.raises(WarehouseError, match='found no database "raw" that HISTORIAN may see: set HISTORY_RAW_DATABASE'):
        make(raw_database="raw").inventory()
    with pytest.raises(WarehouseError, match=r'HISTORY_CLONE_DATABASE.*GRANT USAGE ON DATABASE "C" TO ROLE HISTORIAN'):
        make(clone_database="C").find_clone("CRM", DATE)


def test_the_quiet_point_is_what_the_log_says(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    """A sync that ran at the cutoff is cloned away: the instant is the end of the one before. The log is read once a run."""
    sessions.databases["RAW"]["FIVETRAN_METADATA"] = {
        "comment": "",
        "tables": [
            table("LOG", "TIME_STAMP", "MESSAGE_EVENT", "MESSAGE_DATA", "CONNECTION_ID", "SYNC_ID"),
            table("CONNECTION", "CONNECTION_ID", "CONNECTION_NAME"),
        ],
    }

    def event(hour: float, kind: str, data: str | None = None) -> dict[str, Any]:
        at = (CUTOFF + dt.timedelta(hours=hour)).astimezone(dt.timezone(dt.timedelta(hours=-8)))
        return {"connection_id": "c", "name": "other", "moment": at, "event": kind, "sync": None, "data": data}

    sessions.selected = lambda statement: [
        event(-3, "sync_start"),
        event(-2, "sync_end", '{"status": "SUCCESSFUL"}'),
        event(-1, "records_modified", "crm"),
        event(-1, "sync_start"),
        event(1, "sync_end", '{"status": "SUCCESSFUL"}'),
        event(25, "sync_start") | {"connection_id": "d", "name": "elsewhere"},
    ]
    dates = [DATE, DATE + dt.timedelta(days=1)]

    outcome = clone_schema(quiet_points(warehouse), "CRM", dates, replace=False)

    assert [clone.quiet_point for clone in outcome.values() if isinstance(clone, Clone)] == [
        CUTOFF - dt.timedelta(hours=2),
        CUTOFF + dt.timedelta(days=1),
    ]
    assert "AT (TIMESTAMP => '2026-11-21 22:00:00.000000 +00:00'::TIMESTAMP_TZ)" in "".join(sessions.texts)
    (asked,) = [statement for statement in sessions.sent if statement.compute]
    assert asked.values == ("2026-08-24 00:00:00.000000 +00:00",) * 2


def test_without_a_log_nothing_is_asked_of_a_warehouse(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    outcome = clone_schema(quiet_points(warehouse), "CRM", [DATE], replace=False)

    assert isinstance(outcome[DATE], Clone)
    assert not any(statement.compute for statement in sessions.sent)


def test_no_ledger_yet_is_an_empty_ledger(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    gone = "SQL compilation error: Schema 'HISTORY.\"_history_assets\"' does not exist or not authorized."
    sessions.fail("select * from", refused(2003, gone))
    assert warehouse.ledger() == []

    sessions.fail("select * from", refused(2003, "SQL compilation error: Database 'HISTORY' does not exist."))
    with pytest.raises(WarehouseError, match="set HISTORY_DATABASE to its exact name"):
        warehouse.ledger()

    sessions.fail("select * from", refused(606, "No active warehouse selected in the current session."))
    with pytest.raises(WarehouseError, match="check SNOWFLAKE_WAREHOUSE"):
        warehouse.ledger()


def ledger_row(**changes: Any) -> dict[str, Any]:
    columns = [{"name": column.name, "type": column.type, "family": column.family} for column in APPLIED.columns]
    return {
        "SCHEMA_NAME": "CRM",
        "TABLE_NAME": "ACCOUNT",
        "CLONE_DATE": DATE,
        "CLONE_ID": APPLIED.clone_id,
        "CUTOFF": APPLIED.cutoff.replace(tzinfo=None),
        "QUIET_POINT": APPLIED.quiet_point.replace(tzinfo=None),
        "ROW_COUNT": 7,
        "OPENED": 2,
        "CLOSED": 1,
        "COLUMNS": json.dumps(columns),
        "KEY_COLUMNS": '["ID"]',
        "STATUS": "applied",
        "PROBLEM": None,
        "TIME_ZONE": "UTC",
        "CUTOFF_TIME": "06:00",
    } | changes


def test_the_ledger_is_read_as_it_is_written(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    sessions.selected = lambda statement: [ledger_row()]

    assert warehouse.ledger({"CRM"}, DATE, "CRM.ACCOUNT") == [APPLIED]
    assert sessions.tags == ["history_assets:ledger:CRM.ACCOUNT:2026-11-22"]


def held(sessions: RecordingSessions, *names: str) -> None:
    sessions.databases["HISTORY"]["CRM"] = {"comment": "", "tables": [table(name, "ID", "_FIVETRAN_DELETED") for name in names]}


def test_a_history_is_compared_with_its_clone(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    """Two SHOW for a clone's tables and all of their histories; then a query for each, and one more where they differ."""
    clone = warehouse.clone("CRM", DATE, no_log)
    held(sessions, "ACCOUNT")
    sessions.sent.clear()
    answers = [{"ONLY_HISTORY": 1, "ONLY_CLONE": 0}], [{"V1": 1, "V2": None}], [{"ONLY_HISTORY": 0, "ONLY_CLONE": 0}]
    replies = iter(answers)
    sessions.selected = lambda statement: next(replies)

    found = warehouse.differences(clone, [APPLIED, APPLIED])

    assert found == [Difference(1, 0, ((1, None),)), Difference(0, 0, ())]
    assert [text.split(" ")[0] for text in sessions.texts] == ["SHOW", "SHOW", "with", "with", "with"]
    assert 'from "CLONES"."CRM__20261122"."ACCOUNT"' in sessions.texts[2]
    assert sessions.tags[-1] == "history_assets:verify:CRM.ACCOUNT:2026-11-22"


def test_a_table_that_is_not_in_its_clone_is_compared_with_nothing(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions
) -> None:
    sessions.databases["CLONES"][CLONE] = {"comment": "", "tables": []}
    held(sessions, "ACCOUNT")
    sessions.selected = lambda statement: [{"ONLY_HISTORY": 0, "ONLY_CLONE": 0}]

    warehouse.differences(Clone("CRM", DATE, "id", CUTOFF, CUTOFF, 0, 0, 0, CLONE), [APPLIED])

    assert '"CLONES"' not in sessions.texts[-1]


def test_a_history_is_asked_once_for_all_of_its_contradictions(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions
) -> None:
    held(sessions, "ACCOUNT")
    sessions.selected = lambda statement: [
        {"PROBLEM": "identifiers that rows share", "FOUND": 2},
        {"PROBLEM": "rows whose interval does not go forward", "FOUND": 0},
    ]

    assert warehouse.contradictions([APPLIED]) == ["found 2 identifiers that rows share, expected none"]
    assert sum(statement.compute for statement in sessions.sent) == 1

    held(sessions)
    assert warehouse.contradictions([APPLIED]) == ["its table is gone, the ledger has 1 nights of it"]


def test_a_table_as_of_a_date_has_the_same_types_whatever_its_rows(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions
) -> None:
    """Snowflake sends numbers in the fewest bits that hold a batch."""
    pa = pytest.importorskip("pyarrow")
    held(sessions, "ACCOUNT")
    sessions.selected = lambda statement: [ledger_row()]
    moment = pa.array([CUTOFF], pa.timestamp("us", "America/Los_Angeles"))
    batches = [
        pa.table({"ID": pa.array([1], kind), "_FIVETRAN_SYNCED": moment, "_FIVETRAN_DELETED": pa.array([False])})
        for kind in (pa.int8(), pa.int64())
    ]
    asked: list[Statement] = []

    def answer(statement: Statement, query_tag: str) -> list[Any]:
        asked.append(statement)
        return batches

    sessions.table = answer  # type: ignore[attr-defined]

    found = History(warehouse).as_of("CRM.ACCOUNT", DATE)

    assert found.schema == pa.schema(
        [
            ("ID", pa.decimal128(38, 0)),
            ("_FIVETRAN_SYNCED", pa.timestamp("us", "UTC")),
            ("_FIVETRAN_DELETED", pa.bool_()),
        ]
    )
    assert found["ID"].to_pylist() == [1, 1]
    assert found["_FIVETRAN_SYNCED"].to_pylist() == [CUTOFF, CUTOFF]
    assert asked[0].text.endswith('where not coalesce("_FIVETRAN_DELETED", false)')
