"""The demo: a sandbox, some nights, then the Dagster UI.

Belongs here: the story that the demo tells. Does not belong here: the simulated Fivetran (``sandbox``), a night
(``nights``), the UI (``serving``).
"""

import datetime as dt
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any

from history_assets import dbt_files
from history_assets.nights import run_checks, run_night
from history_assets.progress import Watching
from history_assets.sandbox import Sandbox
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.wording import counted

_BEFORE_CUTOFF = dt.timedelta(hours=1)
"""When the simulated connectors begin to sync, before each cutoff; they are done well before it."""


def run_demo(
    settings: Settings,
    warehouse: Warehouse,
    days: int,
    say: Callable[[str], Any],
    watching: Watching,
) -> list[str]:
    """Let nights pass up to today, as many as are missing of ``days``, and return a line for what failed.

    ``say`` gets a line of each night, and then of all; in between, ``watching`` gives who watches a night.
    """
    cutoffs = settings.cutoffs()
    newest = cutoffs.latest(dt.datetime.now(dt.UTC))
    dates = [newest - dt.timedelta(days=back) for back in range(days - 1, -1, -1)]
    sandbox = Sandbox(settings.home / "raw")
    synced = sandbox.last_sync()
    failures: list[str] = []
    earlier = _nights(warehouse)
    began = time.monotonic()
    for date in dates:
        start = cutoffs.at(date) - _BEFORE_CUTOFF
        if synced and synced > cutoffs.at(date):
            continue  # an earlier demo's night
        with watching() as watch:
            watch("syncing the connectors", 0, None)
            if synced is None or synced < start:
                sandbox.sync(start)
            report = run_night(settings, warehouse, date, watch=watch)
        failures += report.failures
        say(f"{date}: {report.said()}")
    if earlier:
        are = "was" if len(earlier) == 1 else "were"
        say(f"{counted(len(earlier), 'night')} {are} there already, from {min(earlier)} on; another HISTORY_HOME begins anew")
    # The nights have said what came of these schemas.
    dbt_files.remember_raw(settings.home, warehouse.inventory())
    with watching() as watch:
        watch("checking the newest night", 0, None)
        failures += run_checks(settings, warehouse)
    _summarize(settings, warehouse, say, time.monotonic() - began)
    return failures


def _summarize(settings: Settings, warehouse: Warehouse, say: Callable[[str], Any], seconds: float) -> None:
    clones, ledger, dates = warehouse.clone_dates(), warehouse.ledger(), _nights(warehouse)
    tables = {(row.schema, row.table) for row in ledger}
    say(
        f"\n{counted(len(dates), 'night')} of {counted(len(clones), 'schema')}: {sum(map(len, clones.values()))} clones, "
        f"{len(tables)} histories, {counted(len(ledger), 'table-night')} folded, in {seconds:.0f} s. "
        f"All of it is in {settings.home}."
    )
    if ledger:
        example = max(ledger, key=lambda row: (row.closed, row.table))
        first = min(dates)
        home = f"HISTORY_HOME={os.path.relpath(settings.home)} "
        program = "history-assets" if shutil.which("history-assets") else os.path.relpath(sys.argv[0])
        say("Try:")
        for command in (f"as-of {example.schema}.{example.table} {first}", "verify", "status"):
            say(f"  {home}{program} {command}")


def _nights(warehouse: Warehouse) -> set[dt.date]:
    return {date for each in warehouse.clone_dates().values() for date in each}
