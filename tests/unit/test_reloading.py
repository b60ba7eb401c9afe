"""The webserver is told to reload, and whatever keeps it from that is told in one line."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from history_assets.errors import ReloadError
from history_assets.reloading import reload_code_locations


class Webserver(http.server.ThreadingHTTPServer):
    """Answers every request in the same way, and keeps what it was asked."""

    status = 200
    answer: Any = None

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str]] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Webserver

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, asked["query"].split()[2]))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(json.dumps(self.server.answer).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
        pass


@pytest.fixture
def webserver() -> Iterator[Webserver]:
    with Webserver() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def workspace(**problems: Any) -> Any:
    entries = [{"name": name, "locationOrLoadError": problem} for name, problem in problems.items()]
    return {"data": {"reloadWorkspace": {"locationEntries": entries}}}


def test_every_code_location_is_reloaded(webserver: Webserver) -> None:
    webserver.answer = workspace(history_assets={}, other={})

    reload_code_locations(webserver.address)

    assert webserver.asked == [("/graphql", "reloadWorkspace")]


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (500, None, "500 Server Error"),
        (200, "<html>", "found no webserver that reloads"),
        (200, {"errors": [{"message": "no such field"}]}, "found no webserver that reloads"),
        (200, {"data": {"reloadWorkspace": {"message": "not\nallowed"}}}, "unable to reload: not allowed:"),
        (
            200,
            workspace(history_assets={"message": "Error\nloading", "cause": {"message": "no\nmanifest"}}, other={}),
            "unable to reload: history_assets does not load, no manifest:",
        ),
        (200, workspace(other={"message": "Error loading", "cause": None}), "other does not load, Error loading:"),
    ],
)
def test_what_keeps_it_from_that_is_one_line(webserver: Webserver, status: int, answer: Any, says: str) -> None:
    webserver.status, webserver.answer = status, answer

    with pytest.raises(ReloadError) as raised:
        reload_code_locations(webserver.address)

    assert says in str(raised.value)
    assert webserver.address in str(raised.value)
    assert "\n" not in str(raised.value)
