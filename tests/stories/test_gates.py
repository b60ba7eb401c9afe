"""Gates: what is held back for a night, what lands beside it, and how it is let in after all.

One story over one schema, night by night. ``Story`` keeps what every table said after every run, whole.
"""

import dataclasses
import datetime as dt
import re
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from history_assets.gates import Gate
from history_assets.nights import NightReport, run_night
from history_assets.verification import verify
from history_assets.warehouse.base import Warehouse
from tests.stories.engines.base import OURS, Engine, Stored
from tests.stories.tables import Night

SYNCED = "2026-10-01 00:00:00+00"


@dataclasses.dataclass(frozen=True)
class Seen:
    """What there was after a run: what the run said, every history and every ledger row whole, and what verify minded."""

    report: NightReport
    histories: Mapping[str, list[tuple[Any, ...]]]
    ledger: Mapping[str, list[tuple[Any, ...]]]
    problems: tuple[str, ...]


class Story:
    """An engine with one schema, ``crm``, and nights of October 2026 by their day."""

    def __init__(self, engine: Engine, **overrides: Any) -> None:
        self.engine = engine
        self.home = engine.home
        self.overrides = overrides

    def warehouse(self, **overrides: Any) -> Warehouse:
        return self.engine.warehouse(**self.overrides | overrides)

    def land(self, day: int, tables: Night, synced: str = SYNCED) -> None:
        """Make the schema hold these tables and no others, two hours before the cutoff of a day."""
        self.engine.land("crm", f"2026-10-{day - 1:02}T22:00", tables, synced)

    def run(self, day: int, *, reclone: bool = False, allow: Collection[Gate] = (), **overrides: Any) -> Seen:
        """Clone and fold a day, and look at everything."""
        warehouse = self.warehouse(**overrides)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("HISTORY_HOME", str(self.home))
            patch.setenv("DAGSTER_HOME", str(self.home / "dagster"))
            report = run_night(warehouse.settings, warehouse, dt.date(2026, 10, day), reclone=reclone, allow=allow)
        return self.look(report)

    def night(self, day: int, tables: Night, **options: Any) -> Seen:
        """Land tables, clone and fold them."""
        self.land(day, tables)
        return self.run(day, **options)

    def look(self, report: NightReport) -> Seen:
        histories = {name: history_of(name, stored) for name, stored in self.engine.histories("crm").items()}
        ledger: dict[str, list[tuple[Any, ...]]] = {}
        for name, *row in self.engine.query(
            "select table_name, day(clone_date), status, row_count, opened, closed, problem "
            f"from {self.engine.ledger} order by table_name, clone_date, status"
        ):
            ledger.setdefault(name, []).append(tuple(row))
        problems = tuple(finding.problem for finding in verify(self.warehouse()) if finding.problem)
        return Seen(report, histories, ledger, problems)

    def whole(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return the histories as they are stored, every column of them, sorted."""
        return {name: sorted(stored.rows, key=repr) for name, stored in self.engine.histories("crm").items()}


def history_of(table: str, stored: Stored) -> list[tuple[Any, ...]]:
    """Return a history as rows of the source's columns, then the days from which and until which they hold."""
    ours = stored.values(*OURS)
    identifiers = {identifier for identifier, *_ in ours}
    assert None not in identifiers, f"{table}: a row has no identifier"
    assert len(identifiers) == len(ours), f"{table}: rows share identifiers"
    assert all(updated == since for _, updated, since, _ in ours), f"{table}: dbt's own columns are not as dbt has them"
    source = stored.values(*stored.source)
    return sorted([(*row, day_of(own[2]), day_of(own[3])) for row, own in zip(source, ours, strict=True)], key=repr)


def day_of(cutoff: dt.datetime | None) -> int | None:
    """Return the day of a cutoff, which is at midnight."""
    if cutoff is None:
        return None
    assert (cutoff.year, cutoff.month, cutoff.time()) == (2026, 10, dt.time(0)), cutoff
    return cutoff.day


KEYS = {
    "crm.single": ("id",),
    "crm.pair": ("a", "b"),
    "crm.keyless": ("id",),
    "crm.pairless": ("a", "b"),
}

GOOD: Night = {
    "ok": ("id int primary key, v varchar", "values (1, 'a')"),
    "unkeyed": ("v varchar", "values ('a'), ('a'), (null)"),
    "single": ("id int, v varchar", "values (1, 'a'), (2, 'b')"),
    "pair": ("a int, b int, v varchar", "values (1, 1, 'a'), (1, null, 'b'), (null, 1, 'c')"),
    "keyless": ("id int, v varchar", "values (1, 'a')"),
    "pairless": ("a int, b int", "values (1, null), (null, 1)"),
    "emptied": ("id int primary key", "values (1), (2)"),
    "half": ("id int primary key", "select * from range(200)"),
    "beyond": ("id int primary key", "select * from range(200)"),
    "few": ("id int primary key", "select * from range(99)"),
    "gone": ("id int primary key, v varchar", "values (1, 'a'), (2, 'b')"),
    "small": ("id int primary key", "select * from range(20)"),
    "smaller": ("id int primary key", "select * from range(20)"),
}

BAD: Night = {
    "ok": ("id int primary key, v varchar", "values (1, 'b')"),
    "unkeyed": ("v varchar", "values ('a'), ('a'), ('a'), (null), (null)"),
    "single": ("id int, v varchar", "select range % 7, 'x' || (range // 7) from range(14)"),
    "pair": ("a int, b int, v varchar", "values (1, 1, 'a'), (1, null, 'b'), (1, null, 'c'), (null, 1, 'c')"),
    "keyless": ("id int, v varchar", "values (1, 'b'), (null, 'c')"),
    "pairless": ("a int, b int", "values (1, null), (null, null)"),
    "emptied": ("id int primary key", None),
    "half": ("id int primary key", "select * from range(100)"),
    "beyond": ("id int primary key", "select * from range(99)"),
    "few": ("id int primary key", "select * from range(1)"),
    "small": GOOD["small"],
    "smaller": GOOD["smaller"],
}
"""`gone` is not there."""

AGAIN = "correct it at the source, or run 2026-10-{day} again allowing {gate}"
HELD_BACK = {
    "single": "found 7 keys of crm.single (id) more than once on 2026-10-19, such as (0) (1) (2) (3) (4), "
    "expected each once: " + AGAIN.format(day=19, gate="duplicate-key"),
    "pair": "found 1 keys of crm.pair (a, b) more than once on 2026-10-19, such as (1, None), "
    "expected each once: " + AGAIN.format(day=19, gate="duplicate-key"),
    "keyless": "found 1 of 2 rows of crm.keyless without a key (id) on 2026-10-19, "
    "expected none: " + AGAIN.format(day=19, gate="null-key"),
    "pairless": "found 1 of 2 rows of crm.pairless without a key (a, b) on 2026-10-19, "
    "expected none: " + AGAIN.format(day=19, gate="null-key"),
    "emptied": "found no rows in crm.emptied on 2026-10-19, expected some, since the night before had 2: "
    + AGAIN.format(day=19, gate="empty"),
    "beyond": "found 99 rows in crm.beyond on 2026-10-19, expected at least 100 of the 200 of the night before: "
    + AGAIN.format(day=19, gate="shrunken"),
    "gone": "found no table crm.gone in the clone of 2026-10-19, expected it, since the night before had 2 rows; "
    "it was dropped, or its grant was revoked: " + AGAIN.format(day=19, gate="absent"),
}
ROWS_OF_BAD = {"single": 14, "pair": 4, "keyless": 2, "pairless": 2, "emptied": 0, "beyond": 99, "gone": 0}

BETTER: Night = GOOD | {
    "ok": ("id int primary key, v varchar", "values (1, 'c')"),
    "single": ("id int, v varchar", "values (1, 'a'), (2, 'c')"),
    "beyond": ("id int primary key", "select * from range(100)"),
    "half": BAD["half"],
    "few": BAD["few"],
}
WITHOUT_GONE = {name: table for name, table in BETTER.items() if name != "gone"}
EARLIER: Night = GOOD | {"gone": ("id int primary key, v varchar", "values (1, 'z'), (2, 'b'), (3, 'c')")}
SMALLER: Night = BETTER | {
    "small": ("id int primary key", "select * from range(18)"),
    "smaller": ("id int primary key", "select * from range(17)"),
}


@pytest.fixture(scope="module")
def story(engine: Engine) -> dict[str, Seen]:
    """Play it all, and keep what was seen after each run."""
    story = Story(engine, keys=KEYS)
    seen = {"good": story.night(18, GOOD), "bad": story.night(19, BAD)}
    seen["better"] = story.night(20, WITHOUT_GONE)
    seen["released"] = story.run(19, allow=[Gate.DUPLICATE_KEY, Gate.SHRUNKEN])
    seen["absent"] = story.run(20, allow=[Gate.ABSENT])
    seen["returned"] = story.night(21, BETTER)
    seen["late"] = story.night(17, EARLIER)
    seen["open"] = story.night(22, BAD, gates=())
    seen["closed"] = story.night(23, BETTER)
    seen["settings"] = story.night(24, SMALLER, shrunken_share=0.1, shrunken_rows=20)
    story.land(18, BAD)
    seen["recloned"] = story.run(18, reclone=True)
    return seen


def test_good_copies_land(story: dict[str, Seen]) -> None:
    """A key may be NULL in some of its parts, and a table without a key may hold anything."""
    seen = story["good"]

    assert seen.report.failures == ()
    assert seen.report.said() == "1 of 1 schemas cloned, 13 of 13 tables folded"
    assert seen.histories["pair"] == [(1, 1, "a", 18, None), (1, None, "b", 18, None), (None, 1, "c", 18, None)]
    assert seen.histories["unkeyed"] == [("a", 18, None), ("a", 18, None), (None, 18, None)]
    assert seen.ledger["pair"] == [(18, "applied", 3, 3, 0, None)]


@pytest.mark.parametrize("table", HELD_BACK)
def test_a_bad_copy_is_held_back_and_changes_nothing(table: str, story: dict[str, Seen]) -> None:
    """The ledger says so and why; the run names table, counts and up to five keys."""
    before, seen = story["good"], story["bad"]

    assert seen.histories[table] == before.histories[table]
    assert seen.ledger[table] == [
        *before.ledger[table],
        (19, "quarantined", ROWS_OF_BAD[table], 0, 0, HELD_BACK[table]),
    ]
    assert HELD_BACK[table] in seen.report.failures[0]


def test_every_other_table_lands_beside_it_and_the_run_fails(story: dict[str, Seen]) -> None:
    seen = story["bad"]

    assert seen.report.said() == "1 of 1 schemas cloned, 6 of 13 tables folded"
    (failure,) = seen.report.failures
    assert failure.startswith("7 of 13 tables were not folded: ")
    assert set(re.findall(r"crm\.\w+", failure)) == {f"crm.{table}" for table in HELD_BACK}
    assert seen.histories["ok"] == [(1, "a", 18, 19), (1, "b", 19, None)]
    assert seen.histories["unkeyed"] == [("a", 18, None), ("a", 18, None), ("a", 19, None), (None, 18, None), (None, 19, None)]
    assert seen.ledger["ok"] == [(18, "applied", 1, 1, 0, None), (19, "applied", 1, 1, 1, None)]
    assert seen.problems == ()


def test_exactly_the_share_may_go_and_small_tables_may_lose_all_but_a_row(story: dict[str, Seen]) -> None:
    """Half of 200 rows, and 98 of 99."""
    seen = story["bad"]

    assert seen.histories["half"] == sorted([(n, 18, None if n < 100 else 19) for n in range(200)], key=repr)
    assert seen.ledger["half"][1] == (19, "applied", 100, 0, 100, None)
    assert seen.histories["few"] == sorted([(n, 18, None if n < 1 else 19) for n in range(99)], key=repr)
    assert seen.ledger["few"][1] == (19, "applied", 1, 0, 98, None)


def test_a_later_good_night_lands_and_the_held_back_one_stays_out(story: dict[str, Seen]) -> None:
    """It is measured against the last night that was applied."""
    seen = story["better"]

    assert seen.histories["single"] == [(1, "a", 18, None), (2, "b", 18, 20), (2, "c", 20, None)]
    assert seen.ledger["single"] == [
        (18, "applied", 2, 2, 0, None),
        (19, "quarantined", 14, 0, 0, HELD_BACK["single"]),
        (20, "applied", 2, 1, 1, None),
    ]
    assert seen.histories["emptied"] == [(1, 18, None), (2, 18, None)]
    assert seen.histories["beyond"] == sorted([(n, 18, None if n < 100 else 20) for n in range(200)], key=repr)
    assert seen.problems == ()
    absent = HELD_BACK["gone"].replace("10-19", "10-20")
    assert seen.report.failures == (f"1 of 13 tables were not folded: {absent}",)
    assert seen.ledger["gone"][1:] == [(19, "quarantined", 0, 0, 0, HELD_BACK["gone"]), (20, "quarantined", 0, 0, 0, absent)]


def test_an_opened_gate_lets_the_night_in_between(story: dict[str, Seen]) -> None:
    """Duplicates are kept, each with its interval, and the ledger forgets that the night was held back."""
    seen = story["released"]

    assert seen.histories["single"] == sorted(
        [
            *[(n % 7, f"x{n // 7}", 19, 20) for n in range(14)],
            (1, "a", 18, 19),
            (1, "a", 20, None),
            (2, "b", 18, 19),
            (2, "c", 20, None),
        ],
        key=repr,
    )
    assert seen.histories["pair"] == [
        (1, 1, "a", 18, None),
        (1, None, "b", 18, None),
        (1, None, "c", 19, 20),
        (None, 1, "c", 18, None),
    ]
    assert [row[:3] for row in seen.ledger["single"]] == [(18, "applied", 2), (19, "applied", 14), (20, "applied", 2)]
    assert seen.histories["beyond"] == sorted(
        [(n, 18, None) for n in range(99)] + [(99, 18, 19), (99, 20, None)] + [(n, 18, 19) for n in range(100, 200)], key=repr
    )
    assert seen.problems == ()


@pytest.mark.parametrize("table", ["keyless", "pairless", "emptied", "gone"])
def test_what_no_gate_was_opened_for_stays_held_back(table: str, story: dict[str, Seen]) -> None:
    """Folding a held-back clone again leaves one ledger row of it and the history as it was."""
    before, seen = story["better"], story["released"]

    assert seen.histories[table] == before.histories[table]
    assert seen.ledger[table] == before.ledger[table]
    assert seen.report.failures[0].startswith("4 of 13 tables were not folded: ")
    assert HELD_BACK[table] in seen.report.failures[0]


def test_absence_let_in_closes_the_rows(story: dict[str, Seen]) -> None:
    seen = story["absent"]

    assert seen.report.failures == ()
    assert seen.histories["gone"] == [(1, "a", 18, 20), (2, "b", 18, 20)]
    assert seen.ledger["gone"] == [
        (18, "applied", 2, 2, 0, None),
        (19, "quarantined", 0, 0, 0, HELD_BACK["gone"]),
        (20, "applied", 0, 0, 2, None),
    ]
    assert seen.problems == ()


def test_a_table_that_returns_opens_its_rows_again(story: dict[str, Seen]) -> None:
    seen = story["returned"]

    assert seen.report.failures == ()
    assert seen.histories["gone"] == [(1, "a", 18, 20), (1, "a", 21, None), (2, "b", 18, 20), (2, "b", 21, None)]
    assert seen.ledger["gone"][-1] == (21, "applied", 2, 2, 0, None)
    assert seen.problems == ()


def test_a_late_night_from_before_it_vanished_folds(story: dict[str, Seen]) -> None:
    seen = story["late"]

    assert seen.report.failures == ()
    assert seen.histories["gone"] == [
        (1, "a", 18, 20),
        (1, "a", 21, None),
        (1, "z", 17, 18),
        (2, "b", 17, 20),
        (2, "b", 21, None),
        (3, "c", 17, 18),
    ]
    assert seen.ledger["gone"][0] == (17, "applied", 3, 3, 0, None)
    assert seen.histories["ok"] == [(1, "a", 17, 19), (1, "b", 19, 20), (1, "c", 20, None)]
    assert seen.problems == ()


def test_gates_that_a_setting_switches_off_hold_nothing_back(story: dict[str, Seen]) -> None:
    """Everything that was held back on the 19th lands on the 22nd."""
    seen = story["open"]

    assert seen.report.failures == ()
    assert {table: seen.ledger[table][-1][:3] for table in HELD_BACK} == {
        table: (22, "applied", rows) for table, rows in ROWS_OF_BAD.items()
    }
    assert seen.histories["keyless"] == [(1, "a", 17, 22), (1, "b", 22, None), (None, "c", 22, None)]
    assert seen.histories["pairless"] == [(1, None, 17, None), (None, 1, 17, 22), (None, None, 22, None)]
    assert seen.histories["emptied"] == [(1, 17, 22), (2, 17, 22)]
    assert [row for row in seen.histories["gone"] if row[-1] is None] == []
    assert seen.problems == ()


def test_a_good_night_lands_after_bad_ones_that_were_let_in(story: dict[str, Seen]) -> None:
    seen = story["closed"]

    assert seen.report.failures == ()
    assert seen.histories["keyless"] == [(1, "a", 17, 22), (1, "a", 23, None), (1, "b", 22, 23), (None, "c", 22, 23)]
    assert seen.histories["emptied"] == [(1, 17, 22), (1, 23, None), (2, 17, 22), (2, 23, None)]
    assert seen.problems == ()


def test_the_share_and_the_rows_of_the_shrunken_gate_can_be_set(story: dict[str, Seen]) -> None:
    """A tenth of at least 20 rows: 18 of 20 land, 17 do not."""
    seen = story["settings"]
    said = "found 17 rows in crm.smaller on 2026-10-24, expected at least 18 of the 20 of the night before: " + AGAIN.format(
        day=24, gate="shrunken"
    )

    assert seen.report.failures == (f"1 of 13 tables were not folded: {said}",)
    assert seen.histories["small"] == sorted([(n, 17, None if n < 18 else 24) for n in range(20)], key=repr)
    assert seen.histories["smaller"] == sorted([(n, 17, None) for n in range(20)], key=repr)
    assert seen.ledger["smaller"][-1] == (24, "quarantined", 17, 0, 0, said)


@pytest.mark.parametrize("table", HELD_BACK)
def test_a_date_cloned_again_with_a_bad_copy_keeps_what_was_applied(table: str, story: dict[str, Seen]) -> None:
    """The held-back copy has a ledger row of its own, beside that of the applied one."""
    before, seen = story["settings"], story["recloned"]
    said = HELD_BACK[table].replace("10-19", "10-18")
    if table == "gone":
        said = said.replace("had 2", "had 3")

    assert seen.histories[table] == before.histories[table]
    (held_back,) = set(seen.ledger[table]) - set(before.ledger[table])
    assert held_back == (18, "quarantined", ROWS_OF_BAD[table], 0, 0, said)
    assert set(before.ledger[table]) < set(seen.ledger[table])
    assert said in seen.report.failures[0]
    assert f"crm.{table} as of 2026-10-18: the clone was made again after it was folded: run the date again" in seen.problems


def test_a_date_cloned_again_lands_where_its_copy_is_good(story: dict[str, Seen]) -> None:
    seen = story["recloned"]

    assert seen.histories["ok"] == [
        (1, "a", 17, 18),
        (1, "b", 18, 20),
        (1, "b", 22, 23),
        (1, "c", 20, 22),
        (1, "c", 23, None),
    ]
    assert len(seen.problems) == len(HELD_BACK)
