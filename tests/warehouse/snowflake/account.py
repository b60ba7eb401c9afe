"""An account without a server: a date, what its clone is called, and what settles it."""

import datetime as dt
from collections.abc import Callable

from history_assets.fivetran.sources import QuietPoints, open_source
from history_assets.warehouse.snowflake import SnowflakeWarehouse

DATE = dt.date(2026, 11, 22)
CUTOFF = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
CLONE = "CRM__20261122"
BUILDING = f"{CLONE}__BUILDING_00000001"
BEYOND = "Time travel data is not available for schema CRM."
NOT_THEN = "SQL compilation error: Object 'CRM' does not exist."
Make = Callable[..., SnowflakeWarehouse]


def no_log() -> None:
    return None


def quiet_points(warehouse: SnowflakeWarehouse) -> QuietPoints:
    return QuietPoints(warehouse, open_source(warehouse, CUTOFF), lambda: CUTOFF + dt.timedelta(days=2))
