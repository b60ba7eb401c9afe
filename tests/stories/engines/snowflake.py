"""An emulated account, for stories."""

import contextlib
import datetime as dt
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from history_assets.naming import quote
from history_assets.settings import Settings
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from tests.fakes.snowflake.emulator import Emulator
from tests.stories.account import Account
from tests.stories.engines.base import OURS, Engine, Rows, Stored
from tests.stories.tables import (
    DIGITS,
    Night,
    duckdb_value,
    plain,
    snowflake_definitions,
    snowflake_type,
    snowflake_value,
)


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
