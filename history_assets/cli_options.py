"""What commands share: an option, an exit code, and the warehouse that the environment names.

Belongs here: what two commands of different modules would otherwise both have. Does not belong here: any command.
"""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from history_assets.settings import Settings
    from history_assets.warehouse.base import Warehouse

FAILED = 1
"""The exit code of a command that found a failure."""

SchemaOption = Annotated[list[str] | None, typer.Option("--schema", help="A schema by its real name; can be repeated.")]


def opened() -> "tuple[Settings, Warehouse]":
    """Return the settings of the environment and their warehouse. Raises SettingsError."""
    from history_assets.settings import Settings
    from history_assets.warehouse import open_warehouse

    settings = Settings.from_env()
    return settings, open_warehouse(settings)
