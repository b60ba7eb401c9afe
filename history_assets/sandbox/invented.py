"""People, places and things that several sources have in common, and the columns that tell of them; all invented.

Belongs here: what more than one connector draws from. Does not belong here: what is a source's own (a module each).
"""

import string

from history_assets.sandbox.shapes import Column, Draw

_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits
_FIRST = "Åsa Bram Chidi Dalia Emre Fenna Goran Hoà Inés José Kaede Łucja Mbali Nils Oksana Pía Quentin Rāma Şirin Zoë"
_LAST = "Abildgård Brännlund Castañeda Dvořák Eriksen Fährmann Góralczyk Hâncu Ibáñez Jurić Lüthy Mañosa Nyström 小林"
CITIES = "Århus Bogotá Cork Düsseldorf Évora Kraków Málaga Nara Porto Zürich"
TAGS = "billing bug churn-risk feature login mobile refund shipping slow vip"
PRODUCTS = ("Desk lamp", "Stool Ø40", "Tea pot", "Wool throw", "Wall clock", "Crème bowl", "Oak shelf", "Door mat")
YES_NO = (True, False)


def base62(number: int, length: int) -> str:
    """Return a number in letters and digits, its last ``length`` places."""
    return "".join(_ALPHABET[number // 62**place % 62] for place in reversed(range(length)))


def person(draw: Draw) -> str:
    """Return a person's name."""
    return f"{draw.one(_FIRST)} {draw.one(_LAST)}"


def email(draw: Draw) -> str:
    """Return an address at which nobody is."""
    return f"{draw.one('hello info me office')}.{draw.whole(1, 999)}@{draw.one('example.com example.org example.net')}"


def number_id(start: int = 0) -> Column:
    """Return a column of ids that count up from after ``start``."""
    return Column("id", "BIGINT", lambda d: start + d.number)


def moment(name: str, *, touched: bool = False) -> Column:
    """Return a column of instants at which rows were made, or last ``touched``."""
    return Column(name, "TIMESTAMPTZ", lambda d: d.moment, touched=touched)


def local_moment(name: str, *, touched: bool = False) -> Column:
    """Return the same without a zone."""
    return Column(name, "TIMESTAMP", lambda d: d.moment.replace(tzinfo=None), touched=touched)
