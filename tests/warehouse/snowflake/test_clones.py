"""A clone on Snowflake is whole, described and named in one go, or not there."""

import datetime as dt
import json

import pytest

from history_assets.errors import CloneError, WarehouseError
from history_assets.status import recent
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from history_assets.warehouse.values import Clone
from tests.warehouse.recording import LONG_AGO, RecordingSessions, comment, network, refused, table
from tests.warehouse.snowflake.account import BEYOND, BUILDING, CLONE, CUTOFF, DATE, NOT_THEN, Make, no_log


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
