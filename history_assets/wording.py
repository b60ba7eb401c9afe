"""How things are put in words, wherever they are said.

Belongs here: what several say alike. Does not belong here: names and values of others (``markdown``, ``terminal``).
"""


def counted(number: int, what: str) -> str:
    """Return a number of things, of which one has no s at its end."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")
