"""What a run failed at, table by table and schema by schema, told so that a person and a sensor can both read it.

Belongs here: a problem as a value, and its way through the failure that Dagster keeps of a run. Does not belong here: finding
problems (``clones``, ``snapshots``), or telling somebody (``alerts``).
"""

import dataclasses
import enum
import re
from collections.abc import Sequence
from typing import Any

import dagster as dg

from history_assets.errors import HistoryError, NothingYetError, NotSettledError
from history_assets.naming import decode

WHOLE_RUN = "the whole run"
"""Stands for the asset of a problem that every asset of a run has."""

NO_STEP = "the run ended outside of its steps: before the first, cut off after too long, or because its process was killed"

_PROBLEMS = "problems"

_VARIES = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+")
"""What differs between two reports of the same cause: ids, dates, counts."""


class Kind(enum.StrEnum):
    """What sort of problem it is."""

    FAILED = "failed"
    PASSING = "passing"
    """The same may succeed later: nobody answered, a file was in use."""
    HELD_BACK = "held back"
    """A gate holds a table's copy back."""
    NOT_SETTLED = "not settled"
    """A sync is under way; nothing is wrong."""
    NOTHING_YET = "nothing yet"
    """Nothing had been synced yet; nothing is wrong, and there never will be anything."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """Why an asset, as text, could not be had for a date; ``date`` is empty where it is about no one date."""

    asset: str
    date: str | None
    reason: str
    kind: Kind = Kind.FAILED


def kind_of(error: HistoryError) -> Kind:
    """Return what sort of problem an error is."""
    if isinstance(error, NotSettledError):
        return Kind.NOT_SETTLED
    if isinstance(error, NothingYetError):
        return Kind.NOTHING_YET
    return Kind.PASSING if error.passing else Kind.FAILED


def cause_of(reason: str, asset: str = "") -> str:
    """Return what two reports of the same cause have in common, whichever assets they are about."""
    for name in asset.split("/"):
        for written in {name, decode(name)} - {""}:
            reason = re.sub(rf"(?<!\w){re.escape(written)}(?!\w)", "#", reason)
    return _VARIES.sub("#", reason)


def failure(summary: str, problems: Sequence[Problem], *, allow_retries: bool = False) -> dg.Failure:
    """Return the failure of a run, which most often a retry would not mend: a summary, then every reason once."""
    reasons = "; ".join(dict.fromkeys(problem.reason for problem in problems))
    kept = [dataclasses.asdict(problem) for problem in problems]
    return dg.Failure(f"{summary}: {reasons}", metadata={_PROBLEMS: dg.MetadataValue.json(kept)}, allow_retries=allow_retries)


def problems_of(event: dg.DagsterEvent) -> list[Problem]:
    """Return the problems that a step failed at, nothing where it did not fail in that way."""
    told = event.step_failure_data.user_failure_data
    kept: Any = told.metadata.get(_PROBLEMS) if told else None
    if not isinstance(kept, dg.JsonMetadataValue) or not isinstance(kept.data, list):
        return []
    return [Problem(each["asset"], each["date"], each["reason"], Kind(each["kind"])) for each in kept.data]


def reason_of(event: dg.DagsterEvent) -> str:
    """Return why a step failed, in its own words."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    if error and error.cause and str(error.cls_name).startswith("Dagster"):  # which wraps what an op raises
        error = error.cause
    return error.message.strip() if error else "failed without saying why"
