"""What more than one module of tests of the engines has."""

import pytest

from tests.landing import Landing
from tests.warehouse.crm import BEFORE, SYNCED


@pytest.fixture
def crm(landing: Landing) -> Landing:
    """A schema with a composite key, a keyless table with duplicates, an empty table, and a view."""
    landing.execute(
        "crm",
        BEFORE,
        f"create table item (line int, order_id int, amount decimal(12, 2), raw json, {SYNCED}, primary key (order_id, line))",
        "insert into item values (1, 7, 9.99, '{\"a\": 1}', now()), (2, 7, null, null, now())",
        f"create table tag (name varchar, {SYNCED})",
        "insert into tag values ('x', now()), ('x', now()), (null, now())",
        f"create table nothing (id int, _fivetran_id varchar, {SYNCED})",
        "create view looks as select * from item",
    )
    return landing
