"""The engines that stories are told on, by name."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tests.fakes.snowflake.emulator import Emulator
from tests.stories.engines.base import Engine
from tests.stories.engines.duckdb import DuckDB
from tests.stories.engines.snowflake import Snowflake

NAMES = ("duckdb", "snowflake")


@contextlib.contextmanager
def installed(name: str, home: Path) -> Iterator[Engine]:
    """Open an engine by its name, with an installation of its own in a home."""
    if name == "duckdb":
        yield DuckDB(home)
        return
    with Emulator() as emulator:
        yield Snowflake(home, emulator)
