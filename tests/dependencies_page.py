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
    (r"apache", "Apache-2.0"),
    (r"\bmit\b|mit-cmu|mit-0|hpnd", "MIT"),
    (r"bsd|0bsd", "BSD"),
    (r"mozilla|mpl", "MPL-2.0"),
    (r"python software foundation|psf|python-2", "PSF-2.0"),
    (r"isc", "ISC"),
    (r"unlicense|public domain|cc0", "public domain"),
    (r"zope|zpl", "ZPL"),
    (r"artistic", "Artistic"),
)
"""Licences that this project's own, Apache-2.0, goes with, by what says so."""


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
    """Return the licence of a distribution by its usual name; nothing where it is none that goes with this project's."""
    about = importlib.metadata.metadata(name)
    classifiers = [each for each in about.get_all("Classifier") or [] if each.startswith("License")]
    said = (about.get("License-Expression"), *classifiers, (about.get("License") or "")[:200])
    for text in filter(None, said):
        for pattern, usual in NAMES:
            if re.search(pattern, text, re.IGNORECASE):
                return usual
    return None


_PAGE = """# What it is built on

Written by `python -m tests.dependencies_page`. Versions are pinned in [constraints.txt](../constraints.txt), with all that
these need in turn; a test looks up that every one of them has a licence that goes with this project's, Apache-2.0.

| package | for | licence |
|---|---|---|
{rows}

## Looking for known vulnerabilities

```sh
make audit  # pip-audit over constraints.txt; asks public databases
```

To bring `constraints.txt` up to date: install without it into an empty environment, `pip freeze --exclude-editable`, run
`make test` and `make audit`. What a bound in `setup.cfg` is for stands beside it.
"""


def page() -> str:
    """Return the page."""
    rows = [f"| [{name}](https://pypi.org/project/{name}) | {USES[name]} | {licence(name)} |" for name in direct()]
    return _PAGE.format(rows="\n".join(rows))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
