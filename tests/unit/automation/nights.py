"""Three schemas, and what their assets are called, for tests of what asks for runs of them."""

from collections.abc import Callable, Sequence

import dagster as dg

from history_assets.inventory import Inventory, KeySource, Schema, Table
from history_assets.naming import clone_key, history_key
from history_assets.warehouse.duckdb import DuckDBWarehouse

MakeWarehouse = Callable[..., DuckDBWarehouse]
Made = Sequence[tuple[dg.AssetKey, str]]
TABLES = {"billing": ["invoice"], "crm": ["note", "account"], "web shop": ["line-item"]}
INVENTORY = Inventory(
    tuple(Schema(name, tuple(Table(table, (), (), KeySource.WHOLE_ROW) for table in tables)) for name, tables in TABLES.items())
)


def clones(schema: str) -> dg.AssetKey:
    return dg.AssetKey(clone_key(schema))


def histories(schema: str) -> list[dg.AssetKey]:
    return [dg.AssetKey(history_key(schema, table)) for table in TABLES[schema]]


HISTORIES = {clones(schema): histories(schema) for schema in TABLES}
