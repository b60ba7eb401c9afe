"""When scripts run: after the histories that they read, on their own clock, and after what feeds them.

Belongs here: for which dates, and when, runs of scripts are asked for. Does not belong here: what a run does (``assets``).
"""

import collections
import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import dagster as dg

from history_assets.automation import materializations
from history_assets.dates import Cutoff, parse_date
from history_assets.inventory import Inventory
from history_assets.jobs import CLONES_JOB, SCRIPT_SCHEDULES, SCRIPTS_JOB, SNAPSHOTS_JOB, AssetJob
from history_assets.naming import clone_key, history_key
from history_assets.partitions import LATEST
from history_assets.records import Records
from history_assets.run_requests import records_of
from history_assets.scripts.folder import Broken
from history_assets.scripts.links import Key, Linked
from history_assets.settings import Settings

SENSOR = "refresh_scripts"

_Ended = Literal[dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED]
_ENDED: tuple[_Ended, ...] = (
    dg.DagsterEventType.RUN_SUCCESS,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
)
_AT_A_TIME = 200
"""Runs of an ending that a tick looks at."""

_RECENT = 30
"""Dates among which the newest that is folded is looked for."""

_UNDATED = ""

_NEW = "new"
"""Stands for the run that led to a script's first."""

Wanted = dict[str, dict[str, list[str]]]
"""Assets that are to be refreshed, as text, by date, each with the runs that led to it."""


@dataclasses.dataclass(frozen=True)
class _Target:
    """What can be refreshed: its asset, its job, the histories that it is to wait for, and whether it has dates."""

    key: dg.AssetKey
    job: str
    dated: bool
    linked: Linked | None = None


def scripts_job(linked: Sequence[Linked], broken: Sequence[Broken]) -> list[AssetJob]:
    """Return the job of all scripts; none where there are none."""
    keys = [dg.AssetKey(each.script.key) for each in linked] + [dg.AssetKey(each.key) for each in broken]
    selection = dg.AssetSelection.assets(*keys).without_checks()
    return [dg.define_asset_job(SCRIPTS_JOB, selection, description="Run scripts.")] if keys else []


def script_schedules(linked: Iterable[Linked], inventory: Inventory, settings: Settings) -> Iterator[dg.ScheduleDefinition]:
    """Yield the schedule of every script that is to run on a clock, in the zone of the clone dates."""
    for each in linked:
        if each.script.metadata.schedule:
            yield _schedule(each, each.script.metadata.schedule, inventory, settings.cutoffs())


def schedule_name(linked: Linked) -> str:
    """Return the name of a script's schedule."""
    return f"{SCRIPT_SCHEDULES}{linked.script.key[-1]}"


def _schedule(linked: Linked, cron: str, inventory: Inventory, cutoffs: Cutoff) -> dg.ScheduleDefinition:
    key = dg.AssetKey(linked.script.key)

    @dg.schedule(
        name=schedule_name(linked),
        job_name=SCRIPTS_JOB,
        cron_schedule=cron,
        execution_timezone=cutoffs.zone.key,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Run {key.to_user_string()}" + (", for the newest date that is folded." if linked.script.dated else "."),
    )
    def scheduled(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        date = None
        if linked.script.dated:
            date = newest(records_of(context.instance, inventory), linked)
            if date is None:
                return dg.SkipReason(f"no date of the histories that {key.to_user_string()} is after is folded")
        return dg.RunRequest(asset_selection=[key], partition_key=date, asset_check_keys=[])

    return scheduled


def script_sensor(
    linked: Sequence[Linked],
    broken: Sequence[Broken],
    jobs: Sequence[AssetJob],
    inventory: Inventory,
    settings: Settings,
    now: Callable[[], dt.datetime],
) -> list[dg.SensorDefinition]:
    """Return the sensor that has scripts run once their histories are folded, and what they feed after them; none without.

    A script runs once for a date: when nothing that it is after is being cloned or folded for that date any more, and each is
    folded or held back, or the night is over. One that is new runs for the newest date that is folded.
    """
    cutoffs, targets = settings.cutoffs(), _targets(linked, broken, inventory)

    @dg.sensor(
        name=SENSOR,
        jobs=list(jobs),
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=30,
        description="Run scripts for the dates on which their histories were folded, and what they feed after them.",
    )
    def refresh_scripts(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        kept = json.loads(context.cursor) if context.cursor else None
        runs, seen = _ended_since(context.instance, kept["seen"] if kept else None)
        records = records_of(context.instance, inventory)
        wanted: Wanted = collections.defaultdict(dict, kept["wanted"] if kept else {})
        for run_id in runs:
            for asset, date in _led_to(context.instance, run_id, targets, records):
                causes = wanted[asset].setdefault(date, [])
                causes += [] if run_id in causes else [run_id]
        known = kept.get("known", ()) if kept else ()
        for asset, date in _never_run(context.instance, targets, known, records):
            wanted[asset].setdefault(date, [_NEW])
        requests, left = _requests(wanted, targets, records, now(), cutoffs)
        known = sorted(name for name, target in targets.items() if target.linked)
        cursor = json.dumps({"seen": seen, "wanted": left, "known": known})
        if requests:
            return dg.SensorResult(run_requests=requests, cursor=cursor)
        said = f"waiting for the rest of what {', '.join(sorted(left))} reads" if left else "nothing to refresh"
        return dg.SensorResult(skip_reason=said, cursor=cursor)

    return [refresh_scripts] if linked else []


def newest(records: Records, linked: Linked) -> str | None:
    """Return the newest date that is folded of a schema that a script reads."""
    dates = sorted(records.dates)[-_RECENT:]
    folded = {date for schema in {schema for schema, _ in linked.tables} for date in records.folded(schema, dates)}
    return max(folded, default=None)


def _targets(linked: Sequence[Linked], broken: Sequence[Broken], inventory: Inventory) -> dict[str, _Target]:
    keys = [dg.AssetKey(clone_key(schema.name)) for schema in inventory.schemas]
    found = [_Target(key, CLONES_JOB, dated=True) for key in keys]
    keys = [dg.AssetKey(history_key(schema, table.name)) for schema, table in inventory.tables()]
    found += [_Target(key, SNAPSHOTS_JOB, dated=True) for key in keys]
    found += [_Target(dg.AssetKey(each.script.key), SCRIPTS_JOB, each.script.dated, each) for each in linked]
    found += [_Target(dg.AssetKey(each.key), SCRIPTS_JOB, dated=False) for each in broken]
    return {target.key.to_user_string(): target for target in found}


def _ended_since(instance: dg.DagsterInstance, seen: Mapping[str, int] | None) -> tuple[list[str], dict[str, int]]:
    """Return the runs that ended since the last tick, and what the next has to know; at the first tick, none."""
    runs, known = list[str](), dict[str, int]()
    for kind in _ENDED:
        if seen is None:
            last = instance.fetch_run_status_changes(kind, limit=1).records
            known[kind.value] = last[0].storage_id if last else 0
            continue
        known[kind.value] = seen[kind.value]
        since = dg.RunStatusChangeRecordsFilter(kind, after_storage_id=seen[kind.value])
        for record in instance.fetch_run_status_changes(since, limit=_AT_A_TIME, ascending=True).records:
            runs.append(record.event_log_entry.run_id)
            known[kind.value] = record.storage_id
    return runs, known


def _led_to(
    instance: dg.DagsterInstance, run_id: str, targets: Mapping[str, _Target], records: Records
) -> Iterator[tuple[str, str]]:
    """Yield what is to be refreshed after a run: scripts by the histories that it folded, and what its scripts feed."""
    readers = collections.defaultdict[Key, list[str]](list)
    feeding = dict[Key, Sequence[str]]()
    for name, target in targets.items():
        if target.linked:
            for table in target.linked.tables:
                readers[tuple(history_key(*table))].append(name)
            feeding[tuple(target.key.path)] = ["/".join(key) for key in target.linked.feeds]
    for key, partition in materializations(instance, run_id):
        path = tuple(key.path)
        yield from ((name, partition) for name in readers.get(path, ()) if partition)
        for name in feeding.get(path, ()):
            date = _date(targets[name], partition, records)
            if date is not None:
                yield name, date


def _never_run(
    instance: dg.DagsterInstance, targets: Mapping[str, _Target], known: Collection[str], records: Records
) -> Iterator[tuple[str, str]]:
    """Yield the dated scripts that no tick before knew and nobody has run, with the newest date of what they read."""
    for name, target in targets.items():
        if target.linked and target.dated and name not in known:
            made = instance.fetch_materializations(target.key, limit=1).records
            if not made and (date := newest(records, target.linked)):
                yield name, date


def _date(target: _Target, partition: str | None, records: Records) -> str | None:
    """Return the date for which something is refreshed after a script: the script's own, or the newest."""
    if not target.dated:
        return _UNDATED
    return partition or (newest(records, target.linked) if target.linked else max(records.dates, default=None))


def _requests(
    wanted: Wanted, targets: Mapping[str, _Target], records: Records, now: dt.datetime, cutoffs: Cutoff
) -> tuple[list[dg.RunRequest], Wanted]:
    """Return the runs that can be asked for now, and what has to wait."""
    requests, left = list[dg.RunRequest](), Wanted()
    for name, dates in sorted(wanted.items()):
        target = targets.get(name)
        if target is None:  # its file is gone
            continue
        for date, causes in sorted(dates.items()):
            if target.dated and date not in records.dates:
                continue  # retention has dropped it, or it never was a date
            # A run of no date is under way for none.
            itself = (target.key, date) in records.under_way if target.dated else target.key in records.running
            if itself or not _ready(target.linked, date, records, now, cutoffs):
                left.setdefault(name, {})[date] = causes
                continue
            digest = hashlib.sha256(repr(sorted(causes)).encode()).hexdigest()[:16]
            requests.append(
                dg.RunRequest(
                    run_key=f"{name}:{date}:{digest}",
                    job_name=target.job,
                    partition_key=date or None,
                    asset_selection=[target.key],
                    asset_check_keys=[],
                )
            )
    return requests, left


def _ready(
    linked: Linked | None,
    date: str,
    records: Records,
    now: dt.datetime,
    cutoffs: Cutoff,
) -> bool:
    if linked is None or not linked.script.dated:
        return True
    tables = collections.defaultdict[str, set[str]](set)
    for schema, table in linked.tables:
        tables[schema].add(table)
    read = {dg.AssetKey(clone_key(schema)) for schema in tables} | {dg.AssetKey(history_key(*each)) for each in linked.tables}
    if any(key in read and of == date for key, of in records.under_way):
        return False
    if now >= cutoffs.at(parse_date(date)) + dt.timedelta(hours=LATEST):
        return True  # what has not come by now may never come
    folded = {schema: records.folded(schema, [date]).get(date) for schema in tables}
    return all(found and not names & set(found.left) for found, names in zip(folded.values(), tables.values(), strict=True))
