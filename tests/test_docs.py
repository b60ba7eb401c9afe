"""The documentation says what there is: pages that are linked, settings and commands that exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from history_assets import cli
from tests.settings_page import PAGE, page


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    yield name, command
    for word, each in getattr(command, "commands", {}).items():
        yield from _commands(each, f"{name} {word}")


ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("examples/*.md"))]


def test_the_reference_of_the_settings_is_theirs() -> None:
    """If not: python -m tests.settings_page."""
    assert PAGE.read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_is_linked_is_there(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?://)([^)#]+)", path.read_text(encoding="utf-8"))

    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        path = waiting.pop()
        reached.add(path)
        links = re.findall(r"\]\((?!https?://)([^)#]+\.md)", path.read_text(encoding="utf-8"))
        waiting += [found for link in links if (found := (path.parent / link).resolve()) not in reached]

    assert reached >= set(PAGES)


def test_each_promise_is_proven_by_tests_that_are_there() -> None:
    """A file without a folder is in the folder of the one before it."""
    text = (ROOT / "docs" / "promises.md").read_text(encoding="utf-8")
    promised = re.findall(r"^- \*\*(.+?)\.\*\*", text, re.M)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    proofs = dict(re.findall(r"^\| (\w[^|]+) \| (`tests/.+) \|$", text, re.M))

    assert sorted(proofs) == sorted(promised)
    assert set(re.findall(r"^- \*\*(.+?)\.\*\*", readme[readme.index("## What is promised") :].split("\n## ")[0], re.M)) <= set(
        promised
    )
    for promise, proof in proofs.items():
        folder = ROOT
        for name in re.findall(r"`(\S+\.py)`", proof):
            file = ROOT / name if "/" in name else folder / name
            assert re.search("^def test_", file.read_text(encoding="utf-8"), re.M), (promise, name)
            folder = file.parent


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 200


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_are_those_of_the_command_line(path: Path) -> None:
    """Their names and options; in tables, ``[…]`` marks what can be left out."""
    known = _options(typer.main.get_command(cli.app))
    said = re.findall(r"history-assets ((?:[a-z][a-z-]*)(?: [^`\n#|;]*)?)", path.read_text(encoding="utf-8"))
    wrong = []
    for words in (shlex.split(re.sub(r"[\[\]]|\\$|…", " ", each).replace("'", "")) for each in said):
        name = " ".join(words[:2]) if " ".join(words[:2]) in known else words[0]
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        if name not in known or options - known[name]:
            wrong.append(" ".join(words))

    assert wrong == []


COMMANDS = dict(_commands(typer.main.get_command(cli.app), "history-assets"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_that_it_understands_and_shows_in_one_line(name: str) -> None:
    examples = re.findall("Example: (.+)", COMMANDS[name].help or "")
    shown = CliRunner().invoke(cli.app, [*name.split()[1:], "--help"], terminal_width=80, env={"COLUMNS": "80"}).stdout

    assert examples != []
    for example in examples:
        assert f"Example: {example} \n" in re.sub(" +\n", " \n", shown)
        understood = _understood(example)
        assert understood == name or understood.startswith(f"{name} "), example


def _understood(example: str) -> str:
    """Return the name of the command that an example calls; raises what that says of arguments that it does not take."""
    name, *words = shlex.split(example)
    command: Any = COMMANDS[name]
    context = command.make_context(name, words)
    while hasattr(command, "commands"):
        word, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        context = command.make_context(word, words, parent=context)
        name += f" {word}"
    return name


def _options(command: typer.core.TyperGroup, before: str = "") -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, each in command.commands.items():
        if hasattr(each, "commands"):
            found |= _options(each, f"{name} ")
        else:
            found[before + name] = {option for one in each.params for option in (*one.opts, *one.secondary_opts)} | {"--help"}
    return found
