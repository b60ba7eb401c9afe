"""Looking over an installation: what must be there and allowed, each with its remedy.

Belongs here: in which order it is looked at, and where it ends. Does not belong here: the checks, which are the engines'
(``warehouse/``), or printing.
"""

from collections.abc import Callable, Iterator

from history_assets.clones import check_clones
from history_assets.errors import HistoryError
from history_assets.fivetran.api import FivetranApi
from history_assets.folding import check_rule
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Check


def examine(read_settings: Callable[[], Settings], open_warehouse: Callable[[Settings], Warehouse]) -> Iterator[Check]:
    """Check settings, all that the engine needs, and Fivetran's API where it is set; ends at what makes the rest pointless."""
    doing = "the settings"
    try:
        settings = read_settings()
        yield Check(f"the settings, for {settings.engine}", True)
        doing = "the warehouse"
        warehouse = open_warehouse(settings)
        yield from warehouse.checks()
        doing = "the cutoff of clone dates"
        # The ledger has the rule itself, but may be in a warehouse that is asleep.
        (check_clones if warehouse.reaches_back else check_rule)(warehouse)
        yield Check(f"{doing}, at {settings.cutoff:%H:%M} in {settings.timezone.key}", True)
        if settings.fivetran:
            doing = "Fivetran's API"
            yield Check(f"Fivetran's API, with {len(FivetranApi(settings.fivetran).connections())} connections", True)
    except HistoryError as error:
        yield Check(doing, False, str(error))
