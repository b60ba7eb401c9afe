"""Retention: which clones go, which stay and why, and all that still holds once they are gone.

One story over two schemas and three months, told on the embedded engine.
"""

import contextlib
import dataclasses
import datetime as dt
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import duckdb
import pytest

from history_assets import cli, dbt_files, dbt_run
from history_assets.failures import Problem, problems_of, reason_of
from history_assets.folding import night, plan
from history_assets.history import History
from history_assets.location import build_definitions
from history_assets.nights import open_instance, run_nights
from history_assets.partitions import PARTITIONS
from history_assets.retention import forget_dates, retain
from history_assets.verification import verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.stories.engines.duckdb import DuckDB
from tests.stories.tables import Night

SYNCED = "2026-08-01 00:00:00+00"
TODAY = dt.date(2026, 10, 15)
ACCOUNTS = {
    "2026-08-03": "values (1, 'a'), (2, 'b')",
    "2026-08-04": "values (1, 'x'), (2, 'b')",
    "2026-08-31": "values (1, 'x'), (3, 'c')",
    "2026-09-01": "values (1, 'x'), (3, 'c')",
    "2026-09-02": "values (1, 'only'), (3, 'c')",
    "2026-09-15": "values (9, 'never folded')",
    "2026-10-01": "values (3, 'c')",
    "2026-10-02": "values (3, 'd')",
    "2026-10-15": "values (3, 'e')",
}
"""Rows of crm.account by night."""

UNFOLDED, ORDERS = "2026-09-15", ("2026-08-03", "2026-09-01", "2026-10-02")
"""The nights of the schema shop, each of which adds an order."""

LATE = "2026-08-20"
HELD_BACK = (
    "crm.note as of 2026-08-31 is held back: found no rows in crm.note on 2026-08-31, expected some, since the night before "
    "had 2: correct it at the source, or run 2026-08-31 again allowing empty"
)
LATE_HELD_BACK = (
    f"crm.note as of {LATE} is held back: found no table crm.note in the clone of {LATE}, expected it, since the night "
    f"before had 2 rows; it was dropped, or its grant was revoked: correct it at the source, or run {LATE} again allowing "
    "absent"
)
DIFFERS = "crm.account as of 2026-09-02: 1 rows only in history, 1 only in the clone, such as (1, 'damaged'); (1, 'only')"
NOT_FOLDED = "; ".join(f"crm.{table} as of 2026-09-15 is not folded: run the date again" for table in ("account", "note"))
VERDICTS = [
    "crm 2026-08-03: dropped",
    "crm 2026-08-04: dropped",
    f"crm 2026-08-31: kept, because {HELD_BACK}",
    "crm 2026-09-01: kept, because it is the first of 2026-09",
    f"crm 2026-09-02: kept, because {DIFFERS}",
    f"crm 2026-09-15: kept, because {NOT_FOLDED}",
    "crm 2026-10-01: kept, because it is the first of 2026-10",
    "crm 2026-10-02: dropped",
    "crm 2026-10-15: kept, because it is the newest of its schema",
    "shop 2026-08-03: dropped",
    "shop 2026-09-01: kept, because it is the first of 2026-09",
    "shop 2026-10-02: kept, because it is the newest of its schema",
]
"""After ten days, and a month of firsts."""

HISTORY = [
    (1, "a", "2026-08-03", "2026-08-04"),
    (1, "damaged", "2026-09-02", "2026-10-01"),
    (1, "x", "2026-08-04", "2026-09-02"),
    (2, "b", "2026-08-03", "2026-08-31"),
    (3, "c", "2026-08-31", "2026-10-02"),
    (3, "d", "2026-10-02", "2026-10-15"),
    (3, "e", "2026-10-15", None),
]


def crm(date: str) -> Night:
    note = None if date == "2026-08-31" else "values ('n'), ('n')"
    return {"account": ("id int primary key, v varchar", ACCOUNTS[date]), "note": ("v varchar", note)}


@dataclasses.dataclass
class Story:
    """The nights, and what retention said."""

    engine: DuckDB
    dry: list[str]
    clones_after_dry: Mapping[str, Sequence[dt.date]]
    said: list[str]
    watched: list[tuple[str, int, int | None]]
    wrong: list[tuple[str, str]]
    again: list[str]
    forgotten: list[str]
    keys: list[str]
    left: list[tuple[Any, ...]]

    @property
    def warehouse(self) -> DuckDBWarehouse:
        return self.engine.warehouse(clone_retention_days=10, clone_retention_months=1)

    def history(self) -> list[tuple[Any, ...]]:
        return self.engine.query(
            "select id, v, strftime(dbt_valid_from, '%Y-%m-%d'), strftime(dbt_valid_to, '%Y-%m-%d') from crm.account "
            "order by all"
        )


def land(engine: DuckDB, schema: str, date: str, tables: Night) -> None:
    evening = dt.date.fromisoformat(date) - dt.timedelta(days=1)
    engine.land(schema, f"{evening}T22:00", tables, SYNCED)


def dates(*texts: str) -> list[dt.date]:
    return [dt.date.fromisoformat(text) for text in texts]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    engine = DuckDB(tmp_path_factory.mktemp("retention"))
    story = Story(engine, [], {}, [], [], [], [], [], [], [])
    warehouse, settings = story.warehouse, story.warehouse.settings
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTORY_HOME", str(engine.home))
        patch.setenv("DAGSTER_HOME", str(engine.home / "dagster"))
        for date in ACCOUNTS:
            land(engine, "crm", date, crm(date))
            warehouse.clone("crm", dt.date.fromisoformat(date), lambda: None)
        for count, date in enumerate(ORDERS, 1):
            land(engine, "shop", date, {"orders": ("id int primary key", f"select * from range({count})")})
            warehouse.clone("shop", dt.date.fromisoformat(date), lambda: None)
        folded = dates(*(date for date in ACCOUNTS if date != UNFOLDED))
        _, problems = run_nights(settings, warehouse, folded, ["crm"])
        assert len(problems) == 1, problems
        assert "found no rows in crm.note" in problems[0]
        assert run_nights(settings, warehouse, dates(*ORDERS), ["shop"])[1] == []
        with duckdb.connect(str(engine.home / "history.duckdb")) as connection:
            connection.execute("update crm.account set v = 'damaged' where v = 'only'")
        with open_instance(settings) as instance:
            instance.add_dynamic_partitions(PARTITIONS, [UNFOLDED, "2026-10-03", "2026-10-14"])
            story.dry = [verdict.said(dry_run=True) for verdict in retain(warehouse, TODAY, dry_run=True)]
            story.clones_after_dry = warehouse.clone_dates()
            watch = contextlib.nullcontext(lambda *told: story.watched.append(told))
            verdicts = list(retain(warehouse, TODAY, watching=lambda: watch))
            story.said = [verdict.said() for verdict in verdicts]
            story.wrong = [(verdict.schema, str(verdict.date)) for verdict in verdicts if verdict.wrong]
            story.forgotten = forget_dates(warehouse, instance, TODAY)
            story.again = [verdict.said() for verdict in retain(warehouse, TODAY)]
            assert forget_dates(warehouse, instance, TODAY) == []
            story.keys = sorted(instance.get_dynamic_partitions(PARTITIONS))
        story.left = story.history()
        yield story


@pytest.fixture
def environment(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_HOME", str(story.engine.home))
    monkeypatch.setenv("DAGSTER_HOME", str(story.engine.home / "dagster"))


def test_a_clone_goes_when_its_time_is_over_and_every_table_of_it_is_proven(story: Story) -> None:
    assert story.said == VERDICTS


def test_each_proof_is_watched(story: Story) -> None:
    crm = ("2026-08-03", "2026-08-04", "2026-08-31", "2026-09-02", "2026-09-15", "2026-10-02")
    clones = [*(f"crm {date}" for date in crm), "shop 2026-08-03"]

    assert story.watched == [(f"proving {clone}", place, len(clones)) for place, clone in enumerate(clones)]


def test_a_history_that_contradicts_its_clone_is_told_from_one_that_is_not_there_yet(story: Story) -> None:
    assert story.wrong == [("crm", "2026-09-02")]


def test_a_dry_run_says_the_same_and_drops_nothing(story: Story) -> None:
    assert story.dry == [line.replace(": dropped", ": would be dropped") for line in VERDICTS]
    assert story.clones_after_dry == {"crm": dates(*ACCOUNTS), "shop": dates(*ORDERS)}


def test_asked_again_it_finds_nothing_more_to_drop(story: Story) -> None:
    assert story.again == [line for line in VERDICTS if not line.endswith(": dropped")]


def test_a_date_is_forgotten_with_the_last_of_its_clones(story: Story) -> None:
    """2026-10-02 still has a clone of shop; 2026-10-03 was asked for and is not folded yet."""
    assert story.forgotten == ["2026-08-03", "2026-08-04"]
    assert story.keys == sorted({*ACCOUNTS, "2026-10-03", "2026-10-14"} - {"2026-08-03", "2026-08-04"})


def test_history_is_never_dropped(story: Story) -> None:
    assert story.left == HISTORY


@pytest.mark.parametrize(
    ("date", "rows"), [("2026-08-03", [(1, "a"), (2, "b")]), ("2026-08-04", [(1, "x"), (2, "b")]), ("2026-10-02", [(3, "d")])]
)
def test_a_day_whose_clone_is_gone_is_still_known(date: str, rows: list[tuple[int, str]], story: Story) -> None:
    found = History(story.warehouse).as_of("crm.account", date)

    assert sorted((row["id"], row["v"]) for row in found.to_pylist()) == rows


def test_verify_looks_at_the_nights_that_have_a_clone(story: Story) -> None:
    findings = [finding for finding in verify(story.warehouse, ["crm"]) if finding.table == "account" and finding.date]

    assert [(str(finding.date), finding.problem) for finding in findings if str(finding.date) != LATE] == [
        ("2026-08-31", None),
        ("2026-09-01", None),
        ("2026-09-02", DIFFERS),
        ("2026-10-01", None),
        ("2026-10-15", None),
    ]


def test_a_fold_whose_clone_goes_meanwhile_fails_and_changes_nothing(story: Story, environment: None) -> None:
    """As where somebody deletes a file by hand: retention itself leaves a clone alone that is not folded."""
    warehouse = story.warehouse
    clone = warehouse.find_clone("crm", dt.date.fromisoformat(UNFOLDED))
    project = dbt_files.current(story.engine.home)
    assert clone is not None
    assert project is not None
    before, ledger = story.history(), warehouse.ledger()
    planned = plan(warehouse, [("crm", "account")], clone.date)
    asked = night(planned, planned.tables, warehouse)
    spare = story.engine.home / "spare"
    shutil.copy(clone.location, spare)

    warehouse.drop_clone(clone)
    (result,) = dbt_run.fold(project.folder, [asked], warehouse.settings, lambda line: None)

    said = " ".join(filter(None, [result.error, *result.failed.values()]))
    assert "2026-09-15.duckdb" in said
    assert (story.history(), warehouse.ledger()) == (before, ledger)
    shutil.copy(spare, clone.location)


def test_the_command_says_each_verdict_and_ends_with_1_where_a_history_is_wrong(
    story: Story, environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HISTORY_CLONE_RETENTION_DAYS", "1")

    code, out, complaint = typed(monkeypatch, capsys, "retention", "--dry-run")

    assert code == 1
    assert [line for line in out.splitlines() if LATE not in line] == [
        f"crm 2026-08-31: kept, because {HELD_BACK}",
        "crm 2026-09-01: would be dropped",
        f"crm 2026-09-15: kept, because {NOT_FOLDED}",
        "crm 2026-10-01: would be dropped",
        "crm 2026-10-15: kept, because it is the newest of its schema",
        "shop 2026-09-01: would be dropped",
        "shop 2026-10-02: kept, because it is the newest of its schema",
    ]
    assert complaint == f"crm 2026-09-02: kept, because {DIFFERS}\n"


def test_the_command_needs_to_be_told_for_how_long(
    story: Story, environment: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = "error: found no HISTORY_CLONE_RETENTION_DAYS, so that every clone is kept: set it to a number of days\n"

    assert typed(monkeypatch, capsys, "retention") == (2, "", complaint)


def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["history-assets", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_night_between_nights_whose_clones_are_gone_is_folded_exactly(story: Story, environment: None) -> None:
    land(story.engine, "crm", LATE, {"account": ("id int primary key, v varchar", "values (2, 'b'), (7, 'late')")})
    warehouse = story.warehouse

    (report,), failures = run_nights(warehouse.settings, warehouse, dates(LATE), ["crm"])

    assert (report.cloned, report.folded) == (1, 1)
    assert len(failures) == 1  # of note, which was not there
    assert story.history() == sorted(
        [
            *(row for row in HISTORY if row[:2] != (1, "x")),
            (1, "x", "2026-08-04", LATE),
            (1, "x", "2026-08-31", "2026-09-02"),
            (7, "late", LATE, "2026-08-31"),
        ]
    )
    assert [finding.problem for finding in verify(warehouse, ["crm"], dt.date.fromisoformat(LATE))] == [None]


def retained(story: Story) -> tuple[dg.ExecuteInProcessResult, list[str]]:
    """Run the job on 2026-11-20, and return it with the keys that are left."""
    warehouse = story.warehouse
    at = dt.datetime(2026, 11, 20, 6, tzinfo=dt.UTC)
    definitions = build_definitions(warehouse.settings, warehouse=warehouse, now=lambda: at)
    with open_instance(warehouse.settings) as instance:
        run = definitions.resolve_job_def("retention").execute_in_process(instance=instance, raise_on_error=False)
        return run, sorted(instance.get_dynamic_partitions(PARTITIONS))


LEFT = [LATE, "2026-08-31", UNFOLDED, "2026-10-01", "2026-10-02", "2026-10-03", "2026-10-14", "2026-10-15"]
"""Keys in the end."""


def test_the_job_fails_where_a_history_is_wrong_once_all_else_is_done(story: Story, environment: None) -> None:
    run, keys = retained(story)

    (failed,) = [event for event in run.all_node_events if event.is_step_failure]
    assert reason_of(failed) == f"1 clones are kept that cannot be read or that their histories contradict: {DIFFERS}"
    assert problems_of(failed) == [Problem("clones/crm", "2026-09-02", DIFFERS)]
    assert keys == sorted([*LEFT, "2026-09-02"])


def test_the_job_lists_what_it_dropped_and_why_it_kept_the_others(story: Story, environment: None) -> None:
    with duckdb.connect(str(story.engine.home / "history.duckdb")) as connection:
        connection.execute("update crm.account set v = 'only' where v = 'damaged'")

    run, keys = retained(story)

    (output,) = [event for event in run.all_node_events if event.is_successful_output]
    assert {name: value.value for name, value in output.step_output_data.metadata.items()} == {
        "dropped": ["crm 2026-09-02"],
        "kept": {
            f"crm {LATE}": LATE_HELD_BACK,
            "crm 2026-08-31": HELD_BACK,
            "crm 2026-09-15": NOT_FOLDED,
            "crm 2026-10-01": "it is the first of 2026-10",
            "crm 2026-10-15": "it is the newest of its schema",
            "shop 2026-10-02": "it is the newest of its schema",
        },
        "forgotten_dates": ["2026-09-02"],
    }
    assert keys == LEFT
