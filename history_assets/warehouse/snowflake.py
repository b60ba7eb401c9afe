"""The production engine: raw, clones and histories as databases of a Snowflake account.

Belongs here: in which order statements are sent, and what their answers come to. Does not belong here: the statements
(``snowflake_sql``), what SHOW says (``snowflake_catalog``), clones (``snowflake_clones``), connections (``snowflake_session``),
writing history, which is dbt's (``dbt_project/macros``).

    RAW.<schema>.<table>                tables as Fivetran lands them
    CLONES.<schema>__<YYYYMMDD>         a clone of a schema, complete; says of itself what it is in its comment
    HISTORY.<schema>.<table>            histories, and ``HISTORY._history_assets.applied``, the ledger

Only what reads histories, or Fivetran's log, needs a running warehouse; all else is SHOW and DDL.
"""

import collections
import datetime as dt
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from history_assets.errors import WarehouseError
from history_assets.inventory import Inventory, KeySource, Schema, Table
from history_assets.naming import table_name
from history_assets.settings import Settings
from history_assets.warehouse import (
    ledger_sql,
    snowflake_checks,
    snowflake_functions,
    snowflake_history,
    snowflake_log,
    snowflake_spine,
    snowflake_sql,
    spine_sql,
)
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.platform_log import LOGS, names_in
from history_assets.warehouse.snowflake_catalog import Catalog
from history_assets.warehouse.snowflake_clones import Clones
from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError
from history_assets.warehouse.snowflake_session import Sessions, tag
from history_assets.warehouse.snowflake_sql import path
from history_assets.warehouse.statements import HistoryTable, Statement, aware
from history_assets.warehouse.values import (
    LEDGER_SCHEMA,
    Applied,
    Carried,
    Check,
    Clone,
    Dates,
    Difference,
    Joined,
    Question,
    SpineRows,
    SpineTable,
    SpineTimes,
    Stamp,
    SyncEvent,
)

if TYPE_CHECKING:
    import pyarrow as pa


class SnowflakeWarehouse(Warehouse):
    """Raw, clones and histories as three databases; ``sessions`` and ``new_id`` can be replaced."""

    enforces_keys = False  # Snowflake keeps them as a note
    reaches_back = True

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        super().__init__(settings)
        self.sessions = sessions or Sessions(settings)
        self._catalog = Catalog(settings, self.sessions)
        self._clones = Clones(self._catalog, new_id)
        self._ledger = snowflake_sql.ledger(settings.database)

    def landing_schemas(self) -> list[str]:
        raw = self.settings.raw_database
        with self._catalog.expecting(raw, "HISTORY_RAW_DATABASE"):
            names = self._catalog.schema_names(raw, tag("inventory"))
        return sorted(name for name in names if name != "INFORMATION_SCHEMA")

    def reach(self, now: dt.datetime) -> dict[str, dt.datetime]:
        found = self._catalog.schemas(self.settings.raw_database, tag("reach"))
        # Tables may be retained for less than their schema; then the clone says so.
        return {
            row["name"]: max(row["created_on"], now - dt.timedelta(days=int(row["retention_time"] or 0))).astimezone(dt.UTC)
            for row in found
            if row["name"] != "INFORMATION_SCHEMA"
        }

    def read_schema(self, schema: str, *, wait: bool = True) -> Schema:  # noqa: ARG002 - nobody keeps a schema to himself
        return self._catalog.read(self.settings.raw_database, schema, schema, tag("inventory", schema))

    def marks(self, now: dt.datetime) -> dict[str, str]:
        with self._catalog.expecting(self.settings.raw_database, "HISTORY_RAW_DATABASE"):
            return snowflake_sql.marks(self._catalog.all_tables(self.settings.raw_database, tag("drift")), now)

    def clone(self, schema: str, date: dt.date, settle: Callable[[], dt.datetime | None], *, replace: bool = False) -> Clone:
        return self._clones.make(schema, date, settle, replace=replace)

    def find_clone(self, schema: str, date: dt.date) -> Clone | None:
        return self._clones.find(schema, date)

    def find_clones(
        self, schemas: Collection[str], dates: Collection[dt.date]
    ) -> dict[tuple[str, dt.date], Clone | WarehouseError]:
        return self._clones.find_all(schemas, dates)

    def read_clone(self, clone: Clone) -> Schema:
        query_tag = tag("find", clone.schema, clone.date)
        return self._catalog.read(self.settings.clone_database, clone.location, clone.schema, query_tag)

    def clone_marks(self) -> dict[str, dict[dt.date, str]]:
        return self._clones.marks()

    def drop_clone(self, clone: Clone) -> None:
        self._clones.drop(clone)

    def sync_events(self, since: dt.datetime | None = None, *, wait: bool = True) -> list[SyncEvent]:  # noqa: ARG002 - nobody does
        since = since or dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        logs = [name for name in self.landing_schemas() if name.lower() in LOGS]
        return [event for log in logs for event in self._events(log, since)]

    def _events(self, log: str, since: dt.datetime) -> list[SyncEvent]:
        raw = self.settings.raw_database
        if not (names := names_in(self._catalog.read(raw, log, log, tag("syncs", log)))):
            return []
        rows = self.sessions.rows(snowflake_log.select_events(raw, log, names, since), tag("syncs", log))
        return [snowflake_log.event(*row.values()) for row in rows]

    def await_history(self) -> None:
        pass  # Snowflake has its writers wait for each other

    def checks(self) -> Iterator[Check]:
        return snowflake_checks.checks(self._catalog, self.inventory)

    def ledger(
        self, schemas: Collection[str] | None = None, date: dt.date | Dates | None = None, table: str | None = None
    ) -> list[Applied]:
        about = date if isinstance(date, dt.date) else None
        return self._entries(ledger_sql.select_ledger(self._ledger, schemas, date, table), tag("ledger", table or "", about))

    def applied_before(self, schemas: Collection[str] | None, date: dt.date) -> list[Applied]:
        return self._entries(ledger_sql.select_applied_before(self._ledger, schemas, date), tag("ledger"))

    def column_nights(self, schemas: Collection[str]) -> list[Applied]:
        return self._entries(ledger_sql.select_column_nights(self._ledger, schemas), tag("ledger"))

    def rules(self) -> list[tuple[str, str]]:
        rows = self._of_ledger(ledger_sql.select_rules(self._ledger), tag("ledger"))
        return [(row["time_zone"], row["cutoff_time"]) for row in rows]

    def stamps(self, schemas: Collection[str]) -> dict[tuple[str, str], Stamp]:
        rows = self.sessions.rows(snowflake_sql.select_stamps(self.settings.raw_database, schemas), tag("stamps"))
        found = (tuple(row.values()) for row in rows)
        return {(schema, table): Stamp(aware(created), aware(altered)) for schema, table, created, altered in found}

    @property
    def place(self) -> str:
        return f"HISTORY_DATABASE={self.settings.database}"

    @property
    def raw_place(self) -> str:
        return f"HISTORY_RAW_DATABASE={self.settings.raw_database}"

    def carry(self, clones: Mapping[str, Clone], tables: Sequence[Carried]) -> list[Applied]:
        (date,) = {clone.date for clone in clones.values()}
        self.sessions.transact(ledger_sql.carry(snowflake_sql.DIALECT, self._ledger, clones, tables), tag("fold", "", date))
        return self.ledger(clones, date)

    def _entries(self, statement: Statement, query_tag: str) -> list[Applied]:
        return [ledger_sql.applied_of(row) for row in self._of_ledger(statement, query_tag)]

    def _of_ledger(self, statement: Statement, query_tag: str) -> list[dict[str, Any]]:
        try:
            rows = self.sessions.rows(statement, query_tag)
        except SnowflakeError as error:
            if error.kind is not Kind.MISSING:
                raise
            if "Database '" in error.said:  # else the schema or the table is missing: nothing was folded yet
                raise self._catalog.no_database(self.settings.database, "HISTORY_DATABASE") from error
            return []
        return [{name.lower(): value for name, value in row.items()} for row in rows]

    def tables(self) -> list[str]:
        return [row["name"] for row in self._of_ledger(ledger_sql.select_tables(self._ledger), tag("tables"))]

    def ask(self, question: Question) -> "pa.Table":
        return snowflake_history.ask(self.sessions, self._history(question.about), question)

    def columns(self, table: str) -> dict[str, str]:
        return {column: kind for _, _, column, kind in self._described(table)}

    def spine_times(self, table: str, time: str, *, is_date: bool) -> SpineTimes:
        where = self._table_path(table)
        with self.sessions.session(tag("point_in_time", table)) as session:
            return spine_sql.times(session.rows, snowflake_sql.DIALECT, where, time, is_date=is_date)

    def join(self, spine: SpineRows | SpineTable, histories: Sequence[Joined], *, repeated: bool) -> "pa.Table":
        pairs = [(self._history(each.night), each) for each in histories]
        if isinstance(spine, SpineTable):
            where, columns = self._table_path(spine.name), self.columns(spine.name)
            with self.sessions.session(tag("point_in_time", spine.name)) as session:
                return snowflake_spine.join_table(
                    session, self.settings.database, where, columns, spine, pairs, repeated=repeated
                )
        with self.sessions.session(
            tag("point_in_time", table_name(histories[0].night.schema, histories[0].night.table))
        ) as session:
            return snowflake_spine.join_rows(session, self.settings.database, spine, pairs, repeated=repeated)

    def _history(self, applied: Applied) -> HistoryTable:
        columns = self._catalog.history_columns(applied.schema, applied.table)
        return snowflake_history.history_table(self.settings.database, applied.schema, applied.table, columns)

    def _table_path(self, table: str) -> str:
        schema, name, *_ = self._described(table)[0]
        return path(self.settings.database, schema, name)

    def _described(self, table: str) -> list[tuple[str, str, str, str]]:
        rows = self.sessions.rows(snowflake_sql.select_columns(self.settings.database, table), tag("columns", table))
        return [(row["TABLE_SCHEMA"], row["TABLE_NAME"], row["COLUMN_NAME"], row["DATA_TYPE"]) for row in rows]

    def keep_functions(self, ledger: Collection[Applied]) -> list[str]:
        if not ledger:
            return []
        return snowflake_functions.keep(self.sessions, self.settings.database, ledger, self.settings.threads)

    def make_room(self, ledger: Collection[Applied], tables: Collection[tuple[str, str]]) -> None:
        snowflake_functions.make_room(self.sessions, self.settings.database, ledger, tables)

    def contradictions(self, applied: Sequence[Applied]) -> list[str]:
        if not applied:
            return []
        return snowflake_history.contradictions(self.sessions, self._history(applied[0]), self._ledger, applied)

    def differences(self, clone: Clone, applied: Sequence[Applied]) -> list[Difference]:
        if not applied:
            return []
        database, query_tag = self.settings.database, tag("verify", clone.schema, clone.date)
        held = {row["name"] for row in self._catalog.base_tables(self.settings.clone_database, clone.location, query_tag)}
        columns = self._catalog.all_history_columns(clone.schema, [row.table for row in applied], query_tag)
        return [
            snowflake_history.difference(
                self.sessions,
                snowflake_history.history_table(database, row.schema, row.table, columns.get(row.table)),
                path(self.settings.clone_database, clone.location, row.table) if row.table in held else None,
                row,
            )
            for row in applied
        ]

    def histories(self) -> Inventory:
        found = collections.defaultdict[str, list[Table]](list)
        for row in self._catalog.all_tables(self.settings.database, tag("inventory")):
            if row["schema_name"] != LEDGER_SCHEMA:
                found[row["schema_name"]].append(Table(row["name"], (), (), KeySource.WHOLE_ROW))
        return Inventory(tuple(Schema(name, tuple(tables)) for name, tables in sorted(found.items())))
