"""The log of statements: what was asked, by whom, and whether it needs a running warehouse, which is what costs."""

import datetime as dt
from dataclasses import dataclass

from sqlglot import exp


@dataclass
class Statement:
    """A statement that the server received."""

    text: str
    kind: str
    """Its first word or two, upper case: SELECT, SHOW TABLES, CREATE SCHEMA, MERGE …"""
    tag: str
    """The session's query tag."""
    session: int
    user: str
    role: str
    at: dt.datetime
    needs_warehouse: bool = False
    error: str = ""
    """The six digits of the error it ended in."""
    began: float = 0.0
    """When it came, by ``time.perf_counter``."""
    seconds: float = 0.0
    """How long it took."""


def needs_warehouse(tree: exp.Expr) -> bool:
    """Whether a statement reads or writes rows; DDL, SHOW and SELECTs of functions alone run in cloud services."""
    if isinstance(tree, exp.Insert | exp.Update | exp.Delete | exp.Merge):
        return True
    if isinstance(tree, exp.Create):
        return isinstance(tree.expression, exp.Query) and tree.kind == "TABLE"
    return isinstance(tree, exp.Query) and tree.find(exp.Table, exp.Lateral, exp.Unnest, exp.Values) is not None
