"""Retention: which clones have had their time, and dropping those that the histories hold exactly.

Belongs here: the rule (pure), the proof right before a clone is dropped, the partition keys that go with a date's last clone.
Does not belong here: dropping itself (``warehouse/``), when it is done (``retaining``). History is never dropped.
"""

import dataclasses
import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence

import dagster as dg

from history_assets.errors import SettingsError, WarehouseError
from history_assets.partitions import PARTITIONS, dates_among
from history_assets.progress import Watching, unattended
from history_assets.verification import unfolded, verify_clone
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Clone

_NAMED = 3
"""Tables that a reason names before it only counts."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What becomes of a clone: it goes, unless there is a reason why it is kept; ``wrong`` is one that nobody should let be."""

    schema: str
    date: dt.date
    kept_because: str | None = None
    wrong: bool = False

    def said(self, *, dry_run: bool = False) -> str:
        """Return the verdict in words."""
        if self.kept_because:
            return f"{self.schema} {self.date}: kept, because {self.kept_because}"
        return f"{self.schema} {self.date}: {'would be ' if dry_run else ''}dropped"


def judge(clones: Mapping[str, Collection[dt.date]], today: dt.date, days: int, months: int) -> list[Verdict]:
    """Return for every clone, given as dates by schema, whether its time is over on ``today``, the newest clone date there is.

    A clone is kept for ``days``; the first of each month that its schema has, through that month and the ``months`` after it;
    the newest of its schema for ever.
    """
    verdicts = []
    for schema, dates in sorted(clones.items()):
        firsts: dict[tuple[int, int], dt.date] = {}
        for date in sorted(dates):
            firsts.setdefault((date.year, date.month), date)
        for date in sorted(dates):
            reason = None
            if date == max(dates):
                reason = "it is the newest of its schema"
            elif (today - date).days <= days:
                reason = f"it is not older than {days} days"
            elif date == firsts[date.year, date.month] and 0 < months >= _months(date, today):
                reason = f"it is the first of {date:%Y-%m}"
            verdicts.append(Verdict(schema, date, reason))
    return verdicts


def retain(
    warehouse: Warehouse, today: dt.date, *, dry_run: bool = False, watching: Watching = unattended
) -> Iterator[Verdict]:
    """Drop every clone whose time is over on ``today`` and that the histories hold exactly, and say what became of each.

    Each is proven right before it goes. ``dry_run`` drops nothing. Raises SettingsError where clones are kept for ever.
    """
    days, months = _days(warehouse), warehouse.settings.clone_retention_months
    verdicts = judge(warehouse.clone_dates(), today, days, months)
    total, done = sum(1 for verdict in verdicts if not verdict.kept_because), 0
    for verdict in verdicts:
        if verdict.kept_because:
            yield verdict
            continue
        with watching() as watch:
            watch(f"proving {verdict.schema} {verdict.date}", done, total)
            done += 1
            judged = _retain(warehouse, verdict, dry_run=dry_run)
        if judged:
            yield judged


def forget_dates(warehouse: Warehouse, instance: dg.DagsterInstance, today: dt.date) -> list[str]:
    """Delete the partition keys of dates whose time is over and that have no clone any more, and return them.

    The key of a date that was never folded is kept: its clone may be under way.
    """
    since = str(today - dt.timedelta(days=_days(warehouse)))
    cloned = {str(date) for dates in warehouse.clone_dates().values() for date in dates}
    over = {key for key in map(str, dates_among(instance.get_dynamic_partitions(PARTITIONS))) if key < since} - cloned
    first, last = (dt.date.fromisoformat(key) for key in (min(over, default=since), since))
    gone = sorted(over & {str(row.date) for row in warehouse.ledger(None, (first, last))}) if over else []
    for key in gone:
        instance.delete_dynamic_partition(PARTITIONS, key)
    return gone


def _retain(warehouse: Warehouse, verdict: Verdict, *, dry_run: bool) -> Verdict | None:
    """Prove a clone right and drop it; nothing where it is gone already."""
    try:
        if not (clone := warehouse.find_clone(verdict.schema, verdict.date)):
            return None
        proven = _prove(warehouse, clone)
        if not (proven.kept_because or dry_run):
            warehouse.drop_clone(clone)
    except WarehouseError as error:
        if error.passing:
            raise
        return Verdict(verdict.schema, verdict.date, str(error), wrong=True)
    return proven


def _days(warehouse: Warehouse) -> int:
    days = warehouse.settings.clone_retention_days
    if days is None:
        raise SettingsError("found no HISTORY_CLONE_RETENTION_DAYS, so that every clone is kept: set it to a number of days")
    return days


def _months(date: dt.date, today: dt.date) -> int:
    return (today.year - date.year) * 12 + today.month - date.month


def _prove(warehouse: Warehouse, clone: Clone) -> Verdict:
    rows = warehouse.ledger([clone.schema], clone.date)
    if missing := [finding.problem for finding in unfolded(warehouse, clone, rows) if finding.problem]:
        return Verdict(clone.schema, clone.date, _some(missing))
    if wrong := [finding.problem for finding in verify_clone(warehouse, clone, rows) if finding.problem]:
        return Verdict(clone.schema, clone.date, _some(wrong), wrong=True)
    return Verdict(clone.schema, clone.date)


def _some(reasons: Sequence[str]) -> str:
    more = f"; and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else ""
    return "; ".join(reasons[:_NAMED]) + more
