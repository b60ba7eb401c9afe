"""The Platform Connector's log on Snowflake: the query that reads it.

Belongs here: pure functions. Does not belong here: what the events mean (``fivetran/log``).
"""

import datetime as dt
import json

from history_assets.naming import quote
from history_assets.warehouse.platform_log import LogNames
from history_assets.warehouse.snowflake_sql import path
from history_assets.warehouse.statements import Statement
from history_assets.warehouse.values import SyncEvent


def select_events(database: str, schema: str, names: LogNames, since: dt.datetime) -> Statement:
    """Read the starts and ends of syncs since an aware instant, and which schemas, as ``data``, each connection has written."""
    log, connection = path(database, schema, names.log), path(database, schema, names.connection)
    joined = f"from {log} l join {connection} c on c.{quote(names.connection_id)} = l.{quote(names.log_connection)} "
    sync = f"l.{quote(names.sync)}" if names.sync else "null"
    time, event, data = (f"l.{quote(name)}" for name in (names.time, names.event, names.data))
    who = (
        f"l.{quote(names.log_connection)} as connection_id, c.{quote(names.connection_name)} as connection_name, "
        f"cast({time} as timestamp_tz) as moment"
    )
    recent = f"{time} >= cast(? as timestamp_tz)"
    # Writes outnumber syncs by far, and only the names of their schemas matter.
    text = (
        f"select {who}, {event} as event, {sync} as sync_id, {data} as data {joined}"
        f"where {event} in ('sync_start', 'sync_end') and {recent} "
        "union all select connection_id, connection_name, max(moment), 'records_modified', null, written from ("
        f"select {who}, cast(get_path(try_parse_json({data}), 'schema') as varchar) as written {joined}"
        f"where {event} = 'records_modified' and {recent}) as writes "
        "group by connection_id, connection_name, written order by 3"
    )
    moment = f"{since.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f} +00:00"
    return Statement(text, (moment, moment), compute=True)


def event(connection: str, name: str | None, at: dt.datetime, event: str, sync: str | None, data: str | None) -> SyncEvent:
    """Return an event, given as ``select_events`` reads it; a connection without a name goes by its id."""
    written = json.dumps({"schema": data}) if event == "records_modified" else data
    return SyncEvent(connection, name or connection, at.astimezone(dt.UTC), event, sync, written)
