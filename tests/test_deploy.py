"""The files of a deployment agree with the project, with Dagster, and with one another; none of them was run here."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import DagsterInstance
from dagster._cli.code_server import start_command
from dagster._daemon.cli import run_command
from dagster_webserver.cli import dagster_webserver

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"


def read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return content


def test_the_instance_is_the_project_s_own_but_for_its_storage(tmp_path: Path) -> None:
    ours = read("dagster.yaml")
    storage = ours.pop("storage")
    packaged = yaml.safe_load((ROOT / "history_assets" / "dagster.yaml").read_text())
    del packaged["event_log_storage"]

    assert ours == packaged
    assert {name: value["env"] for name, value in storage["postgres"]["postgres_db"].items()} == {
        "hostname": "DAGSTER_POSTGRES_HOST",
        "username": "DAGSTER_POSTGRES_USER",
        "password": "DAGSTER_POSTGRES_PASSWORD",
        "db_name": "DAGSTER_POSTGRES_DB",
    }
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(ours))
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.run_monitoring_enabled


def test_the_containers_start_what_there_is() -> None:
    services = read("compose.yaml")["services"]
    started = {"code": start_command, "webserver": dagster_webserver, "daemon": run_command}
    for name, command in started.items():
        words = services[name]["command"]
        options = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options, name
    environment = services["code"]["environment"]
    password = re.findall(r"DAGSTER_POSTGRES_PASSWORD", services["postgres"]["environment"]["POSTGRES_PASSWORD"])
    assert {*(name for name in environment if name.startswith("DAGSTER_")), *password} == {
        value["env"] for value in read("dagster.yaml")["storage"]["postgres"]["postgres_db"].values()
    }
    (server,) = (each["grpc_server"] for each in read("workspace.yaml")["load_from"])
    assert (server["host"], str(server["port"])) == ("code", services["code"]["command"][-1])
    assert environment["HISTORY_WEBSERVER"] == f"webserver:{services['webserver']['command'][-1]}"


def test_every_setting_that_is_named_is_one(settings_names: set[str]) -> None:
    said = "\n".join(path.read_text() for path in [*DEPLOY.iterdir(), ROOT / "docs" / "deploying.md"])
    named = set(re.findall(r"\b(?:HISTORY|SNOWFLAKE|FIVETRAN)_[A-Z_]*[A-Z]\b", said))

    assert named - settings_names == set()


def test_the_image_installs_what_the_wheel_is_made_of() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY (.*)$", dockerfile, re.M) for word in line.split()[:-1]]

    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert {"history_assets", "dbt_project", "setup.cfg", "pyproject.toml"} <= set(copied)
    (python,) = re.findall(r"^FROM python:(\S+)-slim", dockerfile, re.M)
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert configured["build-system"]
    assert tuple(map(int, python.split("."))) >= (3, 11)


def test_the_chart_is_told_of_the_code_server_and_the_home() -> None:
    values = read("values.yaml")
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    options = {option for parameter in start_command.params for option in parameter.opts}

    assert {word for word in deployment["codeServerArgs"] if word.startswith("--")} <= options
    (mount,) = deployment["volumeMounts"]
    assert mount["mountPath"] == deployment["env"]["HISTORY_HOME"]
    assert deployment["includeConfigInLaunchedRuns"] == {"enabled": True}
    pinned = re.findall(r"^dagster==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    assert re.findall(r"--version (\S+)", (ROOT / "docs" / "deploying.md").read_text()) == pinned


@pytest.fixture
def settings_names() -> set[str]:
    page = (ROOT / "docs" / "settings.md").read_text()
    return set(re.findall(r"`((?:HISTORY|SNOWFLAKE|FIVETRAN)_[A-Z_]+)`", page))
