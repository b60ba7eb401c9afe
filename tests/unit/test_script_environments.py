"""An environment is made once for each set of dependencies, wholly or not at all, and what a script asks for wins in it."""

import subprocess
import threading
import zipfile
from pathlib import Path

import pytest

from history_assets.errors import ScriptError
from history_assets.scripts import environments, process
from history_assets.scripts.environments import environment, is_made


def wheel(folder: Path, name: str, version: str, source: str) -> None:
    """Write a wheel of one module."""
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", source)
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only place that packages come from."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel(folder, "forecast", "1.0", "VALUE = 1")
    wheel(folder, "forecast", "2.0", "VALUE = 2")
    wheel(folder, "tabulate", "99.0", "VALUE = 99")
    for tool in ("PIP", "UV"):
        monkeypatch.setenv(f"{tool}_NO_INDEX", "1")
        monkeypatch.setenv(f"{tool}_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def said() -> list[str]:
    return []


def prints(python: Path, code: str) -> str:
    done = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.strip()


def test_what_a_script_asks_for_wins_and_the_running_installation_is_there(home: Path, index: Path, said: list[str]) -> None:
    """``tabulate`` and ``dagster`` are installed beside this project; the first is asked for in a version of its own."""
    one = environment(home, ["forecast<2", "tabulate"], said.append)
    two = environment(home, ["forecast"], said.append)

    code = "import forecast, dagster; from history_assets import History; print(forecast.VALUE, History.__name__)"
    assert [prints(python, code) for python in (one, two)] == ["1 History", "2 History"]
    assert prints(one, "import tabulate; print(tabulate.VALUE)") == "99"
    assert said == ["installing forecast<2, tabulate", "installing forecast"]


def test_an_environment_is_made_once(home: Path, index: Path, said: list[str]) -> None:
    assert not is_made(home, ["forecast"])
    made = [environment(home, ["forecast"], said.append)]
    assert is_made(home, ["forecast"])
    for file in index.iterdir():
        file.unlink()  # so that nothing could be installed any more
    made += [environment(home, ["forecast"], said.append) for _ in range(2)]

    assert made == made[:1] * 3
    assert said == ["installing forecast"]


def test_without_dependencies_nothing_is_installed(home: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "_installer", lambda _: pytest.fail("something is installed"))
    python = environment(home, [], said.append)

    assert prints(python, "import dagster, history_assets; print(history_assets.__name__)") == "history_assets"


def test_runs_that_want_the_same_at_the_same_time_make_it_once(home: Path, said: list[str]) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(environment(home, [], said.append))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == found[:1] * 4
    assert said == ["installing nothing"]


@pytest.mark.slow
def test_what_is_half_made_is_never_used(home: Path, index: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the machine goes down between any two of its steps."""
    steps = process.run
    left: list[list[str]] = []

    class DownError(BaseException):
        pass

    for last in range(3):
        count = iter(range(9))

        def go_down(*arguments: object, last: int = last, count: object = count, **named: object) -> object:
            if next(count) == last:  # type: ignore[call-overload]
                raise DownError
            return steps(*arguments, **named)  # type: ignore[arg-type]

        with monkeypatch.context() as patched:
            patched.setattr(process, "run", go_down)
            patched.setattr(environments.shutil, "rmtree", lambda *_, **__: None)  # nor is there time to clean up
            with pytest.raises(DownError):
                environment(home, ["forecast"], said.append)
        left.append([path.name for path in (home / "environments").iterdir() if path.is_symlink()])

    assert left == [[], [], []]
    assert prints(environment(home, ["forecast"], said.append), "import forecast; print(forecast.VALUE)") == "2"
    assert len([path for path in (home / "environments").iterdir() if path.is_dir() and not path.is_symlink()]) == 1


def test_what_cannot_be_installed_is_one_line_and_leaves_nothing(home: Path, index: Path, said: list[str]) -> None:
    with pytest.raises(ScriptError) as raised:
        environment(home, ["forecast", "nowhere-to-be-found"], said.append)

    message = str(raised.value)
    assert message.startswith("found installing forecast, nowhere-to-be-found to end with 1, expected 0 (")
    assert "nowhere-to-be-found" in message.partition("expected 0")[2]  # as pip says it, or uv
    assert message.endswith("): correct the dependencies or the index")
    assert "\n" not in message
    assert [path.suffix for path in (home / "environments").iterdir()] == [".lock"]


@pytest.mark.slow
def test_no_credentials_of_an_index_are_shown(home: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://somebody:s3cret@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(ScriptError) as raised:
        environment(home, ["forecast @ http://somebody:s3cret@127.0.0.1:9/forecast-1.0-py3-none-any.whl"], said.append)

    assert "s3cret" not in "".join([str(raised.value), *said])
