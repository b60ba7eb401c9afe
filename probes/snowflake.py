"""Asks a real Snowflake account what its documentation leaves open, and prints what it saw; a person runs it, CI does not.

    python -m probes.snowflake [QUESTION …]

It logs in as ``history-assets doctor`` does, works in schemas of its own in HISTORY_CLONE_DATABASE, and drops them at the end.
Belongs here: one function per question. Does not belong here: anything that the project relies on.
"""

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from history_assets.errors import HistoryError
from history_assets.settings import Settings
from history_assets.warehouse import snowflake_sql
from history_assets.warehouse.snowflake_session import Sessions, credentials, tag
from history_assets.warehouse.snowflake_sql import path
from history_assets.warehouse.statements import Statement

Rows = list[dict[str, Any]]


class Account:
    """A login, and a scratch schema to work in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.sessions = Sessions(settings)
        self.database = settings.clone_database
        self.scratch = f"PROBE_{uuid.uuid4().hex[:8]}".upper()
        self.clone = f"{self.scratch}_CLONE"

    def run(self, text: str, *, compute: bool = False) -> Rows:
        """Run a statement, by default in a session without a warehouse."""
        return self.sessions.rows(Statement(text, compute=compute), tag("probe", self.scratch))

    def name(self, table: str, schema: str | None = None) -> str:
        """Return a table of the scratch schema as SQL refers to it."""
        return path(self.database, schema or self.scratch, table)

    def now(self) -> str:
        """Return the account's own time, a little after all that was done so far."""
        time.sleep(2)
        return str(self.run("select to_varchar(current_timestamp(), 'YYYY-MM-DD HH24:MI:SS.FF6 TZH:TZM') as t")[0]["T"])

    def clone_at(self, moment: str) -> None:
        """Clone the scratch schema as it was then."""
        self.run(
            f"CREATE TRANSIENT SCHEMA {path(self.database, self.clone)} CLONE {path(self.database, self.scratch)} "
            f"AT (TIMESTAMP => '{moment}'::TIMESTAMP_TZ) IGNORE HYBRID TABLES DATA_RETENTION_TIME_IN_DAYS = 0"
        )

    def tables(self, schema: str) -> dict[str, dict[str, Any]]:
        """Return what SHOW TABLES says, by name."""
        return {row["name"]: row for row in self.run(snowflake_sql.show_tables(self.database, schema).text)}


def transient_clone_of_a_permanent_schema(account: Account) -> Iterator[str]:
    """May a permanent schema be cloned to a transient one, without a warehouse, and what do its tables become?"""
    account.run(f"CREATE TABLE {account.name('T')} (id NUMBER PRIMARY KEY, v VARIANT)")
    account.clone_at(account.now())
    (found,) = account.tables(account.clone).values()
    shown = ("kind", "owner", "retention_time", "created_on")
    yield ", ".join(f"{name}={found.get(name)}" for name in shown)
    keys = account.run(f"SHOW PRIMARY KEYS IN SCHEMA {path(account.database, account.clone)}")
    yield f"primary keys of the clone: {[row['column_name'] for row in keys]}"


def what_was_dropped_since(account: Account) -> Iterator[str]:
    """Does a clone of a past instant hold a table that was dropped since, and one that was replaced?"""
    for table in ("DROPPED", "REPLACED"):
        account.run(f"CREATE TABLE {account.name(table)} (old NUMBER)")
    moment = account.now()
    account.run(f"DROP TABLE {account.name('DROPPED')}")
    account.run(f"CREATE OR REPLACE TABLE {account.name('REPLACED')} (new NUMBER)")
    account.clone_at(moment)
    yield f"the clone holds {sorted(account.tables(account.clone))}"
    columns = account.run(f"SHOW COLUMNS IN SCHEMA {path(account.database, account.clone)}")
    yield f"with the columns {[(row['table_name'], row['column_name']) for row in columns]}"


def columns_of_a_past_clone(account: Account) -> Iterator[str]:
    """Has a clone of a past instant the columns of then, or those of now?"""
    account.run(f"CREATE TABLE {account.name('T')} (then_there NUMBER, dropped_since NUMBER)")
    moment = account.now()
    account.run(f"ALTER TABLE {account.name('T')} ADD COLUMN added_since NUMBER")
    account.run(f"ALTER TABLE {account.name('T')} DROP COLUMN dropped_since")
    account.clone_at(moment)
    columns = account.run(f"SHOW COLUMNS IN SCHEMA {path(account.database, account.clone)}")
    yield f"columns: {[row['column_name'] for row in columns]}"


def types_as_show_columns_says_them(account: Account) -> Iterator[str]:
    """How does SHOW COLUMNS describe each type, and in which order does it list columns?"""
    types = ("NUMBER(12,2)", "FLOAT", "BOOLEAN", "DATE", "TIME", "TIMESTAMP_NTZ", "TIMESTAMP_TZ(3)", "VARCHAR(9)", "BINARY")
    more = ("VARIANT", "OBJECT", "ARRAY", "GEOGRAPHY", "GEOMETRY", "VECTOR(FLOAT, 3)")
    columns = ", ".join(f"c{number:02} {kind}" for number, kind in reversed(list(enumerate(types + more))))
    account.run(f"CREATE TABLE {account.name('T')} ({columns})")
    for row in account.run(f"SHOW COLUMNS IN TABLE {account.name('T')}"):
        yield f"{row['column_name']} {row['data_type']} -> {snowflake_sql.type_of(row['data_type'])}"


def equality_of_semi_structured_values(account: Account) -> Iterator[str]:
    """Do GROUP BY, IS DISTINCT FROM and INTERSECT take VARIANT, OBJECT and ARRAY, and what is equal to what?"""
    pairs = ("parse_json('1') | parse_json('1.0')", "parse_json('null') | null", "parse_json('1') | parse_json('\"1\"')")
    objects = 'parse_json(\'{"a":1,"b":2}\') | parse_json(\'{"b":2,"a":1}\')'
    for pair in (*pairs, objects):
        one, other = pair.split(" | ")
        values = f"(select {one} as v union all select {other}) as pair"
        for question in (
            f"select count(*) as n from (select v from {values} group by v)",
            f"select {one} is not distinct from {other} as n",
            f"select count(*) as n from (select {one} as v intersect select {other}) as met",
        ):
            yield f"{question}: {account.run(question, compute=True)[0]['N']}"


def what_fivetran_lands(account: Account) -> Iterator[str]:
    """Are Fivetran's tables permanent, and how long is their Time Travel?"""
    raw = account.settings.raw_database
    for row in account.run(snowflake_sql.show_all_tables(raw).text)[:20]:
        yield f"{row['schema_name']}.{row['name']}: {row['kind']}, retention {row.get('retention_time')}"


def a_dynamic_table_in_a_clone(account: Account) -> Iterator[str]:
    """What becomes of a dynamic table when its schema is cloned?"""
    warehouse = account.settings.snowflake.warehouse if account.settings.snowflake else ""
    account.run(f"CREATE TABLE {account.name('T')} (id NUMBER) CHANGE_TRACKING = TRUE")
    account.run(
        f"CREATE DYNAMIC TABLE {account.name('D')} TARGET_LAG = '1 day' WAREHOUSE = {warehouse} "
        f"AS SELECT id FROM {account.name('T')}",
        compute=True,
    )
    account.clone_at(account.now())
    for name, row in account.tables(account.clone).items():
        yield f"{name}: kind={row['kind']}, is_dynamic={row.get('is_dynamic')}"


def the_query_tag(account: Account) -> Iterator[str]:
    """Does a tag that is sent with a statement show in the query history?"""
    text = (
        "select distinct query_tag as t from table(information_schema.query_history_by_session()) where query_tag <> '' limit 5"
    )
    account.run(f"use database {path(account.settings.database)}", compute=True)
    yield f"tags: {[row['T'] for row in account.run(text, compute=True)]}"


QUESTIONS: tuple[Callable[[Account], Iterator[str]], ...] = (
    transient_clone_of_a_permanent_schema,
    what_was_dropped_since,
    columns_of_a_past_clone,
    types_as_show_columns_says_them,
    equality_of_semi_structured_values,
    what_fivetran_lands,
    a_dynamic_table_in_a_clone,
    the_query_tag,
)


def ask(question: Callable[[Account], Iterator[str]], settings: Settings) -> None:
    """Print a question and what the account answers; what it refuses is an answer too."""
    print(f"\n{question.__name__}: {question.__doc__}")
    account = Account(settings)
    try:
        # A day of Time Travel, which the scratch schema needs in order to be cloned as it was.
        account.run(f"CREATE SCHEMA {path(account.database, account.scratch)} DATA_RETENTION_TIME_IN_DAYS = 1")
        for line in question(account):
            print(f"  {line}")
    except HistoryError as error:
        print(f"  refused: {error}")
    finally:
        try:
            for schema in (account.clone, account.scratch):
                account.run(snowflake_sql.drop_schema(account.database, schema).text)
        except HistoryError as error:
            print(f"  left behind {account.scratch}: {error}")
        account.sessions.close()


def main() -> None:
    """Ask the questions that are named, or all."""
    try:
        settings = Settings.from_env()
        credentials(settings)
    except HistoryError as error:
        sys.exit(f"error: {error}")
    for question in QUESTIONS:
        if not sys.argv[1:] or question.__name__ in sys.argv[1:]:
            ask(question, settings)


if __name__ == "__main__":
    main()
