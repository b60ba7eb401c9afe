"""Verify: what it proves, what it finds after a history was damaged by hand, and what a repair puts right."""

import contextlib
import datetime as dt
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest

from history_assets import cli, cli_checks
from tests.stories.engines.base import Engine
from tests.stories.tables import Night
from tests.stories.test_gates import Seen, Story

Verify = Callable[..., tuple[int, str, str]]

ROWS = (
    "values (1, 'a'), (2, 'b'), (3, 'c')",
    "values (1, 'a'), (2, 'x'), (4, 'd')",
    "values (1, 'a'), (2, 'x'), (3, 'c'), (4, 'e')",
)
WHOLE = [
    (1, "a", 10, None),
    (2, "b", 10, 11),
    (2, "x", 11, None),
    (3, "c", 10, 11),
    (3, "c", 12, None),
    (4, "d", 11, 12),
    (4, "e", 12, None),
]

GO_FORWARD = "found 1 rows whose interval does not go forward, expected none"
UNKNOWN_MOMENT = "found 1 rows that begin or end when no night was applied, expected none"
SHARED = "found 1 identifiers that rows share, expected none"
ADJOINING = "found 1 rows that end where an equal one begins, expected none"
OVERLAP = "found 1 rows that overlap in a key that their clone had once, expected none"
COUNTS = "found {} nights with another number of rows than the ledger says, expected none"

DAMAGE = {
    "changed": ["""update {t} set "v" = 'wrong' where "v" = 'a'"""],
    "nulled": ["""update {t} set "v" = null where "v" = 'b'"""],
    "deleted": ["""delete from {t} where "v" = 'x'"""],
    "doubled": ["""insert into {t} select * from {t} where "v" = 'a'"""],
    "moved": ["""update {t} set dbt_valid_to = '2026-10-12' where "v" = 'b'"""],
    "strayed": ["""update {t} set dbt_valid_to = '2026-10-10 12:00' where "v" = 'b'"""],
    "inverted": ["""update {t} set dbt_valid_from = dbt_valid_to, dbt_valid_to = dbt_valid_from where "v" = 'b'"""],
    "split": [
        "insert into {t} "
        """select "id", "v", "_fivetran_synced", 'other', '2026-10-11', '2026-10-11', null from {t} where "v" = 'a'""",
        """update {t} set dbt_valid_to = '2026-10-11' where "v" = 'a' and dbt_scd_id <> 'other'""",
    ],
    "invented": ["insert into {t} select 9, 'z', '2026-10-10', 'other', '2026-10-11', '2026-10-11', null"],
    "counted": ["update {ledger} set row_count = 7 where table_name = 'counted' and clone_date = '2026-10-11'"],
    "emptied": ["delete from {t}"],
}
"""What is done to each table, all of which are alike."""

FOUND = {
    "changed": [
        "as of 2026-10-10: 1 rows only in history, 1 only in the clone, such as (1, 'wrong'); (1, 'a')",
        "as of 2026-10-11: 1 rows only in history, 1 only in the clone, such as (1, 'wrong'); (1, 'a')",
        "as of 2026-10-12: 1 rows only in history, 1 only in the clone, such as (1, 'wrong'); (1, 'a')",
    ],
    "nulled": ["as of 2026-10-10: 1 rows only in history, 1 only in the clone, such as (2, None); (2, 'b')"],
    "deleted": [
        "as of 2026-10-11: 0 rows only in history, 1 only in the clone, such as (2, 'x')",
        "as of 2026-10-12: 0 rows only in history, 1 only in the clone, such as (2, 'x')",
        COUNTS.format(2),
    ],
    "doubled": [
        "as of 2026-10-10: 1 rows only in history, 0 only in the clone, such as (1, 'a')",
        "as of 2026-10-11: 1 rows only in history, 0 only in the clone, such as (1, 'a')",
        "as of 2026-10-12: 1 rows only in history, 0 only in the clone, such as (1, 'a')",
        SHARED,
        OVERLAP,
        COUNTS.format(3),
    ],
    "moved": [
        "as of 2026-10-11: 1 rows only in history, 0 only in the clone, such as (2, 'b')",
        OVERLAP,
        COUNTS.format(1),
    ],
    "strayed": [UNKNOWN_MOMENT],
    "inverted": [
        "as of 2026-10-10: 0 rows only in history, 1 only in the clone, such as (2, 'b')",
        GO_FORWARD,
        COUNTS.format(1),
    ],
    "split": [ADJOINING],
    "invented": [
        "as of 2026-10-11: 1 rows only in history, 0 only in the clone, such as (9, 'z')",
        "as of 2026-10-12: 1 rows only in history, 0 only in the clone, such as (9, 'z')",
        COUNTS.format(2),
    ],
    "counted": [COUNTS.format(1)],
    "emptied": [
        "as of 2026-10-10: 0 rows only in history, 3 only in the clone",
        "as of 2026-10-11: 0 rows only in history, 3 only in the clone",
        "as of 2026-10-12: 0 rows only in history, 4 only in the clone",
        COUNTS.format(3),
    ],
}
"""Parts that a table's problems hold, each."""

TABLES = (*DAMAGE, "sound")


def damage(engine: Engine, kinds: Iterable[str]) -> None:
    """Do what is meant for each kind to the table of its name."""
    for kind in kinds:
        engine.execute(*(sql.format(t=engine.table("crm", kind), ledger=engine.ledger) for sql in DAMAGE[kind]))


def changed(story: Story, before: Mapping[str, list[tuple[Any, ...]]]) -> dict[str, tuple[list[Any], list[Any]]]:
    """Return the tables that are not what they were, with the rows that each lost and gained."""
    after = story.whole()
    return {
        table: ([row for row in before[table] if row not in after[table]], [row for row in after[table] if row not in rows])
        for table, rows in before.items()
        if after[table] != rows
    }


@pytest.fixture(scope="module")
def story(engine: Engine) -> Story:
    """Three clean nights of tables that are all alike, and a spare copy of the history."""
    story = Story(engine)
    seen: list[Seen] = []
    for day, rows in enumerate(ROWS, 10):
        tables: Night = dict.fromkeys(TABLES, ("id int primary key, v varchar", rows))
        seen.append(story.night(day, tables))
    assert [each.report.failures for each in seen] == [(), (), ()]
    assert seen[-1].histories == dict.fromkeys(TABLES, WHOLE)
    engine.keep()
    return story


@pytest.fixture
def fresh(story: Story) -> Story:
    """The story with its history as the nights left it."""
    story.engine.bring_back()
    return story


@pytest.fixture
def verify(fresh: Story, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    """Type ``history-assets verify``; returns its exit code and what it wrote to both streams."""
    for name, value in fresh.engine.environment.items():
        monkeypatch.setenv(name, value)

    def type_in(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["history-assets", "verify", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return type_in


def test_a_sound_history_is_proven_exact(verify: Verify) -> None:
    """Every night of every table, and exit 0."""
    nights = 3 * len(TABLES)
    assert verify() == (0, f"{nights} of {nights} table-nights are exact\n", "")


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named_by_table_date_and_rows(kind: str, fresh: Story, verify: Verify) -> None:
    """Nothing else is named, and the exit code is 1."""
    damage(fresh.engine, [kind])

    code, printed, complaint = verify()

    lines = complaint.splitlines()
    assert code == 1
    dated = sum(1 for part in FOUND[kind] if part.startswith("as of"))
    assert printed == f"{3 * len(TABLES) - dated} of {3 * len(TABLES)} table-nights are exact\n"
    assert all(line.startswith(f"differs: crm.{kind}") for line in lines), lines
    assert len(lines) == dated + (dated < len(FOUND[kind])), lines
    for part in FOUND[kind]:
        assert any(part in line for line in lines), (part, lines)


def test_up_to_five_rows_are_shown(fresh: Story, verify: Verify) -> None:
    rows = [f"select {n}, 'z', '2026-10-10', 'other {n}', '2026-10-12', '2026-10-12', null" for n in range(9)]
    fresh.engine.execute(f"insert into {fresh.engine.table('crm', 'sound')} {' union all '.join(rows)}")

    _, _, complaint = verify("--date", "2026-10-12")

    assert complaint.count("(") == 5
    assert "crm.sound as of 2026-10-12: 9 rows only in history, 0 only in the clone, such as (" in complaint


def test_the_sync_stamp_is_kept_never_compared(fresh: Story, verify: Verify) -> None:
    fresh.engine.execute(f'update {fresh.engine.table("crm", "sound")} set "_fivetran_synced" = null')

    assert verify()[0] == 0


def test_repair_rebuilds_the_identical_tables(fresh: Story, verify: Verify, monkeypatch: pytest.MonkeyPatch) -> None:
    """Row for row and column for column, dbt's identifiers and the sync stamps too; from then on all is exact."""
    told: list[tuple[str, int, int | None]] = []
    monkeypatch.setattr(cli_checks, "bar", lambda **_: contextlib.nullcontext(lambda *each: told.append(each)))
    before = fresh.whole()
    damage(fresh.engine, DAMAGE)

    code, printed, complaint = verify("--repair")

    assert [each for each in told if each[0] == "folding tables"] == [
        ("folding tables", done, 3 * len(DAMAGE)) for done in range(3 * len(DAMAGE) + 1)
    ]
    assert changed(fresh, before) == {}
    assert code == 0
    assert printed.endswith(f"{3 * len(TABLES)} of {3 * len(TABLES)} table-nights are exact\n")
    assert {line.split()[1].rstrip(":").removeprefix("crm.") for line in complaint.splitlines()} == set(DAMAGE)
    assert all(line.startswith("repairing: ") for line in complaint.splitlines())


def test_repair_keeps_what_nights_without_a_clone_say(fresh: Story, verify: Verify) -> None:
    """The rows of the kept nights are built again; those of the night that is only in the history stay."""
    doubled = fresh.engine.table("crm", "doubled")
    with fresh.engine.without_clone("crm", dt.date(2026, 10, 11)):
        before = fresh.whole()
        fresh.engine.execute(
            f"""update {fresh.engine.table("crm", "changed")} set "v" = 'wrong' where "v" = 'b'""",
            f"""delete from {fresh.engine.table("crm", "deleted")} where "v" = 'e'""",
            f"""insert into {doubled} select * from {doubled} where "v" = 'c' and dbt_valid_to is null""",
        )
        assert verify()[0] == 1

        code, printed, _ = verify("--repair")

        assert changed(fresh, before) == {}
        assert code == 0
        assert printed.endswith(f"{2 * len(TABLES)} of {2 * len(TABLES)} table-nights are exact\n")


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("'2026-10-12', '2026-10-10'", id="backwards"),
        pytest.param("'2026-10-07', '2026-10-08'", id="before the first night", marks=pytest.mark.slow),
        pytest.param("null, null", id="from no moment", marks=pytest.mark.slow),
    ],
)
def test_a_row_that_no_night_explains_is_found_and_removed(row: str, fresh: Story, verify: Verify) -> None:
    """Even one that no day shows."""
    before = fresh.whole()
    fresh.engine.execute(
        f"insert into {fresh.engine.table('crm', 'sound')} select 9, 'z', '2026-10-10', 'other', '2026-10-10', {row}"
    )

    assert verify()[0] == 1
    assert verify("--repair")[0] == 0
    assert changed(fresh, before) == {}
