"""Fivetran's REST API: which connections there are, and what a connection's syncs were.

Belongs here: requests, paging, waiting and retrying, and turning answers into values. Does not belong here: deciding anything
by them (``sources``, ``quiet``). No error, log line or text of an object shows the key or its secret.

One request lists a usual account's connections, so a tick may; the history of a connection costs one for every seven days,
so only a decision on a quiet point reads it.
"""

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import requests
import tenacity

from history_assets.credentials import FivetranCredentials
from history_assets.errors import FivetranError, FivetranUnreachableError
from history_assets.fivetran.syncs import Connection, Sync, SyncStatus

PAGE = 1000
"""Items of a page; the API allows no more."""

LONGEST_WINDOW = dt.timedelta(days=7)
"""The longest span of a sync history that the API answers at once."""

_MOST_PAGES = 100
"""Pages of one answer; ten times as much as any account has, and an end to one that never says that it is the last."""

_LONGEST_TEXT = 1000
"""Characters of a name or an instant, and of what is repeated of an answer that cannot be read."""

_MOST_MINUTES = 366 * 24 * 60

_TIMEOUT = (10, 60)
"""Seconds to wait for a connection, and for an answer."""

_ATTEMPTS = 5
_PATIENCE = 120.0
"""Seconds that all the waiting between the attempts of one request may come to."""

_GLANCE = 40.0
"""Seconds that all requests of a glance may take: Dagster ends a tick after 60, whose thread goes on in the code server."""

_GLANCE_TIMEOUT = (5, 15)
"""As ``_TIMEOUT``; at a glance, there is time for an attempt or two more."""

_THROTTLED = 429
_BROKEN = 500
_OK = 200
_REMEDIES = {
    401: "set FIVETRAN_API_KEY and FIVETRAN_API_SECRET to a key that is valid",
    403: "give the key's user access to the groups of FIVETRAN_GROUP_ID",
    404: "set FIVETRAN_GROUP_ID to the groups of this account",
}


class _LaterError(FivetranUnreachableError):
    """A request that may succeed later; ``after`` is how many seconds later the API asks to wait, where it says so."""

    def __init__(self, message: str, after: float | None = None) -> None:
        super().__init__(message)
        self.after = after


class FivetranApi:
    """Fivetran's REST API, asked with one key; ``sleep`` can be replaced, to wait otherwise.

    All that is asked is over, or given up, by an instant ``until`` of the monotonic clock, where there is one.
    """

    def __init__(
        self,
        credentials: FivetranCredentials,
        sleep: Callable[[float], None] = tenacity.nap.sleep,
        until: float | None = None,
    ) -> None:
        self.credentials = credentials
        self._sleep = sleep
        self._until = until
        self._backoff = tenacity.wait_exponential_jitter(initial=1, max=30)

    def glance(self) -> "FivetranApi":
        """Return the same API for one look of a sensor, which is soon over whatever is answered."""
        return FivetranApi(self.credentials, self._sleep, time.monotonic() + _GLANCE)

    def connections(self) -> list[Connection]:
        """Return all connections of the configured groups, in the order listed; raises FivetranError."""
        return [
            _read(_connection, item)
            for group in self.credentials.group_id
            for item in self._items(f"/groups/{quote(group, safe='')}/connections", {})
        ]

    def sync_history(self, connection: Connection, since: dt.datetime, until: dt.datetime) -> list[Sync]:
        """Return a connection's syncs that began between two aware instants, oldest first; raises FivetranError."""
        found = set[Sync]()
        while since < until:
            end = min(since + LONGEST_WINDOW, until)
            span = {"start_time": _instant(since), "end_time": _instant(end)}
            for item in self._items(f"/connections/{quote(connection.id, safe='')}/sync-history", span):
                if item.get("start"):  # else it is only planned
                    found.add(_read(lambda each: _sync(connection, each), item))
            since = end
        return sorted(found, key=lambda sync: sync.started)

    def _items(self, path: str, parameters: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            page = self._get(path, {**parameters, "limit": str(PAGE), **({"cursor": cursor} if cursor else {})})
            items, following = page.get("items"), page.get("next_cursor")
            stuck = following is not None and (following == cursor or not isinstance(following, str))
            if stuck or not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
                raise FivetranError(f"found no page of items in Fivetran's answer to GET {path}: expected its documented form")
            yield from items
            if not following:
                return
            cursor = following
        raise FivetranError(
            f"found more than {_MOST_PAGES} pages in Fivetran's answer to GET {path}: expected an end, look at FIVETRAN_API_URL"
        )

    def _get(self, path: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_LaterError),
            stop=self._impatient,
            wait=self._wait,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._get_once, path, parameters)

    def _get_once(self, path: str, parameters: Mapping[str, str]) -> Mapping[str, Any]:
        who = self.credentials
        try:
            answer = requests.get(
                who.api_url + path,
                params=parameters,
                headers={"Accept": "application/json;version=2"},
                auth=(who.api_key.get_secret_value(), who.api_secret.get_secret_value()),
                timeout=self._timeout(path),
                allow_redirects=False,
            )
        except requests.RequestException as error:
            # Not chained: what it holds of the request has the secret in it.
            what = f"found no answer of Fivetran to GET {path} ({type(error).__name__})"
            raise _LaterError(f"{what}: expected one from {who.api_url}, try again later") from None
        said = f"found {answer.status_code} from Fivetran for GET {path}{_message(answer)}"
        if answer.status_code == _THROTTLED or answer.status_code >= _BROKEN:
            raise _LaterError(f"{said}: try again later", _retry_after(answer))
        if answer.status_code != _OK:
            raise FivetranError(f"{said}: {_REMEDIES.get(answer.status_code, 'expected 200, look at FIVETRAN_API_URL')}")
        try:
            data = answer.json()["data"]
        except (ValueError, KeyError, TypeError, RecursionError):
            data = None
        if not isinstance(data, dict):
            raise FivetranError(f"{said} without data: expected its documented form, look at FIVETRAN_API_URL")
        return data

    def _timeout(self, path: str) -> tuple[float, float]:
        if self._until is None:
            return _TIMEOUT
        left = self._until - time.monotonic()
        if left <= 0:
            raise FivetranUnreachableError(
                f"found no time left to GET {path}: expected all of Fivetran's answers within {_GLANCE:g} s, try again later"
            )
        return min(_GLANCE_TIMEOUT[0], left), min(_GLANCE_TIMEOUT[1], left)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        asked = _asked(state)
        return self._backoff(state) if asked is None else asked

    def _impatient(self, state: tenacity.RetryCallState) -> bool:
        late = self._until is not None and time.monotonic() + (_asked(state) or 0) >= self._until
        return late or state.attempt_number >= _ATTEMPTS or state.idle_for + (_asked(state) or 0) > _PATIENCE


def _asked(state: tenacity.RetryCallState) -> float | None:
    error = state.outcome.exception() if state.outcome else None
    return error.after if isinstance(error, _LaterError) else None


def _retry_after(answer: requests.Response) -> float | None:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else None


def _message(answer: requests.Response) -> str:
    try:
        said = answer.json()["message"]
    except (ValueError, KeyError, TypeError, RecursionError):  # a proxy's page, perhaps
        return ""
    return f" ({' '.join(str(said).split())[:200]})"


def _read(make: Callable[[Mapping[str, Any]], Any], item: Mapping[str, Any]) -> Any:
    try:
        return make(item)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FivetranError(
            f"found an item of Fivetran's that cannot be read ({repr(error)[:_LONGEST_TEXT]}): expected its documented form"
        ) from error


def _connection(item: Mapping[str, Any]) -> Connection:
    status = item.get("status") or {}
    if not _text(item["id"]).strip("."):
        raise ValueError("an id that names another path")
    return Connection(
        id=item["id"],
        schema=_text(item["schema"]),
        service=_text(item["service"]),
        paused=bool(item.get("paused")),
        setup_state=str(status.get("setup_state", "")),
        sync_state=str(status.get("sync_state", "")),
        update_state=str(status.get("update_state", "")),
        is_historical_sync=bool(status.get("is_historical_sync")),
        created_at=_parsed(item.get("created_at")),
        succeeded_at=_parsed(item.get("succeeded_at")),
        failed_at=_parsed(item.get("failed_at")),
        sync_frequency=_minutes(item.get("sync_frequency")),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= _LONGEST_TEXT:
        raise TypeError(f"{type(value).__name__} where a name was expected")
    return value


def _minutes(value: Any) -> int | None:
    """Return how often a connection is to sync, as far as that says anything."""
    return value if type(value) is int and 0 < value <= _MOST_MINUTES else None


def _sync(connection: Connection, item: Mapping[str, Any]) -> Sync:
    started, ended = dt.datetime.fromisoformat(item["start"]), _parsed(item.get("end"))
    status = SyncStatus.named(item.get("status")) if ended else None
    return Sync(connection.schema, _utc(started), ended, status)


def _parsed(text: str | None) -> dt.datetime | None:
    return _utc(dt.datetime.fromisoformat(text)) if text else None


def _utc(instant: dt.datetime) -> dt.datetime:
    return instant.astimezone(dt.UTC) if instant.tzinfo else instant.replace(tzinfo=dt.UTC)


def _instant(instant: dt.datetime) -> str:
    return f"{instant.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%f}Z"
