"""Whatever a text is, as Markdown it shows as it is, and does nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from history_assets.markdown import escaped, plain

READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
HOSTILE = "`**x** ![x](http://evil.example/p.png) <img src=x onerror=alert(1)> [l](http://x.y) | \\| &amp; _i_ ~~s~~ # h"
"""Markup of every sort, what would end a cell, and first of all what would end a piece of code."""

TEXTS = st.text(st.sampled_from("ab |\\`*_[](){}%<>&#!~^$:/-+.\n\r\t\"'") | st.characters(), max_size=30)


def read(markdown: str) -> str:
    """Return what a paragraph shows; fails where it is more than text."""
    tokens = READER.parse(markdown)
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"], markdown
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}, markdown
    return "".join(child.content for child in children)


def as_line(text: str) -> str:
    return "".join(each if each.isprintable() else " " for each in text)


@given(TEXTS)
def test_any_text_is_shown_as_it_is_in_one_line(text: str) -> None:
    assert read(f"a {escaped(text)} z") == f"a {as_line(text)} z"


@given(TEXTS)
def test_what_was_escaped_can_be_had_back(text: str) -> None:
    assert plain(escaped(text)) == as_line(text)


@pytest.mark.parametrize("mark", ["{{ 1 }}", "{% raw %}", "{# x #}"])
def test_no_mark_of_jinjas_is_left(mark: str) -> None:
    assert not any(each in escaped(mark) for each in ("{{", "{%", "{#"))
