"""The gates by which a copy is held back before anything is written.

Belongs here: their names. Does not belong here: what each looks at (``dbt_project/macros/gates.sql``).
"""

import enum


class Gate(enum.StrEnum):
    """What a copy is held back for."""

    DUPLICATE_KEY = "duplicate-key"
    NULL_KEY = "null-key"
    EMPTY = "empty"
    SHRUNKEN = "shrunken"
    ABSENT = "absent"
