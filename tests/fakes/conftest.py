"""Fixtures of the tests that hold the doubles to what they stand in for."""

from collections.abc import Iterator

import pytest
import snowflake.connector
from snowflake.connector import SnowflakeConnection

from tests.fakes.snowflake.emulator import Emulator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Snowflake account with an empty database RAW, served over HTTP."""
    with Emulator() as emulator:
        emulator.create_database("RAW")
        yield emulator


@pytest.fixture
def connection(emulator: Emulator) -> Iterator[SnowflakeConnection]:
    """The real connector, logged in to the emulator."""
    with snowflake.connector.connect(**emulator.settings) as connection:
        yield connection
