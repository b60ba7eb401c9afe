"""Scripts that report what they should not: of other assets, by broken messages, with values and names that try to be more."""

import contextlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from history_assets.errors import ScriptError
from history_assets.location import build_definitions
from history_assets.scripts.metadata import parse
from tests.fakes.channel import Channel
from tests.stories.scripts.folder import Folder, script
from tests.stories.test_hostile import as_a_process

DECODE = [
    "import base64, json, os, zlib",
    "told = json.loads(zlib.decompress(base64.b64decode(os.environ['DAGSTER_PIPES_MESSAGES'])))",
]
"""What a script needs to write to Dagster's messages itself."""


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def folder(tmp_path: Path, instance: dg.DagsterInstance) -> Iterator[Folder]:
    with contextlib.closing(Channel()) as channel:
        yield Folder(tmp_path / "around" / "home", instance, channel)


def test_what_a_script_reports_is_kept_as_it_is(folder: Folder) -> None:
    """It is data: nothing opens a path, and nothing is written where one points to."""
    values = {
        "../../name": "x",
        "x'; drop table t; --": "'; drop table runs; --",
        "{{ 1 }}": "{{ env_var('HOME') }}",
        "two\nlines\x1b[31m": "\x1b[31m\u202e",
        "<script>": "<script>alert(1)</script>",
        "big": 10**15,
    }
    typed = {"path": ("path", "../../../etc/passwd"), "url": ("url", "javascript:alert(1)"), "md": ("md", "[x](javascript:y)")}
    raw = ", ".join(f"{name!r}: {{'type': {kind!r}, 'raw_value': {value!r}}}" for name, (kind, value) in typed.items())
    code = [
        "from dagster_pipes import open_dagster_pipes",
        "with open_dagster_pipes() as pipes:",
        f"    pipes.report_asset_materialization(metadata={{**{values!r}, {raw}}})",
    ]
    folder.write("says", script(code=code))

    assert folder.metadata("says") == values | {name: value for name, (_, value) in typed.items()}
    assert [path.name for path in folder.settings.home.parent.iterdir()] == ["home"]


def test_a_script_reports_of_no_other_asset(folder: Folder, instance: dg.DagsterInstance) -> None:
    report = {"__dagster_pipes_version": "0.1", "method": "report_asset_materialization"}
    params = {"asset_key": "clones/crm", "metadata": {}, "data_version": None}
    code = [*DECODE, f"open(told['path'], 'a').write(json.dumps({report | {'params': params}!r}) + '\\n')"]
    folder.write("claims", script(code=code))
    said = folder.failure("claims")

    assert said == ("the script failed: found claims.py to report of clones/crm, expected it to report of scripts/claims alone")
    assert [instance.fetch_materializations(dg.AssetKey([*key]), limit=1).records for key in REPORTED] == [[], []]


REPORTED = (("clones", "crm"), ("scripts", "claims"))


@pytest.mark.parametrize(
    "line",
    [
        "no json",
        "[" * 100_000,
        "7",
        "{}",
        json.dumps({"__dagster_pipes_version": "0.1", "method": "../x", "params": {}}),
        "\x00\xff",
    ],
    ids=range(6),
)
def test_messages_that_make_no_sense_harm_nothing_else(line: str, folder: Folder) -> None:
    """They are left, and the script is judged by how it ends."""
    folder.write("breaks", script(code=[*DECODE, f"open(told['path'], 'a').write({line!r} + '\\n')", "print('done')"]))

    assert folder.metadata("breaks") == {"stdout": "done\n"}


@pytest.mark.parametrize(
    "dependency",
    [
        "-r /etc/passwd",
        "--index-url=http://evil.example",
        "-e .",
        "../../evil",
        "./evil",
        "x; import os",
        "x\n--pre",
        "$(touch pwned)",
    ],
)
def test_a_dependency_is_no_option_and_no_path(dependency: str) -> None:
    block = f"# /// script\n# dependencies = [{json.dumps(dependency)}]\n# ///\n"

    with pytest.raises(ScriptError, match=r"found dependencies = .* expected a dependency by PEP 508") as refused:
        parse(block)
    assert "\n" not in str(refused.value)


def test_names_that_lead_elsewhere_lead_nowhere(folder: Folder) -> None:
    """A pattern matches names of tables alone, and what is fed is an asset or refused by name."""
    folder.write("after", script('after = ["../../*", "crm.account\'; drop table x; --", "{{ 1 }}"]'))
    folder.write("feeds", script('feeds = ["../clones/crm"]'))
    (folder.scripts / "x..py").write_text(script(code=["print('dots')"]))
    (folder.scripts / "..py").write_text(script(code=["print('hidden')"]))

    graph = build_definitions(folder.settings).resolve_asset_graph()
    assert graph.get(dg.AssetKey(["scripts", "after"])).parent_keys == set()
    assert "../clones/crm" in folder.failure("feeds")
    assert folder.metadata("x_x2e_") == {"stdout": "dots\n"}


def test_what_a_script_writes_is_its_owners_alone(folder: Folder, tmp_path: Path) -> None:
    """In a process of Dagster's that this project has settled, however open files usually are."""
    written = tmp_path / "written.csv"
    folder.write("writes", script(code=[f"open({str(written)!r}, 'w').write('x')"]))
    with as_a_process():
        assert folder.run("writes").success

    assert stat.S_IMODE(written.stat().st_mode) == 0o600
