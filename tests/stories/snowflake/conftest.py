"""The story, played once by the console script, with the real connector and the real dbt-snowflake."""

from collections.abc import Iterator, Mapping

import pytest

from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.log import Statement
from tests.stories.account import Account
from tests.stories.snowflake.story import LANDED, Moment, Snowflake


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Snowflake]:
    """Play it all."""
    with Emulator() as emulator:
        story = Snowflake(Account(emulator, tmp_path_factory.mktemp("snowflake") / "home"))
        for schema in ("CRM", '"web shop"'):
            emulator.run(f"create schema RAW.{schema} data_retention_time_in_days = 90", at="2026-10-01")
        for at, (crm, shop) in LANDED.items():
            story.land(at, crm, shop)
        story.account.set_up()
        story.type("doctor", "doctor")
        story.type("refresh", "refresh")
        story.type("first", "run", "--date", "2026-10-20")
        story.type("second", "run", "--date", "2026-10-22")
        story.type("third", "run", "--date", "2026-10-23")
        story.type("late", "run", "--date", "2026-10-21")
        story.type("released", "run", "--date", "2026-10-22", "--allow", "empty")
        story.type("again", "run", "--date", "2026-10-22")
        # Fivetran's log might have told of a later end of the last sync.
        story.land("2026-10-22T21:00", ("update ACCOUNT set LABEL = 'Cass' where ACCOUNT_ID = 3",), ())
        story.type("recloned", "run", "--date", "2026-10-23", "--reclone", "--schema", "CRM")
        story.type("verify", "verify")
        story.type("as_of", "as-of", "CRM.ACCOUNT", "2026-10-21", "--format", "csv")
        story.type("as_of_codes", "as-of", "CRM.CODES", "2026-10-22", "--format", "csv")
        yield story


@pytest.fixture(scope="session")
def moments(story: Snowflake) -> Mapping[str, Moment]:
    return story.moments


@pytest.fixture(scope="session")
def log(moments: Mapping[str, Moment]) -> list[Statement]:
    """Every statement of every command."""
    return [statement for moment in moments.values() for statement in moment.typed.log]
