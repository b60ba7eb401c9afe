"""What the project is built on is listed, used, pinned, and may be used."""

import ast
import importlib.metadata
import re
import sys

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as usual

from tests.dependencies_page import PAGE, ROOT, USES, asked, closure, direct, licence, page

SOURCES = [*(ROOT / "history_assets").rglob("*.py")]
STARTED = {"dagster-webserver", "dbt-duckdb", "dbt-snowflake", "dbt-core", "tzdata", "dagster-snowflake"}
"""Programs, adapters and data: used without an import of their own name in each process."""


def pinned() -> set[str]:
    return {usual(name) for name in re.findall(r"^([\w.-]+)==", (ROOT / "constraints.txt").read_text(), re.M)}


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
    """What examples and tests need too."""
    assert set(closure(asked())) - pinned() == set()


def test_nothing_is_pinned_that_nobody_needs() -> None:
    """Whatever the system: one that is for another than this is named by what would need it there."""
    needed = set(closure(asked()))
    elsewhere = {
        usual(each.name)
        for name in needed
        for each in map(Requirement, importlib.metadata.requires(name) or [])
        if each.marker and "extra" not in str(each.marker)
    }

    assert pinned() - needed - elsewhere == set()


def test_what_is_imported_is_required_and_the_other_way_round() -> None:
    owners = importlib.metadata.packages_distributions()
    used = {usual(owners[name][0]) for name in imported() if name in owners and name not in {"dbt", "snowflake"}}

    assert used - set(direct()) <= {"dagster-shared", "dagster-pipes", "dbt-common"}
    assert set(direct()) - used - STARTED - {"snowflake-connector-python"} == set()
