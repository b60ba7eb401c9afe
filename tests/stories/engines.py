"""What a story needs of an engine: to land tables, to clone and fold them, and to look at what came of it.

Does not belong here: how tables are written for either engine (``tables``), what is landed, and what must come of it.
"""

import abc
import contextlib
import dataclasses
import datetime as dt
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from history_assets.naming import quote, quote_literal
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from tests.fakes.snowflake.emulator import Emulator
from tests.landing import Landing
from tests.stories.account import Account
from tests.stories.tables import (
    DIGITS,
    Night,
    definitions,
    duckdb_value,
    plain,
    snowflake_definitions,
    snowflake_type,
    snowflake_value,
)

Rows = list[tuple[Any, ...]]

NAMES = ("duckdb", "snowflake")

OURS = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")


@dataclasses.dataclass(frozen=True)
class Stored:
    """A history as it is stored: types by the names of its columns, dbt's own in lower case, and its rows."""

    types: Mapping[str, str]
    rows: Rows

    def values(self, *names: str) -> Rows:
        """Return the values of some columns, row by row."""
        places = [list(self.types).index(name) for name in names]
        return [tuple(row[place] for place in places) for row in self.rows]

    @property
    def source(self) -> dict[str, str]:
        """The types of the source's own columns but its stamp."""
        return {name: kind for name, kind in self.types.items() if name not in (*OURS, "_fivetran_synced")}


class Engine(abc.ABC):
    """An installation of its own, with nothing landed; ``ledger`` is where its ledger lies.

    ``folds_case`` says whether names that differ only in the case of their ASCII letters are one.
    """

    ledger: str
    folds_case: bool

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
    def rewrite(self, schema: str, at: str, tables: Night, gone: Sequence[str], synced: str, *, well: bool = True) -> None:
        """Make tables of a schema anew and drop those that are gone, as a connector that leaves all others as they are.

        Where the engine has a log of syncs, it tells of this one, which ended ``well`` or failed.
        """

    @abc.abstractmethod
    def histories(self, schema: str) -> dict[str, Stored]:
        """Return a schema's histories by their names."""

    @abc.abstractmethod
    def query(self, sql: str) -> Rows:
        """Return the rows of a query on the history's database that any engine understands."""

    @abc.abstractmethod
    def execute(self, *statements: str) -> None:
        """Run statements on the history's database that any engine understands, behind everybody's back."""

    @abc.abstractmethod
    def table(self, schema: str, table: str) -> str:
        """Return a history's name as such statements write it."""

    @abc.abstractmethod
    def keep(self) -> None:
        """Keep a spare copy of all histories and the ledger."""

    @abc.abstractmethod
    def bring_back(self) -> None:
        """Make histories and ledger what they were when they were kept."""

    @abc.abstractmethod
    def without_clone(self, schema: str, date: dt.date) -> contextlib.AbstractContextManager[None]:
        """Have a clone put aside for a while."""

    @property
    @abc.abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that lead a command here."""

    @abc.abstractmethod
    def type_of(self, kind: str) -> str:
        """Return the engine's own type of a column that DuckDB defines with the one given."""

    @abc.abstractmethod
    def stored(self, kind: str) -> str:
        """Return the engine's own type in which a history first stores a column that DuckDB defines with the one given."""

    @abc.abstractmethod
    def family(self, own: str) -> str:
        """Return the family of one of the engine's own types, after which a column that is kept apart is named."""

    @abc.abstractmethod
    def holds(self, kind: str, text: str) -> bool:
        """Say whether a column that DuckDB defines with a type can hold all that it holds in DuckDB, given as text."""

    @abc.abstractmethod
    def read(self, kind: str, text: str) -> Any:
        """Return a value of a column that DuckDB defines with a type, given as text, as a history gives it back."""

    @abc.abstractmethod
    def arrow(self, kind: str) -> pa.DataType:
        """Return as what a column that DuckDB defines with a type is given back as of a day."""


class DuckDB(Engine):
    """The embedded engine, in the files of a home."""

    ledger = "_history_assets.applied"
    folds_case = True

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

    def rewrite(self, schema: str, at: str, tables: Night, gone: Sequence[str], synced: str, *, well: bool = True) -> None:
        dropped = [f"drop table if exists {quote(name)}" for name in (*gone, *tables)]
        self.landing.execute(schema, at, *dropped, *definitions(tables, synced))
        self.log(schema, at, list(tables), well=well)

    def log(self, schema: str, at: str, names: Sequence[str], *, well: bool = True) -> None:
        """Have the Platform Connector log a sync of a connection that wrote tables, and then its own sync."""
        start = dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC)
        events: list[tuple[str, str, Any]] = [(schema, "sync_start", None)]
        events += [(schema, "records_modified", {"schema": schema, "table": name, "count": 1}) for name in names]
        events += [(schema, "sync_end", {"status": "SUCCESSFUL" if well else "FAILURE"}), ("fivetran_log", "sync_start", None)]
        rows = [
            f"({quote_literal(who)}, timestamptz '{start + dt.timedelta(seconds=second)}', {quote_literal(event)}, "
            f"{'null' if data is None else quote_literal(json.dumps(data))})"
            for second, (who, event, data) in enumerate(events)
        ]
        self.landing.execute(
            "fivetran_log",
            at,
            "create table if not exists connection (connection_id varchar primary key, connection_name varchar)",
            "insert or ignore into connection values ('fivetran_log', 'fivetran_log')",
            f"insert or ignore into connection values ({quote_literal(schema)}, {quote_literal(schema)})",
            "create table if not exists log (connection_id varchar, time_stamp timestamptz, message_event varchar, "
            "message_data varchar)",
            f"insert into log values {', '.join(rows)}",
        )

    def histories(self, schema: str) -> dict[str, Stored]:
        with self._open() as connection:
            names = connection.execute("select table_name from duckdb_tables() where schema_name = ?", [schema]).fetchall()
            found = {name: connection.sql(f"select * from {self.table(schema, name)}") for (name,) in names}
            return {
                name: Stored(dict(zip(table.columns, map(str, table.types), strict=True)), table.fetchall())
                for name, table in found.items()
            }

    def query(self, sql: str) -> Rows:
        with self._open() as connection:
            return connection.execute(sql).fetchall()

    def type_of(self, kind: str) -> str:
        return kind

    def stored(self, kind: str) -> str:
        return "VARCHAR" if kind.startswith("ENUM") else kind

    def family(self, own: str) -> str:
        if own.endswith(("INT", "INTEGER")):
            return "INTEGER"
        if own.startswith("DECIMAL"):
            return f"DECIMAL_{own[:-1].split(',')[1]}"
        return "DOUBLE" if own == "FLOAT" else self.stored(own)

    def holds(self, kind: str, text: str) -> bool:
        return True

    def read(self, kind: str, text: str) -> Any:
        return duckdb_value(kind, text)

    def arrow(self, kind: str) -> pa.DataType:
        if kind.startswith("DECIMAL"):
            return pa.decimal128(*map(int, kind[8:-1].split(",")))
        if kind.startswith("ENUM"):
            return pa.dictionary(pa.uint8(), pa.string())
        whole = {"INTEGER": pa.int32(), "BIGINT": pa.int64()}
        return (whole | {"FLOAT": pa.float32(), "DOUBLE": pa.float64(), "VARCHAR": pa.string()})[kind]

    def execute(self, *statements: str) -> None:
        with duckdb.connect(str(self._file)) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for statement in statements:
                connection.execute(statement)

    def table(self, schema: str, table: str) -> str:
        return f"{quote(schema)}.{quote(table)}"

    def keep(self) -> None:
        shutil.copy(self._file, self.home / "spare.duckdb")

    def bring_back(self) -> None:
        shutil.copy(self.home / "spare.duckdb", self._file)

    @contextlib.contextmanager
    def without_clone(self, schema: str, date: dt.date) -> Iterator[None]:
        clone = self.home / "clones" / schema / f"{date}.duckdb"
        aside = clone.rename(clone.with_name("aside"))
        try:
            yield
        finally:
            aside.rename(clone)

    @property
    def environment(self) -> dict[str, str]:
        return {"HISTORY_HOME": str(self.home), "DAGSTER_HOME": str(self.home / "dagster")}

    @property
    def _file(self) -> Path:
        return self.home / "history.duckdb"

    @contextlib.contextmanager
    def _open(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(str(self._file), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            yield connection


class Snowflake(Engine):
    """The production engine, on an account of its own that is emulated."""

    ledger = '"HISTORY"."_history_assets"."applied"'
    folds_case = False

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

    def rewrite(self, schema: str, at: str, tables: Night, gone: Sequence[str], synced: str, *, well: bool = True) -> None:
        known = self.emulator.catalog.databases["RAW"].schemas
        if schema not in known:
            self.emulator.run(f"create schema RAW.{quote(schema)} data_retention_time_in_days = 90", at="2026-09-01")
        dropped = [f"drop table {quote(name)}" for name in known[schema].tables if name in gone or name in tables]
        self.emulator.land(f"RAW.{quote(schema)}", at, *dropped, *snowflake_definitions(tables, synced))

    def histories(self, schema: str) -> dict[str, Stored]:
        found = self.emulator.catalog.databases["HISTORY"].schemas[schema].tables
        names = [name for name, table in found.items() if table.kind == "TABLE"]
        return {name: self._stored(self.table(schema, name)) for name in names}

    def _stored(self, table: str) -> Stored:
        types = {}
        for name, kind, *_ in self.emulator.run(f"describe table {table}"):
            # The length of a text or binary says nothing of the values.
            plain_kind = re.sub(r"^(VARCHAR|BINARY)\(\d+\)", r"\1", kind)
            types[name.lower() if name.lower() in OURS else name] = plain_kind
        return Stored(types, self.query(f"select * from {table}"))

    def query(self, sql: str) -> Rows:
        return [tuple(plain(value) for value in row) for row in self.emulator.run(sql)]

    def execute(self, *statements: str) -> None:
        self.emulator.run(*statements)

    def table(self, schema: str, table: str) -> str:
        return f'"HISTORY".{quote(schema)}.{quote(table)}'

    def keep(self) -> None:
        self.emulator.create_database("SPARE")
        self._copy("HISTORY", "SPARE")

    def bring_back(self) -> None:
        self._copy("SPARE", "HISTORY")

    def _copy(self, source: str, target: str) -> None:
        """Clone all schemas of a database into another."""
        names = [
            name for name in self.emulator.catalog.databases[source].schemas if name not in ("INFORMATION_SCHEMA", "PUBLIC")
        ]
        for name in map(quote, names):
            self.emulator.run(f"create or replace schema {target}.{name} clone {source}.{name}")

    @contextlib.contextmanager
    def without_clone(self, schema: str, date: dt.date) -> Iterator[None]:
        clone, aside = f"CLONES.{quote(f'{schema}__{date:%Y%m%d}')}", 'CLONES."aside"'
        self.emulator.run(f"alter schema {clone} rename to {aside}")
        try:
            yield
        finally:
            self.emulator.run(f"alter schema {aside} rename to {clone}")

    @property
    def environment(self) -> dict[str, str]:
        return self.account.environment

    def type_of(self, kind: str) -> str:
        return snowflake_type(kind)

    def stored(self, kind: str) -> str:
        own = snowflake_type(kind)
        if own.startswith("NUMBER"):
            return f"NUMBER(38,{own.split(',')[1]}"
        return f"{own}(9)" if own.startswith("TIMESTAMP") else own

    def family(self, own: str) -> str:
        name, _, sizes = own.rstrip(")").partition("(")
        return f"NUMBER_{sizes.split(',')[1]}" if name == "NUMBER" else name

    def holds(self, kind: str, text: str) -> bool:
        # Numbers have 38 digits.
        return kind != "HUGEINT" or len(text.lstrip("-")) <= DIGITS["HUGEINT"]

    def read(self, kind: str, text: str) -> Any:
        ((found,),) = self.query(f"select {snowflake_value(duckdb_value(kind, text), self.type_of(kind))}")
        return found

    def arrow(self, kind: str) -> pa.DataType:
        own = snowflake_type(kind)
        if own.startswith("NUMBER"):
            precision, scale = (int(size) for size in own[7:-1].split(","))
            # What 64 bits hold is a whole number of 64 bits.
            return pa.int64() if scale == 0 and precision <= 18 else pa.decimal128(precision, scale)
        return {"FLOAT": pa.float64(), "VARCHAR": pa.string()}[own]


@contextlib.contextmanager
def installed(name: str, home: Path) -> Iterator[Engine]:
    """Open an engine by its name, with an installation of its own in a home."""
    if name == "duckdb":
        yield DuckDB(home)
        return
    with Emulator() as emulator:
        yield Snowflake(home, emulator)
