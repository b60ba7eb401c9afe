"""The simulated Fivetran of the demo: connectors that write raw schemas night by night, and the log that they leave.

Belongs here: what a sync does to rows, files and the log. Does not belong here: what the connectors look like
(``sandbox_connectors.py``), or anything that the project does with raw data.

All state lies in the raw files, all chance comes from the seed and the instant of the sync, and no clock is read: the same
syncs give the same rows everywhere. The SQL here belongs to nobody else: it plays the part of the other side.
"""

import base64
import collections
import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from history_assets.errors import UsageError
from history_assets.naming import quote
from history_assets.sandbox_connectors import CONNECTORS, HABITS, Column, Connector, Draw, Row, Table
from history_assets.warehouse.duckdb_files import connect

METADATA = "fivetran_metadata"
"""The schema of the Platform Connector, which logs every connection but itself."""

SCHEMAS = (*(schema for connector in CONNECTORS for schema in connector.schemas), METADATA)

_STAGGER = dt.timedelta(minutes=2)
_LOGGED = dt.timedelta(minutes=25)
_PAST = dt.timedelta(days=730)
_LOCK_TIMEOUT = 60

_UPSERT, _UPDATE, _DELETE = "REPLACED_OR_INSERTED", "UPDATED", "DELETED"

_CONNECTION = Table("connection", key=("connection_id",)).of(
    Column("connection_id", "VARCHAR"),
    Column("connection_name", "VARCHAR"),
    Column("connector_type_id", "VARCHAR"),
    Column("destination_id", "VARCHAR"),
    Column("connecting_user_id", "VARCHAR"),
    Column("paused", "BOOLEAN"),
    Column("signed_up", "TIMESTAMPTZ"),
    Column("_fivetran_deleted", "BOOLEAN"),
)
_LOG = Table("log").of(
    Column("id", "VARCHAR"),
    Column("time_stamp", "TIMESTAMPTZ"),
    Column("connection_id", "VARCHAR"),
    Column("event", "VARCHAR"),
    Column("message_event", "VARCHAR"),
    Column("message_data", "VARCHAR"),
    Column("sync_id", "VARCHAR"),
    Column("transformation_id", "VARCHAR"),
)


class Sandbox:
    """A folder of raw schemas that a simulated Fivetran fills; refuses, with UsageError, a folder that holds other schemas."""

    def __init__(self, raw: Path, seed: int = 11) -> None:
        self.raw = raw
        self.seed = seed
        found = {path.stem for path in raw.glob("*.duckdb")}
        # The sandbox writes its metadata first, so schemas without them are somebody else's, whatever their names.
        self._refuse(found if METADATA not in found else found.difference(SCHEMAS))

    def last_sync(self) -> dt.datetime | None:
        """Return when the latest sync ended, aware and in UTC; nothing before the first."""
        if not self._path(METADATA).exists():
            return None
        with connect(self._path(METADATA), read_only=True, timeout=_LOCK_TIMEOUT) as connection:
            found = connection.execute("SELECT max(time_stamp) FROM log WHERE message_event = 'sync_end'").fetchone()
        return found[0].astimezone(dt.UTC) if found and found[0] else None

    def sync(self, at: dt.datetime) -> None:
        """Sync every connection once, the first at ``at`` (aware), all within 30 minutes; the first call loads all history.

        Raises UsageError for an instant without a time zone, or not after the end of the latest sync.
        """
        if at.utcoffset() is None:
            raise UsageError(f"found {at}, a time without a zone: expected an aware one, for example {at.isoformat()}+00:00")
        at = at.astimezone(dt.UTC)
        last = self.last_sync()
        if last and at <= last:
            raise UsageError(f"found a sync at {at}, expected one after {last}, when the latest one ended: pass a later time")
        log = []
        earlier = self._register(at)
        for position, connector in enumerate(CONNECTORS):
            count, latest = earlier.get(connector.id, (0, at - _PAST))
            run = _Run(connector, random.Random(f"{self.seed}:{connector.name}:{at.isoformat()}"), count + 1, latest)
            self._sync(run, at + position * _STAGGER)
            log += run.log
        with self._writing(METADATA) as connection:
            _write(connection, _LOG, _LOG.columns, [Edit(_UPSERT, None, {**row, _SYNCED: at + _LOGGED}) for row in log])
