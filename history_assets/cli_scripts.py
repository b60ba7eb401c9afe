"""The command line's part on scripts: parse, call, print.

Belongs here: what is typed and shown of ``history-assets script``. Does not belong here: any work.
"""

from pathlib import Path
from typing import Annotated

import typer

from history_assets.cli_options import FAILED
from history_assets.errors import UsageError
from history_assets.terminal import err, out

script_app = typer.Typer(
    help="Scripts that are refreshed with the histories they read.\n\nExample: history-assets script new weekly_forecast",
    short_help="Scripts that are refreshed with the histories they read.",
    no_args_is_help=True,
)

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The script's file, or its name in HISTORY_SCRIPTS.")]


@script_app.command()
def new(name: Annotated[str, typer.Argument(metavar="NAME", help="The script's name.")]) -> None:
    """Write the beginning of a script into HISTORY_SCRIPTS.

    Example: history-assets script new weekly_forecast
    """
    from history_assets.scripts.checking import write_template
    from history_assets.settings import Settings

    path = write_template(Settings.without_credentials().scripts, name)
    out.print(f"wrote {path}; when it is written: history-assets script check {name}", markup=False)


@script_app.command()
def check(file: FileArgument) -> None:
    """Say what a script's metadata comes to, and what is wrong with it.

    Example: history-assets script check scripts/weekly_forecast.py
    """
    from history_assets.scripts.checking import look_over, script_of
    from history_assets.settings import Settings

    settings = Settings.without_credentials()
    said, problems = look_over(settings, script_of(settings, file))
    for line in said:
        out.print(line, markup=False)
    for problem in problems:
        err.print(f"error: {problem}", markup=False, style="red")
    if problems:
        raise typer.Exit(FAILED)


@script_app.command()
def run(
    file: FileArgument,
    date: Annotated[str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="By default the newest folded.")] = None,
) -> None:
    """Run a script here as Dagster would, recorded in its instance.

    Example: history-assets script run weekly_forecast --date 2026-11-22
    """
    from history_assets.dates import parse_date
    from history_assets.nights import run_script
    from history_assets.scripts.checking import script_of
    from history_assets.scripts.folder import Broken, read_file
    from history_assets.settings import Settings
    from history_assets.warehouse import open_warehouse

    settings = Settings.from_env()
    path = script_of(settings, file)
    script = read_file(path)
    if isinstance(script, Broken):
        raise UsageError(script.reason)
    if path.parent != settings.scripts:
        raise UsageError(f"found {path} outside of HISTORY_SCRIPTS={settings.scripts}: move it there for it to run")
    asked = parse_date(date) if date else None
    failures = run_script(settings, open_warehouse(settings), script, asked, lambda line: err.print(line, markup=False))
    for failure in failures:
        err.print(f"error: {failure}", markup=False, style="red")
    if failures:
        raise typer.Exit(FAILED)
