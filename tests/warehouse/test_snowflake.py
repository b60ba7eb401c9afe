"""How the Snowflake engine finds, makes and reads: which statements it sends, in which order, and what it makes of answers."""

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest
import tenacity

from history_assets.clones import clone_schema
from history_assets.credentials import SnowflakeCredentials
from history_assets.errors import CloneError, WarehouseError
from history_assets.fivetran.sources import QuietPoints, open_source
from history_assets.history import History
from history_assets.inventory import Column, KeySource
from history_assets.settings import Settings
from history_assets.status import recent
from history_assets.warehouse import open_warehouse, snowflake_sql
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from history_assets.warehouse.statements import Statement
from history_assets.warehouse.values import Clone, Difference
from tests.unit.test_snowflake_sql import APPLIED
from tests.warehouse.recording import LONG_AGO, RecordingSessions, comment, network, refused, table

DATE = dt.date(2026, 11, 22)
CUTOFF = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
CLONE = "CRM__20261122"
BUILDING = f"{CLONE}__BUILDING_00000001"
BEYOND = "Time travel data is not available for schema CRM."
NOT_THEN = "SQL compilation error: Object 'CRM' does not exist."

Make = Callable[..., SnowflakeWarehouse]


def no_log() -> None:
    return None


def quiet_points(warehouse: SnowflakeWarehouse) -> QuietPoints:
    return QuietPoints(warehouse, open_source(warehouse, CUTOFF), lambda: CUTOFF + dt.timedelta(days=2))


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: None)


@pytest.fixture
def sessions() -> RecordingSessions:
    return RecordingSessions(
        {
            "CRM": [
                table("ACCOUNT", "ID", "NAME", key=("ID",), rows=5),
                table("order item", "b", "a", key=("a", "b"), rows=2),
            ],
            "INFORMATION_SCHEMA": [],
            "PUBLIC": [],
        }
    )


@pytest.fixture
def make(make_settings: Callable[..., Settings], sessions: RecordingSessions) -> Make:
    """A warehouse over the double, with clone ids 00000001-0, 00000002-0 …"""

    def make(**overrides: Any) -> SnowflakeWarehouse:
        who = SnowflakeCredentials(account="a", user="u", role="HISTORIAN", warehouse="w")
        ids = (f"{number:08}-0" for number in range(1, 100))
        settings = make_settings(**{"engine": "snowflake", "snowflake": who} | overrides)
        return SnowflakeWarehouse(settings, sessions, lambda: next(ids))  # type: ignore[arg-type]

    return make


@pytest.fixture
def warehouse(make: Make) -> SnowflakeWarehouse:
    return make()


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


def test_a_clone_is_built_aside_checked_described_opened_and_named(make: Make, sessions: RecordingSessions) -> None:
    warehouse = make(clone_readers=("ANALYST", "data science"))

    clone = warehouse.clone("CRM", DATE, no_log)

    unfinished = json.dumps(
        {
            "source": "CRM",
            "clone_date": "2026-11-22",
            "cutoff": CUTOFF.isoformat(),
            "quiet_point": CUTOFF.isoformat(),
            "clone_id": "00000001-0",
        }
    )
    finished = json.dumps(json.loads(unfinished) | {"tables": 2, "rows": 7, "bytes": 2048})
    assert sessions.texts == [
        f"SHOW SCHEMAS IN DATABASE \"CLONES\" STARTS WITH '{CLONE}' LIMIT 10000",
        'SHOW TABLES IN SCHEMA "RAW"."CRM" LIMIT 10000',
        f'CREATE TRANSIENT SCHEMA "CLONES"."{BUILDING}" CLONE "RAW"."CRM" '
        "AT (TIMESTAMP => '2026-11-22 00:00:00.000000 +00:00'::TIMESTAMP_TZ) IGNORE HYBRID TABLES "
        f"DATA_RETENTION_TIME_IN_DAYS = 0 COMMENT = '{unfinished}'",
        f'SHOW TABLES IN SCHEMA "CLONES"."{BUILDING}" LIMIT 10000',
        f'ALTER SCHEMA "CLONES"."{BUILDING}" SET COMMENT = \'{finished}\'',
        f'GRANT USAGE ON SCHEMA "CLONES"."{BUILDING}" TO ROLE "ANALYST"',
        f'GRANT USAGE ON SCHEMA "CLONES"."{BUILDING}" TO ROLE "data science"',
        f'ALTER SCHEMA "CLONES"."{BUILDING}" RENAME TO "CLONES"."{CLONE}"',
    ]
    assert not any(statement.compute for statement in sessions.sent)
    assert set(sessions.tags) == {"history_assets:clone:CRM:2026-11-22"}
    assert clone == Clone("CRM", DATE, "00000001-0", CUTOFF, CUTOFF, tables=2, rows=7, bytes=2048, location=CLONE)
    assert warehouse.find_clone("CRM", DATE) == clone
    assert warehouse.clone_dates() == {"CRM": [DATE]}
    assert warehouse.find_clones(["CRM", "PUBLIC"], [DATE]) == {("CRM", DATE): clone}
    assert warehouse.read_clone(clone) == warehouse.read_schema("CRM")


def test_clones_are_permanent_where_that_is_asked_for(make: Make, sessions: RecordingSessions) -> None:
    make(transient_clones=False).clone("CRM", DATE, no_log)

    assert any(text.startswith('CREATE SCHEMA "CLONES"') for text in sessions.texts)


def test_a_clone_that_exists_is_kept(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    first = warehouse.clone("CRM", DATE, no_log)
    sessions.sent.clear()

    assert warehouse.clone("CRM", DATE, pytest.fail) == first
    assert sessions.texts == [f"SHOW SCHEMAS IN DATABASE \"CLONES\" STARTS WITH '{CLONE}' LIMIT 10000"]


def test_a_second_clone_changes_names_with_the_first(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    warehouse.clone("CRM", DATE, no_log)
    sessions.sent.clear()

    again = warehouse.clone("CRM", DATE, no_log, replace=True)

    building = f"{CLONE}__BUILDING_00000002"
    assert sessions.texts[-2:] == [
        f'ALTER SCHEMA "CLONES"."{CLONE}" SWAP WITH "CLONES"."{building}"',
        f'DROP SCHEMA IF EXISTS "CLONES"."{building}" CASCADE',
    ]
    assert warehouse.find_clone("CRM", DATE) == again
    assert comment(sessions, CLONE)["clone_id"] == again.clone_id == "00000002-0"
    assert sorted(sessions.databases["CLONES"]) == [CLONE, "INFORMATION_SCHEMA"]


def test_a_clone_is_dropped_where_it_is_still_the_same(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    first = warehouse.clone("CRM", DATE, no_log)
    second = warehouse.clone("CRM", DATE, no_log, replace=True)
    sessions.sent.clear()
    sessions.tags.clear()

    for clone in (first, second, second):
        warehouse.drop_clone(clone)

    shown = f"SHOW SCHEMAS IN DATABASE \"CLONES\" STARTS WITH '{CLONE}' LIMIT 10000"
    assert sessions.texts == [shown, shown, f'DROP SCHEMA IF EXISTS "CLONES"."{CLONE}" CASCADE', shown]
    assert not any(statement.compute for statement in sessions.sent)
    assert sessions.tags[2] == "history_assets:retention:CRM:2026-11-22"
    assert warehouse.find_clone("CRM", DATE) is None


@pytest.mark.parametrize("step", ["CREATE", "SHOW TABLES", "ALTER SCHEMA", "GRANT"])
def test_a_failed_second_clone_leaves_the_first(make: Make, sessions: RecordingSessions, step: str) -> None:
    warehouse = make(clone_readers=("ANALYST",))
    first = warehouse.clone("CRM", DATE, no_log)
    sessions.fail(step, refused(3001, "SQL access control error: Insufficient privileges"))

    with pytest.raises(CloneError, match="Insufficient privileges"):
        warehouse.clone("CRM", DATE, no_log, replace=True)

    assert warehouse.find_clone("CRM", DATE) == first
    assert sorted(sessions.databases["CLONES"]) == [CLONE, "INFORMATION_SCHEMA"]


def test_a_table_that_the_clone_lacks_is_an_error(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    """Snowflake leaves out in silence what the role may not read; it must never look like a deletion."""
    sessions.hidden = {"ACCOUNT"}

    with pytest.raises(CloneError) as refusal:
        warehouse.clone("CRM", DATE, no_log)

    assert str(refusal.value) == (
        "cannot clone CRM as it was at 2026-11-22 00:00:00 UTC, because the clone lacks ACCOUNT, which raw has: "
        'run GRANT SELECT ON ALL TABLES IN SCHEMA "RAW"."CRM" TO ROLE HISTORIAN, '
        "and see that their DATA_RETENTION_TIME_IN_DAYS reaches back that far"
    )
    assert sorted(sessions.databases["CLONES"]) == ["INFORMATION_SCHEMA"]


def test_a_table_made_after_the_quiet_point_is_not_missed(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    sessions.hidden = {"NEW", "V", "HYBRID"}
    sessions.databases["RAW"]["CRM"]["tables"] += [
        table("NEW", created_on=CUTOFF + dt.timedelta(seconds=1)),
        table("V", kind="VIEW"),
        table("HYBRID", is_hybrid="Y"),
    ]

    assert warehouse.clone("CRM", DATE, no_log).tables == 2

    sessions.databases["RAW"]["CRM"]["tables"][2]["created_on"] = CUTOFF
    with pytest.raises(CloneError, match="the clone lacks NEW, which raw has"):
        warehouse.clone("CRM", DATE, no_log, replace=True)


@pytest.mark.parametrize(
    ("number", "said", "remedy"),
    [
        (707, BEYOND, 'clone a newer date; for those to come, raise DATA_RETENTION_TIME_IN_DAYS of "RAW"."CRM" and its tables'),
        (
            2003,
            NOT_THEN,
            'clone a date on which "RAW"."CRM" was there, or, if it was, run GRANT USAGE ON SCHEMA "RAW"."CRM" TO',
        ),
        (3001, "Insufficient privileges to operate on database 'CLONES'", 'run GRANT CREATE SCHEMA ON DATABASE "CLONES" TO'),
        (
            2120,
            "Transient object cannot be cloned to a permanent object.",
            "its tables are transient, so set HISTORY_TRANSIENT_CLONES=true",
        ),
        (904, "invalid identifier", "clone the date again"),
    ],
)
def test_a_refused_clone_says_what_to_do(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions, number: int, said: str, remedy: str
) -> None:
    sessions.fail("CREATE", refused(number, said))

    with pytest.raises(CloneError) as refusal:
        warehouse.clone("CRM", DATE, no_log)

    assert str(refusal.value).startswith(f"cannot clone CRM as it was at 2026-11-22 00:00:00 UTC, because {said}: {remedy}")
    assert "\n" not in str(refusal.value)
    assert f'DROP SCHEMA IF EXISTS "CLONES"."{BUILDING}" CASCADE' in sessions.texts
    assert sum(text.startswith("CREATE") for text in sessions.texts) == 1


@pytest.mark.parametrize("chance", [refused(2002, "Object 'T_SALES' already exists."), network()])
def test_a_race_and_a_lost_connection_are_tried_again(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions, chance: Exception
) -> None:
    sessions.fail("CREATE", chance, times=2)

    assert warehouse.clone("CRM", DATE, no_log).tables == 2
    steps = [text.split(" ")[0] for text in sessions.texts]
    assert steps == ["SHOW", "SHOW", "CREATE", "DROP", "CREATE", "DROP", "CREATE", "SHOW", "ALTER", "ALTER"]

    sessions.fail("CREATE", chance, times=4)
    with pytest.raises(CloneError, match="cannot clone CRM"):
        warehouse.clone("CRM", DATE, no_log, replace=True)


def test_what_a_killed_clone_left_is_swept(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    left = f"{CLONE}__BUILDING_deadbeef"
    sessions.databases["CLONES"] |= {name: {"comment": "", "tables": []} for name in (left, "CRM__202611220")}

    warehouse.clone("CRM", DATE, no_log)

    assert sorted(sessions.databases["CLONES"]) == [CLONE, "CRM__202611220", "INFORMATION_SCHEMA"]


def test_whoever_clones_the_same_first_is_believed(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    made: list[Clone] = []

    def meanwhile() -> None:
        made.append(SnowflakeWarehouse(warehouse.settings, sessions, lambda: "ffffffff-0").clone("CRM", DATE, no_log))  # type: ignore[arg-type]

    assert warehouse.clone("CRM", DATE, meanwhile) == made[0]
    assert sorted(sessions.databases["CLONES"]) == [CLONE, "INFORMATION_SCHEMA"]


def test_a_schema_that_does_not_say_what_it_is_is_never_touched(
    warehouse: SnowflakeWarehouse, sessions: RecordingSessions
) -> None:
    sessions.databases["CLONES"][CLONE] = {"comment": "mine", "tables": []}

    for replace in (False, True):
        with pytest.raises(WarehouseError, match="without the comment that says which clone it is: drop or rename it"):
            warehouse.clone("CRM", DATE, no_log, replace=replace)
    assert warehouse.clone_dates() == {}
    assert {pair: type(each) for pair, each in warehouse.find_clones(["CRM", "SHOP"], [DATE]).items()} == {
        ("CRM", DATE): WarehouseError
    }
    assert {text.split(" ")[0] for text in sessions.texts} == {"SHOW"}


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


def test_the_state_of_many_nights_is_one_listing(warehouse: SnowflakeWarehouse, sessions: RecordingSessions) -> None:
    warehouse.clone("CRM", DATE, no_log)
    sessions.sent.clear()

    _, nights = recent(warehouse, DATE, 30)

    assert str(nights["CRM"][-1]) == "cloned"
    assert sum("CLONES" in text for text in sessions.texts) == 2
    # Its ledger: of the nights that are shown, and whether there were any before.
    assert sum(statement.compute for statement in sessions.sent) == 2


def test_dates_are_ordered_and_clones_of_other_dates_are_not_mixed_up(warehouse: SnowflakeWarehouse) -> None:
    dates = [DATE, DATE - dt.timedelta(days=1), DATE + dt.timedelta(days=1)]
    for date in dates:
        warehouse.clone("CRM", date, no_log)

    assert warehouse.clone_dates() == {"CRM": sorted(dates)}
    assert LONG_AGO < CUTOFF
    assert set(warehouse.find_clones(["CRM"], dates[:2])) == {("CRM", date) for date in dates[:2]}
