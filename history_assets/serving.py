"""The Dagster UI on this machine: one code server, and the webserver and daemon that share it.

Belongs here: starting these, waiting until they answer, stopping them by their ids. Does not belong here: what they serve.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import yaml

from history_assets.errors import UsageError, WarehouseError
from history_assets.nights import LOCATION, dagster_home
from history_assets.settings import Settings

HOST = "127.0.0.1"
_START_TIMEOUT = 120
"""Seconds that each of them may take to answer."""


def check_free(port: int) -> None:
    """Raise UsageError where a port of this machine is taken."""
    if _listens(port):
        raise UsageError(f"found port {port} in use: choose another with --port")


@contextlib.contextmanager
def served(settings: Settings, port: int) -> Iterator[Callable[[], bool]]:
    """Serve the UI on a port of this machine, for as long as the context lasts; gives a call that says whether all still run.

    Raises UsageError where the port is taken, WarehouseError naming the log of a server that does not come up.
    """
    check_free(port)
    logs = settings.home / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "HISTORY_HOME": str(settings.home),
        "HISTORY_WEBSERVER": f"{HOST}:{port}",
        "DAGSTER_HOME": str(dagster_home(settings)),
    }
    # The daemon alone would load the definitions again every minute.
    code = _free_port()
    # Dagster keeps what its sensors and schedules have done under the location's name, which must outlive the port.
    server = {"host": HOST, "port": code, "location_name": LOCATION}
    workspace = settings.home / "workspace.yaml"
    workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    location = ["-w", str(workspace)]
    module = ["-m", "history_assets.definitions"]
    with contextlib.ExitStack() as stack:
        servers: dict[str, subprocess.Popen[bytes]] = {}

        def start(name: str, command: list[str], ready: Callable[[], bool]) -> None:
            servers[name] = stack.enter_context(_server(command, environment, logs / f"{name}.log"))
            _wait(name, servers[name], ready, logs)

        start(
            "code-server",
            ["dagster", "code-server", "start", *module, "--host", HOST, "--port", str(code)],
            lambda: _listens(code),
        )
        start(
            "webserver",
            ["dagster-webserver", "--host", HOST, "--port", str(port), *location],
            lambda: _answers(f"http://{HOST}:{port}/server_info"),
        )
        start("daemon", ["dagster-daemon", "run", *location], lambda: True)
        yield lambda: all(server.poll() is None for server in servers.values())


@contextlib.contextmanager
def _server(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = str(Path(sys.executable).with_name(command[0]))
    with log.open("ab") as output:
        # A group of its own: Ctrl-C reaches this process alone, which then stops the server and all that it started.
        server = subprocess.Popen(  # noqa: S603 - own arguments
            [program, *command[1:]], env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        yield server
    finally:
        _signal(server, signal.SIGTERM)
        try:
            server.wait(timeout=20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        _signal(server, signal.SIGKILL)


def _signal(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(server.pid, number)


def _wait(name: str, server: subprocess.Popen[bytes], ready: Callable[[], bool], logs: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT
    while not ready():
        if server.poll() is not None or time.monotonic() > deadline:
            raise WarehouseError(f"found Dagster's {name} not coming up: see {logs / name}.log")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own address
            return bool(answer.status == 200)
    except OSError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
