"""A Snowflake warehouse over sessions that record what is sent, and answer from what is said to be there."""

from collections.abc import Callable
from typing import Any

import pytest
import tenacity

from history_assets.credentials import SnowflakeCredentials
from history_assets.settings import Settings
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from tests.warehouse.recording import RecordingSessions, table
from tests.warehouse.snowflake.account import Make


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tenacity.nap.time, "sleep", lambda _: None)


@pytest.fixture
def sessions() -> RecordingSessions:
    return RecordingSessions(
        {
            "CRM": [
                table("ACCOUNT", "ID", "NAME", key=("ID",), rows=5),
                table("order item", "b", "a", key=("a", "b"), rows=2),
            ],
            "INFORMATION_SCHEMA": [],
            "PUBLIC": [],
        }
    )


@pytest.fixture
def make(make_settings: Callable[..., Settings], sessions: RecordingSessions) -> Make:
    """A warehouse over the double, with clone ids 00000001-0, 00000002-0 …"""

    def make(**overrides: Any) -> SnowflakeWarehouse:
        who = SnowflakeCredentials(account="a", user="u", role="HISTORIAN", warehouse="w")
        ids = (f"{number:08}-0" for number in range(1, 100))
        settings = make_settings(**{"engine": "snowflake", "snowflake": who} | overrides)
        return SnowflakeWarehouse(settings, sessions, lambda: next(ids))  # type: ignore[arg-type]

    return make


@pytest.fixture
def warehouse(make: Make) -> SnowflakeWarehouse:
    return make()
