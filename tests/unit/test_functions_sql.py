"""What is offered beside a history in SQL, and when it is written anew."""

import dataclasses
import datetime as dt

import duckdb
import pytest
import sqlglot

from history_assets.warehouse import duckdb_functions, snowflake_functions
from history_assets.warehouse.duckdb_history import DIALECT
from history_assets.warehouse.functions_sql import in_the_way, offers, suffixed
from history_assets.warehouse.snowflake_sql import DIALECT as SNOWFLAKE
from history_assets.warehouse.statements import Statement
from history_assets.warehouse.values import Applied, AppliedColumn, Status
from tests.warehouse.recording import RecordingSessions, Rows

ODD = "it's \\ date '#'"


class Accepting(RecordingSessions):
    """Sessions that take any statement, and have nothing to say."""

    def _once(self, statement: Statement, query_tag: str) -> Rows:
        self.sent.append(statement)
        return []


def applied(day: int, *columns: str, table: str = "account", kind: str = "INTEGER", status: Status = Status.APPLIED) -> Applied:
    moment = dt.datetime(2026, 10, day, tzinfo=dt.UTC)
    typed = tuple(AppliedColumn(name, kind, kind) for name in columns)
    rest = ("id", moment, moment, 0, 0, 0, typed, (), status, None, "UTC", "00:00")
    return Applied("crm", table, moment.date(), *rest)


def digest(*ledger: Applied) -> str:
    (offer,) = offers(DIALECT, ledger)
    return offer.digest


def test_a_night_with_the_same_columns_writes_nothing() -> None:
    first, second = applied(1, "a"), applied(3, "a", "b")
    once = digest(first, second)

    assert digest(second, first, applied(2, "a"), applied(4, "a", "b"), applied(5)) == once
    assert digest(first, second, applied(4, "c", status=Status.QUARANTINED)) == once


@pytest.mark.parametrize(
    "late",
    [applied(2, "a", "b"), applied(4, "a"), applied(1, "b"), applied(4, "a", "b", kind="VARCHAR"), applied(2, "b", "a")],
)
def test_a_change_of_columns_writes_anew(late: Applied) -> None:
    ledger = [applied(1, "a"), applied(3, "a", "b")]

    assert digest(*(row for row in ledger if row.date != late.date), late) != digest(*ledger)


def test_names_follow_their_tables_case() -> None:
    names = ("account", "ACCOUNT", "Account", "1", "ключ", "КЛЮЧ")

    assert [suffixed(name, "_as_of")[len(name) :] for name in names] == [
        "_as_of",
        "_AS_OF",
        "_as_of",
        "_as_of",
        "_as_of",
        "_AS_OF",
    ]


def test_a_table_that_has_a_views_name_is_in_its_way() -> None:
    ledger = [applied(1, "a"), applied(1, "a", table="account_current")]
    new = [("crm", "ACCOUNT_CURRENT"), ("crm", "account"), ("other", "account_current")]

    assert [(offer.table, offer.has_view) for offer in offers(DIALECT, ledger)] == [
        ("account", False),
        ("account_current", True),
    ]
    assert in_the_way(DIALECT, ledger[:1], new) == [("crm", "account")]
    assert in_the_way(SNOWFLAKE, ledger[:1], new) == []
    assert in_the_way(DIALECT, ledger, [("crm", "account_current")]) == []


def test_snowflakes_functions_are_its_sql() -> None:
    """Columns are told from arguments of the same name, and names stay what they are inside of the body's quotes."""
    (offer,) = offers(SNOWFLAKE, [applied(1, "DAY", "deleted", ODD, kind="NUMBER(10,0)", table=ODD)])
    made = [snowflake_functions.function(offer, "HISTORY"), snowflake_functions.view(offer, "HISTORY")]

    parsed = [sqlglot.parse_one(text, dialect="snowflake") for text in made]
    body = sqlglot.parse_one(parsed[0].expression.name, dialect="snowflake")

    assert [type(tree) for tree in parsed] == [sqlglot.exp.Create] * 2
    assert [column.sql() for column in body.expressions] == [
        'CAST(h."DAY" AS DECIMAL(38, 0))',
        'CAST(h."deleted" AS DECIMAL(38, 0))',
        f'CAST(h."{ODD}" AS DECIMAL(38, 0))',
    ]
    assert ODD in [literal.name for literal in body.find_all(sqlglot.exp.Literal)]


def test_a_table_of_more_columns_than_a_function_returns_gets_none_on_snowflake() -> None:
    names = [f"c{number}" for number in range(501)]
    sessions = Accepting({})
    wide, fitting = applied(1, *names, table="wide"), applied(1, *names[:500], table="fitting")

    assert snowflake_functions.keep(sessions, "HISTORY", [wide, fitting], threads=1) == [  # type: ignore[arg-type]
        "found 501 columns in crm.wide, more than the 500 that a function of Snowflake's returns: "
        "it gets no wide_as_of, read it by History.as_of or history-assets as-of"
    ]
    made = [text.split("(")[0].split(" COPY")[0] for text in sessions.texts if text.startswith("CREATE")]
    assert made == [
        'CREATE OR REPLACE FUNCTION "HISTORY"."crm"."fitting_as_of"',
        'CREATE OR REPLACE VIEW "HISTORY"."crm"."fitting_current"',
        'CREATE OR REPLACE VIEW "HISTORY"."crm"."wide_current"',
    ]


def test_what_is_as_it_is_to_be_costs_one_statement_on_snowflake() -> None:
    ledger = [applied(1, "a"), applied(1, "a", table="contact")]
    sessions = RecordingSessions({})
    sessions.selected = lambda _: [
        {"SCHEMA_NAME": offer.schema, "TABLE_NAME": offer.table, "DIGEST": offer.digest} for offer in offers(SNOWFLAKE, ledger)
    ]

    assert snowflake_functions.keep(sessions, "HISTORY", ledger, threads=1) == []  # type: ignore[arg-type]
    assert len(sessions.sent) == 1


def test_duckdbs_function_takes_names_as_they_are() -> None:
    row = applied(1, ODD, 'qu"ote', table=ODD)
    marker = AppliedColumn("_fivetran_deleted", "BOOLEAN", "BOOLEAN")
    (offer,) = offers(DIALECT, [dataclasses.replace(row, columns=(*row.columns, marker))])
    with duckdb.connect() as connection:
        connection.execute("create schema crm; create schema _history_assets")
        connection.execute(
            "create table _history_assets.applied as select 'crm' as schema_name, $1 as table_name, "
            "date '2026-10-01' as clone_date, timestamp '2026-10-01' as cutoff, 'applied' as status, '[1]' as columns",
            [ODD],
        )
        connection.execute(
            f'create table crm."{ODD}" as select 1 as "{ODD}", 2 as "qu""ote", true as _fivetran_deleted, '
            "timestamp '2026-10-01' as dbt_valid_from, null::timestamp as dbt_valid_to"
        )
        for statement in duckdb_functions.shared("memory"):
            connection.execute(statement)
        connection.execute(duckdb_functions.function(offer, "memory"))
        called = f'crm."{ODD}_as_of"'

        assert connection.execute(f"from {called}(?)", ["2026-10-01"]).fetchall() == []
        assert connection.execute(f"from {called}(date '2026-10-01', deleted := true)").fetchall() == [(1, 2, True)]
        with pytest.raises(duckdb.Error, match="write it as YYYY-MM-DD"):
            connection.execute(f"from {called}('2026-10-01 12:00')")
        with pytest.raises(duckdb.Error, match=r"found no night 2026-10-02 .* the nearest that it holds are 2026-10-01"):
            connection.execute(f"from {called}('2026-10-02')").fetchall()
