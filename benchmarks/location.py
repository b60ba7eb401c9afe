"""The code location and the UI at many tables and dates: ``python -m benchmarks.location 5000 --dates 120``.

- Definitions in fresh processes, turn by turn with as many bare asset specs after importing Dagster and dagster-dbt.
- The memory of the code server that serves them.
- The pages: what the UI of Dagster 1.13 has to know for each, asked of a webserver over the records of so many dates, one
  query after the other (``benchmarks/pages``, each of which says for which pages it stands); the first time, and again. With
  ``--browser``, a Python that has Playwright, also until a headless Chromium shows them.
- Each sensor and schedule, evaluated by the code server as the daemon has it.

The records are those of one real night, repeated (``benchmarks.records``).
"""

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arena import machine
from benchmarks.contenders import Ours
from benchmarks.figures import judged, limit, ratio
from benchmarks.landed import FIRST, Landed, Size
from benchmarks.processes import environment, run_command
from benchmarks.records import hand_over, repeat_night
from benchmarks.served import REPOSITORY, Served, served
from history_assets.nights import LOCATION

_PAGES = Path(__file__).with_name("pages")
_VISIBLE = 10
"""Assets that the UI asks for at once, as they come into sight."""
_TICKS = """mutation Tick($selector: SensorSelector!, $cursor: String) {
  sensorDryRun(selectorData: $selector, cursor: $cursor) { __typename ... on PythonError { message }
    ... on DryRunInstigationTick { evaluationResult { skipReason cursor runRequests { runKey } error { message } } } } }"""
_SCHEDULED = """mutation Tick($selector: ScheduleSelector!, $timestamp: Float) {
  scheduleDryRun(selectorData: $selector, timestamp: $timestamp) { __typename ... on PythonError { message }
    ... on DryRunInstigationTick { evaluationResult { skipReason runRequests { runKey } error { message } } } } }"""
_INSTIGATORS = """query All($repository: RepositorySelector!) { repositoryOrError(repositorySelector: $repository) {
  ... on Repository { sensors { name sensorType } schedules { name } } } }"""


def parser() -> argparse.ArgumentParser:
    """Return what this part can be told."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", type=int, default=[5000], metavar="TABLES")
    parser.add_argument("--dates", type=int, default=120)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--browser", metavar="PYTHON", help="a Python that has Playwright; Chromium must be there")
    return parser


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print each size."""
    asked = parser().parse_args(words)
    print(machine())
    for tables in asked.sizes:
        with tempfile.TemporaryDirectory(prefix="benchmark_") as folder:
            measure(Path(folder) / "ours", tables, asked)


def measure(home: Path, tables: int, asked: argparse.Namespace) -> None:
    """Measure one number of tables."""
    today = dt.datetime.now(dt.UTC).date()
    night = (today - FIRST).days
    size = Size(f"{tables:,} tables", tables, 10, 6, 1, 10)
    ours = Ours(home, Landed(home, size, night), threads=4)
    ours.run(night)
    ours.refresh()  # which remembers what raw holds, as the daemon's does
    compare_loading(ours, tables, asked.runs)
    dates = repeat_night(home, today, asked.dates)
    after = hand_over(home, today, LOCATION)
    print(f"\nthe UI, {tables:,} tables x {len(dates)} dates:", flush=True)
    with served(home, ours.environment) as ui:
        ui.ask("mutation { setNuxSeen }", {})
        ask_pages(ui, size, asked.runs)
        check_pages(ui, size, dates)
        if asked.browser:
            see_pages(ui, asked.browser, len(dates))
        print(f"\nticks, {tables:,} tables x {len(dates)} dates:", flush=True)
        tick(ui, asked.runs, after)
        print("\nmemory:")
        for name, peak in ui.definitions.peaks.items():
            limit(f"code server, {name}", peak / 1e6, 700, " MB")


def compare_loading(ours: Ours, tables: int, runs: int) -> None:
    """Print what loading definitions takes, beside imports and bare specs."""
    print(f"\ndefinitions of {tables:,} tables, fresh processes:", flush=True)
    commands = {"ours": ["ours"], "bare specs": ["bare", str(tables)]}
    whole: dict[str, list[float]] = {name: [] for name in commands}
    steps: dict[str, dict[str, list[float]]] = {name: {} for name in commands}
    told: dict[str, Any] = {}
    for _ in range(runs):
        for name, words in commands.items():
            done = run_command([sys.executable, "-m", "benchmarks.loading", *words], ours.environment)
            told[name] = json.loads(done.output.splitlines()[-1])
            for step, took in told[name]["seconds"].items():
                steps[name].setdefault(step, []).append(took)
            # Without what the webserver is told, which is the server's work, not the load's.
            whole[name].append(sum(list(told[name]["seconds"].values())[:-1]))
    if told["ours"]["assets"] != told["bare specs"]["assets"]:
        raise SystemExit(f"found {told['ours']['assets']} assets, and {told['bare specs']['assets']} bare ones: not the same")
    for name, found in steps.items():
        parts = ", ".join(f"{step} {statistics.median(took):.2f}" for step, took in found.items())
        print(f"  {name}: median {statistics.median(whole[name]):.2f} s ({parts})")
    ratio(whole, "ours", "bare specs", 1.3)
    limit("peak memory of ours", told["ours"]["peak"] / 1e6, 700, " MB")


def ask_pages(ui: Served, size: Size, runs: int) -> None:
    """Print what the webserver takes for the pages."""
    for page in ("asset graph", "a schema", "partitions of an asset"):
        first, *again = [sum_of(ui, page, size) for _ in range(runs + 1)]
        median = {name: statistics.median(turn[name] for turn in again) for name in again[0]}
        total = sum(median.values())
        slow = ", ".join(f"{name} {took:.2f}" for name, took in median.items() if took >= 0.05)
        print(f"  {page}: first {sum(first.values()):.2f} s, then {total:.2f} s{judged(total, 2, ' s')}")
        print(f"    of these {slow or 'each takes less than 0.05'}")


def sum_of(ui: Served, page: str, size: Size) -> dict[str, float]:
    """Send all queries of a page, and return the seconds of each."""
    took: dict[str, float] = {}
    for name, variables in _queries(page, size):
        took[name], data = _ask(ui, name, variables)
        cursor = data.get("assetRecordsOrError", {}).get("cursor")
        while cursor:  # the UI reads all, a thousand at a time
            seconds, data = _ask(ui, name, {**variables, "cursor": cursor})
            took[name] += seconds
            cursor = data["assetRecordsOrError"]["cursor"] if data["assetRecordsOrError"]["assets"] else None
    return took


def check_pages(ui: Served, size: Size, dates: Sequence[dt.date]) -> None:
    """Check that the pages show every asset and every date; else what they took counts for nothing."""
    _, data = _ask(ui, "graph", {"name": LOCATION})
    (repository,) = data["workspaceLocationEntryOrError"]["locationOrLoadError"]["repositories"]
    shown = {tuple(node["assetKey"]["path"]) for node in repository["assetNodes"]}
    expected: set[tuple[str, ...]] = {("history", schema, table) for schema, table in size.names}
    expected |= {(kind, schema) for kind in ("fivetran", "clones") for schema in size.schemas}
    if shown != expected:
        raise SystemExit(f"found {len(shown)} assets in the graph, expected {len(expected)}, or others")
    _, data = _ask(ui, "partitions", {"assetKey": {"path": ["history", *size.names[0]]}})
    made = data["assetNodeOrError"]["assetPartitionStatuses"]["materializedPartitions"]
    if made != [str(date) for date in dates]:
        raise SystemExit(f"found {len(made)} dates of an asset materialized, expected {len(dates)}, or others")


def _ask(ui: Served, name: str, variables: Mapping[str, Any]) -> tuple[float, Any]:
    seconds, data = ui.ask((_PAGES / f"{name}.graphql").read_text(encoding="utf-8"), variables)
    if failed := [kind for kind in _kinds(data) if kind.endswith("Error")]:
        raise SystemExit(f"found {failed[0]} where {name}.graphql was answered, expected what it asks for: {data}"[:2000])
    return seconds, data


def _kinds(answer: Any) -> Iterator[str]:
    """Yield the types that an answer names, at any depth."""
    if isinstance(answer, dict):
        yield from filter(None, [answer.get("__typename")])
    for inner in answer.values() if isinstance(answer, dict) else answer if isinstance(answer, list) else ():
        yield from _kinds(inner)


def _queries(page: str, size: Size) -> Iterator[tuple[str, Mapping[str, Any]]]:
    histories = [{"path": ["history", "s00", table]} for table in size.schemas["s00"]]
    if page == "partitions of an asset":
        yield "partitions", {"assetKey": histories[0]}
        yield "asset", {"assetKey": histories[0]}
        visible = histories[:1]
    else:
        yield "keys", {"limit": 1000}
        visible = [{"path": ["clones", "s00"]}, {"path": ["fivetran", "s00"]}, *histories][:_VISIBLE]
    yield "locations", {}
    yield "location", {"name": LOCATION}
    yield "graph", {"name": LOCATION}
    if page == "a schema":
        yield "group", {"group": {"groupName": "s00", **REPOSITORY}}
        yield "automation", {"assetKeys": visible}
    for name in ("state", "freshness", "staleness"):
        yield name, {"assetKeys": visible}


def see_pages(ui: Served, python: str, dates: int) -> None:
    """Print what a browser takes until it shows the pages, for so many dates."""
    script = Path(__file__).with_name("browser.py")
    done = subprocess.run([python, script, ui.url, str(dates)], env=environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the browser ended with {done.returncode}: {done.stderr[-2000:]}")
    for page, (first, again) in json.loads(done.stdout).items():
        print(f"  {page}, in the browser: first {first:.2f} s, then {again:.2f} s{judged(again, 2, ' s')}")


def tick(ui: Served, runs: int, after: int) -> None:
    """Print what each sensor and schedule takes; those that wait for runs look at what came ``after`` an event."""
    ended = json.dumps({"__class__": "RunStatusSensorCursor", "record_id": after, "update_timestamp": None})
    _, data = ui.ask(_INSTIGATORS, {"repository": REPOSITORY})
    every = data["repositoryOrError"]
    for sensor in every["sensors"]:
        selector = {**REPOSITORY, "sensorName": sensor["name"]}
        cursor = ended if sensor["sensorType"] == "RUN_STATUS" else None
        took, said = [], ""
        for _ in range(runs):
            seconds, found = ui.ask(_TICKS, {"selector": selector, "cursor": cursor})
            said, following = _evaluated(sensor["name"], found["sensorDryRun"])
            cursor = cursor if sensor["sensorType"] == "RUN_STATUS" else following
            took.append(seconds)
        _show_tick(sensor["name"], took, said)
    midnight = dt.datetime.combine(dt.datetime.now(dt.UTC).date(), dt.time(), dt.UTC)
    for schedule in every["schedules"]:
        selector = {**REPOSITORY, "scheduleName": schedule["name"]}
        found_all = [ui.ask(_SCHEDULED, {"selector": selector, "timestamp": midnight.timestamp()}) for _ in range(runs)]
        said, _ = _evaluated(schedule["name"], found_all[-1][1]["scheduleDryRun"])
        _show_tick(schedule["name"], [seconds for seconds, _ in found_all], said)


def _evaluated(name: str, answer: Any) -> tuple[str, str | None]:
    result = answer.get("evaluationResult")
    if not result or result["error"]:
        raise SystemExit(f"found {name} failing: {answer}")
    requests = result["runRequests"] or ()
    return f"asks for {len(requests)} runs" if requests else (result["skipReason"] or "nothing to do"), result.get("cursor")


def _show_tick(name: str, took: Sequence[float], said: str) -> None:
    median = statistics.median(took)
    print(f"  {name}: first {took[0]:.2f} s, median {median:.2f} s{judged(median, 1, ' s')} ({said[:100]})")


if __name__ == "__main__":
    main()
