"""The Dagster UI over a home, without the daemon, which would run things: a code server and a webserver.

Belongs here: starting both, asking the webserver, stopping both. Does not belong here: what is asked (``location``).
"""

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.processes import Memory, environment, sampled
from history_assets.nights import LOCATION
from history_assets.serving import HOST, _answers, _free_port, _listens, _server, _wait

REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": LOCATION}


class Served:
    """A webserver that answers; ``definitions`` is the memory of its code server so far."""

    def __init__(self, url: str, definitions: Memory) -> None:
        self.url = url
        self.definitions = definitions

    def ask(self, query: str, variables: Mapping[str, Any]) -> tuple[float, Any]:
        """Send a GraphQL query, and return the seconds until its answer was read, and its data."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        began = time.perf_counter()
        with urllib.request.urlopen(request, timeout=600) as answer:
            said = answer.read()
        seconds = time.perf_counter() - began
        found = json.loads(said)
        if "errors" in found:
            raise SystemExit(f"the webserver answered with errors: {found['errors']}")
        return seconds, found["data"]


@contextlib.contextmanager
def served(home: Path, own: Mapping[str, str]) -> Iterator[Served]:
    """Serve a home's definitions and UI for as long as the context lasts."""
    code, port = _free_port(), _free_port()
    logs = home / "logs"
    logs.mkdir(exist_ok=True)
    workspace = home / "workspace.yaml"
    location = {"grpc_server": {"host": HOST, "port": code, "location_name": LOCATION}}
    workspace.write_text(yaml.safe_dump({"load_from": [location]}))
    servers = {
        "code-server": ["dagster", "code-server", "start", "-m", "history_assets.definitions", "-h", HOST, "-p", str(code)],
        "webserver": ["dagster-webserver", "-h", HOST, "-p", str(port), "-w", str(workspace)],
    }
    url = f"http://{HOST}:{port}"
    ready = {"code-server": lambda: _listens(code), "webserver": lambda: _answers(f"{url}/server_info")}
    with contextlib.ExitStack() as stack:
        started = {}
        memory = Memory()
        for name, command in servers.items():
            started[name] = stack.enter_context(_server(command, environment(**own), logs / f"{name}.log"))
            if name == "code-server":
                memory = stack.enter_context(sampled(started[name].pid))
            _wait(name, started[name], ready[name], logs)
        yield Served(url, memory)
