"""Refresh: read the inventory, regenerate the dbt project where it drifted, have dbt parse it, put it in force.

Belongs here: the order of these steps. Does not belong here: any of the steps themselves.
"""

import dataclasses
from collections.abc import Iterator, Mapping

from history_assets import dbt_files, dbt_run
from history_assets.dbt_files import DbtProject
from history_assets.drift import Change, changes
from history_assets.inventory import Inventory
from history_assets.naming import table_name
from history_assets.progress import Watch, unwatched
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse


@dataclasses.dataclass(frozen=True)
class Refreshed:
    """What a refresh led to; ``refused`` says of each table that cannot be carried why, ``ignored`` which keys name nothing.

    ``unread`` says why a schema of raw could not be read: it stays as it was known. ``changed`` says that another project is in
    force; ``drift`` is what has changed in raw.
    """

    project: DbtProject
    inventory: Inventory
    changed: bool
    refused: Mapping[str, str]
    ignored: tuple[str, ...]
    drift: tuple[Change, ...]
    unread: Mapping[str, str]

    def warnings(self) -> Iterator[str]:
        """Yield a line on each schema, table and key that is not as it should be."""
        for name, reason in self.unread.items():
            yield f"left {name} as it was: {reason}"
        for name, reason in self.refused.items():
            yield f"left out {name}: {reason}"
        yield from self.ignored


def refresh(
    settings: Settings, warehouse: Warehouse, histories: Inventory | None = None, *, told: bool = True, watch: Watch = unwatched
) -> Refreshed:
    """Bring the generated project up to date with the warehouse and return it; who has read the ``histories`` may say them.

    Its tables are those of raw, plus every table that has a history or was in the project before: a table that is gone from raw
    keeps its history asset, so that late nights can be folded.

    Its drift is what has changed in raw since the last refresh whose caller ``told`` of it.
    """
    watch("reading the inventory", 0, None)
    before = dbt_files.current(settings.home)
    found, unread = warehouse.readable()
    then = dbt_files.raw_then(settings.home)
    inventory = raw = found.merged(Inventory(tuple(schema for schema in then.schemas if schema.name in unread)))
    drift = changes(then, raw)
    if before:
        inventory = inventory.merged(before.inventory)
    inventory = inventory.merged(warehouse.histories() if histories is None else histories)
    inventory = Inventory(tuple(schema for schema in inventory.schemas if settings.selects(schema.name)))
    watch("having dbt parse the project", 0, None)
    rendered = dbt_files.render(inventory, settings.engine)
    project = dbt_files.write(rendered, settings.home, lambda folder: dbt_run.parse(folder, settings))
    if project == before:
        project = before  # whose inventory is read already
    if told:
        dbt_files.remember_raw(settings.home, raw)
    ignored = tuple(_ignored(settings, inventory))
    reasons = {name: str(error) for name, error in unread.items()}
    return Refreshed(project, inventory, before != project, rendered.refused, ignored, tuple(drift), reasons)


def _ignored(settings: Settings, inventory: Inventory) -> Iterator[str]:
    tables = {table_name(schema, table.name): table for schema, table in inventory.tables()}
    for name, key in settings.keys.items():
        missing = [column for column in key if name not in tables or tables[name].column(column) is None]
        if missing:
            yield f"found HISTORY_KEYS naming {', '.join(missing)} of {name}, which is not there: ignored until corrected"
