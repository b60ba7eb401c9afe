"""What this project is built on, and under which licences: ``python -m tests.dependencies_page`` writes the page."""

import configparser
import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dependencies.md"

USES = {
    "apprise": "alerts to whatever channel",
    "dagster": "assets, partitions, runs, schedules, sensors",
    "dagster-webserver": "the UI",
    "dagster-dbt": "histories as assets of dbt snapshots",
    "dagster-snowflake": "connections to Snowflake",
    "dbt-core": "running the snapshots",
    "dbt-duckdb": "dbt on the embedded engine",
    "dbt-snowflake": "dbt on Snowflake",
    "duckdb": "the embedded engine",
    "packaging": "reading what scripts say that they need",
    "pyarrow": "tables as results",
    "pydantic": "settings, and options of runs",
    "pydantic-settings": "settings from the environment",
    "pyyaml": "the generated dbt project",
    "requests": "Fivetran's API, and the webserver's",
    "rich": "tables and progress on a terminal",
    "snowflake-connector-python": "statements to Snowflake",
    "sqlalchemy": "Dagster's event log in batches, whose storages are made with it",
    "tenacity": "waiting and trying again",
    "typer": "the command line",
    "tzdata": "time zones where the system has none",
}

NAMES = (
    (r"\bapache\b", "Apache-2.0"),
    (r"\bmit\b|\bhpnd\b", "MIT"),
    (r"\b0?bsd\b", "BSD"),
    (r"\bmozilla\b|\bmpl\b|\bmplv?2", "MPL-2.0"),
    (r"\bpython software foundation\b|\bpsfl?\b|\bpython-2\b", "PSF-2.0"),
    (r"\biscl?\b", "ISC"),
    (r"\bunlicense\b|\bpublic domain\b|\bcc0\b", "public domain"),
    (r"\bzope\b|\bzpl\b", "ZPL"),
    (r"\bartistic\b", "Artistic"),
)
"""Licences that this project's own, Apache-2.0, goes with, by what says so."""

_PROPRIETARY = re.compile(r"\bproprietary\b|\bnon-?commercial\b", re.IGNORECASE)
_OTHER = re.compile(r"gpl|\bgeneral public\b", re.IGNORECASE)
"""What makes it another licence, whatever is named beside."""

_COMPOUND = re.compile(r"[\w.+()-]+( (AND|OR|WITH) [\w.+()-]+)+")
_NO_LICENCE = {"OSI Approved", "DFSG approved"}


def direct() -> list[str]:
    """Return what the package requires, by name."""
    return [Requirement(line).name for line in _required("options", "install_requires")]


def asked() -> list[str]:
    """Return what the package requires with all its extras, which are for running examples and tests."""
    extras = [line for name in ("examples", "test") for line in _required("options.extras_require", name)]
    return [*direct(), *(line for line in extras if Requirement(line).name != "history-assets")]


def _required(section: str, option: str) -> list[str]:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    return [line.strip() for line in config[section][option].splitlines() if line.strip()]


def closure(asked: list[str]) -> Iterator[str]:
    """Yield all distributions that these requirements need, extras and all, as far as they are installed here."""
    seen, waiting = set[tuple[str, str]](), list(map(Requirement, asked))
    while waiting:
        one = waiting.pop()
        for wanted in {(canonicalize_name(one.name), extra) for extra in ("", *one.extras)} - seen:
            seen.add(wanted)
            name, extra = wanted
            try:
                requires = importlib.metadata.requires(name) or []
            except importlib.metadata.PackageNotFoundError:
                continue  # for another system than this
            if not extra:
                yield name
            needed = map(Requirement, requires)
            waiting += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})]


def licence(name: str) -> str | None:
    """Return the licences of a distribution by their usual names; nothing where it has none that goes with this project's."""
    about = importlib.metadata.metadata(name)
    return licence_said(about.get("License-Expression"), about.get_all("Classifier") or [], about.get("License") or "")


def licence_said(expression: str | None, classifiers: list[str], text: str) -> str | None:
    """Return what metadata says of licences, as ``licence`` does; several classifiers are taken for a choice."""
    short = text[:200]
    if any(_PROPRIETARY.search(each) for each in (expression or "", *classifiers, short)):
        return None
    if expression or _COMPOUND.fullmatch(short):
        return usual(expression or short)
    last = [re.sub(r" \(.*\)$", "", each.rpartition(" :: ")[2]) for each in classifiers if each.startswith("License")]
    choice = " OR ".join(dict.fromkeys(_named(each) or each for each in last if each not in _NO_LICENCE))
    return usual(choice) if choice else usual(short)


def usual(said: str) -> str | None:
    """Return licences, combined by AND and OR, by their usual names; nothing where a choice has none of ours."""
    choices = [[_named(each) for each in part.split(" OR ")] for part in said.split(" AND ")]
    if not all(any(choice) for choice in choices):
        return None
    return "".join(_named(each) or each for each in re.split(r"( AND | OR |[()])", said))


def _named(text: str) -> str | None:
    if _OTHER.search(text):
        return None
    return next((name for pattern, name in NAMES if re.search(pattern, text, re.IGNORECASE)), None)


_PAGE = """# What it is built on

Written by `python -m tests.dependencies_page`. Versions are pinned in [constraints.txt](../constraints.txt), with all that
these need in turn; a test looks up that every one of them has a licence that goes with this project's, Apache-2.0.

| package | for | licence |
|---|---|---|
{rows}

What these need in turn, on Linux with Python 3.11. Where a package names several licences, they are combined as it
says; where it but lists them, they are taken for a choice.

| package | licence |
|---|---|
{others}

The image also has dagster-postgres and dagster-k8s, and what they need, pinned in
[deploy/constraints.txt](../deploy/constraints.txt): Apache-2.0, MIT, BSD and PSF, but for psycopg2, by which Dagster speaks to
Postgres, which is LGPL with exceptions and used as it is published.

## Looking for known vulnerabilities

```sh
make audit  # pip-audit over what is pinned, here and for the image; asks public databases
```

To bring `constraints.txt` up to date: install without it into an empty environment, `pip freeze --exclude-editable`, run
`make test` and `make audit`. What a bound in `setup.cfg` is for stands beside it.
"""


def page() -> str:
    """Return the page."""
    rows = [f"| [{name}](https://pypi.org/project/{name}) | {USES[name]} | {licence(name)} |" for name in direct()]
    others = sorted(set(closure(direct())) - {canonicalize_name(name) for name in direct()})
    return _PAGE.format(rows="\n".join(rows), others="\n".join(f"| {name} | {licence(name)} |" for name in others))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
