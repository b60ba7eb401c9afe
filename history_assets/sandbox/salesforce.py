"""The invented Salesforce: accounts, contacts, deals that are won and lost by rules, and what was sold.

Belongs here: its tables and habits. Does not belong here: what it has in common with others (``invented``).
"""

import math
import string

from history_assets.sandbox.invented import CITIES, PRODUCTS, YES_NO, base62, email, moment, person
from history_assets.sandbox.shapes import Column, Draw, Row, Table

_CHECK = string.ascii_uppercase + "012345"
_COMPANY = "Borealis Cobaltine Drumlin Ebbtide Fernweh Gråsten Halcyon Juniper Kestrel Lantern Moorhen Nørrebæk Pomelo"
_KIND = ("Logistics", "Foods", "& Søns", "Robotics", "Textiles", "Energía", "Labs", "Möbel", "Trading 株式会社")
_STAGE = ("Prospecting", "Qualification", "Proposal", "Negotiation")
_STEP = "call demo quote visit"
_SELLERS, _MANAGERS = 12, 3
_OVER, _FURTHER, _HANDED_OVER = 0.5, 0.2, 0.9
"""The shares of edits that end a deal, or take it further, and of won deals that are handed over."""


def _salesforce_id(prefix: str, number: int) -> str:
    """Return an 18 character id: 15 characters, then one for the capitals in each five of them."""
    short = f"{prefix}5g000{base62(number, 7)}"
    fives = [short[start : start + 5] for start in (0, 5, 10)]
    return short + "".join(_CHECK[sum(each.isupper() << place for place, each in enumerate(five))] for five in fives)


def _seller(number: int) -> str:
    return _salesforce_id("005", number)


def _company(draw: Draw) -> str:
    return f"{draw.one(_COMPANY)} {draw.one(_KIND)}"


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


def _salesforce(table: Table, prefix: str, *columns: Column) -> Table:
    return table.of(
        Column("id", "VARCHAR", lambda d: _salesforce_id(prefix, d.number)),
        Column("owner_id", "VARCHAR", lambda d: _seller(d.whole(1, _SELLERS)), drift=True),
        *columns,
        moment("created_date"),
        moment("system_modstamp", touched=True),
    )


SALESFORCE = (
    _salesforce(
        Table("account", rows=40, grow=2, edit=5, drop=1, deleted="is_deleted"),
        "001",
        Column("name", "VARCHAR", _company, drift=True),
        Column("industry", "VARCHAR", "Energy Food Media Retail Transport", drift=True, blank=0.1),
        Column("annual_revenue", "DOUBLE", lambda d: d.whole(1, 90_000) * 1e3 / 7, drift=True, blank=0.2),
        Column("number_of_employees", "BIGINT", lambda d: d.whole(3, 9_000), drift=True, blank=0.1),
        Column("billing_city", "VARCHAR", CITIES, drift=True),
        Column("customer_tier_c", "VARCHAR", "bronze silver gold", drift=True, blank=0.4),
    ),
    _salesforce(
        Table("contact", rows=120, grow=4, edit=8, drop=2, deleted="is_deleted"),
        "003",
        Column("account_id", "VARCHAR", lambda d: _salesforce_id("001", d.row_of("account"))),
        Column("name", "VARCHAR", person, drift=True),
        Column("email", "VARCHAR", email, drift=True, blank=0.1),
        Column("title", "VARCHAR", "Buyer Director Engineer Founder", drift=True, blank=0.2),
        Column("has_opted_out_of_email", "BOOLEAN", YES_NO, drift=True),
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
        Column("name", "VARCHAR", PRODUCTS),
        Column("quantity", "DOUBLE", lambda d: float(d.whole(1, 40)), drift=True),
        Column("unit_price", "DECIMAL(12,2)", lambda d: d.money(900), drift=True),
        Column("service_date", "DATE", lambda d: d.day(60), drift=True, blank=0.5),
    ),
)
