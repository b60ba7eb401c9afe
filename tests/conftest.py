"""Fixtures that more than one test module shares."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.stories import engines
from tests.stories.engines.base import Engine

hypothesis_settings.register_profile("ci", deadline=None)
hypothesis_settings.load_profile("ci")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests, which may share a costly story, with one worker, but for those that say otherwise."""
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--engine", choices=engines.NAMES, default=engines.NAMES[0], help="the engine that the stories are told on"
    )


@pytest.fixture(scope="module")
def engine_name(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("engine"))


@pytest.fixture(scope="module")
def engine(engine_name: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that was asked for, with an installation of its own for the module."""
    with engines.installed(engine_name, tmp_path_factory.mktemp("story")) as engine:
        yield engine


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("HISTORY_", "SNOWFLAKE_", "FIVETRAN_")) or name == "DAGSTER_HOME":
            monkeypatch.delenv(name)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty HISTORY_HOME that the environment names, with a Dagster home of its own."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HISTORY_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    return home


@pytest.fixture
def landing(home: Path) -> Landing:
    return Landing(home)


@pytest.fixture
def make_settings(home: Path) -> Callable[..., Settings]:
    """Settings over the home, each overridable."""

    def make(**overrides: Any) -> Settings:
        return Settings(**{"home": home} | overrides)

    return make


@pytest.fixture
def settings(make_settings: Callable[..., Settings]) -> Settings:
    return make_settings()


@pytest.fixture
def warehouse(settings: Settings) -> DuckDBWarehouse:
    return DuckDBWarehouse(settings)
