"""A home on DuckDB, for stories."""

import contextlib
import datetime as dt
import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from history_assets.naming import quote, quote_literal
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.stories.engines.base import Engine, Rows, Stored
from tests.stories.tables import (
    Night,
    definitions,
    duckdb_value,
)


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
