"""Texts as Markdown, which Dagster's pages take descriptions and some metadata for.

Belongs here: what becomes of a name or a value before it stands there. Does not belong here: what is said (``descriptions``,
``preview``), or a terminal, which obeys other marks (``terminal``).
"""

import re

_MARKUP = re.compile(r"[!#$%&*<>\[\\\]^_`{|}~]")
"""Characters that Markdown may take for markup, and Jinja, by which dbt renders descriptions before."""


def escaped(text: str) -> str:
    """Return a text of any kind as one line of Markdown that shows it, and nothing else."""
    line = "".join(each if each.isprintable() else " " for each in text)
    # Whatever stands before it, a bar that is named by its number ends no cell.
    return _MARKUP.sub(lambda mark: "&#124;" if mark[0] == "|" else f"\\{mark[0]}", line)


def plain(markdown: str) -> str:
    """Return the line that ``escaped`` was given."""
    return re.sub(r"\\(.)", r"\1", markdown.replace("&#124;", "|"))
