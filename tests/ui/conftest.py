"""A picture of the page that a test failed at."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Keep whether a test failed, at it or before it."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def _picture_of_failure(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    yield
    if request.node.stash.get(_FAILED, False) and "pages" in request.fixturenames:
        picture = tmp_path / "failed.png"
        request.getfixturevalue("pages").page.screenshot(path=picture)
        print(f"the page as it was: {picture}")
