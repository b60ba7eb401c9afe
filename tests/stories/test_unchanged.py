"""Nights in which little changes: what cannot have changed costs no statement, and nothing that did change is passed over.

Tables are changed in place, as Fivetran does, when a seed says so: in the evening, shortly before a cutoff, between a cutoff
and the fold of its night. Which tables changed is known to nobody but the warehouse's stamps and the connector's log.
"""

import collections
import datetime as dt
import random
from collections.abc import Sequence

import pytest

from history_assets.folding import fold, plan
from history_assets.naming import quote
from history_assets.refresh import refresh
from history_assets.verification import verify
from history_assets.warehouse.values import Applied, Status
from tests.stories.engines.base import Engine
from tests.stories.engines.duckdb import DuckDB
from tests.stories.engines.snowflake import Snowflake

FIRST = dt.date(2026, 10, 1)
TABLES = [f"t{number}" for number in range(12)]
SCHEMA = 'RAW."crm"'
NIGHTS = 7
PIECES: Sequence[Sequence[int]] = ([0], [1], [2], [4], [3, 5, 6])
"""The nights that are folded together; the third comes late, between others."""


class Account:
    """A schema whose tables are written by a connector, and by nobody else."""

    def __init__(self, engine: Engine, seed: int) -> None:
        self.engine = engine
        self.chance = random.Random(seed)
        self.warehouse = engine.warehouse(threads=2)
        if isinstance(engine, Snowflake):
            engine.emulator.run(f"create schema {SCHEMA} data_retention_time_in_days = 90", at="2026-09-01")
        self._write(0, 12, {name: [_made(name), _filled(name)] for name in TABLES})
        self.project = refresh(self.warehouse.settings, self.warehouse).project
        self.number = 0
        self.entered: list[Applied] = []

    def night(self, number: int) -> None:
        """Let a day pass up to a cutoff, and clone; then write on, as the next day begins."""
        self._write(number, 20, {name: self._change(name) for name in TABLES[::3] if self.chance.random() < 0.4})
        self._write(number, 23, {name: self._change(name) for name in TABLES[1::3] if self.chance.random() < 0.4})
        date = FIRST + dt.timedelta(days=number)
        cutoff = self.warehouse.settings.cutoffs().at(date)
        self.warehouse.clone("crm", date, lambda: cutoff)
        self._write(number, 24, {name: self._change(name) for name in TABLES[2::3] if self.chance.random() < 0.4})

    def fold(self, numbers: Sequence[int]) -> None:
        tables = [("crm", name) for name in TABLES]
        plans = [plan(self.warehouse, tables, FIRST + dt.timedelta(days=number)) for number in numbers]
        fold(self.project, self.warehouse, plans, lambda _: None, entered=self.entered.extend)

    def ledger(self) -> dict[tuple[str, dt.date], Applied]:
        return {(row.table, row.date): row for row in self.warehouse.ledger()}

    def _change(self, name: str) -> list[str]:
        self.number += 1
        changes = (
            [f"update {name} set v = {self.number}, _fivetran_synced = {_at(self.number)} where id = 1"],
            [f"insert into {name} values ({self.number + 2}, 0, {_at(self.number)})"],
            [f"delete from {name} where id > 1"],
            [f"delete from {name}"],
            [f"drop table {name}", _made(name), _filled(name)],
        )
        return self.chance.choices(changes, [6, 3, 2, 1, 1])[0]

    def _write(self, number: int, hour: int, changes: dict[str, list[str]]) -> None:
        day = dt.datetime.combine(FIRST + dt.timedelta(days=number - 1), dt.time(), dt.UTC)
        start = day + dt.timedelta(hours=hour, minutes=9)
        statements = [statement for each in changes.values() for statement in each]
        at = start.replace(tzinfo=None).isoformat()
        if isinstance(self.engine, Snowflake):
            self.engine.emulator.land(SCHEMA, at, *(_quoted(statement) for statement in statements))
        elif isinstance(self.engine, DuckDB):
            self.engine.landing.execute("crm", at, *statements)
            self.engine.log("crm", at, list(changes))


def _made(name: str) -> str:
    return f"create table {name} (id int primary key, v int, _fivetran_synced timestamp)"


def _filled(name: str) -> str:
    return f"insert into {name} values (1, 0, {_at(0)}), (2, 0, {_at(0)})"


def _at(number: int) -> str:
    return f"cast('2026-09-01 00:{number % 60:02}:00' as timestamp)"


def _quoted(statement: str) -> str:
    """Return a statement with its names as Snowflake would otherwise write them in capitals."""
    for name in (*TABLES, "id", "v", "_fivetran_synced"):
        statement = " ".join(quote(word) if word == name else word for word in statement.split(" "))
        statement = statement.replace(f"({name} ", f"({quote(name)} ")
    return statement


@pytest.fixture(scope="module", params=[1])
def told(request: pytest.FixtureRequest, engine: Engine) -> tuple[Account, list[dict[str, int]]]:
    """The account after all nights, and of each piece how many tables were folded, carried and held back."""
    account = Account(engine, request.param)
    nights = iter(range(NIGHTS))
    came, seen = -1, []
    for piece in PIECES:
        while came < max(piece):
            came = next(nights)
            account.night(came)
        before = account.ledger()
        account.fold(piece)
        new = [row for key, row in account.ledger().items() if key not in before]
        kinds = ["held back" if row.status is Status.QUARANTINED else "carried" if row.unchanged else "folded" for row in new]
        seen.append(dict(collections.Counter(kinds)))
    return account, seen


def test_no_change_is_passed_over(told: tuple[Account, list[dict[str, int]]]) -> None:
    account, _ = told
    assert [finding.problem for finding in verify(account.warehouse) if finding.problem] == []
    there = {date for _, date in account.ledger()}
    assert there == {FIRST + dt.timedelta(days=number) for number in range(NIGHTS)}


def test_what_has_not_changed_is_carried(told: tuple[Account, list[dict[str, int]]]) -> None:
    """Not on the first night, and on most others."""
    _, seen = told
    assert seen[0] == {"folded": len(TABLES)}
    assert all(each.get("carried", 0) > 0 for each in seen[1:]), seen
    assert sum(each.get("held back", 0) for each in seen) > 0, seen


def test_what_is_carried_first_is_told_while_the_rest_is_folded(told: tuple[Account, list[dict[str, int]]]) -> None:
    account, _ = told
    firsts = {FIRST + dt.timedelta(days=min(piece)) for piece in PIECES}
    carried = [row for (_, date), row in account.ledger().items() if row.unchanged and date in firsts]
    assert sorted(account.entered, key=str) == sorted(carried, key=str)


def test_a_carried_night_is_its_applied_night_before(told: tuple[Account, list[dict[str, int]]]) -> None:
    account, _ = told
    ledger = account.ledger()
    carried = [row for row in ledger.values() if row.unchanged]
    for row in carried:
        nights = [each for (table, date), each in ledger.items() if table == row.table and date < row.date]
        before = max((each for each in nights if each.status is Status.APPLIED), key=lambda each: each.date)
        assert (row.rows, row.columns, row.key, row.opened, row.closed) == (before.rows, before.columns, before.key, 0, 0)
        clone = account.warehouse.find_clone(row.schema, row.date)
        assert clone
        assert (row.clone_id, row.quiet_point, row.cutoff) == (clone.clone_id, clone.quiet_point, clone.cutoff)
