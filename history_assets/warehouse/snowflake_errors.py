"""What Snowflake's errors mean, and what is to be done about each.

Belongs here: from an error's number and text to a kind and a remedy; pure. Does not belong here: retrying
(``snowflake_session``), deciding what becomes of a clone (``snowflake_clones``).
"""

import enum
import re
from typing import Any

from history_assets.errors import WarehouseError


class Kind(enum.Enum):
    """What went wrong."""

    BEYOND_TIME_TRAVEL = "beyond Time Travel"
    MISSING = "missing, or not to be seen"
    RACE = "a name is taken"
    PRIVILEGE = "privilege"
    TRANSIENT_SOURCE = "transient source, permanent clone"
    NO_WAREHOUSE = "no warehouse"
    NETWORK = "network"
    EXPIRED = "the session has expired"
    OTHER = "other"


class SnowflakeError(WarehouseError):
    """Snowflake refused a statement, or could not be reached; ``said`` is its own text on one line."""

    def __init__(self, kind: Kind, said: str, doing: str) -> None:
        # Whatever it interrupted has the same cause.
        what = "Snowflake is out of reach" if kind is Kind.NETWORK else f"Snowflake failed to {doing}"
        super().__init__(f"{what} ({said}): {_REMEDIES[kind]}", passing=kind in _PASSING)
        self.kind = kind
        self.said = said


_NUMBERS = {
    707: Kind.BEYOND_TIME_TRAVEL,
    2002: Kind.RACE,
    2003: Kind.MISSING,
    2043: Kind.MISSING,
    2120: Kind.TRANSIENT_SOURCE,
    3001: Kind.PRIVILEGE,
    606: Kind.NO_WAREHOUSE,
}
_REMEDIES = {
    Kind.BEYOND_TIME_TRAVEL: "choose an instant that Time Travel still holds",
    Kind.MISSING: "create it, or grant the role access to it; `history-assets doctor` says which grants are missing",
    Kind.RACE: "run it again",
    Kind.PRIVILEGE: "`history-assets doctor` says which grants are missing",
    Kind.TRANSIENT_SOURCE: "set HISTORY_TRANSIENT_CLONES=true",
    Kind.NO_WAREHOUSE: "check SNOWFLAKE_WAREHOUSE, and that the role may use it; `history-assets doctor` says more",
    Kind.NETWORK: "check the network, and run it again",
    Kind.EXPIRED: "run it again",
    Kind.OTHER: "see the query history for its query tag",
}
_PASSING = (Kind.NETWORK, Kind.EXPIRED, Kind.RACE)
_NETWORK = range(250000, 252000)
_EXPIRED = range(390110, 390116)
_QUERY_ID = re.compile(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}: ?")


def kind_of(number: int | None, state: str | None) -> Kind:
    """Return the kind of an error by its number and SQL state."""
    if number in _NUMBERS:
        return _NUMBERS[number]
    if number is not None and number in _NETWORK:
        return Kind.NETWORK
    if number is not None and number in _EXPIRED:
        return Kind.EXPIRED
    return Kind.RACE if state == "42710" else Kind.OTHER


def explain(error: Any, doing: str) -> SnowflakeError:
    """Return an error of the connector as one of ours; ``doing`` says what it interrupted."""
    said = " ".join(_QUERY_ID.sub("", str(error.msg or error)).split()).rstrip(".")
    return SnowflakeError(kind_of(error.errno, error.sqlstate), said, doing)
