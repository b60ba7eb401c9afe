"""The command line's part on how things are: parse, call, print, for a person or as one document for a program.

Belongs here: what is typed and shown of ``verify``, ``status`` and ``doctor``. Does not belong here: any work.
"""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from history_assets.cli_options import FAILED, SchemaOption, opened
from history_assets.errors import UsageError
from history_assets.terminal import bar, err, grid, out, print_document

if TYPE_CHECKING:
    from history_assets.verification import Finding

DateOption = Annotated[str | None, typer.Option("--date", metavar="YYYY-MM-DD", help="The clone date.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document, and nothing else.")]


def verify(
    date: DateOption = None,
    schema: SchemaOption = None,
    repair: Annotated[bool, typer.Option("--repair", help="Fold the kept clones of wrong tables again.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Prove that the history as of every night is that night's clone, and that every history agrees with itself.

    Example: history-assets verify --schema salesforce --repair

    Example: history-assets verify --json
    """
    import datetime as dt

    from history_assets.dates import parse_date
    from history_assets.verification import check_asked
    from history_assets.verification import repair as run_repair
    from history_assets.verification import verify as run_verify

    _, warehouse = opened()
    asked = schema, parse_date(date) if date else None
    check_asked(warehouse, *asked, dt.datetime.now(dt.UTC))

    def look() -> "list[Finding]":
        with bar(shown=not as_json) as watch:
            return list(run_verify(warehouse, *asked, watch))

    findings = look()
    repaired, failed = [], []
    if repair and (repaired := [finding for finding in findings if finding.problem]):
        for finding in repaired:
            err.print(f"repairing: {finding.problem}", markup=False, style="yellow")
        said: list[str] = []  # by dbt, while a bar shows
        try:
            with bar(shown=not as_json) as watch:
                failed = run_repair(warehouse, findings, said.append, watch)
        finally:
            for line in said:
                (err if as_json else out).print(line, markup=False)
        for failure in failed:
            err.print(f"error: {failure}", markup=False, style="red")
        findings = look()
    problems = [finding for finding in findings if finding.problem]
    nights = [finding for finding in findings if finding.date]
    exact = sum(1 for finding in nights if not finding.problem)
    if as_json:
        print_document(
            {
                "table_nights": len(nights),
                "exact": exact,
                "differs": [dataclasses.asdict(finding) for finding in problems],
                "repaired": [dataclasses.asdict(finding) for finding in repaired],
                "failed": failed,
            }
        )
    for finding in problems:
        err.print(f"differs: {finding.problem}", markup=False, style="red")
    lacking = sorted(set(schema or ()) - {finding.schema for finding in nights})
    if lacking or not nights:
        what = f"applied night of {', '.join(lacking)}" if lacking else "applied night"
        err.print(f"error: found no {what} with a clone to compare with: run a night first", markup=False, style="red")
    if nights and not as_json:
        out.print(f"{exact} of {len(nights)} table-nights are exact", markup=False)
    if problems or lacking or not nights:
        raise typer.Exit(FAILED)


def status(
    days: Annotated[int, typer.Option(min=1, max=60, help="How many dates to show.")] = 5, as_json: JsonOption = False
) -> None:
    """Show what is cloned and applied on recent dates.

    Example: history-assets status --days 3

    Example: history-assets status --json
    """
    import datetime as dt

    from history_assets.status import recent, told

    settings, warehouse = opened()
    newest = settings.cutoffs().latest(dt.datetime.now(dt.UTC))
    dates, rows = recent(warehouse, newest, days)
    if as_json:
        print_document({"schemas": [{"schema": name, "nights": told(dates, nights)} for name, nights in rows.items()]})
        return
    for place, block in enumerate(grid(dates, rows, out.width)):
        if place:
            out.print()
        out.print(block, soft_wrap=False)


def doctor(
    print_setup: Annotated[bool, typer.Option("--print-setup", help="Print a script that sets up Snowflake.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Check settings, connection and privileges, and say how to put right what is missing.

    Example: history-assets doctor

    Example: history-assets doctor --print-setup
    """
    from history_assets.doctor import examine
    from history_assets.settings import Settings
    from history_assets.warehouse import open_warehouse

    if print_setup and as_json:
        raise UsageError("found --print-setup with --json, which is a script in SQL: leave one of them out")
    if print_setup:
        from history_assets.credentials import SnowflakeCredentials
        from history_assets.warehouse.snowflake_setup import setup_script

        names = SnowflakeCredentials.names_from_env()
        out.print(setup_script(Settings.without_credentials(), *names), markup=False, end="")
        return
    checks = []
    for check in examine(Settings.from_env, open_warehouse):  # each said as soon as it is known
        checks.append(check)
        if as_json:
            continue
        out.print(f"{'ok     ' if check.ok else 'missing'}  {check.what}", markup=False, style=None if check.ok else "red")
        if not check.ok:
            out.print(f"         {check.remedy}", markup=False)
    sound = all(check.ok for check in checks)
    if as_json:
        told = [{"what": check.what, "ok": check.ok, "remedy": None if check.ok else check.remedy} for check in checks]
        print_document({"ok": sound, "checks": told})
    if not sound:
        raise typer.Exit(FAILED)
