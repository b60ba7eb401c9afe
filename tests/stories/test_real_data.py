"""Five nights over real Salesforce and Zendesk landing schemas: what was known each night stays readable ever after.

Each night's tables are remembered as read straight from raw, and held against the history by SQL and arithmetic of this
module's own, so that no rule of the project proves itself.
"""

import csv
import dataclasses
import datetime as dt
import itertools
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from history_assets import folding
from history_assets.history import History
from history_assets.naming import quote
from history_assets.nights import NightReport, run_night
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.verification import verify
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.stories.fivetran_seeds import SCHEMAS, SEEDS, Row, Seen, land, look, seeds, sync

pytestmark = pytest.mark.skipif(not SEEDS.is_dir(), reason=f"the seeds of Fivetran's dbt packages are not in {SEEDS}")

NIGHTS = [dt.date(2024, 3, 29) + dt.timedelta(days) for days in range(5)]
LOADED, CHANGED, UNTOUCHED, RETURNED, REFILLED = NIGHTS
CUTOFFS = {
    LOADED: dt.datetime(2024, 3, 28, 23),  # noqa: DTZ001 - naive UTC, as the history stores it
    CHANGED: dt.datetime(2024, 3, 29, 23),  # noqa: DTZ001
    UNTOUCHED: dt.datetime(2024, 3, 30, 23),  # noqa: DTZ001
    RETURNED: dt.datetime(2024, 3, 31, 22),  # noqa: DTZ001 - Zurich went over to summer time that morning
    REFILLED: dt.datetime(2024, 4, 1, 22),  # noqa: DTZ001
}
TABLES = {"salesforce": 14, "zendesk": 26}
UNICODE = "Žluťoučký kůň 🐎 “東京” \"q\" 'q' \\ \n\ttab"
LONG_AGO = dt.datetime(1969, 12, 31, 23, 59, 59, 999999)  # noqa: DTZ001
SCORED = {"0015500000Xyy06AAB": 0.1, "001q0000013WMSUAA4": 1e300}


@dataclasses.dataclass(frozen=True)
class Story:
    """What the nights left: the home, what every table looked like each night, and the history file after each."""

    home: Path
    seen: dict[dt.date, dict[str, Seen]]
    files: dict[dt.date, Path]
    reports: dict[dt.date, NightReport]

    @property
    def warehouse(self) -> DuckDBWarehouse:
        return open_home(self.home)


def open_home(home: Path) -> DuckDBWarehouse:
    # Some nights empty whole tables on purpose, which the gates would hold back.
    return DuckDBWarehouse(Settings(home=home, timezone="Europe/Zurich", gates=()))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The five nights, told once."""
    home = tmp_path_factory.mktemp("home")
    landing = Landing(home)
    story = Story(home, {}, {}, {})
    with pytest.MonkeyPatch.context() as environment:
        for name in [name for name in os.environ if name.startswith("HISTORY_")]:
            environment.delenv(name)
        environment.setenv("DAGSTER_HOME", str(home / "dagster"))

        # Night 1: both connectors load for the first time. No lead has come yet.
        for schema in SCHEMAS:
            land(landing, schema, "2024-03-28T20:00")
        with sync(landing, "salesforce", "2024-03-28T20:30") as salesforce:
            leads = salesforce.delete("lead")
        night(story, landing, LOADED)

        # Night 2: rows come, change and go.
        with sync(landing, "salesforce", "2024-03-29T20:00") as salesforce:
            salesforce.insert("account", id="001NEW", name=UNICODE, is_deleted=False, number_of_employees=-1)
            salesforce.update("account", "name = 'Balto Dog'", {"name": UNICODE, "industry": None, "description": ""})
            salesforce.update("account", "name = 'Seinfeld'", {"industry": "TV", "number_of_employees": 2**62})
            salesforce.update("account", "name = 'Eric''s Test'", {"is_deleted": True})
            salesforce.update("order", "total_amount = 27998.6", {"total_amount": 27998.600000000002})
            salesforce.update("account_history", "not _fivetran_active", {"_fivetran_end": dt.datetime(9999, 12, 31)})  # noqa: DTZ001
            salesforce.delete("user_role", "id in ('StB7ADpIfsOKUVMS9KkJWw==', '/UCbUKKXllVd2xJJlKrNSw==')")
        with sync(landing, "zendesk", "2024-03-29T20:15") as zendesk:
            zendesk.insert("ticket", id=1, subject=UNICODE, status="new", created_at=LONG_AGO)
            zendesk.update("ticket", "id = 1595", {"subject": None, "priority": "urgent"})
            zendesk.update("ticket", "id = 11071", {"priority": None, "assignee_id": None})
            zendesk.update("user_snowflake", "id = 403958466973", {'"ACTIVE"': None, "notes": UNICODE})
            zendesk.update("brand_postgres", "true", {'"default"': False})
            zendesk.update("organization_tag_snowflake", "organization_id = 370364", {"TAG": "tag"})
            zendesk.update("group", "name = 'Assignment Group 3'", {"name": "Assignment Group 3 "})
            tickets = zendesk.delete("ticket", "id in (1966, 6605)")
            zendesk.delete("ticket", "id = 4721")
            zendesk.delete("ticket_tag", "ticket_id = 455 and tag = 'prospect'")
            zendesk.delete("ticket_field_history", "ticket_id = 11071 and field_name = 'priority'")
            events = zendesk.delete("ticket_chat_event")
        night(story, landing, CHANGED)

        # Night 3: neither connector writes anything.
        night(story, landing, UNTOUCHED)

        # Night 4: deleted rows return, a column goes, a column and a table appear, a re-sync changes nothing but its stamps.
        with sync(landing, "salesforce", "2024-03-31T20:00") as salesforce:
            salesforce.resync("opportunity")
            salesforce.drop_column("task", "subject")
            salesforce.add_column("account", "health_score_c", "double")
            for account, score in SCORED.items():
                salesforce.update("account", f"id = '{account}'", {"health_score_c": score})
        with sync(landing, "zendesk", "2024-03-31T20:15") as zendesk:
            zendesk.put_back("ticket", tickets[:1])
            zendesk.put_back("ticket", tickets[1:], status="open")
            zendesk.update("ticket", "id = 1595", {"subject": "subject1", "priority": None})
            zendesk.add_copy("ticket_tag", "ticket_id = 789")
            zendesk.drop_copy("ticket_tag", "ticket_id = 123 and tag = 'customer'")
            zendesk.insert("ticket_tag", tag="prospect", ticket_id=455)
            zendesk.resync("organization_tag")
            zendesk.create("satisfaction rating", '"id" bigint primary key, "select" varchar, "Größe" decimal(9, 2)')
            zendesk.insert("satisfaction rating", id=1, select=UNICODE, Größe="1.10")
        night(story, landing, RETURNED)

        # Night 5: more goes, what was emptied is filled again.
        with sync(landing, "salesforce", "2024-04-01T20:00") as salesforce:
            salesforce.put_back("lead", leads)
            salesforce.update("account", f"id = '{next(iter(SCORED))}'", {"health_score_c": None, "is_deleted": False})
            salesforce.delete("account", "name = 'Blue Test'")
            salesforce.delete("opportunity")
        with sync(landing, "zendesk", "2024-04-01T20:15") as zendesk:
            zendesk.put_back("ticket_chat_event", events)
            zendesk.put_back("ticket_chat_event", events[:1])
            zendesk.delete("ticket", "id in (1, 1966)")
            zendesk.drop_copy("ticket_tag", "ticket_id = 123 and tag = 'customer'")
            zendesk.delete("ticket_tag", "ticket_id = 789")
            zendesk.delete("satisfaction rating")
        night(story, landing, REFILLED)
    return story


def night(story: Story, landing: Landing, date: dt.date) -> None:
    """Remember what is in raw, run the night, and keep a copy of the history that it leaves."""
    story.seen[date] = look(landing)
    story.reports[date] = run_night(story.warehouse.settings, story.warehouse, date)
    story.files[date] = story.home / "after" / str(date) / "history.duckdb"
    story.files[date].parent.mkdir(parents=True)
    shutil.copy(story.warehouse.history, story.files[date])


def opened(file: Path) -> duckdb.DuckDBPyConnection:
    """Return a history file, open for reading."""
    return duckdb.connect(str(file), read_only=True)


def address(table: str) -> str:
    """Return where a table's history stands in ``history.duckdb``."""
    return "history." + ".".join(quote(name) for name in table.split(".", 1))


def read_as_of(connection: duckdb.DuckDBPyConnection, table: str, columns: Sequence[str], cutoff: dt.datetime) -> list[Row]:
    """Return a table's rows as of a cutoff, sorted, by the SQL that anybody would write."""
    rows = connection.execute(
        f"select {', '.join(map(quote, columns))} from {address(table)} "
        "where dbt_valid_from <= $1 and (dbt_valid_to is null or dbt_valid_to > $1)",
        [cutoff],
    ).fetchall()
    return sorted(rows, key=repr)


def read_history(connection: duckdb.DuckDBPyConnection, table: str) -> list[dict[str, Any]]:
    """Return every row of a history but for ``_fivetran_synced``, in the order of its identifiers."""
    result = connection.execute(f"select columns(c -> c <> '_fivetran_synced') from {address(table)} order by dbt_scd_id")
    names = [column[0] for column in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def known(values: Iterable[tuple[str, Any]]) -> frozenset[tuple[str, Any]]:
    """Return a row as its values that are not NULL, so that a column that is not there is one that is NULL."""
    return frozenset((name, value) for name, value in values if value is not None)


def intervals(nights: dict[dt.datetime, Seen]) -> Counter[tuple[frozenset[tuple[str, Any]], dt.datetime, dt.datetime | None]]:
    """Return the history that nights come to: each copy of a whole row, over the longest stretches in which it is there."""
    counts = {
        cutoff: Counter(known(zip(seen.compared, row, strict=True)) for row in seen.rows) for cutoff, seen in nights.items()
    }
    found: Counter[tuple[frozenset[tuple[str, Any]], dt.datetime, dt.datetime | None]] = Counter()
    for row in set().union(*counts.values()):
        for copy in range(max(count[row] for count in counts.values())):
            there = [(cutoff, count[row] > copy) for cutoff, count in counts.items()]
            stretches = [(next(group)[0], held) for held, group in itertools.groupby(there, key=lambda each: each[1])]
            ends = [*(begin for begin, _ in stretches[1:]), None]
            found.update((row, begin, end) for (begin, held), end in zip(stretches, ends, strict=True) if held)
    return found


def test_every_seed_lands_with_all_its_rows(story: Story) -> None:
    """Counted by another reader of CSV than the one that loaded them; the story empties lead before the first night."""
    files = {f"{schema}.{table}": path for schema in SCHEMAS for table, path in seeds(schema).items()}
    assert Counter(name.split(".")[0] for name in files) == TABLES
    for table, path in files.items():
        with path.open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)

        found = story.seen[LOADED][table]

        assert found.columns.names == header, table
        assert len(found.rows) == (0 if table == "salesforce.lead" else len(rows)), table


@pytest.mark.parametrize("date", NIGHTS, ids=str)
def test_every_night_clones_and_folds_every_table(date: dt.date, story: Story) -> None:
    tables = len(story.seen[date])

    assert story.reports[date] == NightReport(date, 2, 2, tables, tables, ())


@pytest.mark.parametrize("date", NIGHTS, ids=str)
def test_after_each_night_every_night_so_far_reads_as_it_was(date: dt.date, story: Story) -> None:
    with opened(story.files[date]) as connection:
        for past in NIGHTS[: NIGHTS.index(date) + 1]:
            for table, seen in story.seen[past].items():
                assert read_as_of(connection, table, seen.compared, CUTOFFS[past]) == seen.rows, f"{table} as of {past}"


@pytest.mark.parametrize("date", NIGHTS, ids=str)
def test_after_each_night_the_whole_history_is_the_longest_stretches_of_equal_rows(date: dt.date, story: Story) -> None:
    """Nothing missing, nothing beside, no row versioned that did not change, and an identifier of its own for each."""
    so_far = NIGHTS[: NIGHTS.index(date) + 1]
    with opened(story.files[date]) as connection:
        histories = {table: read_history(connection, table) for table in story.seen[date]}
    for table, history in histories.items():
        nights = {CUTOFFS[past]: story.seen[past][table] for past in so_far if table in story.seen[past]}
        found = Counter(
            (known(p for p in row.items() if not p[0].startswith("dbt_")), row["dbt_valid_from"], row["dbt_valid_to"])
            for row in history
        )

        assert found == intervals(nights), table
        assert all(row["dbt_valid_to"] is None or row["dbt_valid_from"] < row["dbt_valid_to"] for row in history), table
        assert all(row["dbt_updated_at"] == row["dbt_valid_from"] for row in history), table
        assert len({row["dbt_scd_id"] for row in history}) == len(history), table


@pytest.mark.parametrize("date", NIGHTS, ids=str)
def test_as_of_shows_each_night_with_the_columns_and_types_it_had(date: dt.date, story: Story) -> None:
    history = History(story.warehouse)
    with opened(story.warehouse.history):  # else every reading opens and closes the file anew
        found = {table: history.as_of(table, date, deleted=True) for table in story.seen[date]}
    for table, seen in story.seen[date].items():
        rows = [tuple(row.values()) for row in found[table].select(seen.compared).to_pylist()]

        assert found[table].schema.equals(seen.columns), table
        assert sorted(rows, key=repr) == seen.rows, f"{table} as of {date}"


def test_as_of_leaves_out_what_the_connector_marks_as_deleted(story: Story) -> None:
    rows = History(story.warehouse).as_of("salesforce.account", CHANGED).to_pylist()

    assert sorted(row["id"] for row in rows) == ["001NEW"]


def test_a_night_in_which_nothing_changed_opens_and_closes_nothing(story: Story) -> None:
    ledger = story.warehouse.ledger(date=UNTOUCHED)

    assert len(ledger) == sum(TABLES.values())
    assert {(row.opened, row.closed) for row in ledger} == {(0, 0)}
    with opened(story.files[CHANGED]) as before, opened(story.files[UNTOUCHED]) as after:
        for table in story.seen[UNTOUCHED]:
            assert read_history(after, table) == read_history(before, table), table


@pytest.mark.parametrize("table", ["salesforce.opportunity", "zendesk.organization_tag"])
def test_a_resync_that_only_restamps_opens_and_closes_nothing(table: str, story: Story) -> None:
    """With a key and without one; the latter holds duplicates, and rows that differ in nothing but their stamp."""
    found = [row for row in story.warehouse.ledger(date=RETURNED) if f"{row.schema}.{row.table}" == table]

    assert [(row.opened, row.closed) for row in found] == [(0, 0)]
    with opened(story.files[UNTOUCHED]) as before, opened(story.files[RETURNED]) as after:
        assert read_history(after, table) == read_history(before, table)


def test_a_new_column_versions_only_the_rows_that_have_a_value_in_it(story: Story) -> None:
    """Every other row stays the very row that it was, identifier and all."""
    at = CUTOFFS[RETURNED]
    with opened(story.files[UNTOUCHED]) as connection:
        before = read_history(connection, "salesforce.account")
    with opened(story.files[RETURNED]) as connection:
        after = read_history(connection, "salesforce.account")

    assert [row for row in after if row["dbt_valid_from"] < at] == [
        row
        | {
            "health_score_c": None,
            "dbt_valid_to": at if row["id"] in SCORED and not row["dbt_valid_to"] else row["dbt_valid_to"],
        }
        for row in before
    ]
    opened_rows = [row for row in after if row["dbt_valid_from"] == at]
    assert {row["id"]: row["health_score_c"] for row in opened_rows} == SCORED
    assert len(opened_rows) == len(SCORED)


def test_duplicates_of_a_table_without_a_key_each_have_their_own_history(story: Story) -> None:
    with opened(story.files[REFILLED]) as connection:
        found = Counter(
            (row["ticket_id"], row["tag"], row["dbt_valid_from"], row["dbt_valid_to"])
            for row in read_history(connection, "zendesk.ticket_tag")
        )
    first, second, fourth, fifth = (CUTOFFS[date] for date in (LOADED, CHANGED, RETURNED, REFILLED))

    assert found == {
        (123, "customer", first, None): 1,
        (123, "customer", first, fourth): 1,
        (123, "customer", first, fifth): 1,
        (123, "prospect", first, None): 1,
        (455, "customer", first, None): 2,
        (455, "prospect", first, second): 1,
        (455, "prospect", fourth, None): 1,
        (789, "connector", first, fifth): 1,
        (789, "connector", fourth, fifth): 1,
        (1011, "prospect", first, None): 1,
        (1012, "customer", first, None): 1,
    }


def test_verify_finds_every_table_exact(story: Story) -> None:
    """Of one night, since verify takes its time; the other nights are compared with more independent means above."""
    findings = {(f"{each.schema}.{each.table}", each.problem) for each in verify(story.warehouse, date=RETURNED)}

    assert findings == {(table, None) for table in story.seen[RETURNED]}


def test_verify_names_the_table_and_the_nights_of_a_value_that_was_tampered_with(story: Story, tmp_path: Path) -> None:
    """Ticket 1595 had no subject on nights 2 and 3 only; every other night and table of the schema is exact."""
    (tmp_path / "clones").symlink_to(story.home / "clones", target_is_directory=True)
    shutil.copy(story.files[REFILLED], tmp_path)
    with duckdb.connect(str(tmp_path / "history.duckdb")) as connection:
        connection.execute("update history.zendesk.ticket set subject = 'subject2' where id = 1595 and subject is null")

    found = verify(open_home(tmp_path), ["zendesk"])
    findings = {(f"{each.schema}.{each.table}", each.date): each.problem for each in found if each.date}

    assert set(findings) == {(table, date) for date in NIGHTS for table in story.seen[date] if table.startswith("zendesk.")}
    wrong = {night: problem for night, problem in findings.items() if problem}
    assert set(wrong) == {("zendesk.ticket", CHANGED), ("zendesk.ticket", UNTOUCHED)}
    for (table, date), problem in wrong.items():
        assert problem == f"{table} as of {date}: 1 rows only in history, 1 only in the clone, such as id=1595"


def test_clones_folded_in_any_order_give_the_same_history_row_for_row(story: Story, tmp_path: Path) -> None:
    """Every table that ever changes; the first night comes late, then the third, then the second.

    What is there already is not folded again.
    """
    order = [RETURNED, LOADED, REFILLED, UNTOUCHED, CHANGED]
    changing = [table for table in story.seen[REFILLED] if len({repr(seen.get(table)) for seen in story.seen.values()}) > 1]
    (tmp_path / "clones").symlink_to(story.home / "clones", target_is_directory=True)
    warehouse = open_home(tmp_path)
    project = refresh(story.warehouse.settings, story.warehouse).project
    plans = [folding.plan(warehouse, [tuple(table.split(".")) for table in changing], date) for date in order]

    results = folding.fold(project, warehouse, plans, print)

    assert len(changing) == 16
    assert {date: (result.failed, result.error) for date, result in results.items()} == dict.fromkeys(order, ({}, None))
    with opened(warehouse.history) as found, opened(story.warehouse.history) as expected:
        for table in changing:
            assert read_history(found, table) == read_history(expected, table), table
    assert folding.fold(project, warehouse, plans, print) == {}
