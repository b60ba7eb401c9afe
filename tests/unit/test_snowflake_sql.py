"""Every statement that the Snowflake engine sends, word for word; and how its answers are read."""

import datetime as dt
import json
import logging

import pytest
import sqlglot
from sqlglot import expressions

from history_assets.warehouse import history_sql, ledger_sql, snowflake_log, snowflake_sql
from history_assets.warehouse.platform_log import LogNames
from history_assets.warehouse.snowflake_sql import DIALECT
from history_assets.warehouse.statements import HistoryTable, Statement, instant
from history_assets.warehouse.values import Applied, AppliedColumn, Clone, Status

DATE = dt.date(2026, 11, 22)
CUTOFF = dt.datetime(2026, 11, 22, 6, tzinfo=dt.UTC)
QUIET = dt.datetime(2026, 11, 22, 5, 30, 0, 250_000, tzinfo=dt.UTC)
CLONE = Clone("CRM", DATE, "3f2a-id", CUTOFF, QUIET, tables=3, rows=7, bytes=4096, location="CRM__20261122")
APPLIED = Applied(
    schema="CRM",
    table="ACCOUNT",
    date=DATE,
    clone_id="3f2a-id",
    cutoff=CUTOFF,
    quiet_point=QUIET,
    rows=7,
    opened=2,
    closed=1,
    columns=(
        AppliedColumn("ID", "NUMBER(38,0)", "NUMBER_0"),
        AppliedColumn("_FIVETRAN_SYNCED", "TIMESTAMP_TZ(9)", "TIMESTAMP_TZ"),
        AppliedColumn("_FIVETRAN_DELETED", "BOOLEAN", "BOOLEAN"),
    ),
    key=("ID",),
    status=Status.APPLIED,
    problem=None,
    time_zone="UTC",
    cutoff_time="06:00",
)
HISTORY = HistoryTable(
    '"HISTORY"."CRM"."ACCOUNT"',
    {
        "ID": "NUMBER(38,0)",
        "_FIVETRAN_SYNCED": "TIMESTAMP_TZ(9)",
        "_FIVETRAN_DELETED": "BOOLEAN",
        "DBT_SCD_ID": "VARCHAR",
        "DBT_VALID_FROM": "TIMESTAMP_NTZ(9)",
    },
)
LOG = LogNames(
    log="LOG",
    connection="CONNECTION",
    time="TIME_STAMP",
    event="MESSAGE_EVENT",
    data="MESSAGE_DATA",
    log_connection="CONNECTION_ID",
    connection_id="CONNECTION_ID",
    connection_name="CONNECTION_NAME",
    sync="SYNC_ID",
)
OPEN = (
    "where dbt_valid_from <= cast(? as timestamp_ntz) and "
    "coalesce(dbt_valid_to, cast('9999-12-31' as timestamp_ntz)) > cast(? as timestamp_ntz)"
)
AT_CUTOFF = ("2026-11-22 06:00:00.000000",) * 2
COUNTS, EXAMPLES = history_sql.differences(DIALECT, HISTORY, '"CLONES"."CRM__20261122"."ACCOUNT"', APPLIED)
SURPLUS = (
    "with surplus as (select v1, v2, sum(n) as rows_left from ("
    'select cast("ID" as NUMBER(38,0)) as v1, cast("_FIVETRAN_DELETED" as BOOLEAN) as v2, 1 as n '
    f'from "HISTORY"."CRM"."ACCOUNT" {OPEN} '
    'union all select "ID" as v1, "_FIVETRAN_DELETED" as v2, -1 as n from "CLONES"."CRM__20261122"."ACCOUNT") as sides '
    "group by v1, v2 having sum(n) <> 0)"
)

# What sqlglot cannot parse it takes whole, as a Command; those are right by their text alone.
UNPARSED = expressions.Command
LEDGER = snowflake_sql.ledger("HISTORY")
GOLDEN: dict[str, tuple[Statement, str, type]] = {
    "landing schemas": (
        snowflake_sql.show_landing("RAW"),
        'SHOW TERSE SCHEMAS IN DATABASE "RAW" LIMIT 10000',
        expressions.Show,
    ),
    "a further page": (
        snowflake_sql.show_landing("RAW", after="it's"),
        "SHOW TERSE SCHEMAS IN DATABASE \"RAW\" LIMIT 10000 FROM 'it''s'",
        expressions.Show,
    ),
    "a clone and its leftovers": (
        snowflake_sql.show_schemas("CLONES", prefix="CRM__20261122"),
        "SHOW SCHEMAS IN DATABASE \"CLONES\" STARTS WITH 'CRM__20261122' LIMIT 10000",
        expressions.Show,
    ),
    "a date's clones": (
        snowflake_sql.show_schemas("CLONES", like="%__20261122", after="X"),
        "SHOW SCHEMAS LIKE '%__20261122' IN DATABASE \"CLONES\" LIMIT 10000 FROM 'X'",
        expressions.Show,
    ),
    "tables": (
        snowflake_sql.show_tables("RAW", 'my "shop', after="back\\slash"),
        'SHOW TABLES IN SCHEMA "RAW"."my ""shop" LIMIT 10000 FROM \'back\\\\slash\'',
        expressions.Show,
    ),
    "every schema's tables": (
        snowflake_sql.show_all_tables("HISTORY"),
        'SHOW TABLES IN DATABASE "HISTORY" LIMIT 10000',
        expressions.Show,
    ),
    "columns": (snowflake_sql.show_columns("RAW", "CRM"), 'SHOW COLUMNS IN SCHEMA "RAW"."CRM"', expressions.Show),
    "a table's columns": (
        snowflake_sql.show_columns("RAW", "CRM", "order"),
        'SHOW COLUMNS IN TABLE "RAW"."CRM"."order"',
        expressions.Show,
    ),
    "keys": (snowflake_sql.show_primary_keys("RAW", "CRM"), 'SHOW PRIMARY KEYS IN SCHEMA "RAW"."CRM"', expressions.Show),
    "a table's key": (
        snowflake_sql.show_primary_keys("RAW", "CRM", "order"),
        'SHOW PRIMARY KEYS IN TABLE "RAW"."CRM"."order"',
        expressions.Show,
    ),
    "grants": (snowflake_sql.show_grants("HISTORIAN"), 'SHOW GRANTS TO ROLE "HISTORIAN"', UNPARSED),
    "future grants": (snowflake_sql.show_future_grants("HISTORIAN"), 'SHOW FUTURE GRANTS TO ROLE "HISTORIAN"', UNPARSED),
    "a clone": (
        snowflake_sql.create_clone(("CLONES", "CRM__B"), ("RAW", "CRM"), QUIET, '{"source": "it\'s \\"x\\""}', transient=True),
        'CREATE TRANSIENT SCHEMA "CLONES"."CRM__B" CLONE "RAW"."CRM" '
        "AT (TIMESTAMP => '2026-11-22 05:30:00.250000 +00:00'::TIMESTAMP_TZ) IGNORE HYBRID TABLES "
        """DATA_RETENTION_TIME_IN_DAYS = 0 COMMENT = '{"source": "it''s \\\\"x\\\\""}'""",
        UNPARSED,
    ),
    "a permanent clone": (
        snowflake_sql.create_clone(("CLONES", "CRM__B"), ("RAW", "CRM"), CUTOFF, "{}", transient=False),
        'CREATE SCHEMA "CLONES"."CRM__B" CLONE "RAW"."CRM" '
        "AT (TIMESTAMP => '2026-11-22 06:00:00.000000 +00:00'::TIMESTAMP_TZ) IGNORE HYBRID TABLES "
        "DATA_RETENTION_TIME_IN_DAYS = 0 COMMENT = '{}'",
        UNPARSED,
    ),
    "a comment": (
        snowflake_sql.set_comment("CLONES", "CRM__B", "{}"),
        'ALTER SCHEMA "CLONES"."CRM__B" SET COMMENT = \'{}\'',
        UNPARSED,
    ),
    "a grant": (
        snowflake_sql.grant_usage("CLONES", "CRM__B", "ANALYST"),
        'GRANT USAGE ON SCHEMA "CLONES"."CRM__B" TO ROLE "ANALYST"',
        expressions.Grant,
    ),
    "a rename": (
        snowflake_sql.rename_schema("CLONES", "CRM__B", "CRM__20261122"),
        'ALTER SCHEMA "CLONES"."CRM__B" RENAME TO "CLONES"."CRM__20261122"',
        UNPARSED,
    ),
    "a swap": (
        snowflake_sql.swap_schemas("CLONES", "CRM__20261122", "CRM__B"),
        'ALTER SCHEMA "CLONES"."CRM__20261122" SWAP WITH "CLONES"."CRM__B"',
        UNPARSED,
    ),
    "a drop": (
        snowflake_sql.drop_schema("CLONES", "CRM__B"),
        'DROP SCHEMA IF EXISTS "CLONES"."CRM__B" CASCADE',
        expressions.Drop,
    ),
    "the ledger": (
        ledger_sql.select_ledger(LEDGER, None, None, None),
        'select * from "HISTORY"."_history_assets"."applied" order by schema_name, table_name, clone_date',
        expressions.Select,
    ),
    "some of the ledger": (
        ledger_sql.select_ledger(LEDGER, {"b", "a"}, DATE, "a.t"),
        'select * from "HISTORY"."_history_assets"."applied" '
        "where schema_name in (?, ?) and clone_date between cast(? as date) and cast(? as date) "
        "and concat(schema_name, '.', table_name) = ? order by schema_name, table_name, clone_date",
        expressions.Select,
    ),
    "the nights before": (
        ledger_sql.select_applied_before(LEDGER, {"b", "a"}, DATE),
        'select * from "HISTORY"."_history_assets"."applied" where status = \'applied\' '
        "and (schema_name, table_name, cutoff) in (select schema_name, table_name, max(cutoff) "
        'from "HISTORY"."_history_assets"."applied" where status = \'applied\' and schema_name in (?, ?) '
        "and clone_date < cast(? as date) group by schema_name, table_name)",
        expressions.Select,
    ),
    "stamps": (
        snowflake_sql.select_stamps("RAW", {"b", "a"}),
        "select table_schema as schema_name, table_name, "
        "cast(convert_timezone('UTC', created) as timestamp_ntz) as created, "
        "cast(convert_timezone('UTC', last_altered) as timestamp_ntz) as altered "
        'from "RAW"."INFORMATION_SCHEMA"."TABLES" where table_type = \'BASE TABLE\' and table_schema in (?, ?)',
        expressions.Select,
    ),
    "syncs": (
        snowflake_log.select_events("RAW", "FIVETRAN_LOG", LOG, CUTOFF),
        'select l."CONNECTION_ID" as connection_id, c."CONNECTION_NAME" as connection_name, '
        'cast(l."TIME_STAMP" as timestamp_tz) as moment, l."MESSAGE_EVENT" as event, l."SYNC_ID" as sync_id, '
        'l."MESSAGE_DATA" as data from "RAW"."FIVETRAN_LOG"."LOG" l '
        'join "RAW"."FIVETRAN_LOG"."CONNECTION" c on c."CONNECTION_ID" = l."CONNECTION_ID" '
        "where l.\"MESSAGE_EVENT\" in ('sync_start', 'sync_end') and l.\"TIME_STAMP\" >= cast(? as timestamp_tz) "
        "union all select connection_id, connection_name, max(moment), 'records_modified', null, written from ("
        'select l."CONNECTION_ID" as connection_id, c."CONNECTION_NAME" as connection_name, '
        'cast(l."TIME_STAMP" as timestamp_tz) as moment, '
        "cast(get_path(try_parse_json(l.\"MESSAGE_DATA\"), 'schema') as varchar) as written "
        'from "RAW"."FIVETRAN_LOG"."LOG" l '
        'join "RAW"."FIVETRAN_LOG"."CONNECTION" c on c."CONNECTION_ID" = l."CONNECTION_ID" '
        'where l."MESSAGE_EVENT" = \'records_modified\' and l."TIME_STAMP" >= cast(? as timestamp_tz)) as writes '
        "group by connection_id, connection_name, written order by 3",
        expressions.Union,
    ),
    "a table as of a date": (
        history_sql.as_of(DIALECT, HISTORY, APPLIED, deleted=True),
        'select cast("ID" as NUMBER(38,0)) as "ID", cast("_FIVETRAN_SYNCED" as TIMESTAMP_TZ(9)) as "_FIVETRAN_SYNCED", '
        f'cast("_FIVETRAN_DELETED" as BOOLEAN) as "_FIVETRAN_DELETED" from "HISTORY"."CRM"."ACCOUNT" {OPEN}',
        expressions.Select,
    ),
    "what differs": (
        COUNTS,
        f"{SURPLUS} select coalesce(sum(case when rows_left > 0 then rows_left end), 0) as only_history, "
        "coalesce(sum(case when rows_left < 0 then -rows_left end), 0) as only_clone from surplus",
        expressions.Select,
    ),
    "examples of what differs": (
        EXAMPLES,
        f"{SURPLUS} select v1, v2 from surplus order by rows_left desc, 1 limit 5",
        expressions.Select,
    ),
    "contradictions": (
        history_sql.contradictions(DIALECT, HISTORY, snowflake_sql.ledger("HISTORY"), APPLIED, ["identifiers that rows share"]),
        'with nights as (select * from "HISTORY"."_history_assets"."applied" '
        "where schema_name = ? and table_name = ? and status = 'applied') "
        "select 'identifiers that rows share' as problem, count(*) as found from ("
        'select 1 as one from "HISTORY"."CRM"."ACCOUNT" group by dbt_scd_id having count(*) > 1) as wrong',
        expressions.Select,
    ),
    "every contradiction": (
        history_sql.contradictions(DIALECT, HISTORY, snowflake_sql.ledger("HISTORY"), APPLIED),
        "",
        expressions.Union,
    ),
}


@pytest.mark.parametrize("what", GOLDEN)
def test_a_statement_is_this_text(what: str) -> None:
    statement, text, _ = GOLDEN[what]

    assert statement.text == text or not text


@pytest.mark.parametrize("what", GOLDEN)
def test_a_statement_is_snowflakes_sql(what: str, caplog: pytest.LogCaptureFixture) -> None:
    """sqlglot's Snowflake dialect parses it, or takes it as a command that it has no grammar for."""
    statement, _, kind = GOLDEN[what]
    with caplog.at_level(logging.ERROR, "sqlglot"):
        (parsed,) = sqlglot.parse(statement.text, dialect="snowflake")

    assert type(parsed) is kind


@pytest.mark.parametrize("what", GOLDEN)
def test_only_a_query_needs_a_warehouse_and_binds_values(what: str) -> None:
    statement, _, _ = GOLDEN[what]

    assert statement.compute is statement.text.startswith(("select ", "with "))
    assert statement.text.count("?") == len(statement.values)
    assert statement.compute or statement.values == ()


def test_bound_values_are_text_in_utc() -> None:
    assert GOLDEN["some of the ledger"][0].values == ("a", "b", "2026-11-22", "2026-11-22", "a.t")
    assert GOLDEN["the nights before"][0].values == ("a", "b", "2026-11-22")
    assert GOLDEN["stamps"][0].values == ("a", "b")
    assert GOLDEN["syncs"][0].values == ("2026-11-22 06:00:00.000000 +00:00",) * 2
    assert GOLDEN["a table as of a date"][0].values == AT_CUTOFF
    assert COUNTS.values == EXAMPLES.values == AT_CUTOFF
    assert GOLDEN["contradictions"][0].values == ("CRM", "ACCOUNT")
    zone = dt.timezone(dt.timedelta(hours=-5))
    assert instant(dt.datetime(2026, 11, 22, 1, tzinfo=zone)) == "2026-11-22 06:00:00.000000"


def test_no_schema_of_the_ledger_is_none_of_it() -> None:
    assert "where schema_name in (null)" in ledger_sql.select_ledger(LEDGER, [], None, None).text


def test_deleted_rows_are_left_out_by_their_marker() -> None:
    shown = history_sql.as_of(DIALECT, HISTORY, APPLIED, deleted=True)

    assert history_sql.as_of(DIALECT, HISTORY, APPLIED, deleted=False) == Statement(
        f'select * from ({shown.text}) as found where not coalesce("_FIVETRAN_DELETED", false)', AT_CUTOFF, compute=True
    )


def test_a_stamp_of_another_type_is_read_as_far_as_it_goes() -> None:
    """TRY_CAST takes text alone on Snowflake."""
    held = HistoryTable(HISTORY.sql, dict(HISTORY.columns or {}) | {"_FIVETRAN_SYNCED": "VARCHAR"})

    assert 'try_cast(cast("_FIVETRAN_SYNCED" as varchar) as TIMESTAMP_TZ(9)) as "_FIVETRAN_SYNCED"' in (
        history_sql.as_of(DIALECT, held, APPLIED, deleted=True).text
    )


def test_names_that_differ_in_case_are_two_columns() -> None:
    held = HistoryTable(HISTORY.sql, dict(HISTORY.columns or {}) | {"id__as_NUMBER_0": "NUMBER(38,0)"})

    assert 'cast("ID" as' in history_sql.as_of(DIALECT, held, APPLIED, deleted=True).text


def test_a_clone_says_of_itself_what_it_is() -> None:
    assert json.loads(snowflake_sql.comment_of(CLONE)) == {
        "source": "CRM",
        "clone_date": "2026-11-22",
        "cutoff": "2026-11-22T06:00:00+00:00",
        "quiet_point": "2026-11-22T05:30:00.250000+00:00",
        "clone_id": "3f2a-id",
        "tables": 3,
        "rows": 7,
        "bytes": 4096,
    }
    assert snowflake_sql.clone_of("CRM__20261122", snowflake_sql.comment_of(CLONE)) == CLONE


@pytest.mark.parametrize(
    ("name", "comment"),
    [
        ("CRM__20261122", None),
        ("CRM__20261122", "not ours"),
        ("CRM__20261122", '"text"'),
        ("CRM__20261122", snowflake_sql.comment_of(CLONE, finished=False)),
        ("CRM__20261123", snowflake_sql.comment_of(CLONE)),
        ("OTHER__20261122", snowflake_sql.comment_of(CLONE)),
        ("CRM__20261122__BUILDING_3f2a-id", snowflake_sql.comment_of(CLONE)),
        ("INFORMATION_SCHEMA", "Views describing the contents of schemas in this database"),
    ],
)
def test_what_does_not_say_so_by_name_and_comment_is_no_clone(name: str, comment: str | None) -> None:
    assert snowflake_sql.clone_of(name, comment) is None


@pytest.mark.parametrize("schema", ["a__20261121", "a__b", "x__20261122__BUILDING_00000000", "ü \n", "__20261122"])
def test_any_schemas_clone_is_known_by_its_name(schema: str) -> None:
    clone = Clone(schema, DATE, "id", CUTOFF, QUIET, 0, 0, 0, snowflake_sql.clone_name(schema, DATE))

    assert snowflake_sql.clone_of(clone.location, snowflake_sql.comment_of(clone)) == clone


@pytest.mark.parametrize(
    ("described", "written"),
    [
        ('{"type":"FIXED","precision":38,"scale":0,"nullable":false}', "NUMBER(38,0)"),
        ('{"type":"FIXED","precision":12,"scale":2,"nullable":true}', "NUMBER(12,2)"),
        ('{"type":"TEXT","length":256,"byteLength":1024,"nullable":true,"fixed":false}', "VARCHAR"),
        ('{"type":"REAL","nullable":true}', "FLOAT"),
        ('{"type":"BOOLEAN","nullable":true}', "BOOLEAN"),
        ('{"type":"DATE","nullable":true}', "DATE"),
        ('{"type":"TIME","precision":0,"scale":9,"nullable":true}', "TIME(9)"),
        ('{"type":"TIMESTAMP_NTZ","precision":0,"scale":9,"nullable":true}', "TIMESTAMP_NTZ(9)"),
        ('{"type":"TIMESTAMP_TZ","precision":0,"scale":3,"nullable":true}', "TIMESTAMP_TZ(3)"),
        ('{"type":"VARIANT","nullable":true}', "VARIANT"),
        ('{"type":"BINARY","length":8388608,"byteLength":8388608,"nullable":true,"fixed":true}', "BINARY"),
        ('{"type":"GEOGRAPHY","nullable":true}', "GEOGRAPHY"),
        ('{"type":"novel","nullable":true}', "NOVEL"),
    ],
)
def test_a_type_is_written_as_ddl_writes_it(described: str, written: str) -> None:
    assert snowflake_sql.type_of(described) == written


@pytest.mark.parametrize(
    ("row", "is_base"),
    [
        ({"kind": "TABLE"}, True),
        ({"kind": "TRANSIENT", "is_dynamic": "N", "is_iceberg": "N"}, True),
        ({"kind": "TABLE", "is_iceberg": "Y"}, True),
        ({"kind": "TEMPORARY"}, False),
        ({"kind": "VIEW"}, False),
        ({"kind": "TABLE", "is_external": "Y"}, False),
        ({"kind": "TABLE", "is_hybrid": "Y"}, False),
        ({"kind": "TABLE", "is_event": "Y"}, False),
        ({"kind": "TABLE", "is_dynamic": "Y"}, False),
    ],
)
def test_only_tables_that_hold_their_own_rows_are_cloned(row: dict[str, str], is_base: bool) -> None:
    assert snowflake_sql.is_base_table(row) is is_base
