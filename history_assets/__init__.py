"""Nightly zero-copy clones of every Fivetran schema, folded into an exact type-2 history.

Belongs here: the public names. Does not belong here: anything that costs time at import.
"""

from typing import Any

__version__ = "0.1.0"
__all__ = ["History", "__version__"]


def __getattr__(name: str) -> Any:
    if name == "History":
        # Loaded when first asked for: reading history needs duckdb and pyarrow, importing the package does not.
        from history_assets.history import History

        return History
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
