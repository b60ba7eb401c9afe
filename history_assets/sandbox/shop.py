"""The invented shop: two schemas of a database of its own, with orders, carts that return, and a table without a key.

Belongs here: its tables and habits. Does not belong here: what it has in common with others (``invented``).
"""

import json
from collections.abc import Iterator

from history_assets.sandbox.invented import CITIES, PRODUCTS, YES_NO, local_moment, number_id, person
from history_assets.sandbox.shapes import Column, Draw, Row, Table


def _order_items(draw: Draw, before: Row | None, after: Row) -> Iterator[Row]:
    for line in range(0 if before else draw.whole(1, 3)):
        yield {"order_id": after["id"], "line_number": line + 1}


SHOP_PUBLIC = (
    Table("customer", rows=100, grow=3, edit=6, drop=1, deleted="_fivetran_deleted").of(
        number_id(),
        Column("full_name", "VARCHAR", person, drift=True),
        Column("city", "VARCHAR", CITIES, drift=True, blank=0.1),
        Column("newsletter", "BOOLEAN", YES_NO, drift=True, blank=0.1),
        Column("password_hash", "BLOB", lambda d: d.rng.randbytes(12), drift=True),
        local_moment("created_at"),
    ),
    Table("orders", rows=160, grow=10, edit=14, drop=2, deleted="_fivetran_deleted").of(
        number_id(),
        Column("customer_id", "BIGINT", lambda d: d.row_of("customer")),
        Column("status", "VARCHAR", "placed packed shipped returned", drift=True),
        Column("shipping_cost", "DECIMAL(12,2)", lambda d: d.money(30), drift=True, blank=0.2),
        local_moment("placed_at"),
        local_moment("updated_at", touched=True),
    ),
    Table(
        "order_item",
        edit=8,
        drop=2,
        key=("order_id", "line_number"),
        deleted="_fivetran_deleted",
        follows=("orders", _order_items),
    ).of(
        Column("order_id", "BIGINT"),
        Column("line_number", "BIGINT"),
        Column("product", "VARCHAR", PRODUCTS),
        Column("quantity", "BIGINT", lambda d: d.whole(1, 6), drift=True),
        Column("price", "DECIMAL(12,2)", lambda d: d.money(120), drift=True),
        Column("weight_kg", "DOUBLE", lambda d: d.whole(1, 90) / 8, drift=True, blank=0.2),
    ),
    Table("cart", rows=60, edit=6, drop=4, recurs=True).of(
        number_id(),
        Column("customer_id", "BIGINT", lambda d: d.row_of("customer")),
        Column("items", "BIGINT", lambda d: d.whole(1, 9), drift=True),
        Column("coupon", "VARCHAR", "SOMMER10 VÅR5 无运费", drift=True, blank=0.6),
        local_moment("updated_at", touched=True),
    ),
    Table("stock_count", rows=150, grow=8, drop=4, key=()).of(
        Column("warehouse", "VARCHAR", "Basel Lyon Torino"),
        Column("product", "VARCHAR", PRODUCTS),
        Column("shelf", "VARCHAR", "A B", blank=0.2),
        Column("pieces", "BIGINT", (0, 10, 20)),
    ),
)
SHOP_BILLING = (
    Table("payment", rows=160, grow=10, edit=8, drop=1, deleted="_fivetran_deleted").of(
        number_id(),
        Column("order_id", "BIGINT", lambda d: d.row_of("orders")),
        Column("amount", "DECIMAL(12,2)", lambda d: d.money(300)),
        Column("method", "VARCHAR", "card invoice twint"),
        Column("captured_at", "TIMESTAMPTZ", lambda d: d.moment, drift=True, blank=0.2),
        Column("response", "JSON", lambda d: json.dumps({"code": d.whole(0, 3), "ok": True}), blank=0.3),
    ),
    Table("exchange_rate", rows=6, edit=3, key=("currency",)).of(
        Column("currency", "VARCHAR", lambda d: ("CHF", "EUR", "JPY", "PLN", "SEK", "USD")[d.number - 1]),
        Column("rate", "DOUBLE", lambda d: d.whole(800, 1_200) / 1_000, drift=True),
    ),
)
