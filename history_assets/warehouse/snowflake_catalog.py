"""What there is in the databases on Snowflake, as SHOW tells of it page by page, without a warehouse.

Belongs here: schemas, tables, columns and keys of any of the three databases. Does not belong here: the statements and what
their words mean (``snowflake_sql``), or what a schema's comment says of a clone (``snowflake_clones``).
"""

import collections
import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import Any

from history_assets.errors import WarehouseError
from history_assets.inventory import Column, Schema, make_table, shared_column
from history_assets.naming import quote, table_name
from history_assets.settings import Settings
from history_assets.warehouse import snowflake_sql
from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError
from history_assets.warehouse.snowflake_session import Sessions, tag
from history_assets.warehouse.statements import Statement

Rows = list[dict[str, Any]]
"""What a SHOW says, by the names of its columns."""


class Catalog:
    """What there is in a database, as far as the role may see it."""

    def __init__(self, settings: Settings, sessions: Sessions) -> None:
        self.settings = settings
        self.sessions = sessions

    def schema_names(self, database: str, query_tag: str) -> list[str]:
        """Return the names of a database's schemas."""
        return [row["name"] for row in self._paged(lambda after: snowflake_sql.show_landing(database, after=after), query_tag)]

    def schemas(self, database: str, query_tag: str, *, prefix: str | None = None, like: str | None = None) -> Rows:
        """Return a database's schemas with their comments: those that begin with ``prefix``, or match ``like``."""
        return self._paged(lambda after: snowflake_sql.show_schemas(database, prefix=prefix, like=like, after=after), query_tag)

    def base_tables(self, database: str, schema: str, query_tag: str) -> Rows:
        """Return the base tables of a schema."""
        rows = self._paged(lambda after: snowflake_sql.show_tables(database, schema, after=after), query_tag)
        return [row for row in rows if snowflake_sql.is_base_table(row)]

    def all_tables(self, database: str, query_tag: str) -> Rows:
        """Return the tables of all of a database's schemas."""
        rows = self.sessions.rows(snowflake_sql.show_all_tables(database), query_tag)
        if len(rows) < snowflake_sql.PAGE:
            return rows
        # Pages go by the table's name, which says nothing across schemas.
        names = self.schema_names(database, query_tag)
        return [table for name in names for table in self.base_tables(database, name, query_tag)]

    def read(self, database: str, location: str, schema: str, query_tag: str) -> Schema:
        """Return the base tables of a schema that lies at ``location``, in three statements."""
        names = sorted(row["name"] for row in self.base_tables(database, location, query_tag))
        columns = collections.defaultdict[str, list[Column]](list)
        for row in self._unpaged(snowflake_sql.show_columns, database, location, names, query_tag):
            known = columns[row["table_name"]]
            known.append(shared_column(row["column_name"], snowflake_sql.type_of(row["data_type"]), len(known) + 1))
        keys = collections.defaultdict[str, dict[int, str]](dict)
        for row in self._unpaged(snowflake_sql.show_primary_keys, database, location, names, query_tag):
            keys[row["table_name"]][int(row["key_sequence"])] = row["column_name"]
        declared = {table: [parts[position] for position in sorted(parts)] for table, parts in keys.items()}
        made = (make_table(schema, name, columns[name], declared.get(name, ()), self.settings.keys) for name in names)
        return Schema(schema, tuple(made))

    def history_columns(self, schema: str, table: str) -> Rows:
        """Return the columns of a history; none where there is no such table."""
        statement = snowflake_sql.show_columns(self.settings.database, schema, table)
        with _unless_missing():
            return self.sessions.rows(statement, tag("columns", table_name(schema, table)))
        return []

    def all_history_columns(self, schema: str, tables: Collection[str], query_tag: str) -> dict[str, Rows]:
        """Return the columns of a schema's histories, by table; none of those that are not there."""
        found = collections.defaultdict[str, Rows](list)
        with _unless_missing():
            for row in self._unpaged(snowflake_sql.show_columns, self.settings.database, schema, tables, query_tag):
                found[row["table_name"]].append(row)
        return found

    @contextlib.contextmanager
    def expecting(self, database: str, setting: str) -> Iterator[None]:
        """Have what is missing meanwhile told as the database itself that a setting names."""
        try:
            yield
        except SnowflakeError as error:
            if error.kind is Kind.MISSING:
                raise self.no_database(database, setting) from error
            raise

    def no_database(self, name: str, setting: str) -> WarehouseError:
        """Return the error of a database that is not there, or not to be seen."""
        role = self.settings.snowflake.role if self.settings.snowflake else "the role"
        return WarehouseError(
            f"found no database {quote(name)} that {role} may see: set {setting} to its exact name, "
            f"or run GRANT USAGE ON DATABASE {quote(name)} TO ROLE {role}"
        )

    def _paged(self, show: Callable[[str | None], Statement], query_tag: str) -> Rows:
        found: dict[str, dict[str, Any]] = {}
        after: str | None = None
        while True:
            page = self.sessions.rows(show(after), query_tag)
            before = len(found)
            found |= {row["name"]: row for row in page}
            if len(page) < snowflake_sql.PAGE or len(found) == before:
                return list(found.values())
            after = page[-1]["name"]

    def _unpaged(
        self, show: Callable[..., Statement], database: str, schema: str, tables: Collection[str], query_tag: str
    ) -> Rows:
        rows = self.sessions.rows(show(database, schema), query_tag)
        if len(rows) < snowflake_sql.PAGE:
            return rows
        whole = snowflake_sql.whole_tables(rows)
        kept = [row for row in rows if row["table_name"] in whole]
        for table in sorted(set(tables) - whole):
            kept += self.sessions.rows(show(database, schema, table), query_tag)
        return kept


@contextlib.contextmanager
def _unless_missing() -> Iterator[None]:
    try:
        yield
    except SnowflakeError as error:
        if error.kind is not Kind.MISSING:
            raise
