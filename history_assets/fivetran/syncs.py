"""Syncs and connections as values, whoever tells of them.

Belongs here: what a sync and a connection are, and which connections fill a schema. Does not belong here: reading them from
anywhere (``api``, ``log``), or deciding what may be cloned beside them (``quiet``).
"""

import dataclasses
import datetime as dt
import enum
from collections.abc import Collection, Iterator


class SyncStatus(enum.StrEnum):
    """How a sync ended; after all but the first, its schema may hold half of what it was to bring."""

    SUCCESSFUL = "SUCCESSFUL"
    FAILURE = "FAILURE"
    FAILURE_WITH_TASK = "FAILURE_WITH_TASK"
    RESCHEDULED = "RESCHEDULED"
    CANCELED = "CANCELED"
    INCOMPLETE = "INCOMPLETE"
    """It is over, and nothing known says that it went well."""

    @classmethod
    def named(cls, text: str | None) -> "SyncStatus":
        """Return the status of a name that Fivetran uses: its API says COMPLETED where its log says SUCCESSFUL."""
        known = {"COMPLETED": cls.SUCCESSFUL} | {status.value: status for status in cls}
        return known.get((text or "").upper(), cls.INCOMPLETE)


@dataclasses.dataclass(frozen=True)
class Sync:
    """One sync of one connection; ``ended`` and ``status`` are empty while it runs; instants are aware UTC."""

    connection: str
    started: dt.datetime
    ended: dt.datetime | None
    status: SyncStatus | None

    @property
    def succeeded(self) -> bool:
        """Whether it is over and brought all that it was to bring."""
        return self.status is SyncStatus.SUCCESSFUL


@dataclasses.dataclass(frozen=True)
class Connection:
    """A Fivetran connection as the API lists it; instants are aware UTC, ``sync_frequency`` is in minutes.

    ``schema`` is the name as it was given: a schema, ``schema.table``, or for databases the prefix of several schemas.
    """

    id: str
    schema: str
    service: str
    paused: bool
    setup_state: str
    sync_state: str
    update_state: str
    is_historical_sync: bool
    created_at: dt.datetime | None
    succeeded_at: dt.datetime | None
    failed_at: dt.datetime | None
    sync_frequency: int | None

    @property
    def in_flight(self) -> bool:
        """Whether a sync is under way; so is a historical one that waits for its next part."""
        return self.sync_state == "syncing" or (self.is_historical_sync and self.sync_state == "rescheduled")

    @property
    def last_ended(self) -> dt.datetime | None:
        """When its last sync ended, however it did; nothing when it never synced."""
        return max((at for at in (self.succeeded_at, self.failed_at) if at), default=None)


_DATABASES = (
    *(
        "aurora",
        "azure_sql",
        "bigquery_db",
        "cockroach",
        "cosmos",
        "db2",
        "documentdb",
        "dynamodb",
        "hana",
        "informix",
        "maria",
    ),
    *("mongo", "mysql", "oracle", "postgres", "redshift", "sap", "snowflake_db", "spanner", "sql_server", "sybase"),
)
"""Parts of the names of services that read databases, whose connections fill a schema per schema of the source."""


def filling(schema: str, connections: Collection[Connection]) -> list[Connection]:
    """Return the connections that may fill a schema: those of its name, and those of databases whose name is its prefix.

    A warehouse may write a schema's name in other case than Fivetran does. One connection too many makes a clone wait for a
    sync that is none of its own; one too few would tear it. Only where neither rule finds any, the longest prefix counts.
    """
    wanted = schema.lower()
    named = [each for each in connections if each.schema.split(".")[0].lower() == wanted]
    prefixed = [each for each in connections if wanted.startswith(each.schema.lower() + "_")]
    databases = [each for each in prefixed if any(part in each.service for part in _DATABASES)]
    if named or databases:
        return list(dict.fromkeys([*named, *databases]))
    return list(_longest(prefixed))


def _longest(connections: Collection[Connection]) -> Iterator[Connection]:
    longest = max((len(each.schema) for each in connections), default=0)
    return (each for each in connections if len(each.schema) == longest)
