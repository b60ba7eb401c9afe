"""The functions and views beside histories on Snowflake.

Belongs here: Snowflake's words for them, and in which order they are sent. Does not belong here: what they show
(``functions_sql``).

A function's columns are fixed when it is made, whatever it is asked for: they are those of the newest night, as wide as each is
stored. A column that a day did not have is NULL in it; one that had another type then is converted, to NULL where it cannot be.
DDL carries its values as literals and needs no warehouse; what is known to be written is read and kept with one.
"""

import re
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from history_assets.naming import quote, table_name
from history_assets.warehouse.functions_sql import Offer, current, in_the_way, is_there, night_of, no_view, stale
from history_assets.warehouse.history_sql import held_in, others_held
from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError
from history_assets.warehouse.snowflake_session import Sessions, tag
from history_assets.warehouse.snowflake_sql import DIALECT, ledger, literal, path
from history_assets.warehouse.statements import Statement
from history_assets.warehouse.values import LEDGER_SCHEMA, Applied, AppliedColumn

MOST_COLUMNS = 500
"""Columns that a table function returns at most; https://docs.snowflake.com/en/developer-guide/udf/sql/udf-sql-tabular-functions."""

_AT_ONCE = 1000
_FROM_TEXT = ("NUMBER", "FLOAT", "BOOLEAN", "DATE", "TIME")


def keep(sessions: Sessions, database: str, rows: Collection[Applied], threads: int) -> list[str]:
    """Write the functions and views that are not as they are to be, and return what there is to be said of them."""
    digests, query_tag = _digests(database), tag("functions")
    try:
        found = sessions.rows(Statement(f"select schema_name, table_name, digest from {digests}", compute=True), query_tag)
    except SnowflakeError as error:
        if error.kind is not Kind.MISSING:
            raise
        found = []
    written = {(row["SCHEMA_NAME"], row["TABLE_NAME"]): row["DIGEST"] for row in found}
    wanted = stale(DIALECT, rows, written)
    if not wanted:
        return []
    sessions.rows(
        Statement(f"create table if not exists {digests} (schema_name varchar, table_name varchar, digest varchar)"), query_tag
    )
    with ThreadPoolExecutor(threads) as pool:
        failures = list(pool.map(lambda offer: _write(sessions, database, offer), wanted))
    done = [offer for offer, failure in zip(wanted, failures, strict=True) if failure is None]
    for start in range(0, len(done), _AT_ONCE):
        _note(sessions, database, done[start : start + _AT_ONCE])
    return [failure for failure in failures if failure] + [line for offer in done for line in _said(offer)]


def make_room(sessions: Sessions, database: str, rows: Collection[Applied], tables: Collection[tuple[str, str]]) -> None:
    """Drop the views whose names tables are to have that come for the first time."""
    for schema, table in in_the_way(DIALECT, rows, tables):
        offer, query_tag = Offer(schema, table, (), {}, True), tag("functions", table_name(schema, table))
        try:
            sessions.rows(Statement(f"DROP VIEW IF EXISTS {path(database, schema, offer.view)}"), query_tag)
            _forget(sessions, database, [offer])
        except SnowflakeError as error:
            if error.kind is not Kind.MISSING:  # then nothing was ever offered
                raise


def function(offer: Offer, database: str) -> str:
    """Return the statement that makes a table's function."""
    newest = offer.sets[-1]
    defined = ", ".join(f"{quote(column.name)} {_stored(column.type)}" for column in newest.columns)
    values = ", ".join(_value(offer, column) for column in newest.columns)
    there = is_there(DIALECT, offer, newest)
    # The arguments are named where no column is, lest a column of that name be taken for one.
    said = literal(f" in the history of {offer.schema}.{offer.table}: the nearest that it holds are ")
    names = literal(offer.schema), literal(offer.table), said
    night = night_of(*names, ledger(database), "asked.asked_day", "to_timestamp_ntz({})", " cross join asked")
    body = (
        f"with asked as (select day as asked_day, deleted as asked_deleted), night as ({night}) "
        f"select {values} from {path(database, offer.schema, offer.table)} as h cross join night cross join asked "
        "where h.dbt_valid_from <= night.cutoff and (h.dbt_valid_to is null or h.dbt_valid_to > night.cutoff)"
        f"{f' and (asked.asked_deleted or {there})' if there else ''}"
    )
    return (
        f"CREATE OR REPLACE FUNCTION {path(database, offer.schema, offer.function)}(day DATE, deleted BOOLEAN DEFAULT FALSE) "
        f"COPY GRANTS RETURNS TABLE ({defined}) AS {literal(body)}"
    )


def view(offer: Offer, database: str) -> str:
    """Return the statement that makes a table's view."""
    rows = current(DIALECT, offer, path(database, offer.schema, offer.table))
    return f"CREATE OR REPLACE VIEW {path(database, offer.schema, offer.view)} COPY GRANTS AS {rows}"


def _has_function(offer: Offer) -> bool:
    return len(offer.sets[-1].columns) <= MOST_COLUMNS


def _said(offer: Offer) -> list[str]:
    name, columns = table_name(offer.schema, offer.table), len(offer.sets[-1].columns)
    said = [] if offer.has_view else [no_view(offer)]
    if not _has_function(offer):
        said.append(
            f"found {columns} columns in {name}, more than the {MOST_COLUMNS} that a function of Snowflake's returns: "
            f"it gets no {offer.function}, read it by History.as_of or history-assets as-of"
        )
    return said


def _write(sessions: Sessions, database: str, offer: Offer) -> str | None:
    name = table_name(offer.schema, offer.table)
    texts = [function(offer, database)] if _has_function(offer) else []
    texts += [view(offer, database)] if offer.has_view else []
    try:
        for text in texts:
            sessions.rows(Statement(text), tag("functions", name))
    except SnowflakeError as error:
        return f"cannot write the function and the view of {name}, because {error.said}"
    return None


def _note(sessions: Sessions, database: str, offers: Sequence[Offer]) -> None:
    _forget(sessions, database, offers)
    values = tuple(value for offer in offers for value in (offer.schema, offer.table, offer.digest))
    text = f"insert into {_digests(database)} values {', '.join(['(?, ?, ?)'] * len(offers))}"
    sessions.rows(Statement(text, values, compute=True), tag("functions"))


def _forget(sessions: Sessions, database: str, offers: Sequence[Offer]) -> None:
    names = tuple(table_name(offer.schema, offer.table) for offer in offers)
    where = f"concat(schema_name, '.', table_name) in ({', '.join('?' * len(names))})"
    sessions.rows(Statement(f"delete from {_digests(database)} where {where}", names, compute=True), tag("functions"))


def _digests(database: str) -> str:
    return path(database, LEDGER_SCHEMA, "functions")


def _value(offer: Offer, column: AppliedColumn) -> str:
    kind = _stored(column.type)
    values = [f"cast(h.{quote(held_in(DIALECT, column, offer.held))} as {kind})"]
    values += [_converted(f"h.{quote(other)}", kind) for other in others_held(DIALECT, offer.sets, column, offer.held)]
    return f"coalesce({', '.join(values)})" if len(values) > 1 else values[0]


def _converted(value: str, kind: str) -> str:
    text = f"cast({value} as varchar)"
    if kind.startswith("VARCHAR"):
        return text
    if kind == "VARIANT":
        return f"to_variant({value})"
    return f"try_cast({text} as {kind})" if kind.startswith(_FROM_TEXT) else f"cast(null as {kind})"


def _stored(kind: str) -> str:
    """Return a type as wide as histories store it."""
    if number := re.fullmatch(r"NUMBER\(\d+, ?(\d+)\)", kind):
        return f"NUMBER(38,{number[1]})"
    return re.sub(r"^(TIME\w*)\(\d+\)$", r"\1(9)", kind)
