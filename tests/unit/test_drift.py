"""What has changed between two inventories is named, all of it and nothing else."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from history_assets.drift import Change, Kind, changes, markdown
from history_assets.inventory import Column, Inventory, KeySource, Schema, Table, make_table
from tests.unit.test_markdown import HOSTILE, read

NAMES = st.text(alphabet="ab.\n`", min_size=1, max_size=2)
COLUMNS = st.lists(st.tuples(NAMES, st.sampled_from(["INTEGER", "VARCHAR"])), max_size=3, unique_by=lambda each: each[0])


@st.composite
def tables(draw: st.DrawFn, schema: str, name: str) -> Table:
    columns = [Column(column, kind, position) for position, (column, kind) in enumerate(draw(COLUMNS), 1)]
    names = [column.name for column in columns]
    declared, configured = (draw(st.lists(st.sampled_from(names), unique=True)) if names else [] for _ in range(2))
    return make_table(schema, name, columns, declared, {f"{schema}.{name}": configured})


@st.composite
def inventories(draw: st.DrawFn) -> Inventory:
    schemas = sorted(draw(st.sets(NAMES, max_size=2)))
    held = {schema: sorted(draw(st.sets(NAMES, max_size=3))) for schema in schemas}
    return Inventory(
        tuple(Schema(schema, tuple(draw(tables(schema, name)) for name in names)) for schema, names in held.items())
    )


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Inventory, Inventory]:
    """Two inventories that have much in common: some schemas of the first, and one table, are the second's too."""
    before, after = draw(inventories()), draw(inventories())
    kept = Inventory(tuple(schema for schema in before.schemas if draw(st.booleans())))
    return before, kept.merged(after)


def facts(inventory: Inventory) -> dict[tuple[str, ...], Any]:
    """Return what there is, by its path: schemas, tables with their keys, columns with their types."""
    found: dict[tuple[str, ...], Any] = {}
    for schema in inventory.schemas:
        found[schema.name,] = None
        for table in schema.tables:
            whole = table.key_source is KeySource.WHOLE_ROW
            found[schema.name, table.name] = (() if whole else table.key, table.key_source)
            found |= {(schema.name, table.name, column.name): column.type for column in table.columns}
    return found


def path(change: Change) -> tuple[str, ...]:
    return tuple(part for part in (change.schema, change.table, change.column) if part is not None)


@given(pairs())
def test_nothing_has_changed_if_and_only_if_both_are_the_same(pair: tuple[Inventory, Inventory]) -> None:
    before, after = pair

    assert (changes(before, after) == []) == (before == after)
    assert changes(after, after) == []


@given(pairs())
def test_all_that_comes_goes_or_changes_is_named_once(pair: tuple[Inventory, Inventory]) -> None:
    """Of what comes or goes as a whole, the whole alone."""
    old, new = facts(pair[0]), facts(pair[1])
    wanted = {
        kind: {each for each in one.keys() - other.keys() if len(each) == depth and (depth == 1 or each[:-1] in other)}
        for one, other, kinds in (
            (new, old, (Kind.NEW_SCHEMA, Kind.NEW_TABLE, Kind.NEW_COLUMN)),
            (old, new, (Kind.GONE_SCHEMA, Kind.GONE_TABLE, Kind.GONE_COLUMN)),
        )
        for depth, kind in enumerate(kinds, 1)
    }
    both = {each for each in old.keys() & new.keys() if old[each] != new[each]}
    wanted |= {Kind.TYPE: {each for each in both if len(each) == 3}, Kind.KEY: {each for each in both if len(each) == 2}}

    found = changes(*pair)

    named = [(change.kind, path(change)) for change in found if change.kind is not Kind.ORDER]
    assert sorted(named) == sorted((kind, each) for kind, paths in wanted.items() for each in paths)


@given(pairs())
def test_each_is_a_line_that_names_it(pair: tuple[Inventory, Inventory]) -> None:
    found = changes(*pair)

    lines = [change.line() for change in found]
    for change, line in zip(found, lines, strict=True):
        assert ".".join(path(change)).replace("\n", "\\u000a") in line
        assert line.isprintable()
    assert len(set(lines)) == len(lines)
    assert len(markdown(found).splitlines()) == max(len(found), 1)


def table(schema: str, name: str, columns: str, *key: str) -> Table:
    """A table with columns as ``name TYPE, …``."""
    made = [Column(*column.split(), position) for position, column in enumerate(columns.split(", "), 1)]
    return make_table(schema, name, made, key, {})


def test_the_lines_read_well() -> None:
    before = Inventory(
        (
            Schema(
                "crm",
                (
                    table("crm", "account", "id INTEGER, amount INTEGER, fax VARCHAR", "id"),
                    table("crm", "moved", "a INTEGER, b INTEGER", "a"),
                    table("crm", "note", "text VARCHAR"),
                    table("crm", "old", "id INTEGER"),
                ),
            ),
            Schema("shop", (table("shop", "orders", "id INTEGER"),)),
        )
    )
    account = table("crm", "account", "id INTEGER, amount VARCHAR, region VARCHAR, phone VARCHAR", "id", "region")
    after = Inventory(
        (
            Schema("billing", (table("billing", "invoice", "id INTEGER"), table("billing", "line", "id INTEGER"))),
            Schema(
                "crm",
                (
                    account,
                    table("crm", "moved", "b INTEGER, a INTEGER", "a"),
                    table("crm", "new", "id INTEGER, x DATE"),
                    table("crm", "note", "text VARCHAR", "text"),
                ),
            ),
        )
    )

    assert [change.line() for change in changes(before, after)] == [
        "new schema billing with 2 tables",
        "crm.account.amount: INTEGER is now VARCHAR",
        "column crm.account.fax is gone",
        "new column crm.account.region VARCHAR",
        "new column crm.account.phone VARCHAR",
        "key of crm.account: id is now id, region",
        "columns of crm.moved: a, b are now in the order b, a",
        "new table crm.new (2 columns)",
        "key of crm.note: the whole row is now text",
        "table crm.old is gone",
        "schema shop is gone with its 1 table",
    ]


def test_a_key_that_comes_from_elsewhere_says_from_where() -> None:
    columns = [Column("id", "INTEGER", 1)]
    before = make_table("crm", "t", columns, (), {"crm.t": ["id"]})
    after = make_table("crm", "t", columns, ("id",), {})

    (change,) = changes(Inventory((Schema("crm", (before,)),)), Inventory((Schema("crm", (after,)),)))

    assert change.line() == "key of crm.t: id (configured) is now id (declared)"


def test_a_list_shows_names_as_they_are() -> None:
    """Not as marks of Markdown."""
    found = [Change(Kind.GONE_TABLE, "crm", "*a*"), Change(Kind.GONE_COLUMN, "crm", "t", "_b_")]

    assert markdown(found) == "- table crm.\\*a\\* is gone\n- column crm.t.\\_b\\_ is gone"
    assert read(markdown([Change(Kind.GONE_TABLE, "crm", HOSTILE)]).removeprefix("- ")) == f"table crm.{HOSTILE} is gone"
    assert markdown([]) == "nothing has changed"
