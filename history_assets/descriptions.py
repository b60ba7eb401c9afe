"""What Dagster's pages say of schemas and tables: whose they are, their columns, what is in them.

Belongs here: the saved inventory and the settings as metadata of assets, at next to no cost, since a code server holds it for
every table. Does not belong here: which assets there are (``clones``, ``snapshots``), or what a run found (``preview``).
"""

import functools

import dagster as dg

from history_assets.inventory import Inventory, Schema, Table
from history_assets.naming import clone_key

COLUMN_SCHEMA = "dagster/column_schema"
"""Where Dagster looks for the columns of a table."""

MOST_COLUMNS = 50_000
"""Columns of all tables together up to which they are shown: a code server hands on 200 bytes of each."""

_CONTENTS = dg.TableSchema(
    [dg.TableColumn("table", "string"), dg.TableColumn("columns", "int"), dg.TableColumn("key", "string")]
)
_INTERVAL = (
    dg.TableColumn("dbt_valid_from", "timestamp", "The cutoff from which on the row was known so."),
    dg.TableColumn("dbt_valid_to", "timestamp", "The cutoff from which on it no longer was; none while it is."),
)


def shows_columns(inventory: Inventory) -> bool:
    """Say whether there are few enough columns to show them."""
    return sum(len(table.columns) for _, table in inventory.tables()) <= MOST_COLUMNS


def history_columns(table: Table) -> dg.TableSchemaMetadataValue:
    """Return the columns of a table's history: its own, with the key marked, and since when and until when a row was known."""
    key = set(table.gate_key)
    said = "The key." if len(key) == 1 else "Part of the key."
    columns = (_column(column.name, column.type, said if column.name in key else None) for column in table.columns)
    return dg.MetadataValue.table_schema(dg.TableSchema([*columns, *_INTERVAL]))


def contents(schema: Schema) -> dg.TableMetadataValue:
    """Return the tables of a schema, each with how many columns it has, and its key."""
    records = [
        dg.TableRecord({"table": table.name, "columns": len(table.columns), "key": ", ".join(table.gate_key) or None})
        for table in schema.tables
    ]
    return dg.MetadataValue.table(records, _CONTENTS)


@functools.cache
def clones_of(schema: str) -> dg.DagsterAssetMetadataValue:
    """Return the link to the clones of a schema."""
    return dg.MetadataValue.asset(dg.AssetKey(clone_key(schema)))


@functools.cache  # most tables share theirs with others
def _column(name: str, kind: str, said: str | None) -> dg.TableColumn:
    return dg.TableColumn(name, kind, said)
