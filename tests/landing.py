"""Raw schemas as a test lands them: statements that ran at a given instant."""

import datetime as dt
import os
from pathlib import Path

import duckdb

from history_assets.naming import quote


class Landing:
    """The raw folder of a home; every write is dated, since the embedded engine tells time by its files."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "raw"
        self.folder.mkdir(parents=True, exist_ok=True)

    def file(self, schema: str) -> Path:
        return self.folder / f"{schema}.duckdb"

    def execute(self, schema: str, at: str, *statements: str) -> None:
        """Run statements in a schema as if at ``at``, an ISO instant in UTC."""
        with duckdb.connect(str(self.file(schema))) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for statement in statements:
                connection.execute(statement)
        self.touch(schema, at)

    def touch(self, schema: str, at: str) -> None:
        """Date a schema's file."""
        moment = dt.datetime.fromisoformat(at).replace(tzinfo=dt.UTC).timestamp()
        os.utime(self.file(schema), (moment, moment))

    def rows(self, schema: str, table: str) -> list[tuple[object, ...]]:
        """Return a table's rows but for ``_fivetran_synced``, sorted."""
        with duckdb.connect(str(self.file(schema)), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            rows = connection.execute(f"select * exclude (_fivetran_synced) from {quote(table)}").fetchall()
        return sorted(rows, key=repr)
