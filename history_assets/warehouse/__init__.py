"""Where raw, clones and history live: one interface (``base``), one module per engine; the only SQL dialects in Python."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from history_assets.settings import Settings
    from history_assets.warehouse.base import Warehouse


def open_warehouse(settings: "Settings") -> "Warehouse":
    """Return the warehouse of the configured engine; opens no connection."""
    # Nobody pays for the engine of others.
    if settings.engine == "snowflake":
        from history_assets.warehouse.snowflake import SnowflakeWarehouse

        return SnowflakeWarehouse(settings)
    from history_assets.warehouse.duckdb import DuckDBWarehouse

    return DuckDBWarehouse(settings)
