"""A folder of scripts over a home without histories, and what becomes of them in Dagster."""

from collections.abc import Sequence
from pathlib import Path

import dagster as dg
from pydantic import SecretStr

from history_assets.location import build_definitions
from history_assets.settings import Settings
from tests.fakes.channel import Channel

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def script(*lines: str, code: Sequence[str] = (), doc: str = "A script.") -> str:
    block = ["# /// script", "# [tool.history-assets]", *(f"# {line}" for line in lines), "# ///"]
    return "\n".join([f'"""{doc}"""', *block, *code, ""])


class Folder:
    """A folder of scripts over a home without histories, and what becomes of them in a persistent instance."""

    def __init__(self, home: Path, instance: dg.DagsterInstance, channel: Channel) -> None:
        self.scripts = home / "scripts"
        self.scripts.mkdir(parents=True)
        self.instance = instance
        owners = SecretStr(channel.url.get_secret_value() + "/{owner}")
        self.settings = Settings(home=home, scripts=self.scripts, alert_urls=(channel.url,), owner_alert_url=owners)

    def write(self, name: str, text: str) -> None:
        (self.scripts / f"{name}.py").write_text(text)

    def run(self, name: str) -> dg.ExecuteInProcessResult:
        job = build_definitions(self.settings).resolve_job_def("scripts")
        key = dg.AssetKey(["scripts", name])
        return job.execute_in_process(_QUIET, self.instance, asset_selection=[key], raise_on_error=False)

    def failure(self, name: str) -> str:
        """Run a script that must fail, and return why it did."""
        result = self.run(name)
        assert not result.success
        (failed,) = [event for event in result.all_node_events if event.is_step_failure]
        data = failed.step_failure_data.user_failure_data
        assert data
        return str(data.description)

    def metadata(self, name: str) -> dict[str, object]:
        """Run a script that must succeed, and return what it reported."""
        result = self.run(name)
        assert result.success
        (event,) = result.get_asset_materialization_events()
        return {key: value.value for key, value in event.materialization.metadata.items()}

    def alert(self, result: dg.ExecuteInProcessResult) -> None:
        """Have the sensor see a run that failed."""
        sensor = build_definitions(self.settings).get_repository_def().get_sensor_def("alert")
        (ended,) = [event for event in result.all_events if event.event_type is dg.DagsterEventType.RUN_FAILURE]
        context = dg.build_run_status_sensor_context("alert", ended, self.instance, result.dagster_run).for_run_failure()
        sensor(context)
