"""What the project is built on is listed, used, pinned, and may be used."""

import ast
import importlib.metadata
import re
import sys
from collections.abc import Collection

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name as usual

from tests.dependencies_page import PAGE, ROOT, USES, asked, closure, direct, licence, licence_said, page

SOURCES = [*(ROOT / "history_assets").rglob("*.py")]
STARTED = {"dagster-webserver", "dbt-duckdb", "dbt-snowflake", "dbt-core", "tzdata", "dagster-snowflake"}
"""Programs, adapters and data: used without an import of their own name in each process."""

OSI, GPL = "License :: OSI Approved", "GNU General Public License"


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


def lines(text: str) -> dict[str, str]:
    """Return the lines of a page, by the package that a line begins with where it is of a table."""
    return {re.sub(r"^\| \[?([\w-]+).*", r"\1", line): line for line in text.splitlines()}


def elsewhere(names: Collection[str]) -> set[str]:
    """Return what these need on some systems or Pythons alone."""
    required = (Requirement(line) for name in names for line in importlib.metadata.requires(name) or [])
    return {usual(each.name) for each in required if each.marker and "extra" not in str(each.marker)}


def test_the_page_is_what_is_written() -> None:
    """If not: python -m tests.dependencies_page. What is for another system than this one alone may be there or not."""
    written, made = lines(PAGE.read_text(encoding="utf-8")), lines(page())

    both = made.keys() & written.keys()

    assert [written[name] for name in both] == [made[name] for name in both]
    assert made.keys() ^ written.keys() <= elsewhere(set(closure(direct())))
    assert list(USES) == direct()


def test_every_licence_goes_with_ours() -> None:
    assert [name for name in closure(direct()) if licence(name) is None] == []


@pytest.mark.parametrize(
    ("expression", "classifiers", "text", "usually"),
    [
        ("MIT", [], "", "MIT"),
        (
            None,
            ["Programming Language :: Python", f"{OSI} :: Mozilla Public License 2.0 (MPL 2.0)"],
            "",
            "MPL-2.0",
        ),
        (None, [OSI], "3-Clause BSD License", "BSD"),
        (None, [], "MPL-2.0 AND MIT", "MPL-2.0 AND MIT"),
        ("MPL-2.0 AND (Apache-2.0 OR MIT)", [], "", "MPL-2.0 AND (Apache-2.0 OR MIT)"),
        (
            None,
            [f"{OSI} :: {GPL} (GPL)", f"{OSI} :: Artistic License"],
            "",
            "GNU General Public License OR Artistic",
        ),
        ("MIT AND GPL-3.0-only", [], "", None),
        ("LGPL-2.1-or-later", [f"{OSI} :: MIT License"], "", None),
        (None, [f"{OSI} :: MIT License", "License :: Other/Proprietary License"], "", None),
        (None, [], "Proprietary, see disclaimer", None),
        (None, [], "see the disclaimer", None),
        (None, [], "simple, permitted; as in GPL", None),
        (None, [], "", None),
    ],
)
def test_a_licence_is_read_whole(expression: str | None, classifiers: list[str], text: str, usually: str | None) -> None:
    """And by words, of which others are no part."""
    assert licence_said(expression, classifiers, text) == usually


def test_everything_is_pinned() -> None:
    """What examples and tests need too."""
    assert set(closure(asked())) - pinned() == set()


def test_nothing_is_pinned_that_nobody_needs() -> None:
    """Whatever the system: one that is for another than this is named by what would need it there."""
    needed = set(closure(asked()))

    assert pinned() - needed - elsewhere(needed) == set()


def test_what_is_imported_is_required_and_the_other_way_round() -> None:
    owners = importlib.metadata.packages_distributions()
    used = {usual(owners[name][0]) for name in imported() if name in owners and name not in {"dbt", "snowflake"}}

    assert used - set(direct()) <= {"dagster-shared", "dagster-pipes", "dbt-common"}
    assert set(direct()) - used - STARTED - {"snowflake-connector-python"} == set()
