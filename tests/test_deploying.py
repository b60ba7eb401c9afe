"""The files in deploy/ are those of this project: what they name exists, Dagster takes its configuration, versions agree.

Neither Docker nor Helm runs here, nor is dagster-postgres installed: what a storage on Postgres is told is checked by Dagster's
own schema for it, what the chart makes of its values by what its templates make of them.
"""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import click
import dagster
import pytest
import yaml
from dagster._cli import cli as dagster_cli

# There is no public name for reading dagster.yaml and workspace.yaml.
from dagster._core.instance.config import dagster_instance_config
from dagster._core.workspace.config_schema import ensure_workspace_config
from dagster._daemon.cli import cli as daemon_cli
from dagster_webserver.cli import dagster_webserver

from history_assets import __version__
from history_assets.credentials import FIVETRAN, SNOWFLAKE, FivetranCredentials, SnowflakeCredentials
from history_assets.event_log import BATCH, BATCH_VARIABLE
from history_assets.nights import LOCATION
from history_assets.settings import PREFIX, Settings

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
STORAGE = {"DAGSTER_PG_HOST", "DAGSTER_PG_USERNAME", "DAGSTER_PG_PASSWORD", "DAGSTER_PG_DB"}
"""Variables that dagster.yaml and workspace.yaml read."""
CODE_HOST = "DAGSTER_CODE_HOST"
PROGRAMS: dict[str, click.Command] = {
    "dagster": dagster_cli,
    "dagster-webserver": dagster_webserver,
    "dagster-daemon": daemon_cli,
}


def read(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def refused(words: list[str]) -> str | None:
    """Return what a program of Dagster's has against its arguments; nothing is run."""
    command, rest = PROGRAMS[words[0]], words[1:]
    while isinstance(command, click.Group):
        if rest[0] not in command.commands:
            return f"no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    try:
        command.make_context(words[0], rest)
    except click.ClickException as error:
        return error.message
    return None


def settings_names() -> set[str]:
    """Every variable that this project reads."""
    parts = ((PREFIX, Settings), (SNOWFLAKE, SnowflakeCredentials), (FIVETRAN, FivetranCredentials))
    return {prefix + name.upper() for prefix, kind in parts for name in kind.model_fields}


def accepted(folder: Path, text: str) -> Any:
    """Return a dagster.yaml as Dagster reads it; raises where it takes none of it."""
    (folder / "dagster.yaml").write_text(text, encoding="utf-8")
    return dagster_instance_config(str(folder))[0]


def variables_of(tree: Any) -> set[str]:
    """Return the variables that a configuration refers to, ``{env: NAME}``."""
    if isinstance(tree, dict):
        own = {tree["env"]} if set(tree) == {"env"} else set()
        return own.union(*map(variables_of, tree.values()))
    return set().union(*map(variables_of, tree)) if isinstance(tree, list) else set()


def test_dagster_takes_the_instance_on_postgres(tmp_path: Path) -> None:
    found = accepted(tmp_path, (DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))

    assert set(found["storage"]) == {"postgres"}
    assert variables_of(read("dagster.yaml")) == STORAGE


def test_a_misspelt_storage_would_be_noticed(tmp_path: Path) -> None:
    text = (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")

    with pytest.raises(dagster.DagsterInvalidConfigError, match="hostnam"):
        accepted(tmp_path, text.replace("hostname:", "hostnam:"))


def test_but_for_its_storage_the_instance_is_that_of_one_machine() -> None:
    ours = yaml.safe_load((ROOT / "history_assets" / "dagster.yaml").read_text(encoding="utf-8"))
    theirs = read("dagster.yaml")

    assert (theirs.keys() - ours.keys(), ours.keys() - theirs.keys()) == ({"storage"}, {"event_log_storage"})
    assert [name for name in theirs.keys() & ours.keys() if theirs[name] != ours[name]] == []


def test_a_run_that_nobody_knows_to_be_killed_is_over_before_the_next_cutoff() -> None:
    assert 0 < read("dagster.yaml")["run_monitoring"]["max_runtime_seconds"] < 24 * 3600


def test_the_workspace_is_one_code_server(monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = read("workspace.yaml")
    monkeypatch.setenv(CODE_HOST, "code")  # Dagster takes none that is not set

    ensure_workspace_config(workspace, "workspace.yaml")
    (server,) = (each["grpc_server"] for each in workspace["load_from"])
    assert server == {"host": {"env": CODE_HOST}, "port": 4000, "location_name": LOCATION}


def test_the_image_is_the_wheel_of_this_project() -> None:
    """All that the wheel is made of is copied, and every file that is copied is there."""
    copied = [words for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M) for words in shlex.split(line)[:-1]]
    packages = {line.strip() for line in re.findall(r"^    (history_assets[\w.]*)$", (ROOT / "setup.cfg").read_text(), re.M)}

    assert [path for path in copied if not (ROOT / path).exists()] == []
    assert packages >= {"history_assets", "history_assets.dbt_project"}
    assert {"pyproject.toml", "setup.cfg", "README.md", "LICENSE", "history_assets", "dbt_project"} <= set(copied)
    assert "pip wheel --no-cache-dir --no-deps --wheel-dir /wheels ." in DOCKERFILE
    assert "--constraint /wheels/constraints.txt --constraint /wheels/image.txt /wheels/*.whl" in DOCKERFILE


def test_all_that_the_image_has_is_pinned_once() -> None:
    """What it asks for besides the wheel is of the release of Dagster that the tests ran with."""
    pinned, besides = (
        dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / path).read_text(), re.M))
        for path in ("constraints.txt", "deploy/constraints.txt")
    )
    (asked,) = re.findall(r"image\.txt /wheels/\*\.whl \\\n +(.+)$", DOCKERFILE, re.M)

    assert pinned.keys() & besides.keys() == set()
    assert {name: besides[name] for name in asked.split()} == dict.fromkeys(asked.split(), pinned["dagster-dbt"])


def test_the_image_is_built_from_what_is_copied_and_nothing_else() -> None:
    """Neither data nor keys nor environments that lie beside it are told to Docker."""
    copied = {words for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M) for words in shlex.split(line)[:-1]}
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]

    assert (lines[0], {line[1:] for line in lines if line.startswith("!")}) == ("*", copied)


def test_the_key_is_put_where_the_settings_look_for_it() -> None:
    example = (DEPLOY / "history.env.example").read_text()
    (path,) = re.findall(r"^SNOWFLAKE_PRIVATE_KEY_PATH=(.+)$", example, re.M)
    (home,) = {volume.removeprefix("home:") for volume in read("compose.yaml")["services"]["code"]["volumes"]}

    assert path.startswith(f"{home}/")
    assert f"cp history_assets.p8 code:{path}" in (ROOT / "docs" / "deploying.md").read_text()


class OfOnce(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, of which YAML takes the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if again := {name for name in names if names.count(name) > 1}:
            raise yaml.constructor.ConstructorError(None, None, f"found {again} twice", node.start_mark)
        return super().construct_mapping(node, deep)


@pytest.mark.parametrize(
    "path",
    [path for folder in ("", "deploy", "dbt_project", "history_assets") for path in sorted((ROOT / folder).glob("*.y*ml"))],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_file_says_a_thing_twice(path: Path) -> None:
    for document in yaml.load_all(path.read_text(encoding="utf-8"), OfOnce):
        assert document


def test_the_image_starts_the_code_server_with_settings_that_exist() -> None:
    (started,) = re.findall(r"^CMD (.+)$", DOCKERFILE, re.M)
    words = yaml.safe_load(started)
    (block,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", DOCKERFILE, re.M)
    variables = dict(each.split("=") for each in shlex.split(block.replace("\\\n", " ")))

    assert refused(words) is None
    assert importlib.util.find_spec(words[words.index("--module-name") + 1])
    assert variables.pop(BATCH_VARIABLE) == BATCH
    assert variables.pop("DAGSTER_HOME") == "/opt/dagster/dagster_home"
    assert set(variables) <= settings_names()


def test_the_containers_name_what_is_there() -> None:
    compose = read("compose.yaml")
    services, volumes = compose["services"], set(compose["volumes"])

    assert list(services) == ["postgres", "code", "webserver", "daemon"]
    for name, service in services.items():
        assert {each.partition(":")[0] for each in service.get("volumes", ())} <= volumes, name
        assert set(service.get("depends_on", ())) <= set(services), name
        if name != "postgres":
            assert service["image"] == f"history-assets:{__version__}"
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
            assert refused(service.get("command", ["dagster-daemon", "run"])) is None, name
            assert STORAGE | {CODE_HOST} <= set(service["environment"]), name
            assert set(service["environment"]) <= STORAGE | {CODE_HOST} | settings_names(), name
    assert refused(services["code"]["healthcheck"]["test"][1:]) is None
    assert services["code"]["environment"][CODE_HOST] == "code"
    host, port = services["code"]["environment"]["HISTORY_WEBSERVER"].split(":")
    assert port in services[host]["command"]
    assert services["webserver"]["ports"] == [f"127.0.0.1:{port}:{port}"]


def test_credentials_are_given_to_the_code_server_alone() -> None:
    services = read("compose.yaml")["services"]

    assert [name for name, service in services.items() if "env_file" in service] == ["code"]
    assert services["code"]["env_file"] == "history.env"


def test_the_example_of_the_settings_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (DEPLOY / "history.env.example").read_text(encoding="utf-8").splitlines()
    set_, left = ([line for line in lines if re.match(mark + r"[A-Z_]+=", line)] for mark in ("", "# "))
    names = {line.removeprefix("# ").partition("=")[0] for line in (*set_, *left)}
    assert names - settings_names() == {"DAGSTER_PG_PASSWORD"}
    for name, _, value in (line.partition("=") for line in set_):
        monkeypatch.setenv(name, value)
    (tmp_path / "key.p8").write_text("a key")
    monkeypatch.setenv("SNOWFLAKE_PRIVATE_KEY_PATH", str(tmp_path / "key.p8"))

    assert Settings.from_env().engine == "snowflake"


def test_what_the_chart_makes_of_the_values_is_the_same_instance(tmp_path: Path) -> None:
    """The chart writes "run_coordinator" from the one block of its values, and "concurrency" from the other."""
    values = read("values.yaml")
    coordinator = values["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    pools, runs = values["concurrency"]["pools"], values["concurrency"]["runs"]
    monitoring = values["dagsterDaemon"]["runMonitoring"]
    rendered = {
        "run_coordinator": coordinator,
        "concurrency": {
            "pools": {"granularity": pools["granularity"], "default_limit": pools["defaultLimit"]},
            "runs": {"max_concurrent_runs": runs["maxConcurrentRuns"]},
        },
        "run_monitoring": {"enabled": monitoring["enabled"], "max_runtime_seconds": monitoring["maxRuntimeSeconds"]},
        "telemetry": {"enabled": values["telemetry"]["enabled"]},
    }
    accepted(tmp_path, yaml.safe_dump(rendered))

    assert {key: rendered[key] for key in ("concurrency", "run_monitoring", "telemetry")} == {
        key: value for key, value in read("dagster.yaml").items() if key not in ("storage", "nux")
    }
    assert getattr(importlib.import_module(coordinator["module"]), coordinator["class"]) is dagster.QueuedRunCoordinator
    limited = rendered | {"run_coordinator": coordinator | {"config": {"max_concurrent_runs": -1}}}
    with pytest.raises(dagster.DagsterInvalidConfigError, match="incompatible"):  # what the chart writes by default
        accepted(tmp_path, yaml.safe_dump(limited))


def test_the_values_name_what_is_there() -> None:
    values = read("values.yaml")
    (deployment,) = values["dagster-user-deployments"]["deployments"]
    (home,) = deployment["volumeMounts"]
    claim = deployment["volumes"][0]["persistentVolumeClaim"]["claimName"]
    names = {each["name"] for each in deployment["env"]}

    assert refused(["dagster", "code-server", "start", *deployment["codeServerArgs"], "-p", str(deployment["port"])]) is None
    assert deployment["image"]["tag"] == __version__
    assert names - settings_names() == STORAGE - {"DAGSTER_PG_PASSWORD"}  # which the chart sets
    assert f"HISTORY_HOME={home['mountPath']} " in DOCKERFILE
    assert claim == read("home.yaml")["metadata"]["name"]
    made = re.findall(r"kubectl create secret generic (\S+)", (ROOT / "docs" / "deploying.md").read_text(encoding="utf-8"))
    assert [each["name"] for each in deployment["envSecrets"]] == made
    assert "SNOWFLAKE_PRIVATE_KEY" in settings_names()
    given = {each["name"]: each["value"] for each in deployment["env"]}
    assert given["HISTORY_WEBSERVER"] == f"dagster-{values['dagsterWebserver']['nameOverride']}:80"
    assert given["DAGSTER_PG_USERNAME"] == values["postgresql"]["postgresqlUsername"]
    assert given["DAGSTER_PG_DB"] == values["postgresql"]["postgresqlDatabase"]
    assert (given["HISTORY_ENGINE"], given["DAGSTER_PG_HOST"]) == ("snowflake", "dagster-postgresql")


def test_the_charts_version_is_dagsters() -> None:
    (pinned,) = re.findall(r"^dagster==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)
    for path in (DEPLOY / "values.yaml", ROOT / "docs" / "deploying.md"):
        assert re.findall(r"--version (\S+)", path.read_text(encoding="utf-8")) == [pinned]
