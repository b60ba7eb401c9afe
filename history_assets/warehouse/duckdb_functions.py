"""The functions and views beside histories on the embedded engine, over a connection that may write ``history.duckdb``.

Belongs here: DuckDB's words for them. Does not belong here: what they show (``functions_sql``).

A table macro puts together the text of a query, once its arguments are known: so it shows just the columns that the day had,
and takes no more than constants. It names the database as the file does, ``history``, whoever attaches it.
"""

from collections.abc import Collection, Iterator, Sequence

import duckdb

from history_assets.naming import quote, quote_literal, table_name
from history_assets.warehouse import functions_sql
from history_assets.warehouse.duckdb_files import has_table
from history_assets.warehouse.duckdb_history import DIALECT
from history_assets.warehouse.functions_sql import Offer, current, in_the_way, is_there, night_of, no_view, shown
from history_assets.warehouse.values import LEDGER_SCHEMA, Applied

_DIGESTS = f"{quote(LEDGER_SCHEMA)}.functions"
_NIGHT, _QUERY = (LEDGER_SCHEMA, "cutoff_of"), (LEDGER_SCHEMA, "query_of")
"""What all functions share."""


def stale(connection: duckdb.DuckDBPyConnection, ledger: Collection[Applied]) -> list[Offer]:
    """Return what is not yet there, or not as it is to be."""
    written: dict[tuple[str, str], str] = {}
    if has_table(connection, LEDGER_SCHEMA, "functions"):
        rows = connection.execute(f"select schema_name, table_name, digest from {_DIGESTS}").fetchall()
        written = {(schema, table): digest for schema, table, digest in rows}
    return functions_sql.stale(DIALECT, ledger, written)


def write(connection: duckdb.DuckDBPyConnection, wanted: Sequence[Offer]) -> list[str]:
    """Write functions and views, each table's or none of it, and return what there is to be said of them."""
    connection.execute(
        f"create table if not exists {_DIGESTS} (schema_name varchar, table_name varchar, digest varchar, "
        "primary key (schema_name, table_name))"
    )
    for statement in shared(_database(connection)):
        connection.execute(statement)
    said = []
    for offer in wanted:
        connection.execute("begin")
        try:
            connection.execute(function(offer, _database(connection)))
            if offer.has_view:
                connection.execute(view(offer, _database(connection)))
            else:
                said.append(no_view(offer))
            connection.execute(f"insert or replace into {_DIGESTS} values (?, ?, ?)", [offer.schema, offer.table, offer.digest])
            connection.execute("commit")
        except duckdb.Error as error:
            connection.execute("rollback")
            name = table_name(offer.schema, offer.table)
            said.append(f"cannot write the function and the view of {name}, because {str(error).splitlines()[0]}")
    return said


def make_room(connection: duckdb.DuckDBPyConnection, ledger: Collection[Applied], tables: Collection[tuple[str, str]]) -> None:
    """Drop the views whose names tables are to have that come for the first time."""
    for schema, table in in_the_way(DIALECT, ledger, tables):
        view = Offer(schema, table, (), {}, True).view
        found = connection.execute(
            "select 1 from duckdb_views() where database_name = current_database() and schema_name = ? "
            "and lower(view_name) = lower(?)",
            [schema, view],
        ).fetchone()
        if found:
            connection.execute(f"drop view {quote(schema)}.{quote(view)}")
            connection.execute(f"delete from {_DIGESTS} where schema_name = ? and table_name = ?", [schema, table])


def shared(database: str) -> Iterator[str]:
    """Yield the statements that make what all functions share: a night's cutoff, and the text of a query of its rows.

    What each function has of its own is read whenever the file is opened, and so is short.
    """
    schema, table, day = "its_schema", "its_table", "its_day"
    said = f"' in the history of ' || {schema} || '.' || {table} || ': the nearest that it holds are '"
    night = night_of(schema, table, said, _path(database, LEDGER_SCHEMA, "applied"), day, "error({})")
    yield f"create or replace macro {_path(database, *_NIGHT)}({schema}, {table}, {day}) as ({night})"
    names = " || ', ' || ".join(f"'''' || replace({name}, '''', '''''') || ''''" for name in (schema, table))
    cutoff = f"{quote_literal(_path(database, *_NIGHT))} || '(' || {names} || ', date ''' || {day} || ''')'"
    rows = f"'h.dbt_valid_from <= ' || {cutoff} || ' and (h.dbt_valid_to is null or h.dbt_valid_to > ' || {cutoff} || ')'"
    wrong = f"'found ' || {day} || ' where a clone date was expected: write it as YYYY-MM-DD, for example 2026-11-22'"
    yield (
        f"create or replace macro {_path(database, *_QUERY)}(chosen, {schema}, {table}, {day}) as case "
        f"when regexp_full_match(cast({day} as varchar), '\\d{{4}}-\\d{{2}}-\\d{{2}}') then chosen || {rows} "
        f"else error({wrong}) end"
    )


def function(offer: Offer, database: str) -> str:
    """Return the statement that makes a table's function."""
    table = _path(database, offer.schema, offer.table)
    texts = []
    for night in offer.sets:
        text = quote_literal(f"select {shown(DIALECT, offer, night)} from {table} as h where ")
        there = is_there(DIALECT, offer, night)
        texts.append(
            text if there is None else f"{text} || case when deleted then '' else {quote_literal(f'{there} and ')} end"
        )
    later = [
        f"when cast(day as date) >= date '{night.date}' then {text}"
        for night, text in list(zip(offer.sets, texts, strict=True))[:0:-1]
    ]
    chosen = f"case {' '.join(later)} else {texts[0]} end" if later else texts[0]
    names = ", ".join(map(quote_literal, (offer.schema, offer.table)))
    return (
        f"create or replace macro {_path(database, offer.schema, offer.function)}(day, deleted := false) as table "
        f"from query({_path(database, *_QUERY)}({chosen}, {names}, day))"
    )


def view(offer: Offer, database: str) -> str:
    """Return the statement that makes a table's view."""
    rows = current(DIALECT, offer, _path(database, offer.schema, offer.table))
    return f"create or replace view {_path(database, offer.schema, offer.view)} as {rows}"


def _database(connection: duckdb.DuckDBPyConnection) -> str:
    ((name,),) = connection.execute("select current_database()").fetchall()
    return str(name)


def _path(*names: str) -> str:
    return ".".join(map(quote, names))
