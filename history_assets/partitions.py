"""The partitions that clones and histories share: one dynamic key per clone date, and a new one expected every day.

Belongs here: the definition, by when a date is expected, and reading dates out of a run. Does not belong here: deciding which
dates there should be.
"""

import datetime as dt
import functools
from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from history_assets.dates import Cutoff, parse_date
from history_assets.errors import HistoryError, UsageError

PARTITIONS = "clone_date"
"""The name under which Dagster keeps the keys."""

CLONE_DATES = dg.DynamicPartitionsDefinition(name=PARTITIONS)

LATEST = 6
"""Hours after the cutoff within which a date is cloned and folded on a usual night."""


@functools.cache  # Dagster goes through a thousand ticks of each
def freshness(cutoffs: Cutoff, hours: int = LATEST) -> dg.FreshnessPolicy:
    """Return the policy by which an asset is stale that got no partition since the last cutoff, some hours after it."""
    # An hour before counts as well: there is a day a year on which the clocks make it one more from the cutoff to the deadline.
    return dg.FreshnessPolicy.cron(cutoffs.cron(hours), dt.timedelta(hours=hours + 1), cutoffs.zone.key)


def dates_of(
    context: dg.AssetExecutionContext, cutoffs: Cutoff, now: dt.datetime
) -> tuple[list[dt.date], dict[str, HistoryError]]:
    """Return a run's clone dates, oldest first, and why each other key is none: it is no date, or lies ahead.

    Fails the run when no date is left.
    """
    dates, refused = list[dt.date](), dict[str, HistoryError]()
    # Dagster keeps dynamic keys in the order of their insertion, and ends a range that it finds empty in success.
    for key in sorted(context.partition_keys):
        try:
            date = parse_date(key)
            cutoffs.check_past(date, now)
            dates.append(date)
        except UsageError as error:
            refused[key] = error
    if not dates:
        empty = "found an empty range of clone dates: choose its first date before its last, in the order listed"
        raise dg.Failure("; ".join(map(str, refused.values())) or empty, allow_retries=False)
    return dates, refused


def dates_among(keys: Iterable[str]) -> Iterator[dt.date]:
    """Yield the clone dates among partition keys; of a key that is none, added by hand, the run asked for it says so."""
    for key in keys:
        try:
            yield parse_date(key)
        except UsageError:
            continue


def ranges(wanted: Sequence[str], stored: Sequence[str]) -> list[tuple[str, str]]:
    """Return the fewest ranges, each a first and a last key, that hold exactly the wanted keys in the order they are stored."""
    found: list[tuple[str, str]] = []
    follows = False
    for key in stored:
        if key not in wanted:
            follows = False
            continue
        found.append((found.pop()[0] if follows else key, key))
        follows = True
    return found
