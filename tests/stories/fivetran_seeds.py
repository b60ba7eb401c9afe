"""Real landing schemas: the seeds of Fivetran's own dbt packages, and what a connector's sync does to them.

Belongs here: loading the seeds into raw, and verbs that hide the SQL of a sync. Does not belong here: any night's story.
"""

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from history_assets.naming import quote, quote_literal
from tests.landing import Landing

SEEDS = Path(__file__).parents[2].parent / "shared" / "data" / "fivetran"

SCHEMAS = ("salesforce", "zendesk")

KEYS = {
    "salesforce": {
        "account": ("id",),
        "account_history": ("id", "_fivetran_start"),
        "contact": ("id",),
        "lead": ("id",),
        "opportunity": ("id",),
        "order": ("id",),
        "user": ("id",),
        "user_role": ("id",),
    },
    "zendesk": {
        "group": ("id",),
        "organization": ("id",),
        "sla_policy_metric_history": ("sla_policy_id", "metric", "priority", "sla_policy_updated_at"),
        "ticket": ("id",),
        "ticket_form_history": ("id", "updated_at"),
        "user": ("id",),
        "user_snowflake": ("id",),
    },
}
"""Keys to declare. The other tables have none; some cannot: ticket_field_history, ticket_tag and organization_tag hold
duplicate rows."""

Row = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Seen:
    """What a table looked like: its columns with their types, and its rows but for ``_fivetran_synced``, sorted."""

    columns: pa.Schema
    rows: list[Row]

    @property
    def compared(self) -> list[str]:
        """The columns that the rows hold, in their order."""
        return [name for name in self.columns.names if name != "_fivetran_synced"]


def seeds(schema: str) -> dict[str, Path]:
    """Return the file of each table of a schema.

    The variants for Snowflake and Postgres stay tables of their own: their columns bear quotes and capitals in their names.
    """
    return {path.stem.removeprefix("sf_").replace("_data", "", 1): path for path in sorted((SEEDS / schema).glob("*.csv"))}


def land(landing: Landing, schema: str, at: str) -> None:
    """Load every seed of a schema as its first sync, as if at ``at``, each column typed by its values.

    A file that is not rectangular fails. In time_zone and daylight_time ``_fivetran_synced`` has a zone; ticket_chat_event has
    no such column, as a table that somebody else puts into a connector's schema.
    """
    options = "header = true, delim = ',', quote = '\"', escape = '\"', sample_size = -1"
    tables = [
        f"create table {quote(table)} as from read_csv({quote_literal(str(path))}, {options})"
        for table, path in seeds(schema).items()
    ]
    keys = [f"alter table {quote(table)} add primary key ({', '.join(map(quote, key))})" for table, key in KEYS[schema].items()]
    landing.execute(schema, at, *tables, *keys)


def look(landing: Landing) -> dict[str, Seen]:
    """Return what every table of every schema looks like now, by its name ``schema.table``."""
    seen = {}
    for schema in SCHEMAS:
        with duckdb.connect(str(landing.file(schema)), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for (table,) in connection.execute("select table_name from duckdb_tables()").fetchall():
                columns = connection.execute(f"from {quote(table)} limit 0").to_arrow_table().schema
                compared = ", ".join(quote(name) for name in columns.names if name != "_fivetran_synced")
                rows = connection.execute(f"select {compared} from {quote(table)}").fetchall()
                seen[f"{schema}.{table}"] = Seen(columns, sorted(rows, key=repr))
    return seen


@contextlib.contextmanager
def sync(landing: Landing, schema: str, at: str) -> Iterator["Sync"]:
    """Run one sync of a schema's connector, as if at ``at``, an ISO instant in UTC."""
    with duckdb.connect(str(landing.file(schema))) as connection:
        yield Sync(connection, dt.datetime.fromisoformat(at))
    landing.touch(schema, at)


class Sync:
    """What a connector writes; every row that it touches is stamped. A verb that finds no row to act on fails."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, at: dt.datetime) -> None:
        self._connection = connection
        self._at = at

    def insert(self, table: str, **values: Any) -> None:
        self._put(table, self._stamp(table) | values)

    def update(self, table: str, where: str, values: dict[str, Any]) -> None:
        values = self._stamp(table) | values
        assigned = ", ".join(f"{quote(name)} = ?" for name in values)
        self._some(f"update {quote(table)} set {assigned} where {where}", *values.values())

    def delete(self, table: str, where: str = "true") -> list[dict[str, Any]]:
        """Delete rows and return them, for ``put_back``."""
        found = self._rows(table, where)
        self._some(f"delete from {quote(table)} where {where}")
        return found

    def put_back(self, table: str, rows: Sequence[dict[str, Any]], **changes: Any) -> None:
        for row in rows:
            self._put(table, row | self._stamp(table) | changes)

    def add_copy(self, table: str, where: str) -> None:
        """Add one more copy of a row."""
        self._put(table, self._rows(table, where)[0])

    def drop_copy(self, table: str, where: str) -> None:
        """Remove one copy of a row that has several."""
        self._some(f"delete from {quote(table)} where rowid = (select max(rowid) from {quote(table)} where {where})")

    def resync(self, table: str) -> None:
        """Write every row again as it is."""
        self.update(table, "true", {})

    def add_column(self, table: str, column: str, kind: str) -> None:
        self._connection.execute(f"alter table {quote(table)} add column {quote(column)} {kind}")

    def drop_column(self, table: str, column: str) -> None:
        self._connection.execute(f"alter table {quote(table)} drop column {quote(column)}")

    def create(self, table: str, columns: str) -> None:
        self._connection.execute(f"create table {quote(table)} ({columns}, _fivetran_synced timestamp)")

    def _stamp(self, table: str) -> dict[str, Any]:
        names = {row[0] for row in self._connection.execute(f"describe {quote(table)}").fetchall()}
        return {name: self._at for name in ("_fivetran_synced",) if name in names}

    def _rows(self, table: str, where: str) -> list[dict[str, Any]]:
        result = self._connection.execute(f"from {quote(table)} where {where}")
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]

    def _put(self, table: str, values: dict[str, Any]) -> None:
        names, marks = ", ".join(map(quote, values)), ", ".join("?" * len(values))
        self._some(f"insert into {quote(table)} ({names}) values ({marks})", *values.values())

    def _some(self, statement: str, *values: Any) -> None:
        found = self._connection.execute(statement, list(values)).fetchone()
        assert found, statement
        assert found[0] > 0, f"found no row to act on: {statement}"
