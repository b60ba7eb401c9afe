"""What the project is built on is listed, used, pinned, and may be used."""

import ast
import re
import sys
from importlib.metadata import packages_distributions

from tests.dependencies_page import PAGE, ROOT, USES, closure, direct, licence, page

SOURCES = [*(ROOT / "history_assets").rglob("*.py")]
STARTED = {"dagster-webserver", "dbt-duckdb", "dbt-snowflake", "dbt-core", "tzdata", "dagster-snowflake"}
"""Programs, adapters and data: used without an import of their own name in each process."""


def usual(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported() -> set[str]:
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"history_assets"}


def test_the_page_is_what_is_written() -> None:
    """If not: python -m tests.dependencies_page."""
    assert PAGE.read_text(encoding="utf-8") == page()
    assert list(USES) == direct()


def test_every_licence_goes_with_ours() -> None:
    assert [name for name in closure(direct()) if licence(name) is None] == []


def test_everything_is_pinned() -> None:
    pinned = {
        re.sub(r"[-_.]+", "-", name).lower()
        for name in re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.M)
    }

    # What pip brings itself is of the environment.
    assert [name for name in closure(direct()) if name not in pinned | {"setuptools", "wheel"}] == []


def test_what_is_imported_is_required_and_the_other_way_round() -> None:
    owners = packages_distributions()
    used = {
        re.sub(r"[-_.]+", "-", owners[name][0]).lower()
        for name in imported()
        if name in owners and name not in {"dbt", "snowflake"}
    }

    assert used - set(direct()) <= {"dagster-shared", "dagster-pipes", "dbt-common"}
    assert set(direct()) - used - STARTED - {"snowflake-connector-python"} == set()
