"""The simulated Fivetran of the demo: connectors that write raw schemas night by night, and the log that they leave.

Belongs here: which connection syncs when, and the log's own schema. Does not belong here: what the connectors look like
(``connectors``), what a sync decides (``sync``) and writes (``files``), or anything that the project does with raw data.

All state lies in the raw files, all chance comes from the seed and the instant of the sync, and no clock is read: the same
syncs give the same rows everywhere.
"""

import contextlib
import datetime as dt
import random
from collections.abc import Collection, Iterator
from pathlib import Path

import duckdb

from history_assets.errors import UsageError
from history_assets.inventory import SYNCED
from history_assets.sandbox.connectors import CONNECTORS
from history_assets.sandbox.files import UPSERTED, Edit, read, shape, write
from history_assets.sandbox.shapes import Column, Connector, Row, Table
from history_assets.sandbox.sync import Run
from history_assets.warehouse.duckdb_files import connect

METADATA = "fivetran_metadata"
"""The schema of the Platform Connector, which here logs every connection but itself."""

_SCHEMAS = {METADATA, *(schema for connector in CONNECTORS for schema in connector.schemas)}

_PAST = dt.timedelta(days=730)
_STAGGER = dt.timedelta(minutes=2)
_LOGGED = dt.timedelta(minutes=25)
_LOCK_TIMEOUT = 60

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
    """A folder of raw schemas that a simulated Fivetran fills; raises UsageError for a folder that holds anybody else's."""

    def __init__(self, raw: Path, seed: int = 11) -> None:
        self.raw = raw
        self.seed = seed
        found = {path.stem for path in raw.glob("*.duckdb")}
        # The metadata are written first, so that without them even schemas of the right names are somebody else's.
        self._refuse(found - _SCHEMAS if METADATA in found else found)

    def last_sync(self) -> dt.datetime | None:
        """Return when the latest sync ended, aware and in UTC; nothing before the first."""
        if not self._path(METADATA).exists():
            return None
        with connect(self._path(METADATA), read_only=True, timeout=_LOCK_TIMEOUT) as connection:
            found = connection.execute("SELECT max(time_stamp) FROM log WHERE message_event = 'sync_end'").fetchone()
        return found[0].astimezone(dt.UTC) if found and found[0] else None

    def sync(self, at: dt.datetime) -> None:
        """Sync every connection once, the first from ``at`` (aware), all within 30 minutes; the first call loads all history.

        Raises UsageError for an instant without a time zone, or not after the end of the latest sync.
        """
        if at.utcoffset() is None:
            raise UsageError(f"found {at}, a time without a zone: expected an aware one, for example {at.isoformat()}+00:00")
        at = at.astimezone(dt.UTC)
        last = self.last_sync()
        if last and at <= last:
            raise UsageError(f"found a sync at {at}, expected one after {last}, the end of the latest: pass a later time")
        earlier = self._register(at)
        events = []
        for position, connector in enumerate(CONNECTORS):
            count, since = earlier.get(connector.id, (0, at - _PAST))
            rng = random.Random(f"{self.seed}:{connector.name}:{at.isoformat()}")  # noqa: S311 - invents data, keeps no secret
            run = Run(connector, rng, count + 1, since, at + position * _STAGGER)
            self._sync(run)
            events += run.events
        with self._writing(METADATA) as connection:
            write(connection, _LOG, 1, [Edit(UPSERTED, None, {**event, SYNCED: at + _LOGGED}) for event in events])

    def _sync(self, run: Run) -> None:
        run.log("sync_start")
        run.pass_time(60)
        for schema, tables in run.schemas.items():
            present = [table for table in tables if table.since <= run.ordinal]
            with self._writing(schema) as connection:
                # DuckDB fails a commit that alters a table after writing to it.
                for table in present:
                    shape(connection, table, run.ordinal)
                for table in present:
                    write(connection, table, run.ordinal, run.write_table(schema, table, read(connection, table)))
        run.pass_time(60)
        run.log("sync_end", status="SUCCESSFUL")

    def _register(self, at: dt.datetime) -> dict[str, tuple[int, dt.datetime]]:
        """Make sure that the connections are known; return the number of earlier syncs of each, and the start of the latest."""
        try:
            self.raw.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"found the folder {self.raw} not to be made ({error.strerror}), expected one that can be: choose another"
            ) from error
        with self._writing(METADATA) as connection:
            shape(connection, _CONNECTION, 1)
            shape(connection, _LOG, 1)
            found = connection.execute(
                "SELECT connection_id, count(*), max(time_stamp) FROM log WHERE message_event = 'sync_start' GROUP BY ALL"
            ).fetchall()
            earlier = {name: (count, latest.astimezone(dt.UTC)) for name, count, latest in found}
            known = {row["connection_id"] for row in read(connection, _CONNECTION)}
            self._refuse(known.union(earlier).difference(connector.id for connector in CONNECTORS))
            if not known:
                rows = [_connection_row(connector, at) for connector in CONNECTORS]
                write(connection, _CONNECTION, 1, [Edit(UPSERTED, None, row) for row in rows])
        return earlier

    def _refuse(self, foreign: Collection[str]) -> None:
        if foreign:
            raise UsageError(
                f"found {', '.join(sorted(foreign))} in {self.raw}, expected an empty folder or one that only the sandbox has "
                "filled: choose another folder"
            )

    def _path(self, schema: str) -> Path:
        return self.raw / f"{schema}.duckdb"

    @contextlib.contextmanager
    def _writing(self, schema: str) -> Iterator[duckdb.DuckDBPyConnection]:
        with connect(self._path(schema), read_only=False, timeout=_LOCK_TIMEOUT) as connection:
            connection.begin()
            yield connection
            connection.commit()


def _connection_row(connector: Connector, at: dt.datetime) -> Row:
    return {
        "connection_id": connector.id,
        "connection_name": connector.name,
        "connector_type_id": connector.type,
        "destination_id": "velvet_meadow",
        "connecting_user_id": "patient_heron",
        "paused": False,
        "signed_up": at - _PAST,
        "_fivetran_deleted": False,
        SYNCED: at,
    }
