"""What there is to clone: schemas, their tables, columns and keys, as values, to and from a file.

Belongs here: the value objects, the rule that picks a key, the rule that says which schemas are Fivetran's. Does not belong
here: reading a warehouse (``warehouse/``).
"""

import dataclasses
import enum
import functools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from history_assets.naming import table_name

SYNCED = "_fivetran_synced"
"""When Fivetran last wrote the row; on every Fivetran table, moved by every re-sync, so never compared."""

SURROGATE = "_fivetran_id"
"""Fivetran's own surrogate key, on tables whose source declares none."""

_FIVETRANS_OWN = re.compile(
    r"fivetran_(metadata|log)(_.*)?|fivetran_testing_schema_.*|fivetran_.*_staging|.+_stg_.+", re.IGNORECASE
)


class KeySource(enum.StrEnum):
    """Where a table's key comes from, best first."""

    DECLARED = "declared"
    CONFIGURED = "configured"
    SURROGATE = "fivetran_id"
    WHOLE_ROW = "whole row"


@dataclasses.dataclass(frozen=True)
class Column:
    """A column; ``position`` counts from 1, ``type`` is the warehouse's own name for it."""

    name: str
    type: str
    position: int


@functools.cache
def shared_column(name: str, kind: str, position: int, /) -> Column:
    """Return a column, the same object for the same, since a night reads each table several times and keeps what it read."""
    return Column(name, kind, position)


@dataclasses.dataclass(frozen=True)
class Table:
    """A base table with its columns in order and its key in the key's own order."""

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    key_source: KeySource

    @property
    def gate_key(self) -> tuple[str, ...]:
        """The key by which rows can be told apart; a whole row is no way in that would be worth a gate."""
        return () if self.key_source is KeySource.WHOLE_ROW else self.key

    def column(self, name: str) -> Column | None:
        """Return the column of that name, in whatever case, or nothing."""
        return next((column for column in self.columns if column.name.lower() == name.lower()), None)


@dataclasses.dataclass(frozen=True)
class Schema:
    """A Fivetran landing schema with its base tables, in the order of their names."""

    name: str
    tables: tuple[Table, ...]


@dataclasses.dataclass(frozen=True)
class Inventory:
    """Every schema that is to be cloned, in the order of their names."""

    schemas: tuple[Schema, ...]

    def schema(self, name: str) -> Schema | None:
        """Return the schema of that name, or nothing."""
        return next((schema for schema in self.schemas if schema.name == name), None)

    def tables(self) -> list[tuple[str, Table]]:
        """Return every table with the name of its schema."""
        return [(schema.name, table) for schema in self.schemas for table in schema.tables]

    def merged(self, other: Self) -> Self:
        """Return this inventory plus the schemas and tables that only ``other`` has; what both have is taken from this one."""
        names = sorted({schema.name for schema in (*self.schemas, *other.schemas)})
        return dataclasses.replace(self, schemas=tuple(_merged(name, self.schema(name), other.schema(name)) for name in names))

    def to_json(self) -> str:
        """Return the inventory as JSON text, the same for the same inventory."""
        schemas = []
        for schema in self.schemas:
            # A table to a line: what changes can be seen, and only without indents does Python write JSON fast.
            tables = ",\n".join(
                _json(vars(table) | {"columns": [vars(each) for each in table.columns]}) for table in schema.tables
            )
            schemas.append(f'{{"name": {_json(schema.name)}, "tables": [\n{tables}]}}')
        return "[" + ",\n".join(schemas) + "]"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Return the inventory that ``to_json`` wrote."""
        return cls(tuple(_schema(each) for each in json.loads(text)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return the inventory saved in a file."""
        return cls.from_json(path.read_text(encoding="utf-8"))


def is_fivetrans_own(schema: str) -> bool:
    """Say whether a schema is Fivetran's own: its logs, its test schemas, its staging and its quickstart models."""
    return _FIVETRANS_OWN.fullmatch(schema) is not None


def make_table(
    schema: str, name: str, columns: Sequence[Column], declared: Sequence[str], configured: Mapping[str, Sequence[str]]
) -> Table:
    """Return a table with its key: the declared one, else the configured one, else ``_fivetran_id``, else the whole row.

    ``configured`` maps ``schema.table`` to the columns of its key.
    """
    ordered = tuple(sorted(columns, key=lambda column: column.position))
    table = Table(name, ordered, tuple(column.name for column in ordered), KeySource.WHOLE_ROW)
    if declared:
        return dataclasses.replace(table, key=tuple(declared), key_source=KeySource.DECLARED)
    override = [table.column(column) for column in configured.get(table_name(schema, name), ())]
    if override and all(override):
        # A key of which the table lacks a column waits until it has it; no table waits for its key.
        return dataclasses.replace(
            table, key=tuple(column.name for column in override if column), key_source=KeySource.CONFIGURED
        )
    if surrogate := table.column(SURROGATE):
        return dataclasses.replace(table, key=(surrogate.name,), key_source=KeySource.SURROGATE)
    return table


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _merged(name: str, ours: Schema | None, theirs: Schema | None) -> Schema:
    tables = {table.name: table for schema in (theirs, ours) if schema for table in schema.tables}
    return Schema(name, tuple(tables[table] for table in sorted(tables)))


def _schema(data: Mapping[str, Any]) -> Schema:
    return Schema(data["name"], tuple(_table(each) for each in data["tables"]))


def _table(data: Mapping[str, Any]) -> Table:
    columns = tuple(shared_column(column["name"], column["type"], column["position"]) for column in data["columns"])
    return Table(data["name"], columns, tuple(data["key"]), KeySource(data["key_source"]))
