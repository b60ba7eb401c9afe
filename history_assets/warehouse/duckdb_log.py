"""The Platform Connector's log on the embedded engine, over a connection to its schema's file.

Belongs here: the query that reads it. Does not belong here: what the events mean (``fivetran/log``).
"""

import datetime as dt
from collections.abc import Iterator

import duckdb

from history_assets.naming import quote
from history_assets.warehouse.duckdb_files import read_tables
from history_assets.warehouse.platform_log import names_in
from history_assets.warehouse.values import SyncEvent

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND = dt.timedelta(microseconds=1)


def events(connection: duckdb.DuckDBPyConnection, log: str, since: dt.datetime | None) -> Iterator[SyncEvent]:
    """Yield the starts and ends of syncs, and the writes, that a schema's log tells of, since an aware instant."""
    if not (names := names_in(read_tables(connection, log, {}))):
        return
    sync = f"l.{quote(names.sync)}" if names.sync else "null"
    time, event, data, who = (f"l.{quote(name)}" for name in (names.time, names.event, names.data, names.log_connection))
    rows = connection.execute(
        f"select {who}, c.{quote(names.connection_name)}, epoch_us({time}), {event}, {sync}, {data} "
        f"from main.{quote(names.log)} l join main.{quote(names.connection)} c on c.{quote(names.connection_id)} = {who} "
        f"where ({event} in ('sync_start', 'sync_end', 'records_modified') or {event} like '%table%') "
        f"and epoch_us({time}) >= ? order by {time}",
        [((since or _EPOCH) - _EPOCH) // _MICROSECOND],
    ).fetchall()
    for connection_id, name, micros, what, sync_id, told in rows:
        yield SyncEvent(connection_id, name or connection_id, _EPOCH + micros * _MICROSECOND, what, sync_id, told)
