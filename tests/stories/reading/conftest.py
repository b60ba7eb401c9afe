"""The story told on the engine that was asked for, once for all that reads it."""

import datetime as dt
from collections.abc import Iterator

import pytest

from history_assets import dbt_run
from history_assets.folding import Plan, night
from history_assets.history import History
from history_assets.refresh import refresh
from tests.stories import engines
from tests.stories.engines.base import Engine
from tests.stories.reading.story import DAYS, TABLES, cutoff, date, landing


@pytest.fixture(scope="session")
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The story, folded in one process of dbt."""
    name = str(request.config.getoption("engine"))
    with engines.installed(name, tmp_path_factory.mktemp("reading")) as engine:
        _tell(engine)
        yield engine


@pytest.fixture(scope="session")
def history(told: Engine) -> History:
    return History(told.warehouse())


def _tell(engine: Engine) -> None:
    keys = {f"crm.{name}": ("id",) for name in TABLES if name != "keyless"}
    settings, warehouse = engine.settings(gates=(), keys=keys), engine.warehouse(gates=(), keys=keys)
    project, nights = None, []
    for day in DAYS:
        landed = {name: landing(state) for name, states in TABLES.items() if (state := states[day])}
        engine.land("crm", f"{date(day) - dt.timedelta(days=1)}T20:00", landed, str(cutoff(day)))
        project = project or refresh(settings, warehouse).project.folder
        clone = warehouse.clone("crm", date(day), lambda day=day: cutoff(day))
        tables = tuple(("crm", name) for name in TABLES)
        nights.append(night(Plan(date(day), {"crm": clone}, tables, {}), tables, warehouse))
    assert project
    for result in dbt_run.fold(project, nights, settings, lambda _: None):
        assert (result.failed, result.error) == ({}, None)
