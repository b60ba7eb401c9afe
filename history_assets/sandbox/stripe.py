"""The invented Stripe: customers, charges and invoices, refunds that begin later, and transactions without a key.

Belongs here: its tables and habits. Does not belong here: what it has in common with others (``invented``).
"""

import json

from history_assets.sandbox.invented import TAGS, YES_NO, base62, email, moment, person
from history_assets.sandbox.shapes import Column, Draw, Table


def _stripe_id(prefix: str, number: int) -> str:
    """Return an id that looks random and never comes twice, since the factor and 62 have no divisor in common."""
    return f"{prefix}_{base62(number * 0x9E3779B97F4A7C15F39CC0605CEDC835, 14)}"


def _metadata(draw: Draw) -> str:
    return json.dumps({"plan": draw.one("free team scale"), "seats": draw.whole(1, 50), "tags": [draw.one(TAGS)]})


def _stripe(table: Table, prefix: str, *columns: Column) -> Table:
    return table.of(Column("id", "VARCHAR", lambda d: _stripe_id(prefix, d.number)), *columns, moment("created"))


STRIPE = (
    _stripe(
        Table("customer", rows=90, grow=3, edit=6, drop=1, deleted="is_deleted"),
        "cus",
        Column("name", "VARCHAR", person, drift=True),
        Column("email", "VARCHAR", email, drift=True, blank=0.1),
        Column("delinquent", "BOOLEAN", YES_NO, drift=True),
        Column("metadata", "JSON", _metadata, drift=True, blank=0.3),
    ),
    _stripe(
        Table("charge", rows=260, grow=12, edit=8),
        "ch",
        Column("customer_id", "VARCHAR", lambda d: _stripe_id("cus", d.row_of("customer"))),
        Column("amount", "BIGINT", lambda d: d.whole(100, 90_000)),
        Column("status", "VARCHAR", "succeeded pending failed", drift=True),
        Column("failure_code", "VARCHAR", "card_declined expired_card", drift=True, blank=0.9),
    ),
    _stripe(
        Table("invoice", rows=180, grow=8, edit=10, drop=1, deleted="is_deleted"),
        "in",
        Column("customer_id", "VARCHAR", lambda d: _stripe_id("cus", d.row_of("customer"))),
        Column("number", "VARCHAR", lambda d: f"№ {d.number:06d}"),
        Column("status", "VARCHAR", "draft open paid void", drift=True),
        Column("total", "DECIMAL(12,2)", lambda d: d.money(4_000), drift=True),
        Column("due_date", "DATE", lambda d: d.day(30), drift=True, blank=0.3),
    ),
    _stripe(
        Table("balance_transaction", rows=200, grow=8, edit=6, drop=1, key=(), surrogate=True, deleted="_fivetran_deleted"),
        "txn",
        Column("source", "VARCHAR", lambda d: _stripe_id("ch", d.row_of("charge"))),
        Column("amount", "DECIMAL(12,2)", lambda d: d.money(900)),
        Column("fee", "DECIMAL(12,2)", lambda d: d.money(20), drift=True),
        Column("status", "VARCHAR", "available pending", drift=True),
        Column("available_on", "DATE", lambda d: d.day(7), drift=True, blank=0.2),
    ),
    _stripe(
        Table("refund", rows=30, grow=3, edit=2, since=4),
        "re",
        Column("charge_id", "VARCHAR", lambda d: _stripe_id("ch", d.row_of("charge"))),
        Column("amount", "BIGINT", lambda d: d.whole(100, 9_000)),
        Column("reason", "VARCHAR", "duplicate fraudulent requested", drift=True, blank=0.4),
    ),
)
