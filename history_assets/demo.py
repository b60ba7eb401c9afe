"""The demo: a sandbox, some nights, then the Dagster UI.

Belongs here: the story that the demo tells. Does not belong here: the simulated Fivetran (``sandbox``), a night
(``nights``), the UI (``serving``).
"""

import datetime as dt
import os
import shutil
import sys
import time

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from history_assets.nights import run_night
from history_assets.sandbox import Sandbox
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse

_BEFORE_CUTOFF = dt.timedelta(hours=1)
"""When the simulated connectors begin to sync, before each cutoff; they are done well before it."""


def run_demo(settings: Settings, warehouse: Warehouse, days: int, out: Console) -> bool:
    """Let nights pass up to today, as many as are missing of ``days``, and say whether every one of them went well."""
    cutoffs = settings.cutoffs()
    newest = cutoffs.latest(dt.datetime.now(dt.UTC))
    dates = [newest - dt.timedelta(days=back) for back in range(days - 1, -1, -1)]
    sandbox = Sandbox(settings.home / "raw")
    synced = sandbox.last_sync()
    failures: list[str] = []
    began = time.monotonic()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=out, redirect_stdout=False, redirect_stderr=False) as progress:
        for date in dates:
            start = cutoffs.at(date) - _BEFORE_CUTOFF
            if synced and synced > cutoffs.at(date):
                continue  # an earlier demo's night
            task = progress.add_task(f"{date}  the connectors sync …", total=1)
            if synced is None or synced < start:
                sandbox.sync(start)
            progress.update(task, description=f"{date}  cloning and folding …")
            report = run_night(settings, warehouse, date)
            failures += report.failures
            progress.update(task, description=f"{date}  {report.said()}", completed=1)
    _summarize(settings, warehouse, out, time.monotonic() - began)
    for failure in failures:
        out.print(f"failed: {failure}", markup=False, style="red")
    return not failures


def _summarize(settings: Settings, warehouse: Warehouse, out: Console, seconds: float) -> None:
    clones, ledger = warehouse.clone_dates(), warehouse.ledger()
    dates = {date for each in clones.values() for date in each}
    tables = {(row.schema, row.table) for row in ledger}
    out.print(
        f"\n{len(dates)} nights of {len(clones)} schemas: {sum(map(len, clones.values()))} clones, {len(tables)} histories, "
        f"{len(ledger)} table-nights folded, in {seconds:.0f} s. All of it is in {settings.home}.",
        markup=False,
    )
    if ledger:
        example = max(ledger, key=lambda row: (row.closed, row.table))
        first = min(dates)
        home = f"HISTORY_HOME={os.path.relpath(settings.home)} "
        program = "history-assets" if shutil.which("history-assets") else os.path.relpath(sys.argv[0])
        out.print("Try:", markup=False)
        for command in (f"as-of {example.schema}.{example.table} {first}", "verify", "status"):
            out.print(f"  {home}{program} {command}", markup=False)
