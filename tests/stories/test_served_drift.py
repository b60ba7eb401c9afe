"""The running system over a raw that changes, where nobody presses or restarts anything."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from history_assets.naming import clone_key
from history_assets.serving import served
from history_assets.settings import Settings
from tests.landing import Landing
from tests.stories.test_served import ended, folded_after, recorded
from tests.stories.webserver import UI, eventually, free_port, left_behind

EVENING = "2026-03-01T22:00"
SYNCED = "_fivetran_synced timestamptz default now()"


def assets(ui: UI) -> list[str]:
    """Return the assets that the webserver lists."""
    return sorted("/".join(node["assetKey"]["path"]) for node in ui.ask("{ assetNodes { assetKey { path } } }"))


def let_five_minutes_pass(instance: dg.DagsterInstance) -> None:
    """Have the sensor be due: its last tick was as long ago as it waits."""
    (state,) = [each for each in instance.all_instigator_state() if each.instigator_name == "drift"]
    past = state.instigator_data._replace(last_tick_timestamp=1.0, last_tick_start_timestamp=1.0)
    instance.update_instigator_state(state.with_data(past))


def refreshes(instance: dg.DagsterInstance) -> list[tuple[str, str, list[str]]]:
    """Return what asked for each refresh, how it ended, and what it warned of."""
    return [
        (
            run.tags["dagster/sensor_name"],
            ended(instance, run.run_id).status.value,
            [entry.user_message for entry in instance.all_logs(run.run_id) if entry.level == 30],
        )
        for run in instance.get_runs(dg.RunsFilter(job_name="refresh"))
    ]


@pytest.fixture
def instance(home: Path, landing: Landing) -> Iterator[dg.DagsterInstance]:
    (home / "dagster").mkdir()
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.mark.slow
def test_what_lands_in_a_new_home_comes_into_the_ui_and_is_folded(
    home: Path, landing: Landing, instance: dg.DagsterInstance
) -> None:
    """Its sensors and its schedule come with it."""
    port = free_port()
    with served(Settings(home=home), port) as running:
        ui = UI(port)
        eventually(lambda: "drift" in ui.automations() and ui.skips("drift") == ["nothing has changed"], "a first tick")
        assert assets(ui) == []

        landing.execute("crm", EVENING, f"create table account (id int, {SYNCED})", "insert into account (id) values (1), (2)")
        let_five_minutes_pass(instance)
        eventually(lambda: assets(ui) == ["clones/crm", "fivetran/crm", "history/crm/account"], "the assets of a new table")

        ui.stop_schedule("nightly")
        ui.add_partition("2026-03-02")
        clone = ended(instance, ui.materialize([clone_key("crm")], "2026-03-02"))
        assert clone.status is dg.DagsterRunStatus.SUCCESS
        assert folded_after(instance, clone.run_id).status is dg.DagsterRunStatus.SUCCESS
        assert recorded(instance, "2026-03-02") == {"clones/crm": [(1, 2)], "history/crm/account": [(2, 2, 0)]}
        assert refreshes(instance) == [("drift", "SUCCESS", [])]
        assert running()
    assert left_behind(home) == []
