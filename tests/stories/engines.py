"""What a story needs of an engine: to land tables, to clone and fold them, and to look at what came of it.

Tables are written once, as DuckDB defines them. Snowflake's are made of DuckDB's: the same names, exact; types that hold the
same values; the values themselves. Does not belong here: what is landed, and what must come of it.
"""

import abc
import contextlib
import datetime as dt
import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from history_assets.naming import quote
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from history_assets.warehouse.snowflake_sql import literal
from tests.fakes.snowflake.emulator import Emulator
from tests.landing import Landing
from tests.stories.account import Account

Night = Mapping[str, tuple[str, str | None]]
"""Tables of a night: the definitions of the columns but ``_fivetran_synced``, and the rows as VALUES or SELECT."""

Rows = list[tuple[Any, ...]]

NAMES = ("duckdb", "snowflake")


class Engine(abc.ABC):
    """An installation of its own, with nothing landed; ``ledger`` is where its ledger lies."""

    ledger: str

    def __init__(self, home: Path) -> None:
        self.home = home

    @abc.abstractmethod
    def settings(self, **overrides: Any) -> Settings: ...

    @abc.abstractmethod
    def warehouse(self, **overrides: Any) -> Warehouse: ...

    @abc.abstractmethod
    def land(self, schema: str, at: str, tables: Night, synced: str) -> None:
        """Make a schema hold these tables and no others, as if at an instant; every row bears a stamp of Fivetran's."""

    @abc.abstractmethod
    def histories(self, schema: str) -> list[str]:
        """Return the names of a schema's histories."""

    @abc.abstractmethod
    def history(self, schema: str, table: str) -> tuple[list[str], Rows]:
        """Return a history's columns, dbt's own in lower case, and its rows, as they are stored."""

    @abc.abstractmethod
    def query(self, sql: str) -> Rows:
        """Return the rows of a query on the history's database that any engine understands."""


class DuckDB(Engine):
    """The embedded engine, in the files of a home."""

    ledger = "_history_assets.applied"

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.landing = Landing(home)

    def settings(self, **overrides: Any) -> Settings:
        return Settings(**{"home": self.home} | overrides)

    def warehouse(self, **overrides: Any) -> DuckDBWarehouse:
        return DuckDBWarehouse(self.settings(**overrides))

    def land(self, schema: str, at: str, tables: Night, synced: str) -> None:
        self.landing.file(schema).unlink(missing_ok=True)
        self.landing.execute(schema, at, *definitions(tables, synced))

    def histories(self, schema: str) -> list[str]:
        return [name for (name,) in self.query(f"select table_name from duckdb_tables() where schema_name = '{schema}'")]

    def history(self, schema: str, table: str) -> tuple[list[str], Rows]:
        with self._open() as connection:
            found = connection.execute(f"select * from {quote(schema)}.{quote(table)}")
            return [column[0] for column in found.description], found.fetchall()

    def query(self, sql: str) -> Rows:
        with self._open() as connection:
            return connection.execute(sql).fetchall()

    @contextlib.contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(self.home / "history.duckdb"), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            yield connection


class Snowflake(Engine):
    """The production engine, on an account of its own that is emulated."""

    ledger = '"HISTORY"."_history_assets"."applied"'

    def __init__(self, home: Path, emulator: Emulator) -> None:
        super().__init__(home)
        self.account = Account(emulator, home)
        self.account.set_up()
        self.emulator = emulator

    def settings(self, **overrides: Any) -> Settings:
        return self.account.settings(**overrides)

    def warehouse(self, **overrides: Any) -> SnowflakeWarehouse:
        return self.account.warehouse(**overrides)

    def land(self, schema: str, at: str, tables: Night, synced: str) -> None:
        known = self.emulator.catalog.databases["RAW"].schemas
        if schema not in known:
            self.emulator.run(f"create schema RAW.{quote(schema)} data_retention_time_in_days = 90", at="2026-09-01")
        gone = [f"drop table {quote(name)}" for name in known[schema].tables]
        self.emulator.land(f"RAW.{quote(schema)}", at, *gone, *snowflake_definitions(tables, synced))

    def histories(self, schema: str) -> list[str]:
        return list(self.emulator.catalog.databases["HISTORY"].schemas[schema].tables)

    def history(self, schema: str, table: str) -> tuple[list[str], Rows]:
        columns, rows = self.account.whole(f"{quote(schema)}.{quote(table)}")
        names = [name.lower() if name.startswith("DBT_") else name for name in columns]
        return names, [tuple(plain(value) for value in row) for row in rows]

    def query(self, sql: str) -> Rows:
        return [tuple(plain(value) for value in row) for row in self.emulator.run(sql)]


@contextlib.contextmanager
def installed(name: str, home: Path) -> Iterator[Engine]:
    """Open an engine by its name, with an installation of its own in a home."""
    if name == "duckdb":
        yield DuckDB(home)
        return
    with Emulator() as emulator:
        yield Snowflake(home, emulator)


def definitions(tables: Night, synced: str) -> list[str]:
    """Return the statements that make tables in DuckDB."""
    statements = []
    for table, (columns, rows) in tables.items():
        statements.append(f"create table {quote(table)} ({columns}, _fivetran_synced timestamptz)")
        if rows:
            statements.append(f"insert into {quote(table)} select *, timestamptz '{synced}' from ({rows})")
    return statements


def snowflake_definitions(tables: Night, synced: str) -> list[str]:
    """Return the statements that make the same tables in Snowflake."""
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        for statement in definitions(tables, synced):
            connection.execute(statement)
        keys = dict(
            connection.execute(
                "select table_name, constraint_column_names from duckdb_constraints() where constraint_type = 'PRIMARY KEY'"
            ).fetchall()
        )
        return [statement for table in tables for statement in _snowflake_table(connection, table, keys.get(table, ()))]


def _snowflake_table(connection: duckdb.DuckDBPyConnection, table: str, key: Sequence[str]) -> Iterator[str]:
    columns = [row[:2] for row in connection.execute(f"describe {quote(table)}").fetchall()]
    kinds = [snowflake_type(kind) for _, kind in columns]
    parts = [f"{quote(name)} {kind}" for (name, _), kind in zip(columns, kinds, strict=True)]
    if key:
        parts.append(f"primary key ({', '.join(map(quote, key))})")
    yield f"create table {quote(table)} ({', '.join(parts)})"
    read = ", ".join(f"{quote(name)}::varchar" if kind.startswith("ENUM") else quote(name) for name, kind in columns)
    rows = connection.execute(f"select {read} from {quote(table)}").fetchall()
    if rows:
        written = (", ".join(map(snowflake_value, row, kinds)) for row in rows)
        yield f"insert into {quote(table)} {' union all '.join(f'select {values}' for values in written)}"


_DIGITS = {"TINYINT": 3, "UTINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "UBIGINT": 20, "HUGEINT": 38}
_TYPES = {
    "FLOAT": "float",
    "DOUBLE": "float",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "TIMESTAMP": "timestamp_ntz",
    "TIMESTAMP WITH TIME ZONE": "timestamp_tz",
    "JSON": "variant",
    "BLOB": "binary",
    "VARCHAR[]": "array",
}


def snowflake_type(kind: str) -> str:
    """Return the Snowflake type of a column whose DuckDB type is given."""
    if kind in _DIGITS:
        return f"number({_DIGITS[kind]},0)"
    if kind.startswith("DECIMAL"):
        return kind.replace("DECIMAL", "number")
    return "varchar" if kind == "VARCHAR" or kind.startswith("ENUM") else _TYPES[kind]


def snowflake_value(value: Any, kind: str) -> str:
    """Return a value as Snowflake's SQL writes it."""
    if value is None:
        return f"cast(null as {kind})"
    if kind in ("variant", "array"):
        return f"parse_json({literal(value if isinstance(value, str) else json.dumps(value))})::{kind}"
    if isinstance(value, bytes):
        return f"to_binary('{value.hex()}', 'hex')"
    if isinstance(value, dt.datetime) and value.tzinfo:
        return f"{literal(f'{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f} +00:00')}::timestamp_tz"
    return f"{literal(repr(value) if isinstance(value, float) else str(value))}::{kind}"


def plain(value: Any) -> Any:
    """Return a value that Snowflake gave as DuckDB gives it: whole numbers as int."""
    return int(value) if isinstance(value, Decimal) and value.as_tuple().exponent == 0 else value
