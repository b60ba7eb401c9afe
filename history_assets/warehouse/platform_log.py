"""The log that Fivetran's Platform Connector loads: in which schemas it lies, and what it names its tables and columns.

Belongs here: what is the same on every engine. Does not belong here: reading it (``duckdb_log``, ``snowflake_log``), what the
events mean (``fivetran/log``).
"""

import dataclasses

from history_assets.errors import WarehouseError
from history_assets.inventory import Schema

LOGS = ("fivetran_metadata", "fivetran_log")
"""The schemas in which it lies, in lower case; older accounts have the second."""


@dataclasses.dataclass(frozen=True)
class LogNames:
    """How a Platform Connector's log names what is read of it; ``sync`` is missing from the oldest."""

    log: str
    connection: str
    time: str
    event: str
    data: str
    log_connection: str
    connection_id: str
    connection_name: str
    sync: str | None


def names_in(schema: Schema) -> LogNames | None:
    """Return the names of a log, or nothing where the schema holds none."""
    tables = {table.name.lower(): table for table in schema.tables}
    # Accounts from before 2023 say connector where newer ones say connection.
    word = "connection" if "connection" in tables else "connector"
    if "log" not in tables or word not in tables:
        return None
    log, connection = tables["log"], tables[word]
    named = {
        "time": log.column("time_stamp"),
        "event": log.column("message_event"),
        "data": log.column("message_data"),
        "log_connection": log.column(f"{word}_id") or log.column("connector_id"),
        "connection_id": connection.column(f"{word}_id"),
        "connection_name": connection.column(f"{word}_name"),
    }
    sync = log.column("sync_id")
    if missing := [name for name, column in named.items() if column is None]:
        raise WarehouseError(f"found a log of Fivetran in {schema.name} without {', '.join(missing)}: exclude it from raw")
    known = {name: column.name for name, column in named.items() if column}
    return LogNames(log=log.name, connection=connection.name, sync=sync.name if sync else None, **known)
