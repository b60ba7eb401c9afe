"""What Dagster loads: ``defs``.

Belongs here: what the processes that load it are told first. Does not belong here: what the definitions are (``location``).
"""

import dagster as dg

from history_assets.own_process import DBT, settle, unseen
from history_assets.settings import Settings


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions for the environment's settings."""
    settle()
    with unseen(DBT):  # which runs in processes of its own
        from history_assets.location import build_definitions

    return build_definitions(Settings.from_env())
