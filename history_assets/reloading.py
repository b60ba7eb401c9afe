"""Having the webserver load the definitions again, once a refresh has changed what they are made of.

Belongs here: one request to the webserver, and what its answer means. Does not belong here: when to ask (``refreshing``).

A code location that is served by ``dagster code-server`` starts a new process for its new definitions. The daemon sees them a
second later where it shares that server, and within a minute where it loads them itself.
"""

from collections.abc import Iterator
from typing import Any

import requests

from history_assets.errors import ReloadError

_RELOAD = """
mutation { reloadWorkspace {
  ... on Workspace { locationEntries { name locationOrLoadError { ... on PythonError { message cause { message } } } } }
  ... on UnauthorizedError { message }
  ... on PythonError { message cause { message } }
} }
"""

_TIMEOUT = (5, 300)
"""Seconds to reach the webserver, and for the definitions of thousands of tables to load."""

_REMEDY = 'look at it, then press "Reload" in its Deployment page, or start it again'


def reload_code_locations(webserver: str) -> None:
    """Have a webserver, given as host:port, load the definitions of its code locations; raises ReloadError if it does not."""
    try:
        answer = requests.post(f"http://{webserver}/graphql", json={"query": _RELOAD}, timeout=_TIMEOUT)
        answer.raise_for_status()
        said = answer.json()["data"]["reloadWorkspace"]
    except (requests.RequestException, ValueError, KeyError, TypeError) as error:
        raise ReloadError(
            f"found no webserver that reloads at {webserver} ({_one_line(str(error))}), expected what HISTORY_WEBSERVER names "
            f"to show the refreshed project: {_REMEDY}"
        ) from error
    if problems := "; ".join(_problems(said)):
        raise ReloadError(f"found the webserver at {webserver} unable to reload: {problems}: {_REMEDY}")


def _problems(said: Any) -> Iterator[str]:
    if "locationEntries" not in said:
        yield _message(said)
    for entry in said.get("locationEntries", ()):
        if problem := entry["locationOrLoadError"]:
            yield f"{entry['name']} does not load, {_message(problem)}"


def _message(problem: Any) -> str:
    return _one_line((problem.get("cause") or problem).get("message") or "which it gave no reason for")


def _one_line(text: str) -> str:
    return " ".join(text.split())
