"""An inventory says what there is to clone, and which columns tell rows apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from history_assets.inventory import Column, Inventory, KeySource, Schema, Table, is_fivetrans_own, make_table

NAMES = st.text(min_size=1, max_size=8)
COLUMNS = st.lists(st.builds(Column, NAMES, NAMES, st.integers(1, 99)), max_size=4).map(tuple)
TABLES = st.builds(Table, NAMES, COLUMNS, st.lists(NAMES, max_size=3).map(tuple), st.sampled_from(KeySource))
SCHEMAS = st.builds(Schema, NAMES, st.lists(TABLES, max_size=3, unique_by=lambda table: table.name).map(tuple))
INVENTORIES = st.lists(SCHEMAS, max_size=3, unique_by=lambda schema: schema.name).map(lambda each: Inventory(tuple(each)))


def columns(*names: str) -> list[Column]:
    return [Column(name, "INTEGER", position) for position, name in enumerate(names, 1)]


@pytest.mark.parametrize(
    ("declared", "configured", "names", "key", "source"),
    [
        (["b", "a"], {"s.t": ["c"]}, ["a", "b", "c"], ("b", "a"), KeySource.DECLARED),
        ([], {"s.t": ["c"]}, ["a", "c", "_fivetran_id"], ("c",), KeySource.CONFIGURED),
        ([], {"s.other": ["c"]}, ["a", "_FIVETRAN_ID"], ("_FIVETRAN_ID",), KeySource.SURROGATE),
        ([], {}, ["a", "b"], ("a", "b"), KeySource.WHOLE_ROW),
    ],
)
def test_the_best_key_there_is_wins(
    declared: list[str], configured: dict[str, list[str]], names: list[str], key: tuple[str, ...], source: KeySource
) -> None:
    table = make_table("s", "t", columns(*names), declared, configured)

    assert (table.key, table.key_source) == (key, source)


def test_columns_are_in_the_order_of_their_positions() -> None:
    table = make_table("s", "t", list(reversed(columns("a", "b", "c"))), [], {})

    assert [column.name for column in table.columns] == ["a", "b", "c"]


@given(INVENTORIES)
def test_json_brings_an_inventory_back(inventory: Inventory) -> None:
    assert Inventory.from_json(inventory.to_json()) == inventory


def test_equal_columns_are_one_object_however_often_they_are_read() -> None:
    """Five copies of 5,000 tables' columns took a night 100 MB."""
    first, second = Column("id", "INTEGER", 1), Column("note", "VARCHAR", 2)
    schema = Schema("crm", tuple(Table(name, (first, second), ("id",), KeySource.DECLARED) for name in ("a", "b")))
    read = [Inventory.from_json(Inventory((schema,)).to_json()) for _ in range(2)]

    assert read == [Inventory((schema,))] * 2
    assert len({id(column) for each in read for _, table in each.tables() for column in table.columns}) == 2


@given(INVENTORIES)
def test_json_has_a_line_for_each_table(inventory: Inventory) -> None:
    """So that whoever compares two projects sees which tables have changed."""
    lines = [line for line in inventory.to_json().splitlines() if '"key_source"' in line]

    assert len(lines) == len(inventory.tables())


@given(INVENTORIES, INVENTORIES)
def test_merging_keeps_ours_and_adds_theirs(ours: Inventory, theirs: Inventory) -> None:
    merged = {(schema, table.name): table for schema, table in ours.merged(theirs).tables()}
    expected = {(schema, table.name): table for each in (theirs, ours) for schema, table in each.tables()}

    assert merged == expected


@pytest.mark.parametrize(
    "name", ["fivetran_metadata", "FIVETRAN_LOG", "fivetran_metadata_eu", "fivetran_testing_schema_1a2b", "stripe_stg_charges"]
)
def test_fivetrans_own_schemas_are_known(name: str) -> None:
    assert is_fivetrans_own(name)


@pytest.mark.parametrize("name", ["salesforce", "fivetran", "my_fivetran_metadata", "staging"])
def test_other_schemas_are_not_fivetrans_own(name: str) -> None:
    assert not is_fivetrans_own(name)
