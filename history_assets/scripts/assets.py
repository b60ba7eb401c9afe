"""Assets: a data scientist's script each, and a file that is none shown as what it is.

Belongs here: what Dagster is told of a script, and of what came of it. Does not belong here: when it runs (``automation``).
"""

import dataclasses
import datetime as dt
import functools
import itertools
import json
import math
import os
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

# How Dagster reads a cron expression has no public name.
from dagster._utils.schedules import cron_string_iterator

from history_assets.dates import Cutoff, parse_date
from history_assets.errors import HistoryError, ScriptError
from history_assets.failures import Problem, failure
from history_assets.lifelines import lifeline
from history_assets.markdown import escaped
from history_assets.naming import history_key, table_name
from history_assets.partitions import CLONE_DATES, LATEST, freshness
from history_assets.scripts.environments import environment, hidden, last_lines, path_of
from history_assets.scripts.folder import Broken, Script, shown
from history_assets.scripts.links import Linked
from history_assets.scripts.process import Ended
from history_assets.settings import DATE_VARIABLE, RUN_VARIABLE, Settings

GROUP = "scripts"

RETRY_DELAY = 30.0
"""Seconds to the first retry, about; each further one waits twice as long."""

_LINES = 6
_LINKS = 20
"""Histories that a script's page leads to; its lineage shows all that it is after."""

_NOT_ITS = (
    *("FIVETRAN_", "DAGSTER_PG_", "HISTORY_ALERT_URLS", "HISTORY_OWNER_ALERT_URL", "HISTORY_SCRIPT_ROLE"),
    *(DATE_VARIABLE, RUN_VARIABLE),
)
"""Variables, or beginnings of their names, that a script is not given."""

_FRIDAY = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)
_TICKS = 600
_LATEST_HOUR = 22


def script_asset(linked: Linked, settings: Settings) -> dg.AssetsDefinition:
    """Return the asset of a script, downstream of the histories that it is after."""
    script, wishes = linked.script, linked.script.metadata
    retries = (
        dg.RetryPolicy(wishes.retries, RETRY_DELAY, dg.Backoff.EXPONENTIAL, dg.Jitter.PLUS_MINUS) if wishes.retries else None
    )

    @dg.asset(
        key=script.key,
        deps=[dg.AssetKey(history_key(*table)) for table in linked.tables],
        partitions_def=CLONE_DATES if script.dated else None,
        group_name=GROUP,
        kinds={"python"},
        owners=[wishes.owner] if wishes.owner else settings.owners,
        description=_description(linked),
        metadata={"file": dg.MetadataValue.path(shown(script.path)), **_told(script), **_links(linked)},
        freshness_policy=_freshness(script, settings),
        retry_policy=retries,
    )
    def run_script(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        asset, date = "/".join(script.key), context.partition_key if script.dated else None
        try:
            with lifeline(settings.home, context.run.run_id):
                ended, result = _run(context, linked, settings, str(parse_date(date)) if date else None)
            if problem := _problem(script, ended):
                raise ScriptError(problem)
        except HistoryError as error:
            raise failure("the script failed", [Problem(asset, date, str(error))], allow_retries=True) from None
        said = {"stdout": dg.MetadataValue.text(ended.out)} if ended.out else {}
        return result._replace(metadata={**said, **(result.metadata or {})})

    return run_script


def broken_asset(broken: Broken) -> dg.AssetsDefinition:
    """Return the asset of a file that is no script: it says why, and fails with it."""

    @dg.asset(
        key=broken.key,
        group_name=GROUP,
        kinds={"python", "broken"},
        owners=[broken.owner] if broken.owner else None,
        description=f"**Broken**: {escaped(broken.reason)}",
        metadata={"file": dg.MetadataValue.path(shown(broken.path)), "broken": dg.MetadataValue.text(broken.reason)},
    )
    def run_broken() -> None:
        raise failure("the script is broken", [Problem("/".join(broken.key), None, broken.reason)])

    return run_broken


class _OneWriter(dg.PipesTempFileMessageReader):
    """Dagster's own reader, which itself asks for this number by a name that it warns to be in preview."""

    expected_writer_count = 1


def _run(
    context: dg.AssetExecutionContext, linked: Linked, settings: Settings, date: str | None
) -> tuple[Ended, dg.MaterializeResult[None]]:
    script = linked.script
    python = environment(settings.home, script.metadata.dependencies, context.log.info)
    with tempfile.TemporaryDirectory(prefix="history_assets_") as folder:
        request, answer = Path(folder) / "request.json", Path(folder) / "answer.json"
        asked = {
            # Its folder is on the path, but last: see environments.
            "command": [str(python), "-P", str(script.path)],
            "env": path_of(python) | variables(settings, date),
            "without": [name for name in os.environ if name.startswith(_NOT_ITS)],
            "cwd": str(script.path.parent),
            "timeout": script.metadata.timeout.total_seconds(),
        }
        request.write_text(json.dumps(asked))
        # Between this process and the script, so that Dagster's own client runs it, and nothing of it is ever left behind.
        done = dg.PipesSubprocessClient(message_reader=_OneWriter()).run(
            context=context, command=[sys.executable, "-m", "history_assets.scripts.process", str(request), str(answer)]
        )
        if others := {result.asset_key for result in done.get_results()} - {None, dg.AssetKey(script.key)}:
            named = ", ".join(sorted("/".join(key.path) for key in others if key))
            raise ScriptError(
                f"found {shown(script.path.name)} to report of {named}, expected it to report of {'/'.join(script.key)} alone"
            )
        return Ended(**json.loads(answer.read_text())), done.get_materialize_result()


def variables(settings: Settings, date: str | None) -> dict[str, str]:
    """Return what a script's process is told of this installation: enough to read histories, as a role that only reads."""
    told = {
        "HISTORY_HOME": str(settings.home),
        "HISTORY_ENGINE": settings.engine,
        "HISTORY_SCRIPTS": str(settings.scripts),
        "PYTHONUNBUFFERED": "1",  # so that what it prints shows while it runs
    }
    told |= {DATE_VARIABLE: date} if date else {}
    return told | ({"SNOWFLAKE_ROLE": settings.script_role} if settings.script_role else {})


def _problem(script: Script, ended: Ended) -> str | None:
    name, said = shown(script.path.name), last_lines(ended.err.strip() or ended.out, _LINES)
    if ended.timed_out:
        minutes = script.metadata.timeout.total_seconds() / 60
        return (
            f"found {name} still running after {minutes:g} minutes, its timeout: it and all that it had started were ended, "
            f"last it said: {said}"
        )
    if ended.code < 0:
        return f"found {name} ended by {signal.Signals(-ended.code).name}, last it said: {said}"
    return f"found {name} to exit with {ended.code}, expected 0: {said}" if ended.code else None


def _description(linked: Linked) -> str:
    said = linked.script.metadata.description or f"The script {escaped(shown(linked.script.path.name))}."
    if linked.unmatched:
        said += f"\n\n**Waits** for histories that there are none of yet: {escaped(', '.join(linked.unmatched))}."
    return said


def _told(script: Script) -> Mapping[str, dg.MetadataValue]:
    wishes = dataclasses.asdict(script.metadata)
    shown_ones = {name: wishes[name] for name in ("dependencies", "after", "schedule", "retries", "feeds")}
    texts = {name: ", ".join(each) if isinstance(each, tuple) else str(each) for name, each in shown_ones.items() if each}
    texts["timeout"] = str(script.metadata.timeout)
    return {name: dg.MetadataValue.text(hidden(text)) for name, text in texts.items()}


def _links(linked: Linked) -> Mapping[str, dg.MetadataValue]:
    links = ((f"after {table_name(*ref)}", dg.MetadataValue.asset(dg.AssetKey(history_key(*ref)))) for ref in linked.tables)
    return dict(itertools.islice(links, _LINKS))


def _freshness(script: Script, settings: Settings) -> dg.FreshnessPolicy | None:
    wishes, cutoffs = script.metadata, settings.cutoffs()
    if wishes.after:
        hours = LATEST + 1 + math.ceil(wishes.timeout / dt.timedelta(hours=1))
        return freshness(cutoffs, min(hours, _LATEST_HOUR))
    if wishes.schedule:
        return dg.FreshnessPolicy.time_window(longest_pause(wishes.schedule, cutoffs) + wishes.timeout)
    return None


@functools.cache
def longest_pause(cron: str, cutoffs: Cutoff) -> dt.timedelta:
    """Return how long a schedule pauses at most."""
    # From a Friday on, so that a weekend is among them.
    ticks = itertools.islice(cron_string_iterator(_FRIDAY.timestamp(), cron, cutoffs.zone.key), _TICKS)
    return max(after - before for before, after in itertools.pairwise(ticks))
