"""What Snowflake knows of its objects and DuckDB does not: dates, comments, keys, owners, retention, past states, grants."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.fakes.snowflake.errors import does_not_exist
from tests.fakes.snowflake.names import shown, stored_schema
from tests.fakes.snowflake.types import Type


@dataclass
class Key:
    """A declared primary key; Snowflake keeps it and enforces nothing."""

    name: str
    columns: list[str]
    created: dt.datetime


@dataclass
class Table:
    name: str
    created: dt.datetime
    altered: dt.datetime
    owner: str
    kind: str = "TABLE"
    transient: bool = False
    retention: int | None = None
    comment: str = ""
    key: Key | None = None
    types: dict[str, Type] = field(default_factory=dict)
    """Declared types that DuckDB's do not tell: lengths of texts, time zones of timestamps."""
    flags: frozenset[str] = frozenset()
    """``is_hybrid``, ``is_iceberg``, ``is_dynamic``, ``is_external``: tables that a clone leaves out, as far as SHOW tells."""
    view: str = ""


@dataclass
class Schema:
    database: str
    name: str
    created: dt.datetime
    owner: str
    transient: bool = False
    retention: int | None = None
    comment: str = ""
    tables: dict[str, Table] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    past: list["State"] = field(default_factory=list)

    @property
    def place(self) -> str:
        """The DuckDB schema that holds the rows."""
        return stored_schema(self.database, self.name)

    @property
    def shown(self) -> str:
        return shown(self.database, self.name)


@dataclass(frozen=True)
class State:
    """What a schema held at an instant: its tables, and the DuckDB schema with a copy of their rows."""

    at: dt.datetime
    place: str
    tables: dict[str, Table]


@dataclass
class Database:
    name: str
    created: dt.datetime
    owner: str
    transient: bool = False
    retention: int | None = None
    comment: str = ""
    schemas: dict[str, Schema] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    privilege: str
    kind: str
    """TABLE, SCHEMA, DATABASE, WAREHOUSE, ROLE, ACCOUNT …; FUTURE TABLES and the like for future ones."""
    name: str
    role: str
    at: dt.datetime


class Catalog:
    """Every object of the account."""

    def __init__(self) -> None:
        self.databases: dict[str, Database] = {}
        self.warehouses: dict[str, str] = {}
        """States by name: SUSPENDED or STARTED."""
        self.roles: list[str] = ["ACCOUNTADMIN", "SYSADMIN", "PUBLIC"]
        self.grants: list[Grant] = []
        self.hidden: set[tuple[str, str, str, str]] = set()
        """Role, database, schema, table."""

    def database(self, name: str) -> Database:
        if name not in self.databases:
            raise does_not_exist("Database", shown(name))
        return self.databases[name]

    def schema(self, database: str, name: str) -> Schema:
        schemas = self.database(database).schemas
        if name not in schemas:
            raise does_not_exist("Schema", shown(database, name))
        return schemas[name]

    def table(self, role: str, database: str, schema: str, name: str) -> Table:
        found = self.schema(database, schema).tables.get(name)
        if found is None or (role, database, schema, name) in self.hidden:
            raise does_not_exist("Object", shown(database, schema, name))
        return found

    def visible(self, role: str, schema: Schema) -> Iterator[Table]:
        """Yield the tables and views that a role may see, in the order of their names."""
        for name in sorted(schema.tables):
            if (role, schema.database, schema.name, name) not in self.hidden:
                yield schema.tables[name]

    def retention(self, schema: Schema, table: Table | None = None) -> int:
        """Return for how many days the past is kept: set on the table, else its schema, its database, the account's 1."""
        candidates = [table.retention if table else None, schema.retention, self.databases[schema.database].retention]
        days = next((value for value in candidates if value is not None), 1)
        return min(days, 1) if schema.transient or (table and table.transient) else days
