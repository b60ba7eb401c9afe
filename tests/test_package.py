"""The package as somebody who has nothing else gets it: what it holds, and that it works away from the repository."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from history_assets import __version__

ROOT = Path(__file__).parents[1]
MADE = (".*", "__pycache__", "*.egg-info", "build", "dist", "target", "logs")
"""What work leaves behind in the repository, as .gitignore has it."""

Build = Callable[[str, Path], Path]


def files(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its path from there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def in_wheel(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as wheel:
        return {name: wheel.read(name) for name in wheel.namelist()}


def beneath(folder: str, content: Mapping[str, bytes]) -> dict[str, bytes]:
    return {f"{folder}/{name}": value for name, value in content.items()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository as it is now, whatever of it is committed; building leaves files behind."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("tree") / "tree", ignore=shutil.ignore_patterns(*MADE)))


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Build the "wheel" or the "sdist" of a folder, with the builder that pyproject.toml names."""

    def build(kind: str, source: Path) -> Path:
        folder = tmp_path_factory.mktemp(kind)
        code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        (built,) = folder.iterdir()
        return built

    return build


@pytest.fixture(scope="module")
def wheel(build: Build, tree: Path) -> Path:
    return build("wheel", tree)


@pytest.fixture(scope="module")
def sdist(build: Build, tree: Path) -> Path:
    return build("sdist", tree)


@pytest.fixture(scope="module")
def unpacked(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    (unpacked,) = folder.iterdir()
    return unpacked


def test_the_wheel_holds_the_package_with_its_dbt_project_and_nothing_else(wheel: Path, tree: Path) -> None:
    """A new module, macro or package has to be in it: setup.cfg lists packages, and what they hold but modules, one by one."""
    package = beneath("history_assets", files(tree / "history_assets"))
    package |= beneath("history_assets/dbt_project", files(tree / "dbt_project"))

    held = in_wheel(wheel)

    said = {name.rpartition("/")[2]: content for name, content in held.items() if ".dist-info/" in name}
    assert sorted(name for name in held if ".dist-info/" not in name) == sorted(package)
    assert {name: held[name] for name in package} == package
    # Where in there the licence stands differs by the builder.
    assert sorted(said) == ["LICENSE", "METADATA", "RECORD", "WHEEL", "entry_points.txt", "top_level.txt"]
    assert said["LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert {f"history_assets/{name}" for name in ("py.typed", "dagster.yaml", "dbt_project/profiles.yml")} <= held.keys()


def test_the_source_package_holds_what_the_wheel_is_built_of_and_nothing_else(tree: Path, unpacked: Path) -> None:
    expected = {name: (tree / name).read_bytes() for name in ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml")}
    expected |= beneath("history_assets", files(tree / "history_assets")) | beneath("dbt_project", files(tree / "dbt_project"))

    found = {name: content for name, content in files(unpacked).items() if not name.startswith("history_assets.egg-info/")}

    assert sorted(found) == sorted([*expected, "PKG-INFO", "setup.cfg"])  # into the last, the builder writes
    assert {name: found[name] for name in expected} == expected


def test_a_wheel_of_the_source_package_is_the_repository_s(build: Build, wheel: Path, unpacked: Path) -> None:
    assert in_wheel(build("wheel", unpacked)) == in_wheel(wheel)


@dataclasses.dataclass(frozen=True)
class Installed:
    """An environment that holds the package and what it needs, and an empty folder to work in."""

    programs: Path
    folder: Path

    def run(self, program: str, *arguments: str, **variables: str) -> str:
        """Run a program of the environment as somebody who has nothing else; returns what it printed."""
        outside = {"PATH", "LANG", "TMPDIR", "TZ"}
        environment = {name: value for name, value in os.environ.items() if name in outside}
        environment |= {"HOME": str(self.folder.parent), "COLUMNS": "200"} | variables
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """What pip makes of the wheel, with the pinned versions, in an environment that held nothing."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    constraints = ["--constraint", str(ROOT / "constraints.txt")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *constraints, wheel]
    subprocess.run(install, cwd=folder, env=environment, check=True)
    (folder / "empty").mkdir()
    return Installed(python.parent, folder / "empty")


@pytest.mark.slow
def test_every_version_that_is_installed_is_pinned(installed: Installed) -> None:
    listed = json.loads(installed.run("python", "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"))
    versions = {canonicalize_name(each["name"]): each["version"] for each in listed}
    lines = re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M)
    pinned = {canonicalize_name(name): version for name, version in lines}

    assert versions.items() - pinned.items() - {("pip", versions["pip"])} == {("history-assets", __version__)}
    assert installed.run("python", "-m", "pip", "check") == "No broken requirements found.\n"


@pytest.mark.slow
def test_the_demo_runs_away_from_the_repository(installed: Installed) -> None:
    where = installed.run("python", "-c", "import history_assets; print(history_assets.__file__)")
    assert Path(where.strip()).is_relative_to(installed.programs.parent)

    said = installed.run("history-assets", "demo", "--days", "2", "--no-ui")

    (summary,) = [line for line in said.splitlines() if "nights of" in line]
    assert re.sub(r"in \d+ s", "in N s", summary) == (
        "2 nights of 5 schemas: 10 clones, 20 histories, 40 table-nights folded, in N s. "
        f"All of it is in {installed.folder / '.demo'}."
    )
    home = {"HISTORY_HOME": ".demo"}  # as the demo says to go on
    status = json.loads(installed.run("history-assets", "status", "--days", "2", "--json", **home))
    assert {each["schema"]: [night["state"] for night in each["nights"]] for each in status["schemas"]} == {
        schema: ["applied", "applied"] for schema in ("salesforce", "shop_billing", "shop_public", "stripe", "zendesk")
    }
    assert installed.run("history-assets", "verify", **home) == "40 of 40 table-nights are exact\n"
    assert [path.name for path in installed.folder.iterdir()] == [".demo"]
