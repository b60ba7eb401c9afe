"""What is missing: which clones should be there and are not, and which of them may be asked for now. Pure.

Belongs here: decisions. Does not belong here: reading anything (``records``, ``warehouse/``), or asking for runs
(``run_requests``).
"""

import datetime as dt
from collections.abc import Iterable, Sequence

from history_assets.dates import Cutoff
from history_assets.failures import Kind
from history_assets.records import Failed

TRIES = 3
"""Failures of the same cause, one after the other, after which work is given up, unless the cause may pass by itself."""

_PATIENCE = dt.timedelta(minutes=5)
"""How long to wait after a first failure; four times as long after each further one."""

_LONGEST = dt.timedelta(hours=2)


def window(cutoffs: Cutoff, now: dt.datetime, days: int, known: Iterable[dt.date], reach: dt.datetime | None) -> list[dt.date]:
    """Return the dates, ascending, of which a schema should have a clone if nothing ever went wrong.

    These are the newest, and those before it of the last ``days`` that ``reach`` allows, from the first date that is ``known``:
    what was never asked for is no night that was lost.
    """
    newest = cutoffs.latest(now)
    first = max(min(known, default=newest), newest - dt.timedelta(days=days - 1))
    dates = (first + dt.timedelta(days=back) for back in range((newest - first).days + 1))
    return [date for date in dates if date == newest or (reach is not None and cutoffs.at(date) >= reach)]


def given_up(failures: Sequence[Failed]) -> bool:
    """Say whether work that failed so, newest first, is given up: thrice of one cause that does not pass by itself.

    Where there was nothing to clone yet, once is enough.
    """
    if failures and failures[0].kind is Kind.NOTHING_YET:
        return True
    last = failures[:TRIES]
    same = len({failed.cause for failed in last}) == 1 and all(failed.kind is Kind.FAILED for failed in last)
    return len(last) == TRIES and same


def may_ask(failures: Sequence[Failed], now: dt.datetime) -> bool:
    """Say whether work may be asked for at an instant, given how it failed before, newest first."""
    if not failures:
        return True
    wait = min(_PATIENCE * 4 ** (min(len(failures), 8) - 1), _LONGEST)
    return not given_up(failures) and now >= failures[0].at + wait
