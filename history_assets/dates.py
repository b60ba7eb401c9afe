"""Clone dates and the instants they stand for.

Belongs here: pure arithmetic on dates, zones and instants. Does not belong here: reading the clock; ``now`` is an argument.

A clone date ``D`` names one midnight: ``cutoff(D)`` is D at the configured time of day in the configured zone, as an aware UTC
instant. Where daylight saving skips that local time, it is the first instant after the gap; where it comes twice, the first.
"""

import contextlib
import dataclasses
import datetime as dt
import re
import zoneinfo

from history_assets.errors import UsageError, shortened

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")

_FIRST, _LAST = dt.date(1970, 1, 1), dt.date(9998, 12, 31)
"""Beyond these, what lies some days before a cutoff or after it is no date any more; 9999-12-31 stands for ever."""

_SHOWN = 60
"""Characters of a wrong date that are repeated; a partition key may be of any length."""


def parse_date(text: str) -> dt.date:
    """Return the clone date that a text such as ``2026-11-22`` names; anything else is refused."""
    remedy = "write it as YYYY-MM-DD, for example 2026-11-22"
    with contextlib.suppress(ValueError):
        if _DATE.fullmatch(text) and (date := dt.date.fromisoformat(text)):
            if _FIRST <= date <= _LAST:
                return date
            remedy = f"give one from {_FIRST} to {_LAST}"
    raise UsageError(f"found {shortened(text, _SHOWN)!r} where a clone date was expected: {remedy}")


def parse_dates(text: str) -> list[dt.date]:
    """Return the clone dates that a text names, ascending: one, or a first and a last as ``2026-11-01..2026-11-22``."""
    first, dots, last = text.partition("..")
    start = parse_date(first)
    end = parse_date(last) if dots else start
    if end < start:
        raise UsageError(f"found {text!r}, which ends before it begins: write the earlier date first, {last}..{first}")
    return [start + dt.timedelta(days=day) for day in range((end - start).days + 1)]


@dataclasses.dataclass(frozen=True)
class Cutoff:
    """The rule that turns a clone date into the instant it stands for."""

    zone: zoneinfo.ZoneInfo
    time: dt.time

    def at(self, date: dt.date) -> dt.datetime:
        """Return the instant of a clone date, aware and in UTC."""
        local = dt.datetime.combine(date, self.time, tzinfo=self.zone)
        instant = local.astimezone(dt.UTC)
        if instant.astimezone(self.zone).replace(tzinfo=None) == local.replace(tzinfo=None):
            return instant
        return self._end_of_gap(local.replace(fold=1).astimezone(dt.UTC), instant)

    def _end_of_gap(self, before: dt.datetime, after: dt.datetime) -> dt.datetime:
        offset = before.astimezone(self.zone).utcoffset()
        while after - before > dt.timedelta(seconds=1):
            middle = (before + (after - before) / 2).replace(microsecond=0)
            if middle.astimezone(self.zone).utcoffset() == offset:
                before = middle
            else:
                after = middle
        return after

    def latest(self, now: dt.datetime) -> dt.date:
        """Return the newest clone date whose cutoff is not after ``now`` (aware)."""
        date = now.astimezone(self.zone).date() + dt.timedelta(days=1)
        while self.at(date) > now:
            date -= dt.timedelta(days=1)
        return date

    def check_past(self, date: dt.date, now: dt.datetime) -> None:
        """Refuse a clone date that has not come yet."""
        if self.at(date) > now:
            raise UsageError(
                f"found clone date {date}, whose cutoff {self.at(date):%Y-%m-%d %H:%M} UTC is in the future: "
                f"the newest date that can be cloned is {self.latest(now)}"
            )

    def cron(self, hours: int = 0) -> str:
        """Return the cron expression that fires at every cutoff, or some hours after it, to be read in ``zone``."""
        return f"{self.time.minute} {(self.time.hour + hours) % 24} * * *"
