"""What a script says of itself is read by PEP 723, and what is wrong with it is said with its line."""

import datetime as dt
import json
import platform

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.errors import ScriptError
from history_assets.scripts.metadata import Metadata, parse

DOC = '"""What it does."""\n'


def script(*lines: str) -> str:
    """Return a script whose block begins on line 2, and so its content on line 3."""
    return "".join([DOC, "# /// script\n", *(f"# {line}\n" for line in lines), "# ///\n", "print(1)\n"])


def refused(text: str) -> tuple[int | None, str]:
    with pytest.raises(ScriptError) as raised:
        parse(text)
    assert "\n" not in str(raised.value)
    return raised.value.line, str(raised.value)


def test_every_key_is_read() -> None:
    assert parse(
        script(
            'requires-python = ">=3.11"',
            'dependencies = ["pandas", "scikit-learn >= 1, < 9"]',
            "[tool.ruff]",
            "line-length = 9",
            "[tool.history-assets]",
            'after = ["salesforce.opportunity", "zendesk.*"]    # as it says',
            'schedule = "0 6 * * MON"',
            "retries = 3",
            'timeout = "30m"',
            'owner = "someone@example.com"',
            'feeds = ["weekly_forecast"]',
        )
    ) == Metadata(
        description="What it does.",
        dependencies=("pandas", "scikit-learn<9,>=1"),
        after=("salesforce.opportunity", "zendesk.*"),
        schedule="0 6 * * MON",
        retries=3,
        timeout=dt.timedelta(minutes=30),
        owner="someone@example.com",
        feeds=("weekly_forecast",),
    )


@pytest.mark.parametrize("text", ["# /// script\n#\n# ///\n", "#!/usr/bin/env python\n# /// script\n#\n# ///"])
def test_an_empty_block_is_enough(text: str) -> None:
    assert parse(text) == Metadata("", (), (), None, 0, dt.timedelta(hours=2), None, ())


@pytest.mark.parametrize(("text", "span"), [("90s", 90), ("30m", 1800), ("2h", 7200)])
def test_a_timeout_has_a_unit(text: str, span: int) -> None:
    assert parse(script("[tool.history-assets]", f'timeout = "{text}"')).timeout == dt.timedelta(seconds=span)


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        (
            ["[tool.history-assets]", "retries = 1", 'afetr = ["a.b"]'],
            5,
            "found afetr, which is unknown: expected one of after, schedule, retries, timeout, owner, feeds",
        ),
        (["[tool.history-assets]", "", "retries = true"], 5, "found retries = True, which is no whole number"),
        (["[tool.history-assets]", "retries = 11"], 4, "found retries = 11: Input should be less than or equal to 10"),
        (["[tool.history-assets]", 'after = "a.b"'], 4, """found after = 'a.b', which is no list: write it as ["…", "…"]"""),
        (
            ["[tool.history-assets]", "after = [", ' "a.b",', " 3,", "]"],
            4,
            "found after = 3, which is no text: write it in quotes",
        ),
        (
            ["[tool.history-assets]", "timeout = 30"],
            4,
            'found timeout = 30: expected a number and its unit, such as "90s", "30m" or "2h"',
        ),
        (
            ["[tool.history-assets]", 'schedule = "61 * * * *"'],
            4,
            "found schedule = '61 * * * *': expected a cron expression of five fields, such as \"0 6 * * MON\"",
        ),
        (
            ["[tool.history-assets]", 'schedule = "0 0 31 2 *"'],
            4,
            "found schedule = '0 0 31 2 *': expected a cron expression of five fields, such as \"0 6 * * MON\"",
        ),
        (
            ['tool.history-assets.owner = "me"'],
            3,
            "found owner = 'me': expected an e-mail address, or a team as \"team:forecasting\"",
        ),
        (
            ["dependencies = [", '  "pandas",', '  "--index-url x",', "]"],
            5,
            "found dependencies = '--index-url x': expected a dependency by PEP 508 "
            "(Expected package name at the start of dependency specifier)",
        ),
        (["foo = 1"], 3, "found foo, which is unknown: expected one of dependencies, requires-python, tool"),
        (["", "[tool]", "history-assets = 3"], 5, "found history-assets = 3, which is no table"),
        (["requires-python = '>> 3'"], 3, "found requires-python = '>> 3': expected a range of versions, such as \">=3.11\""),
        (
            ["requires-python = '>=4'"],
            3,
            f"found requires-python '>=4', expected a range that holds {platform.python_version()}, with which scripts run",
        ),
        (["", "foo = ", "bar = 1"], 4, "found metadata that is no TOML: Invalid value (at line 4, column 7)"),
        (
            ["[tool.history-assets]", 'owner = "me"', "retries = -1"],
            4,
            "found owner = 'me': expected an e-mail address, or a team as \"team:forecasting\"; "
            "line 5: found retries = -1: Input should be greater than or equal to 0",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(lines: list[str], line: int, said: str) -> None:
    assert refused(script(*lines)) == (line, said)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("print(1)\n", 1, "found no PEP 723 block, expected '# /// script': `history-assets script new NAME` shows one"),
        (
            "\n# /// script\n# a = 1\nprint(1)\n",
            2,
            "found a block of metadata that does not end, expected lines that begin with '# ', and then '# ///'",
        ),
        (
            script() + script(),
            2,
            "found a block of metadata that does not end, expected lines that begin with '# ', and then '# ///'",
        ),
        (script("") + script(""), 7, "found a second block of metadata, expected one: join them"),
        (script("") + "def f(:\n", 6, f"found what is no Python {platform.python_version()}: invalid syntax"),
        pytest.param(script("") + "-" * 100_000 + "1", 1, "found what Python cannot read: MemoryError", id="deep"),
    ],
)
def test_a_file_that_is_no_script_is_refused(text: str, line: int, said: str) -> None:
    assert refused(text) == (line, said)


NAMES = st.text(min_size=1, max_size=20).filter(lambda text: "\n" not in text and "\r" not in text and text.isprintable())


@given(after=st.lists(NAMES), feeds=st.lists(NAMES), retries=st.integers(0, 10), minutes=st.integers(1, 999))
def test_what_is_written_is_read(after: list[str], feeds: list[str], retries: int, minutes: int) -> None:
    found = parse(
        script(
            "[tool.history-assets]",
            f"after = {json.dumps(after, ensure_ascii=False)}",
            f"feeds = {json.dumps(feeds, ensure_ascii=False)}",
            f"retries = {retries}",
            f'timeout = "{minutes}m"',
        )
    )

    assert (found.after, found.feeds, found.retries, found.timeout) == (
        tuple(after),
        tuple(feeds),
        retries,
        dt.timedelta(minutes=minutes),
    )
    assert (found.line_of("after"), found.line_of("feeds"), found.line_of("retries")) == (4, 5, 6)


@given(st.text(), st.lists(st.text()))
def test_any_text_is_a_script_or_refused_with_a_line_of_it(before: str, lines: list[str]) -> None:
    text = f"{before}\n{script(*lines)}"
    error = error_of(text)

    assert error is None or error.line in range(1, len(text.splitlines()) + 2)


def error_of(text: str) -> ScriptError | None:
    try:
        parse(text)
    except ScriptError as error:
        return error
    return None
