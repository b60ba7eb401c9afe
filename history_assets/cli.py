"""The command line: parse, call, print.

Belongs here: what is typed and what is shown. Does not belong here: any work. Everything heavy is imported when a command runs.
"""

import contextlib
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from history_assets import __version__
from history_assets.cli_checks import doctor, status, verify
from history_assets.cli_options import FAILED, SchemaOption, opened
from history_assets.cli_scripts import script_app
from history_assets.cli_tables import Format, format_of, write
from history_assets.errors import HistoryError, HistoryMissingError, SettingsError, UsageError, WarehouseError
from history_assets.gates import Gate
from history_assets.interrupts import heed, noticed
from history_assets.terminal import bar, err, out

WRONG_USE = 2
_WRONG_USE = (UsageError, SettingsError, HistoryMissingError, WarehouseError)


class _Stoppable(TyperGroup):
    """Commands that Ctrl-C ends, whatever they do."""

    def invoke(self, ctx: Any) -> Any:
        with noticed():
            return super().invoke(ctx)


app = typer.Typer(
    cls=_Stoppable,
    help="Every Fivetran schema as a nightly clone, folded into an exact history.\n\nExample: history-assets demo",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(script_app, name="script")


def _version(asked: bool) -> None:
    if asked:
        out.print(__version__, markup=False)
        raise typer.Exit


@app.callback()
def _every_command(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None: ...


def program() -> None:
    """Be the command as an editable installation of before ``program`` calls it, which a newer checkout does not change."""
    importlib.import_module("history_assets.program").program()


def main() -> None:
    """Run the command line; every error of this project is one line and an exit code: 1 found a failure, 2 wrong use."""
    try:
        app(standalone_mode=True)
    except HistoryError as error:
        err.print(f"error: {error}", markup=False, style="red")
        sys.exit(WRONG_USE if isinstance(error, _WRONG_USE) else FAILED)


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, max=365, help="How many nights pass.")] = 7,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster UI, on this machine only.")] = 3000,
    ui: Annotated[bool, typer.Option("--ui/--no-ui", help="Start the Dagster UI afterwards.")] = True,
) -> None:
    """Fill a sandbox from a simulated Fivetran, let nights pass, and show them in the Dagster UI.

    Example: history-assets demo --days 3 --no-ui
    """
    import time

    from history_assets.demo import run_demo
    from history_assets.serving import HOST, check_free, served

    # The sandbox never mixes with real data.
    os.environ.setdefault("HISTORY_HOME", ".demo")
    settings, warehouse = opened()
    if settings.engine != "duckdb":
        raise UsageError(f"found HISTORY_ENGINE={settings.engine}: the sandbox is DuckDB's, unset it for the demo")
    if ui:
        check_free(port)  # before the nights, which take minutes
    failures = run_demo(settings, warehouse, days, lambda line: out.print(line, markup=False), bar)
    for failure in failures:
        err.print(f"error: {failure}", markup=False, style="red")
    if failures:
        raise typer.Exit(FAILED)
    if ui:
        # Whoever ends this process means the servers too.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        with served(settings, port) as running, contextlib.suppress(KeyboardInterrupt):
            out.print(f"\nThe Dagster UI is up: http://{HOST}:{port}/asset-groups   (Ctrl-C stops it)", markup=False)
            while running():
                time.sleep(1)


@app.command()
def refresh() -> None:
    """Read the inventory, say what has changed, regenerate and parse the dbt project.

    Example: history-assets refresh
    """
    from history_assets.errors import ReloadError
    from history_assets.nights import dagster_home
    from history_assets.refresh import refresh as run_refresh
    from history_assets.reloading import reload_code_locations

    settings, warehouse = opened()
    dagster_home(settings)
    with bar() as watch:
        result = run_refresh(settings, warehouse, watch=watch)
    for change in result.drift:
        out.print(change.line(), markup=False)
    for line in result.warnings():
        err.print(line, markup=False, style="yellow")
    what = "changed" if result.changed else "unchanged"
    counts = f"{len(result.inventory.schemas)} schemas, {len(result.inventory.tables())} tables"
    out.print(f"{counts}; project {what}: {result.project.folder}", markup=False)
    if settings.webserver and (result.changed or result.drift):
        try:
            reload_code_locations(settings.webserver)
        except ReloadError as error:
            err.print(str(error), markup=False, style="yellow")


@app.command()
def run(
    date: Annotated[
        str,
        typer.Option("--date", metavar="YYYY-MM-DD[..YYYY-MM-DD]", help="The clone date, or a first and a last."),
    ],
    schema: SchemaOption = None,
    reclone: Annotated[bool, typer.Option("--reclone", help="Clone again what is cloned already.")] = False,
    allow: Annotated[list[Gate] | None, typer.Option(help="A gate to leave open in this run; can be repeated.")] = None,
) -> None:
    """Clone dates and fold them into the histories, through Dagster; one that cannot be cloned stops no other.

    Example: history-assets run --date 2026-11-22 --schema salesforce

    Example: history-assets run --date 2026-11-01..2026-11-22
    """
    from history_assets import dbt_files, dbt_run
    from history_assets.dates import parse_dates

    settings, warehouse = opened()
    dates, project = parse_dates(date), dbt_files.current(settings.home)
    with bar() as watch, dbt_run.ahead(project.folder, settings) if project else contextlib.nullcontext():
        watch("loading Dagster", 0, None)
        from history_assets.nights import run_nights  # which takes about as long as dbt does

        nights, failures = run_nights(settings, warehouse, dates, schema, reclone=reclone, allow=allow or (), watch=watch)
    for night in nights:
        out.print(f"{night.date}: {night.said()}", markup=False)
    for failure in failures:
        err.print(f"error: {failure}", markup=False, style="red")
    if failures:
        raise typer.Exit(FAILED)


@app.command("as-of")
def as_of(
    table: Annotated[str, typer.Argument(metavar="SCHEMA.TABLE", help="The table, by its real names.")],
    date: Annotated[str, typer.Argument(metavar="DATE", help="The clone date, YYYY-MM-DD.")],
    format: Annotated[  # noqa: A002 - the option's name
        Format | None, typer.Option("--format", help="How to write it; by default as the file is called, else a table.")
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", help="A file; by default the terminal.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="With the rows that Fivetran marks as deleted.")] = False,
) -> None:
    """Show a table as it was known at the cutoff of a date.

    Example: history-assets as-of salesforce.account 2026-11-20

    Example: history-assets as-of crm.lead 2026-11-20 --output lead.csv
    """
    from history_assets.history import History

    form = format_of(format, output)
    _, warehouse = opened()
    found = History(warehouse).as_of(table, date, deleted=deleted)
    heed()
    write(found, form, output)


app.command()(verify)
app.command()(status)


@app.command()
def retention(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
) -> None:
    """Drop clones older than HISTORY_CLONE_RETENTION_DAYS that the histories hold exactly; history is never dropped.

    Example: history-assets retention --dry-run
    """
    import datetime as dt

    from history_assets.nights import open_instance
    from history_assets.retention import forget_dates, retain

    settings, warehouse = opened()
    today = settings.cutoffs().latest(dt.datetime.now(dt.UTC))
    wrong = False
    for verdict in retain(warehouse, today, dry_run=dry_run, watching=bar):
        wrong = wrong or verdict.wrong
        shown = (err, "red") if verdict.wrong else (out, None)
        shown[0].print(verdict.said(dry_run=dry_run), markup=False, style=shown[1])
        heed()
    if not dry_run:
        with open_instance(settings) as instance:
            forget_dates(warehouse, instance, today)
    if wrong:
        raise typer.Exit(FAILED)


app.command()(doctor)
