"""Whatever lies in the folder of scripts, the others are read; and names in scripts stand for what is there."""

import datetime as dt
import os
import platform
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.inventory import Inventory, KeySource, Schema, Table
from history_assets.location import build_definitions
from history_assets.scripts.folder import Broken, Script, mark, read_folder
from history_assets.scripts.links import Linked, link
from history_assets.scripts.metadata import parse
from history_assets.settings import Settings

PYTHON = platform.python_version()
GOOD = '"""Fine."""\n# /// script\n#\n# ///\n'
TABLES = {"billing": ["invoice"], "crm": ["account", "Über uns"]}
INVENTORY = Inventory(
    tuple(Schema(name, tuple(Table(table, (), (), KeySource.WHOLE_ROW) for table in tables)) for name, tables in TABLES.items())
)


def wishing(*lines: str) -> str:
    return "\n".join(["# /// script", "# [tool.history-assets]", *(f"# {line}" for line in lines), "# ///", ""])


@pytest.fixture
def scripts(home: Path) -> Path:
    folder = home / "scripts"
    folder.mkdir()
    return folder


@pytest.fixture
def settings(make_settings: Callable[..., Settings], scripts: Path) -> Settings:
    return make_settings(scripts=scripts)


def fill_with_trouble(scripts: Path) -> None:
    """Put into a folder what may lie there by accident or spite."""
    (scripts / "good.py").write_text(GOOD)
    (scripts / "windows.py").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    (scripts / "_helper.py").write_text("VALUE = 1")
    (scripts / ".hidden.py").write_text("(")
    (scripts / "notes.txt").write_text("none")
    (scripts / "binary.py").write_bytes(b"# a\n# b\n\xff\xfe\0\0")
    (scripts / "empty.py").touch()
    (scripts / "nul.py").write_text(GOOD + "\0")
    (scripts / "syntax.py").write_text(GOOD + "def (:\n")
    (scripts / "large.py").write_text(GOOD + "#" * 1_000_001)
    (scripts / "folder.py").mkdir()
    (scripts / "dangling.py").symlink_to("nowhere.py")
    (scripts / "loop.py").symlink_to("loop.py")
    (scripts / "linked.py").symlink_to("good.py")
    (scripts / "endless.py").symlink_to("/dev/zero")
    os.mkfifo(scripts / "pipe.py")
    (scripts / 'it\'s "a" näme; {{x}}\n$(x).py').write_text(GOOD)
    (scripts / ("ü" * 120 + ".py")).write_text(GOOD)
    (scripts / os.fsdecode(b"\xff\xfe.py")).write_text(GOOD)
    (scripts / os.fsdecode(b"\xff.py")).write_text("(")
    (scripts / "docstring.py").write_text('"""Odd \\ud800 \\0 \\x1b[31m."""\n# /// script\n#\n# ///\n')


def test_whatever_lies_there_the_others_are_read(scripts: Path) -> None:
    fill_with_trouble(scripts)
    found = read_folder(scripts)

    assert {each.path.name for each in found if isinstance(each, Script)} == {
        "good.py",
        "windows.py",
        "linked.py",
        'it\'s "a" näme; {{x}}\n$(x).py',
        "ü" * 120 + ".py",
        os.fsdecode(b"\xff\xfe.py"),
        "docstring.py",
    }
    no_block = "found no PEP 723 block, expected '# /// script': `history-assets script new NAME` shows one"
    assert {each.reason for each in found if isinstance(each, Broken)} == {
        "binary.py, line 3: found what is no UTF-8",
        f"empty.py, line 1: {no_block}",
        f"nul.py, line 1: found what is no Python {PYTHON}: source code string cannot contain null bytes",
        f"syntax.py, line 5: found what is no Python {PYTHON}: invalid syntax",
        "large.py: found more than 1000000 bytes: expected a script, and its data elsewhere",
        "folder.py: found what is no file, expected a Python file",
        "dangling.py: found what is no file, expected a Python file",
        "loop.py: found what is no file, expected a Python file",
        "endless.py: found what is no file, expected a Python file",
        "pipe.py: found what is no file, expected a Python file",
        f"\\udcff.py, line 1: {no_block}",
    }


def test_definitions_load_whatever_lies_there(scripts: Path, settings: Settings) -> None:
    fill_with_trouble(scripts)
    definitions = build_definitions(settings)
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()

    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"scripts"}
    kinds = {key.to_user_string(): sorted(graph.get(key).kinds) for key in graph.get_all_asset_keys()}
    assert len(kinds) == 18
    assert kinds["scripts/good"] == ["python"]
    assert kinds["scripts/it_x27_s_x20__x22_a_x22__x20_n_xe4_me_x3b__x20__x7b__x7b_x_x7d__x7d__xa__x24__x28_x_x29_"] == [
        "python"
    ]
    assert kinds["scripts/_xdcff__xdcfe_"] == ["python"]
    assert kinds["scripts/syntax"] == ["broken", "python"]
    for key in graph.get_all_asset_keys():  # text that any database keeps
        str(graph.get(key).description).encode()


@pytest.mark.parametrize(
    ("cron", "days", "hours"),
    [
        ("0 6 * * MON", 7, 0),
        ("0 6 * * MON-FRI", 3, 0),
        ("*/5 9-17 * * MON-FRI", 2, 15 + 5 / 60),
        ("@daily", 1, 0),
        ("0 0 1 * *", 31, 0),
        ("0 0 29 2 *", 8 * 365 + 1, 0),
        ("* * * * *", 0, 1 / 60),
    ],
)
def test_a_script_on_a_clock_is_stale_after_the_longest_pause_of_its_schedule(
    cron: str, days: int, hours: float, scripts: Path, settings: Settings
) -> None:
    (scripts / "clock.py").write_text(wishing(f'schedule = "{cron}"', 'timeout = "30m"'))
    (spec,) = build_definitions(settings).resolve_all_asset_specs()

    pause = dt.timedelta(days=days, hours=hours)
    assert spec.freshness_policy == dg.FreshnessPolicy.time_window(pause + dt.timedelta(minutes=30))


def test_where_there_is_no_folder_there_are_no_scripts(tmp_path: Path) -> None:
    assert read_folder(tmp_path / "none") == []
    (tmp_path / "file").touch()
    assert [each.reason for each in read_folder(tmp_path / "file") if isinstance(each, Broken)] == [
        f"found HISTORY_SCRIPTS={tmp_path / 'file'}, expected a folder that can be read: Not a directory"
    ]


def test_a_mark_changes_with_what_lies_there(scripts: Path) -> None:
    marks = [mark(scripts / "none"), mark(scripts)]
    (scripts / "a.py").write_text("1")
    marks.append(mark(scripts))
    (scripts / "a.py").write_text("22")
    marks.append(mark(scripts))
    (scripts / "a.py").rename(scripts / "b.py")
    marks.append(mark(scripts))

    assert len(set(marks)) == len(marks)
    (scripts / "notes.txt").write_text("none of a script's")
    assert mark(scripts) == marks[-1]


def linking(**texts: str) -> tuple[dict[str, Linked], dict[str, str]]:
    """Return what comes of scripts, by name, given their texts."""
    found = [Script(name, Path(f"{name}.py"), parse(text)) for name, text in texts.items()]
    linked, wrong = link(found, INVENTORY)
    return {each.script.name: each for each in linked}, {each.name: each.reason for each in wrong}


def test_patterns_stand_for_the_histories_that_they_match() -> None:
    linked, wrong = linking(
        one=wishing('after = ["crm.account"]'),
        all=wishing('after = ["*"]'),
        some=wishing('after = ["CRM.*", "crm.lost", "billing.inv?ice"]'),
        none=GOOD,
    )

    assert wrong == {}
    everything = (("billing", "invoice"), ("crm", "account"), ("crm", "Über uns"))
    assert {name: (each.tables, each.unmatched, each.script.dated) for name, each in linked.items()} == {
        "one": ((("crm", "account"),), (), True),
        "all": (everything, (), True),
        "some": (everything, ("crm.lost",), True),
        "none": ((), (), False),
    }


def test_what_feeds_names_is_a_script_or_an_asset_or_refused_with_near_names() -> None:
    linked, wrong = linking(
        fed=GOOD,
        feeding=wishing('feeds = ["fed", "clones/billing", "scripts/fed"]'),
        mistaken=wishing("retries = 1", 'feeds = ["fed",', '"history/crm/acount"]'),
    )

    assert linked["feeding"].feeds == (("scripts", "fed"), ("clones", "billing"))
    assert wrong == {
        "mistaken": "mistaken.py, line 5: found feeds naming 'history/crm/acount', expected a script's name or an asset's key: "
        "did you mean 'history/crm/account'?"
    }


def test_a_script_that_would_refresh_itself_is_broken_and_the_others_are_not() -> None:
    linked, wrong = linking(
        a=wishing('feeds = ["b"]'),
        b=wishing('feeds = ["c", "a"]'),
        c=wishing('feeds = ["d"]'),
        d=GOOD,
        itself=wishing('feeds = ["itself"]'),
        again=wishing('after = ["billing.invoice"]', 'feeds = ["clones/billing"]'),
    )

    assert sorted(linked) == ["c", "d"]
    remedy = ": have one feed no other"
    assert wrong == {
        "a": f"a.py, line 3: found that it would refresh itself, scripts/a > scripts/b > scripts/a{remedy}",
        "b": f"b.py, line 3: found that it would refresh itself, scripts/b > scripts/a > scripts/b{remedy}",
        "itself": f"itself.py, line 3: found that it would refresh itself, scripts/itself > scripts/itself{remedy}",
        "again": "again.py, line 4: found that it would refresh itself, "
        f"scripts/again > clones/billing > history/billing/invoice > scripts/again{remedy}",
    }


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14))
def test_what_is_left_of_scripts_that_feed_each_other_ends(edges: list[tuple[int, int]]) -> None:
    """Of those that feed each other all are broken, and nobody else."""
    feeds = {number: sorted({f"s{to}" for from_, to in edges if from_ == number}) for number in range(7)}
    linked, wrong = linking(**{f"s{number}": wishing(f"feeds = {names}") for number, names in feeds.items()})

    reached = {number: {int(name[1:]) for name in names} for number, names in feeds.items()}
    for _ in range(7):
        reached = {number: ends.union(*(reached[end] for end in ends)) for number, ends in reached.items()}
    assert sorted(wrong) == [f"s{number}" for number, ends in reached.items() if number in ends]
    assert sorted(linked) == [f"s{number}" for number, ends in reached.items() if number not in ends]
