"""The connectors of the simulated Fivetran: their tables, columns, sizes and habits, as data.

Belongs here: what a source looks like and how much of it changes in a sync. Does not belong here: syncing, logging, files or
SQL (``sandbox.py``). Every name of a person, company or thing is invented.
"""

import dataclasses
import datetime as dt
import json
import math
import random
import string
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any

HABITS = 7
"""Period, in syncs, of what happens to a connector once in a while: an idle sync, the re-sync of a table."""

Row = dict[str, Any]

Things = str | tuple[Any, ...]
"""Things to choose from; a string stands for its words."""


@dataclasses.dataclass(frozen=True)
class Draw:
    """The dice for one row: its number (0 if it only changes), the instant of that (UTC), and how many rows each table has."""

    rng: random.Random
    number: int
    moment: dt.datetime
    sizes: Mapping[str, int]

    def one(self, things: Things) -> Any:
        """Return any of some things, each as likely."""
        return self.rng.choice(things.split() if isinstance(things, str) else things)

    def whole(self, least: int, most: int) -> int:
        """Return a whole number, both ends included."""
        return self.rng.randint(least, most)

    def money(self, most: int) -> Decimal:
        """Return an amount in whole cents, from one to ``most`` units of currency."""
        return Decimal(self.rng.randint(100, most * 100)).scaleb(-2)

    def row_of(self, table: str) -> int:
        """Return the number of a row of a table of the same connector that stands before this one."""
        return self.rng.randint(1, self.sizes[table])

    def day(self, ahead: int) -> dt.date:
        """Return a day up to so many days ahead."""
        return self.moment.date() + dt.timedelta(days=self.rng.randint(0, ahead))


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: what its values are drawn from, whether they ``drift``, or are ``touched`` by every change of their row.

    Without ``values`` whoever makes the row gives them. ``blank`` is the share of NULLs; ``since`` the ordinal of the sync that
    adds the column, with values for some of the rows that were there.
    """

    name: str
    type: str
    values: Things | Callable[[Draw], Any] = ()
    drift: bool = False
    touched: bool = False
    blank: float = 0
    since: int = 1

    def first(self, draw: Draw) -> Any:
        """Return a value for a new row, NULL in its share of cases."""
        return None if draw.rng.random() < self.blank else self.draw(draw)

    def draw(self, draw: Draw) -> Any:
        """Return a value, not NULL."""
        return self.values(draw) if callable(self.values) else draw.one(self.values)


@dataclasses.dataclass(frozen=True)
class Table:
    """A table and its habits: ``rows`` in the first load; every later sync adds up to ``grow``, edits ``edit``, drops ``drop``.

    ``key`` is declared; without one, ``surrogate`` gives the table a ``_fivetran_id``, else the whole row is the key.
    ``deleted`` names the column of soft deletes; without it, rows are deleted for good. A table that ``recurs`` has a fixed
    stock of ids, of which deleted ones come back. One that ``follows`` another gets its rows from what is written there.
    ``since`` is the ordinal of the sync that brings the table, ``resync`` (modulo ``HABITS``) of the one that restamps it.
    ``course`` says what an edit changes of a row, if anything; where it has nothing to say (None), some column drifts.
    """

    name: str
    rows: int = 0
    grow: int = 0
    edit: int = 0
    drop: int = 0
    key: tuple[str, ...] = ("id",)
    surrogate: bool = False
    deleted: str | None = None
    recurs: bool = False
    follows: tuple[str, Callable[[Draw, Row | None, Row], Iterator[Row]]] | None = None
    since: int = 1
    resync: int | None = None
    course: Callable[[Draw, Row], Row | None] | None = None
    columns: tuple[Column, ...] = ()

    def of(self, *columns: Column) -> "Table":
        """Return the table with its columns, to which those that Fivetran adds are added."""
        system = [Column("_fivetran_id", "VARCHAR", (None,))] if self.surrogate else []
        system += [Column(self.deleted, "BOOLEAN", (False,))] if self.deleted else []
        return dataclasses.replace(self, columns=(*columns, *system, Column("_fivetran_synced", "TIMESTAMPTZ", (None,))))

    def columns_at(self, ordinal: int) -> list[Column]:
        """Return the columns that the table has once a sync is over."""
        return [column for column in self.columns if column.since <= ordinal]

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns by which a sync finds the row that it replaces; none where the whole row is the key."""
        return ("_fivetran_id",) if self.surrogate else self.key


@dataclasses.dataclass(frozen=True)
class Connector:
    """A connection of Fivetran: its name (a schema, or the prefix of several), its schemas, the sync in which it has no work.

    Tables that others refer to stand first. ``idle`` counts modulo ``HABITS``.
    """

    name: str
    id: str
    type: str
    schemas: Mapping[str, tuple[Table, ...]]
    idle: int | None = None


_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits
_CHECK = string.ascii_uppercase + "012345"

_FIRST = "Åsa Bram Chidi Dalia Emre Fenna Goran Hoà Inés José Kaede Łucja Mbali Nils Oksana Pía Quentin Rāma Şirin Zoë"
_LAST = "Abildgård Brännlund Castañeda Dvořák Eriksen Fährmann Góralczyk Hâncu Ibáñez Jurić Lüthy Mañosa Nyström 小林"
_COMPANY = "Borealis Cobaltine Drumlin Ebbtide Fernweh Gråsten Halcyon Juniper Kestrel Lantern Moorhen Nørrebæk Pomelo"
_KIND = ("Logistics", "Foods", "& Søns", "Robotics", "Textiles", "Energía", "Labs", "Möbel", "Trading 株式会社")
_CITY = "Århus Bogotá Cork Düsseldorf Évora Kraków Málaga Nara Porto Zürich"
_STAGE = ("Prospecting", "Qualification", "Proposal", "Negotiation")
_STEP = "call demo quote visit"
_SELLERS, _MANAGERS = 12, 3
_OVER, _FURTHER, _HANDED_OVER = 0.5, 0.2, 0.9
"""The shares of edits that end a deal, or take it further, and of won deals that are handed over."""
_SUBJECT = ("Invoice looks wrong", "Can't log in", "Où est ma commande ?", "Feature idea 💡", "App läuft langsam")
_BODY = ("Thanks, that worked!", 'It says "error 42".', "Could you look into it?\nRegards", "Ça marche, merci ✅", "")
_TAG = "billing bug churn-risk feature login mobile refund shipping slow vip"
_PRODUCT = ("Desk lamp", "Stool Ø40", "Tea pot", "Wool throw", "Wall clock", "Crème bowl", "Oak shelf", "Door mat")
_YES_NO = (True, False)
_TICKET, _PERSON = 10_000, 370_000_000_000


def _base62(number: int, length: int) -> str:
    return "".join(_ALPHABET[number // 62**place % 62] for place in reversed(range(length)))


def _salesforce_id(prefix: str, number: int) -> str:
    """Return an 18 character id: 15 characters, then one for the capitals in each five of them."""
    short = f"{prefix}5g000{_base62(number, 7)}"
    fives = [short[start : start + 5] for start in (0, 5, 10)]
    return short + "".join(_CHECK[sum(each.isupper() << place for place, each in enumerate(five))] for five in fives)


def _stripe_id(prefix: str, number: int) -> str:
    """Return an id that looks random and never comes twice, since the factor and 62 have no divisor in common."""
    return f"{prefix}_{_base62(number * 0x9E3779B97F4A7C15F39CC0605CEDC835, 14)}"


def _seller(number: int) -> str:
    return _salesforce_id("005", number)


def _person(draw: Draw) -> str:
    return f"{draw.one(_FIRST)} {draw.one(_LAST)}"


def _email(draw: Draw) -> str:
    return f"{draw.one('hello info me office')}.{draw.whole(1, 999)}@{draw.one('example.com example.org example.net')}"


def _company(draw: Draw) -> str:
    return f"{draw.one(_COMPANY)} {draw.one(_KIND)}"


def _metadata(draw: Draw) -> str:
    return json.dumps({"plan": draw.one("free team scale"), "seats": draw.whole(1, 50), "tags": [draw.one(_TAG)]})


def _sell(draw: Draw, deal: Row) -> Row | None:
    """Return what becomes of a deal: it is won or lost as its prospects are, or comes a stage further.

    Ending tidies the row up, as people do: then it says less of how the deal stood than of how it ended, and changes no more.
    """
    if deal["stage_name"] not in _STAGE:
        return {}
    fate = draw.rng.random()
    if fate < _OVER:
        over: Row = {"close_date": draw.moment.date(), "next_step": None}
        if draw.rng.random() >= 1 / (1 + math.exp(-_prospects(deal))):
            return over | {"stage_name": "Closed Lost", "probability": 0.0}
        manager = _seller(_SELLERS + draw.whole(1, _MANAGERS))
        return over | {
            "stage_name": "Closed Won",
            "probability": 100.0,
            "amount": (deal["amount"] or draw.money(100_000)) * draw.whole(70, 100) / 100,
            "owner_id": manager if draw.rng.random() < _HANDED_OVER else deal["owner_id"],
        }
    further = _STAGE[_STAGE.index(deal["stage_name"]) + 1 :]
    return {"stage_name": further[0]} if further and fate < _OVER + _FURTHER else None


def _prospects(deal: Row) -> float:
    """Return the log-odds that a deal is won: by who sells it, what is next, and for how much."""
    seller = [_seller(number) for number in range(1, _SELLERS + 1)].index(deal["owner_id"])
    step = [None, *_STEP.split()].index(deal["next_step"])
    return 7 * (seller / (_SELLERS - 1) - 0.5) + step - float(deal["amount"] or 125_000) / 60_000


def _field_history(_: Draw, before: Row | None, after: Row) -> Iterator[Row]:
    for field in ("status", "priority", "assignee_id"):
        value = None if after[field] is None else str(after[field])
        if before[field] != after[field] if before else value:
            yield {"ticket_id": after["id"], "field_name": field, "updated": after["updated_at"], "value": value}


def _order_items(draw: Draw, before: Row | None, after: Row) -> Iterator[Row]:
    for line in range(0 if before else draw.whole(1, 3)):
        yield {"order_id": after["id"], "line_number": line + 1}


def _id(start: int = 0) -> Column:
    return Column("id", "BIGINT", lambda d: start + d.number)


def _moment(name: str, *, touched: bool = False) -> Column:
    return Column(name, "TIMESTAMPTZ", lambda d: d.moment, touched=touched)


def _local(name: str, *, touched: bool = False) -> Column:
    return Column(name, "TIMESTAMP", lambda d: d.moment.replace(tzinfo=None), touched=touched)


def _salesforce(table: Table, prefix: str, *columns: Column) -> Table:
    return table.of(
        Column("id", "VARCHAR", lambda d: _salesforce_id(prefix, d.number)),
        Column("owner_id", "VARCHAR", lambda d: _seller(d.whole(1, _SELLERS)), drift=True),
        *columns,
        _moment("created_date"),
        _moment("system_modstamp", touched=True),
    )


def _stripe(table: Table, prefix: str, *columns: Column) -> Table:
    return table.of(Column("id", "VARCHAR", lambda d: _stripe_id(prefix, d.number)), *columns, _moment("created"))


_SALESFORCE = (
    _salesforce(
        Table("account", rows=40, grow=2, edit=5, drop=1, deleted="is_deleted"),
        "001",
        Column("name", "VARCHAR", _company, drift=True),
        Column("industry", "VARCHAR", "Energy Food Media Retail Transport", drift=True, blank=0.1),
        Column("annual_revenue", "DOUBLE", lambda d: d.whole(1, 90_000) * 1e3 / 7, drift=True, blank=0.2),
        Column("number_of_employees", "BIGINT", lambda d: d.whole(3, 9_000), drift=True, blank=0.1),
        Column("billing_city", "VARCHAR", _CITY, drift=True),
        Column("customer_tier_c", "VARCHAR", "bronze silver gold", drift=True, blank=0.4),
    ),
    _salesforce(
        Table("contact", rows=120, grow=4, edit=8, drop=2, deleted="is_deleted"),
        "003",
        Column("account_id", "VARCHAR", lambda d: _salesforce_id("001", d.row_of("account"))),
        Column("name", "VARCHAR", _person, drift=True),
        Column("email", "VARCHAR", _email, drift=True, blank=0.1),
        Column("title", "VARCHAR", "Buyer Director Engineer Founder", drift=True, blank=0.2),
        Column("has_opted_out_of_email", "BOOLEAN", _YES_NO, drift=True),
    ),
    _salesforce(
        Table("opportunity", rows=250, grow=36, edit=100, drop=2, deleted="is_deleted", course=_sell),
        "006",
        Column("account_id", "VARCHAR", lambda d: _salesforce_id("001", d.row_of("account"))),
        Column("name", "VARCHAR", lambda d: f"{_company(d)}: {d.one('new renewal upsell')}"),
        Column("stage_name", "VARCHAR", _STAGE),
        Column("amount", "DECIMAL(12,2)", lambda d: d.money(250_000), drift=True, blank=0.1),
        Column("probability", "DOUBLE", lambda d: d.whole(0, 20) * 5.0, drift=True),
        Column("close_date", "DATE", lambda d: d.day(180), drift=True),
        Column("next_step", "VARCHAR", _STEP, drift=True, blank=0.5),
        Column("forecast_confidence_c", "DOUBLE", lambda d: d.whole(1, 99) / 100, drift=True, blank=0.6, since=3),
    ),
    _salesforce(
        Table("opportunity_line_item", rows=250, grow=10, edit=12, drop=3, deleted="is_deleted"),
        "00k",
        Column("opportunity_id", "VARCHAR", lambda d: _salesforce_id("006", d.row_of("opportunity"))),
        Column("name", "VARCHAR", _PRODUCT),
        Column("quantity", "DOUBLE", lambda d: float(d.whole(1, 40)), drift=True),
        Column("unit_price", "DECIMAL(12,2)", lambda d: d.money(900), drift=True),
        Column("service_date", "DATE", lambda d: d.day(60), drift=True, blank=0.5),
    ),
)

_ZENDESK = (
    Table("user", rows=80, grow=3, edit=4, resync=5).of(
        _id(_PERSON),
        Column("name", "VARCHAR", _person),
        Column("email", "VARCHAR", _email, drift=True, blank=0.1),
        Column("role", "VARCHAR", "agent admin end-user", drift=True),
        Column("active", "BOOLEAN", _YES_NO, drift=True),
        Column("time_zone", "VARCHAR", _CITY, blank=0.2),
        _moment("created_at"),
        _moment("updated_at", touched=True),
    ),
    Table("ticket", rows=200, grow=8, edit=20, drop=2, deleted="_fivetran_deleted").of(
        _id(_TICKET),
        Column("subject", "VARCHAR", _SUBJECT),
        Column("status", "VARCHAR", "new open pending hold solved closed", drift=True),
        Column("priority", "VARCHAR", "low normal high urgent", drift=True, blank=0.3),
        Column("requester_id", "BIGINT", lambda d: _PERSON + d.row_of("user")),
        Column("assignee_id", "BIGINT", lambda d: _PERSON + d.row_of("user"), drift=True, blank=0.2),
        _moment("created_at"),
        _moment("updated_at", touched=True),
    ),
    Table("ticket_tag", rows=300, drop=6, key=("tag", "ticket_id"), recurs=True).of(
        Column("tag", "VARCHAR", lambda d: _TAG.split()[d.number % 10]),
        Column("ticket_id", "BIGINT", lambda d: _TICKET + (d.number + 1) // 2),
    ),
    Table("ticket_field_history", key=("ticket_id", "field_name", "updated"), follows=("ticket", _field_history)).of(
        Column("ticket_id", "BIGINT"),
        Column("field_name", "VARCHAR"),
        Column("updated", "TIMESTAMPTZ"),
        Column("value", "VARCHAR"),
        Column("user_id", "BIGINT", lambda d: _PERSON + d.row_of("user"), blank=0.1),
    ),
    Table("ticket_comment", rows=300, grow=15, edit=1).of(
        _id(_PERSON),
        Column("ticket_id", "BIGINT", lambda d: _TICKET + d.row_of("ticket")),
        Column("user_id", "BIGINT", lambda d: _PERSON + d.row_of("user")),
        Column("body", "VARCHAR", _BODY),
        Column("public", "BOOLEAN", _YES_NO, drift=True),
        _moment("created"),
    ),
)

_STRIPE = (
    _stripe(
        Table("customer", rows=90, grow=3, edit=6, drop=1, deleted="is_deleted"),
        "cus",
        Column("name", "VARCHAR", _person, drift=True),
        Column("email", "VARCHAR", _email, drift=True, blank=0.1),
        Column("delinquent", "BOOLEAN", _YES_NO, drift=True),
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

_SHOP_PUBLIC = (
    Table("customer", rows=100, grow=3, edit=6, drop=1, deleted="_fivetran_deleted").of(
        _id(),
        Column("full_name", "VARCHAR", _person, drift=True),
        Column("city", "VARCHAR", _CITY, drift=True, blank=0.1),
        Column("newsletter", "BOOLEAN", _YES_NO, drift=True, blank=0.1),
        Column("password_hash", "BLOB", lambda d: d.rng.randbytes(12), drift=True),
        _local("created_at"),
    ),
    Table("orders", rows=160, grow=10, edit=14, drop=2, deleted="_fivetran_deleted").of(
        _id(),
        Column("customer_id", "BIGINT", lambda d: d.row_of("customer")),
        Column("status", "VARCHAR", "placed packed shipped returned", drift=True),
        Column("shipping_cost", "DECIMAL(12,2)", lambda d: d.money(30), drift=True, blank=0.2),
        _local("placed_at"),
        _local("updated_at", touched=True),
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
        Column("product", "VARCHAR", _PRODUCT),
        Column("quantity", "BIGINT", lambda d: d.whole(1, 6), drift=True),
        Column("price", "DECIMAL(12,2)", lambda d: d.money(120), drift=True),
        Column("weight_kg", "DOUBLE", lambda d: d.whole(1, 90) / 8, drift=True, blank=0.2),
    ),
    Table("cart", rows=60, edit=6, drop=4, recurs=True).of(
        _id(),
        Column("customer_id", "BIGINT", lambda d: d.row_of("customer")),
        Column("items", "BIGINT", lambda d: d.whole(1, 9), drift=True),
        Column("coupon", "VARCHAR", "SOMMER10 VÅR5 无运费", drift=True, blank=0.6),
        _local("updated_at", touched=True),
    ),
    Table("stock_count", rows=150, grow=8, drop=4, key=()).of(
        Column("warehouse", "VARCHAR", "Basel Lyon Torino"),
        Column("product", "VARCHAR", _PRODUCT),
        Column("shelf", "VARCHAR", "A B", blank=0.2),
        Column("pieces", "BIGINT", (0, 10, 20)),
    ),
)

_SHOP_BILLING = (
    Table("payment", rows=160, grow=10, edit=8, drop=1, deleted="_fivetran_deleted").of(
        _id(),
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

CONNECTORS = (
    Connector("salesforce", "gleeful_harbour", "salesforce", {"salesforce": _SALESFORCE}),
    Connector("zendesk", "winding_lantern", "zendesk", {"zendesk": _ZENDESK}),
    Connector("stripe", "amber_quarry", "stripe", {"stripe": _STRIPE}, idle=6),
    Connector("shop", "brisk_orchard", "postgres", {"shop_public": _SHOP_PUBLIC, "shop_billing": _SHOP_BILLING}),
)
"""The connections in the order in which their syncs start."""
