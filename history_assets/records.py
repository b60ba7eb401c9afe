"""What Dagster's own records say: what runs are under way for, how earlier ones failed, what was folded.

Belongs here: reading an instance, which wakes no warehouse. Does not belong here: deciding anything by it (``missing``).
"""

import collections
import dataclasses
import datetime as dt
import functools
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import dagster as dg

from history_assets.failures import NO_STEP, WHOLE_RUN, Kind, Problem, cause_of, problems_of, reason_of
from history_assets.naming import clone_key
from history_assets.partitions import PARTITIONS, dates_among
from history_assets.warehouse.values import Applied, Clone

Work = tuple[dg.AssetKey, str]
"""A partition of an asset: its key, and the clone date as text."""

PARTITION = "dagster/partition"
RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

FINISHED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
UNFINISHED = tuple(status for status in dg.DagsterRunStatus if status not in FINISHED)
_LOOKED_AT = 50
"""Runs of a date that are looked at, the newest."""

_CANCELED = "canceled"
"""The cause of what somebody stopped: like what passes by itself it is asked for again after a pause."""


@dataclasses.dataclass(frozen=True)
class Failed:
    """One run's failure at a piece of work: when (aware), of what cause, of what kind."""

    at: dt.datetime
    cause: str
    kind: Kind


def dates_of_run(run: dg.DagsterRun, stored: Sequence[str]) -> list[str]:
    """Return the partitions of a run, given all keys in the order in which they are stored."""
    if date := run.tags.get(PARTITION):
        return [date]
    first, last = run.tags.get(RANGE_START), run.tags.get(RANGE_END)
    if first not in stored or last not in stored:
        return []
    return list(stored[stored.index(first) : stored.index(last) + 1])


@dataclasses.dataclass(frozen=True)
class Folded:
    """What became of a clone: the tables of its schema that ``gates`` hold back, and those neither held back nor folded.

    ``tables`` stands for the tables that were known of its schema, ``unknown`` counts those that the clone has besides.
    """

    clone_id: str
    left: tuple[str, ...]
    held_back: tuple[str, ...]
    gates: str
    tables: str
    unknown: int


_FOLDED = "folded"


def folded_event(clone: Clone, folded: Folded, changes: str, rows: Collection[Applied] = ()) -> dg.AssetObservation:
    """Return what Dagster is told of a clone that was folded, for ``Records.folded`` to find.

    ``changes`` is for people, as are the sums over ``rows``, the ledger's of the clone, which Dagster's pages plot by event.
    """
    metadata = {
        "changes": dg.MetadataValue.md(changes),
        "opened": dg.MetadataValue.int(sum(row.opened for row in rows)),
        "closed": dg.MetadataValue.int(sum(row.closed for row in rows)),
        "tables_changed": dg.MetadataValue.int(sum(1 for row in rows if row.opened or row.closed)),
        _FOLDED: dg.MetadataValue.json(dataclasses.asdict(folded)),
    }
    return dg.AssetObservation(dg.AssetKey(clone_key(clone.schema)), partition=str(clone.date), metadata=metadata)


def tables_mark(names: Collection[str]) -> str:
    """Return what stands for some tables of a schema: the same for the same."""
    return digest_of(sorted(names))


def digest_of(value: Any) -> str:
    """Return what stands for a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


class Records:
    """An instance's records, read once; ``jobs`` says which assets a job is of, where a run selects none."""

    def __init__(self, instance: dg.DagsterInstance, jobs: Mapping[str, Collection[dg.AssetKey]]) -> None:
        self.instance = instance
        self.stored = list(instance.get_dynamic_partitions(PARTITIONS))
        self._jobs = jobs

    @functools.cached_property
    def dates(self) -> list[str]:
        """The keys that are clone dates, in the order in which they are stored."""
        return [str(date) for date in dates_among(self.stored)]

    @functools.cached_property
    def under_way(self) -> set[Work]:
        """What the runs that are queued or running are for."""
        return {(key, date) for run in self._unfinished for key in self._keys(run) for date in dates_of_run(run, self.stored)}

    @functools.cached_property
    def running(self) -> set[dg.AssetKey]:
        """The assets that the runs which are queued or running are for, whatever their dates."""
        return {key for run in self._unfinished for key in self._keys(run)}

    @functools.cached_property
    def _unfinished(self) -> Sequence[dg.DagsterRun]:
        return self.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))

    def last_ended(self, date: str) -> str | None:
        """Return the newest run of one date that has ended, whatever it was for; once any run of the date ends, another."""
        return next((record.dagster_run.run_id for record in self._ended(date, 1)), None)

    def failures(self, date: str) -> dict[dg.AssetKey, list[Failed]]:
        """Return how runs of one date failed at each asset, or were canceled, since it last succeeded, newest first."""
        failures = collections.defaultdict[dg.AssetKey, list[Failed]](list)
        done = set[dg.AssetKey]()
        for record in self._ended(date, _LOOKED_AT):
            run, keys = record.dagster_run, self._keys(record.dagster_run) - done
            if run.is_success or not keys:
                done |= keys
                continue
            canceled = run.status is dg.DagsterRunStatus.CANCELED
            problems = [Problem(WHOLE_RUN, date, _CANCELED, Kind.PASSING)] if canceled else self._problems(run)
            for key in keys:
                mine = [each for each in problems if each.asset in (WHOLE_RUN, "/".join(key.path))]
                if not mine:
                    done.add(key)  # it succeeded in a run that failed at others
                    continue
                cause = "; ".join(sorted({cause_of(each.reason) for each in mine}))
                kind = next((each.kind for each in mine if each.kind is Kind.FAILED), mine[0].kind)
                failures[key].append(Failed(record.update_timestamp.replace(tzinfo=dt.UTC), cause, kind))
        return failures

    def _ended(self, date: str, limit: int) -> Sequence[dg.RunRecord]:
        return self.instance.get_run_records(dg.RunsFilter(tags={PARTITION: date}, statuses=FINISHED), limit=limit)

    def folded(self, schema: str, dates: Sequence[str]) -> dict[str, Folded]:
        """Return, by date, what the last run that folded a schema's clone left; dates that none has folded are left out."""
        found: dict[str, Folded] = {}
        for record in self._events(self.instance.fetch_observations, schema, dates):
            observed = record.asset_event
            if observed and observed.partition and _FOLDED in observed.metadata:
                told: Any = observed.metadata[_FOLDED].value
                lists = {name: tuple(told[name]) for name in ("left", "held_back")}
                found.setdefault(observed.partition, Folded(**{**told, **lists}))
        return found

    def cloned_at(self, schema: str, dates: Sequence[str]) -> dict[str, dt.datetime]:
        """Return, by date, when (aware) a run last made or found a schema's clone."""
        found: dict[str, dt.datetime] = {}
        for record in self._events(self.instance.fetch_materializations, schema, dates):
            if record.partition_key:
                found.setdefault(record.partition_key, dt.datetime.fromtimestamp(record.timestamp, dt.UTC))
        return found

    def _events(self, fetch: Any, schema: str, dates: Sequence[str]) -> Sequence[dg.EventLogRecord]:
        if not dates:
            return []
        wanted = dg.AssetRecordsFilter(dg.AssetKey(clone_key(schema)), asset_partitions=list(dates))
        records: Sequence[dg.EventLogRecord] = fetch(wanted, limit=_LOOKED_AT * len(dates)).records
        return records

    def _keys(self, run: dg.DagsterRun) -> set[dg.AssetKey]:
        return set(run.asset_selection or self._jobs.get(run.job_name, ()))

    def _problems(self, run: dg.DagsterRun) -> list[Problem]:
        if run.status is dg.DagsterRunStatus.CANCELED:
            return [Problem(WHOLE_RUN, None, _CANCELED, Kind.PASSING)]
        records = self.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE).records
        problems: list[Problem] = []
        for record in records:
            if event := record.event_log_entry.dagster_event:
                problems += problems_of(event) or [Problem(WHOLE_RUN, None, reason_of(event))]
        return problems or [Problem(WHOLE_RUN, None, NO_STEP)]
