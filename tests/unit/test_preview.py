"""What a night changed, as Markdown: what it shows, that no data becomes markup, and how little of it is looked up."""

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from history_assets.errors import WarehouseError
from history_assets.preview import AT_ONCE, LARGEST, TABLES, night_of, row_changes, rows_table, tables_table
from history_assets.settings import Settings
from history_assets.warehouse.reading_sql import NightChanges
from history_assets.warehouse.values import Applied, AppliedColumn, Status
from tests.unit.test_markdown import TEXTS, as_line

DAY = dt.date(2026, 11, 22)
LINES = MarkdownIt("commonmark").enable("table")


def applied(table: str = "t", date: dt.date = DAY, **told: Any) -> Applied:
    cutoff = dt.datetime.combine(date, dt.time(), dt.UTC)
    row = {"rows": 9, "opened": 2, "closed": 1, "columns": (), "key": ("id",), "status": Status.APPLIED, "problem": None}
    return Applied("crm", table, date, "id", cutoff, cutoff, time_zone="UTC", cutoff_time="00:00", **row | told)


def cells(markdown: str) -> list[list[str]]:
    """Return what the one table of a text shows, row by row; fails where a cell holds anything but text and emphasis."""
    tokens = LINES.parse(markdown)
    assert [token.type for token in tokens if token.level == 0] == ["table_open", "table_close"]
    rows: list[list[str]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            rows[-1].append(shown(token))
    return rows


def shown(inline: Token) -> str:
    children = inline.children or []
    assert {child.type for child in children} <= {"text", "text_special", "em_open", "em_close"}, inline.content
    return "".join(child.content for child in children)


def test_a_key_whose_row_changed_is_one_line_of_what_did() -> None:
    rows = [
        ("closed", "1", "Ann", "x", None),
        ("opened", "1", "Anne", "x", "y"),
        ("opened", "2", "Bob", None, None),
        ("closed", "3", None, "z", None),
    ]

    assert cells(rows_table(["id", "name", "stage", "note"], ["id"], rows, 5)) == [
        ["", "id", "values"],
        ["changed", "1", "name: Ann → Anne, note: NULL → y"],
        ["opened", "2", "name: Bob"],
        ["closed", "3", "stage: z"],
    ]


def test_rows_without_a_key_and_copies_of_one_come_and_go() -> None:
    assert cells(rows_table(["v"], [], [("closed", "a"), ("opened", "a"), ("opened", "a")], 5)) == [
        ["", "values"],
        ["closed", "v: a"],
        ["opened", "v: a"],
        ["opened", "v: a"],
    ]
    twice = [("closed", "1", "a"), ("opened", "1", "b"), ("opened", "1", "b")]
    assert [line[0] for line in cells(rows_table(["id", "v"], ["id"], twice, 5))] == ["", "closed", "opened", "opened"]


def test_it_is_as_short_as_the_pages_show_at_once() -> None:
    rows = [("opened", str(number), "_" * 40) for number in range(50)]

    found = rows_table(["id", "v"], ["id"], rows, 50)

    lines = cells(found)[1:]
    assert AT_ONCE - len(found) in range(110)
    assert lines == [["opened", str(number), "v: " + "_" * 40] for number in range(len(lines))]
    assert len(cells(rows_table(["_" * 999], [], [("opened", "x")], 5))) == 2


def test_it_is_short() -> None:
    columns = ["id", *(f"c{number}" for number in range(9))]
    rows = [("opened", str(number), *["x" * 100] * 9) for number in range(20)]

    found = cells(rows_table(columns, ["id"], rows, 3))

    values = ", ".join(f"c{number}: {'x' * 40}…" for number in range(4)) + " and 5 more"
    assert found == [["", "id", "values"], *(["opened", str(number), values] for number in range(3))]


@given(st.lists(TEXTS, min_size=1, max_size=3, unique=True), st.data())
def test_whatever_the_data_is_it_stands_in_its_cell_as_it_is(names: list[str], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.tuples(st.just("opened"), *[TEXTS for _ in names]), max_size=3, unique_by=lambda row: row[1]))

    found = cells(rows_table(names, names[:1], rows, 5))

    lines = [
        [row[0], as_line(row[1]), ", ".join(f"{as_line(n)}: {as_line(v)}" for n, v in zip(names[1:], row[2:], strict=True))]
        for row in rows
    ]
    expected = [["", as_line(names[0]), "values"], *lines]
    assert found == [[cell.strip() for cell in line] for line in expected]


def test_a_schemas_night_names_the_tables_that_changed_most_and_those_held_back() -> None:
    rows = [
        applied("few"),
        applied("many|", opened=2000, rows=12345),
        applied("same", opened=0, closed=0),
        applied("bad", opened=0, closed=0, status=Status.QUARANTINED, problem="found no rows in crm.bad"),
    ]

    said, held_back, table = tables_table(rows).split("\n\n")

    assert (said, held_back) == ("2 of 4 tables changed.", "Held back: found no rows in crm.bad")
    assert cells(table) == [["table", "opened", "closed", "rows"], ["many|", "2,000", "1", "12,345"], ["few", "2", "1", "9"]]
    assert tables_table(rows[2:3]) == "0 of 1 tables changed."


class Asked:
    """A warehouse that answers every question in the same way, and keeps what it was asked."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.questions: list[NightChanges] = []

    def ask(self, question: NightChanges) -> pa.Table:
        self.questions.append(question)
        if question.night.table == "broken":
            raise WarehouseError("found no *table*: look")
        return pa.table({"_side": ["opened"], "id": ["1"]})


def asked(settings: Settings, rows: Sequence[Applied], widths: Sequence[Applied] = ()) -> tuple[Asked, dict[Any, str]]:
    warehouse = Asked(settings)
    return warehouse, row_changes(warehouse, rows, widths)  # type: ignore[arg-type]


def test_few_tables_are_looked_up_whatever_a_run_folds(make_settings: Callable[..., Settings]) -> None:
    """Those of the newest night first; none that did not change, and none of which too much did."""
    earlier = [applied(f"t{number:03}", DAY - dt.timedelta(days=1)) for number in range(30)]
    newest = [applied(f"t{number:03}") for number in range(TABLES - 5)]
    neither = [applied("same", opened=0, closed=0), applied("a", opened=LARGEST, closed=1)]

    warehouse, texts = asked(make_settings(), [*earlier, *neither, *newest])

    assert list(texts) == [night_of(row) for row in [*newest, *earlier[:5]]]
    assert {question.night for question in warehouse.questions} == {*newest, *earlier[:5]}
    assert asked(make_settings(preview_rows=0), newest)[1] == {}
    assert asked(make_settings(engine="snowflake"), newest)[1] == {}


def test_a_table_that_cannot_be_read_says_so_and_stops_none(settings: Settings) -> None:
    _, texts = asked(settings, [applied("broken"), applied("t")])

    assert [LINES.renderInline(text) for text in texts.values()] == [
        "cannot be shown: found no *table*: look",
        LINES.renderInline(rows_table(["id"], ["id"], [("opened", "1")], 5)),
    ]


def test_closed_rows_are_read_by_the_columns_of_the_night_before(settings: Settings) -> None:
    old, older, new = (
        applied(date=DAY - dt.timedelta(days=days), columns=(AppliedColumn("id", kind, kind),))
        for days, kind in ((1, "INTEGER"), (5, "DATE"), (0, "VARCHAR"))
    )

    warehouse, _ = asked(settings, [new], [older, applied("other", old.date), old, new])

    assert [(each.night, each.before) for each in warehouse.questions] == [(new, old)]
