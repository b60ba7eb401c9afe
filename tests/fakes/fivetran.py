"""A Fivetran account: its REST API over HTTP on a free loopback port, with what can go wrong on the way.

Belongs here: the answers as Fivetran documents them, and faults on demand. Does not belong here: what syncs would write.

    GET /v1/groups/{group}/connections                 limit 1..1000, default 100; cursor
    GET /v1/connections/{connection}/sync-history      start_time, end_time at most 7 days apart; limit, cursor
"""

import base64
import dataclasses
import datetime as dt
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import SecretStr

from history_assets.credentials import FivetranCredentials

KEY, SECRET, GROUP = "the-key", "the-secret", "projected_sickle"

Items = list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Fault:
    """What one request meets instead of its answer, or, without a status, before it; ``body`` instead of a message."""

    status: int | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seconds: float = 0
    body: str | None = None


class RefusedError(Exception):
    """A request that the API turns down."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # somebody did not wait for the answer
            super().handle_error(request, client_address)


class FakeFivetran:
    """An account with connections by group and syncs by connection; serves until it is closed.

    ``faults`` are met by the next requests, one each. ``requests`` are the paths and parameters of all that came.
    """

    def __init__(self) -> None:
        self.connections: dict[str, Items] = {GROUP: []}
        self.syncs: dict[str, Items] = {}
        self.faults: deque[Fault] = deque()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop serving; whoever asks from now on finds nobody."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def credentials(self, *, secret: str = SECRET, groups: tuple[str, ...] = (GROUP,)) -> FivetranCredentials:
        """Return what logs in here."""
        return FivetranCredentials(api_key=SecretStr(KEY), api_secret=SecretStr(secret), group_id=groups, api_url=self.url)

    def connect(self, schema: str, group: str = GROUP, **changed: Any) -> dict[str, Any]:
        """Add a connection that is set up and waits for its next sync, with some of it changed, and return it as listed."""
        status = {"setup_state": "connected", "sync_state": "scheduled", "update_state": "on_schedule"}
        status |= {"is_historical_sync": False, "tasks": [], "warnings": []} | changed.pop("status", {})
        connection = {
            "id": f"id_{schema.replace('.', '_')}_{group}",
            "group_id": group,
            "service": "salesforce",
            "service_version": 1,
            "schema": schema,
            "connected_by": "concerning_batch",
            "created_at": "2024-01-01T11:22:33.012345Z",
            "succeeded_at": None,
            "failed_at": None,
            "paused": False,
            "pause_after_trial": False,
            "sync_frequency": 360,
            "schedule_type": "auto",
            "status": status,
        } | changed
        self.connections.setdefault(group, []).append(connection)
        return connection

    def sync(
        self, schema: str, start: dt.datetime, end: dt.datetime | None, status: str = "COMPLETED", group: str = GROUP
    ) -> None:
        """Have a connection sync, and list it so."""
        (connection,) = [each for each in self.connections[group] if each["schema"] == schema]
        history = self.syncs.setdefault(connection["id"], [])
        item = {"sync_id": f"sync-{len(history)}", "start": _text(start), "end": _text(end) if end else None}
        history.append(item | ({"status": status} if end else {}))
        if end is None:
            connection["status"]["sync_state"] = "syncing"
        else:
            connection["succeeded_at" if status == "COMPLETED" else "failed_at"] = _text(end)

    def answer(self, path: str, parameters: Mapping[str, str]) -> dict[str, Any]:
        """Return the page of items that a path names."""
        match [unquote(part) for part in path.removeprefix("/v1/").split("/")]:
            case ["groups", group, "connections"] if group in self.connections:
                return _page(self.connections[group], parameters)
            case ["connections", connection, "sync-history"]:
                return _page(self._history(connection, parameters), parameters)
        raise RefusedError(404, "NotFound", f"Nothing is at {path}")

    def _history(self, connection: str, parameters: Mapping[str, str]) -> Items:
        start, end = (dt.datetime.fromisoformat(parameters[name]) for name in ("start_time", "end_time"))
        if not start < end <= start + dt.timedelta(days=7):
            raise RefusedError(400, "InvalidInput", "The maximum time window is 7 days")
        items = self.syncs.get(connection, [])
        return [item for item in items if not item["start"] or start <= dt.datetime.fromisoformat(item["start"]) < end]


def _page(items: Items, parameters: Mapping[str, str]) -> dict[str, Any]:
    limit = int(parameters.get("limit", "100"))
    if not 1 <= limit <= 1000:
        raise RefusedError(400, "InvalidInput", "The limit is 1..1000")
    first = int(base64.b64decode(parameters["cursor"])) if "cursor" in parameters else 0
    page: dict[str, Any] = {"items": items[first : first + limit]}
    if first + limit < len(items):
        page["next_cursor"] = base64.b64encode(str(first + limit).encode()).decode()
    return page


def _text(instant: dt.datetime) -> str:
    return instant.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


def _handler(account: FakeFivetran) -> type[BaseHTTPRequestHandler]:
    expected = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            parameters = dict(parse_qsl(parts.query))
            account.requests.append((parts.path, parameters))
            fault = account.faults.popleft() if account.faults else Fault()
            time.sleep(fault.seconds)
            if fault.status is not None:
                body = fault.body if fault.body is not None else json.dumps({"code": "Fault", "message": "as was asked for"})
                return self._send(fault.status, body, fault.headers)
            if self.headers.get("Authorization") != expected:
                return self._send(401, json.dumps({"code": "AuthFailed", "message": "Invalid authorization credentials"}), {})
            try:
                answer = {"code": "Success", "data": account.answer(parts.path, parameters)}
                return self._send(200, json.dumps(answer), {})
            except RefusedError as refused:
                return self._send(refused.status, json.dumps({"code": refused.code, "message": str(refused)}), {})

        def _send(self, status: int, body: str, headers: Mapping[str, str]) -> None:
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(body.encode())),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
