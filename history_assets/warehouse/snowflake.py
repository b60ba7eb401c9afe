"""The production engine: raw, clones and histories as databases of a Snowflake account.

Belongs here: in which order statements are sent, and what their answers come to. Does not belong here: the statements
(``snowflake_sql``), how a clone is made (``snowflake_clones``), connections (``snowflake_session``), writing history, which is
dbt's (``dbt_project/macros``).

    RAW.<schema>.<table>                tables as Fivetran lands them
    CLONES.<schema>__<YYYYMMDD>         a clone of a schema, complete; says of itself what it is in its comment
    HISTORY.<schema>.<table>            histories, and ``HISTORY._history_assets.applied``, the ledger

Only what reads histories, or Fivetran's log, needs a running warehouse; all else is SHOW and DDL.
"""

import collections
import contextlib
import datetime as dt
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from history_assets.credentials import exact_name
from history_assets.errors import WarehouseError
from history_assets.inventory import Column, Inventory, KeySource, Schema, Table, make_table
from history_assets.naming import quote, table_name
from history_assets.settings import Settings
from history_assets.warehouse import (
    ledger_sql,
    snowflake_clones,
    snowflake_functions,
    snowflake_history,
    snowflake_log,
    snowflake_setup,
    snowflake_spine,
    snowflake_sql,
    spine_sql,
)
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.platform_log import LOGS, names_in
from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError
from history_assets.warehouse.snowflake_session import Sessions, credentials, tag
from history_assets.warehouse.snowflake_setup import Privilege
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
        self.new_id = new_id

    def landing_schemas(self) -> list[str]:
        raw = self.settings.raw_database
        try:
            found = self._paged(lambda after: snowflake_sql.show_landing(raw, after=after), tag("inventory"))
        except SnowflakeError as error:
            if error.kind is Kind.MISSING:
                raise WarehouseError(self._no_database(raw, "HISTORY_RAW_DATABASE")) from error
            raise
        return sorted(row["name"] for row in found if row["name"] != "INFORMATION_SCHEMA")

    def reach(self, now: dt.datetime) -> dict[str, dt.datetime]:
        raw = self.settings.raw_database
        found = self._paged(lambda after: snowflake_sql.show_schemas(raw, after=after), tag("reach"))
        # Tables may be retained for less than their schema; then the clone says so.
        return {
            row["name"]: max(row["created_on"], now - dt.timedelta(days=int(row["retention_time"] or 0))).astimezone(dt.UTC)
            for row in found
            if row["name"] != "INFORMATION_SCHEMA"
        }

    def read_schema(self, schema: str, *, wait: bool = True) -> Schema:  # noqa: ARG002 - nobody keeps a schema to himself
        return self._read(self.settings.raw_database, schema, schema, tag("inventory", schema))

    def marks(self, now: dt.datetime) -> dict[str, str]:
        raw = self.settings.raw_database
        try:
            rows = self._all_tables(raw, tag("drift"))
        except SnowflakeError as error:
            if error.kind is Kind.MISSING:
                raise WarehouseError(self._no_database(raw, "HISTORY_RAW_DATABASE")) from error
            raise
        return snowflake_sql.marks(rows, now)

    def clone(self, schema: str, date: dt.date, settle: Callable[[], dt.datetime | None], *, replace: bool = False) -> Clone:
        return snowflake_clones.Cloning(self, schema, date).run(settle, replace=replace)

    def find_clone(self, schema: str, date: dt.date) -> Clone | None:
        name = snowflake_sql.clone_name(schema, date)
        return self.as_clone(name, self.clone_schemas(tag("find", schema, date), prefix=name))

    def find_clones(self, schemas: Collection[str], dates: Collection[dt.date]) -> dict[tuple[str, dt.date], Clone]:
        like = f"%__{next(iter(dates)):%Y%m%d}" if len(dates) == 1 else None
        comments = self.clone_schemas(tag("find"), like=like)
        names = {(schema, date): snowflake_sql.clone_name(schema, date) for schema in schemas for date in dates}
        return {pair: clone for pair, name in names.items() if (clone := self.as_clone(name, comments))}

    def read_clone(self, clone: Clone) -> Schema:
        query_tag = tag("find", clone.schema, clone.date)
        return self._read(self.settings.clone_database, clone.location, clone.schema, query_tag)

    def clone_marks(self) -> dict[str, dict[dt.date, str]]:
        found = collections.defaultdict[str, dict[dt.date, str]](dict)
        for name, comment in self.clone_schemas(tag("find")).items():
            if clone := snowflake_sql.clone_of(name, comment):
                found[clone.schema][clone.date] = clone.clone_id
        return dict(found)

    def drop_clone(self, clone: Clone) -> None:
        found = self.find_clone(clone.schema, clone.date)
        if found and found.clone_id == clone.clone_id:
            drop = snowflake_sql.drop_schema(self.settings.clone_database, clone.location)
            self.sessions.rows(drop, tag("retention", clone.schema, clone.date))

    def sync_events(self, since: dt.datetime | None = None) -> list[SyncEvent]:
        since = since or dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
        logs = [name for name in self.landing_schemas() if name.lower() in LOGS]
        return [event for log in logs for event in self._events(log, since)]

    def await_history(self) -> None:
        pass  # Snowflake has its writers wait for each other

    def checks(self) -> Iterator[Check]:
        who = self.sessions.identity()
        yield Check(f"a login to {who.account} as {who.user}", True)
        wanted = exact_name(credentials(self.settings).role)
        yield Check(f"the role {wanted}", who.role == wanted, f"GRANT ROLE {quote(wanted)} TO USER {quote(who.user)}")
        if who.role is None:
            return
        role, warehouse = who.role, exact_name(credentials(self.settings).warehouse)
        granted, whole = self._granted(role)
        yield from snowflake_setup.check_privileges(snowflake_setup.needed(self.settings, warehouse), granted, role)
        schemas = self.inventory().schemas
        yield Check(
            f"{len(schemas)} schemas of Fivetran in DATABASE {quote(self.settings.raw_database)}",
            bool(schemas),
            f"GRANT USAGE ON ALL SCHEMAS IN DATABASE {quote(self.settings.raw_database)} TO ROLE {quote(role)}",
        )
        for schema in schemas:
            tables = self.base_tables(self.settings.raw_database, schema.name, tag("doctor", schema.name))
            names = [row["name"] for row in tables]
            if whole:  # else a grant that is not listed may be there all the same
                yield snowflake_setup.check_tables(self.settings, schema.name, names, granted, role)
            yield snowflake_setup.check_time_travel(self.settings, schema.name, tables)
        future = snowflake_setup.privileges(self.sessions.rows(snowflake_sql.show_future_grants(role), tag("doctor")))
        yield from snowflake_setup.check_future(self.settings, [schema.name for schema in schemas], future, role)
        if self.settings.script_role:
            yield from self._script_role_checks(exact_name(self.settings.script_role), who.user, warehouse)

    def _script_role_checks(self, role: str, user: str, warehouse: str) -> Iterator[Check]:
        query_tag = tag("doctor")
        try:
            future = snowflake_setup.privileges(self.sessions.rows(snowflake_sql.show_future_grants(role), query_tag))
        except SnowflakeError as error:
            remedy = f"CREATE ROLE IF NOT EXISTS {quote(role)}; GRANT ROLE {quote(role)} TO USER {quote(user)}"
            yield Check(f"the role {role} of scripts, which says {error.said}", False, remedy)
            return
        granted, _ = self._granted(role)
        yield from snowflake_setup.check_privileges(snowflake_setup.needed_by_scripts(self.settings, warehouse), granted, role)
        yield from snowflake_setup.check_future_histories(self.settings, future, role)

    def _granted(self, role: str) -> tuple[set[Privilege], bool]:
        """Return what is granted to a role, to those whose privileges it has as well, and to everyone; and if that is all."""
        found, seen, todo, whole = set[Privilege](), set[str](), {role, "PUBLIC"}, True
        while todo - seen:
            name = sorted(todo - seen)[0]
            seen.add(name)
            with contextlib.suppress(SnowflakeError):  # of a role that may not be looked at, nothing is known
                rows = self.sessions.rows(snowflake_sql.show_grants(name), tag("doctor"))
                found |= snowflake_setup.privileges(rows)
                whole = whole and len(rows) < snowflake_sql.PAGE
            todo |= snowflake_setup.inherited_roles(found)
        return found, whole

    def ledger(
        self, schemas: Collection[str] | None = None, date: dt.date | Dates | None = None, table: str | None = None
    ) -> list[Applied]:
        ledger = snowflake_sql.ledger(self.settings.database)
        about = date if isinstance(date, dt.date) else None
        return self._entries(ledger_sql.select_ledger(ledger, schemas, date, table), tag("ledger", table or "", about))

    def applied_before(self, schemas: Collection[str] | None, date: dt.date) -> list[Applied]:
        ledger = snowflake_sql.ledger(self.settings.database)
        return self._entries(ledger_sql.select_applied_before(ledger, schemas, date), tag("ledger"))

    def column_nights(self, schemas: Collection[str]) -> list[Applied]:
        return self._entries(
            ledger_sql.select_column_nights(snowflake_sql.ledger(self.settings.database), schemas), tag("ledger")
        )

    def rules(self) -> list[tuple[str, str]]:
        rows = self._of_ledger(ledger_sql.select_rules(snowflake_sql.ledger(self.settings.database)), tag("ledger"))
        return [(row["time_zone"], row["cutoff_time"]) for row in rows]

    def stamps(self, schemas: Collection[str]) -> dict[tuple[str, str], Stamp]:
        rows = self.sessions.rows(snowflake_sql.select_stamps(self.settings.raw_database, schemas), tag("stamps"))
        found = (tuple(row.values()) for row in rows)
        return {(schema, table): Stamp(aware(created), aware(altered)) for schema, table, created, altered in found}

    @property
    def place(self) -> str:
        return f"HISTORY_DATABASE={self.settings.database}"

    def carry(self, clones: Mapping[str, Clone], tables: Sequence[Carried]) -> list[Applied]:
        ledger, (date,) = snowflake_sql.ledger(self.settings.database), {clone.date for clone in clones.values()}
        self.sessions.transact(ledger_sql.carry(snowflake_sql.DIALECT, ledger, clones, tables), tag("fold", "", date))
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
                raise WarehouseError(self._no_database(self.settings.database, "HISTORY_DATABASE")) from error
            return []
        return [{name.lower(): value for name, value in row.items()} for row in rows]

    def tables(self) -> list[str]:
        return [
            row["name"]
            for row in self._of_ledger(ledger_sql.select_tables(snowflake_sql.ledger(self.settings.database)), tag("tables"))
        ]

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
        ledger = snowflake_sql.ledger(self.settings.database)
        return snowflake_history.contradictions(self.sessions, self._history(applied[0]), ledger, applied)

    def differences(self, clone: Clone, applied: Sequence[Applied]) -> list[Difference]:
        if not applied:
            return []
        database, query_tag = self.settings.database, tag("verify", clone.schema, clone.date)
        held = {row["name"] for row in self.base_tables(self.settings.clone_database, clone.location, query_tag)}
        columns = self._history_columns(clone.schema, [row.table for row in applied], query_tag)
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
        for row in self._all_tables(self.settings.database, tag("inventory")):
            if row["schema_name"] != LEDGER_SCHEMA:
                found[row["schema_name"]].append(Table(row["name"], (), (), KeySource.WHOLE_ROW))
        return Inventory(tuple(Schema(name, tuple(tables)) for name, tables in sorted(found.items())))

    def base_tables(self, database: str, schema: str, query_tag: str) -> list[dict[str, Any]]:
        """Return what SHOW TABLES says of the base tables of a schema."""
        rows = self._paged(lambda after: snowflake_sql.show_tables(database, schema, after=after), query_tag)
        return [row for row in rows if snowflake_sql.is_base_table(row)]

    def clone_schemas(self, query_tag: str, *, prefix: str | None = None, like: str | None = None) -> dict[str, str | None]:
        """Return the comments of the schemas in the clone database, by name."""
        database = self.settings.clone_database
        try:
            rows = self._paged(
                lambda after: snowflake_sql.show_schemas(database, prefix=prefix, like=like, after=after), query_tag
            )
        except SnowflakeError as error:
            if error.kind is Kind.MISSING:
                raise WarehouseError(self._no_database(database, "HISTORY_CLONE_DATABASE")) from error
            raise
        return {row["name"]: row["comment"] for row in rows}

    def as_clone(self, name: str, comments: Mapping[str, str | None]) -> Clone | None:
        """Return the clone of that name among schemas and their comments, or nothing where there is no such schema."""
        if name not in comments:
            return None
        if not (clone := snowflake_sql.clone_of(name, comments[name])):
            raise WarehouseError(
                f"found a schema {path(self.settings.clone_database, name)} without the comment that says which clone it is: "
                "drop or rename it, and clone the date again"
            )
        return clone

    def _all_tables(self, database: str, query_tag: str) -> list[dict[str, Any]]:
        rows = self.sessions.rows(snowflake_sql.show_all_tables(database), query_tag)
        if len(rows) < snowflake_sql.PAGE:
            return rows
        # Pages go by the table's name, which says nothing across schemas.
        schemas = self._paged(lambda after: snowflake_sql.show_landing(database, after=after), query_tag)
        return [table for schema in schemas for table in self.base_tables(database, schema["name"], query_tag)]

    def _read(self, database: str, location: str, schema: str, query_tag: str) -> Schema:
        names = sorted(row["name"] for row in self.base_tables(database, location, query_tag))
        columns = collections.defaultdict[str, list[Column]](list)
        for row in self._unpaged(snowflake_sql.show_columns, database, location, names, query_tag):
            known = columns[row["table_name"]]
            known.append(Column(row["column_name"], snowflake_sql.type_of(row["data_type"]), len(known) + 1))
        keys = collections.defaultdict[str, dict[int, str]](dict)
        for row in self._unpaged(snowflake_sql.show_primary_keys, database, location, names, query_tag):
            keys[row["table_name"]][int(row["key_sequence"])] = row["column_name"]
        declared = {table: [parts[position] for position in sorted(parts)] for table, parts in keys.items()}
        made = (make_table(schema, name, columns[name], declared.get(name, ()), self.settings.keys) for name in names)
        return Schema(schema, tuple(made))

    def _paged(self, show: Callable[[str | None], Statement], query_tag: str) -> list[dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        after: str | None = None
        while True:
            page = self.sessions.rows(show(after), query_tag)
            before = len(found)
            found |= {row["name"]: row for row in page}
            if len(page) < snowflake_sql.PAGE or len(found) == before:
                return list(found.values())
            after = page[-1]["name"]

    def _unpaged(
        self, show: Callable[..., Statement], database: str, schema: str, tables: Collection[str], query_tag: str
    ) -> list[dict[str, Any]]:
        rows = self.sessions.rows(show(database, schema), query_tag)
        if len(rows) < snowflake_sql.PAGE:
            return rows
        whole = snowflake_sql.whole_tables(rows)
        kept = [row for row in rows if row["table_name"] in whole]
        for table in sorted(set(tables) - whole):
            kept += self.sessions.rows(show(database, schema, table), query_tag)
        return kept

    def _history(self, applied: Applied) -> HistoryTable:
        schema, table = applied.schema, applied.table
        try:
            statement = snowflake_sql.show_columns(self.settings.database, schema, table)
            columns = self.sessions.rows(statement, tag("columns", table_name(schema, table)))
        except SnowflakeError as error:
            if error.kind is not Kind.MISSING:
                raise
            columns = []
        return snowflake_history.history_table(self.settings.database, schema, table, columns)

    def _history_columns(self, schema: str, tables: Collection[str], query_tag: str) -> dict[str, list[dict[str, Any]]]:
        found = collections.defaultdict[str, list[dict[str, Any]]](list)
        try:
            rows = self._unpaged(snowflake_sql.show_columns, self.settings.database, schema, tables, query_tag)
        except SnowflakeError as error:
            if error.kind is not Kind.MISSING:
                raise
            rows = []
        for row in rows:
            found[row["table_name"]].append(row)
        return found

    def _events(self, log: str, since: dt.datetime) -> list[SyncEvent]:
        raw = self.settings.raw_database
        if not (names := names_in(self._read(raw, log, log, tag("syncs", log)))):
            return []
        rows = self.sessions.rows(snowflake_log.select_events(raw, log, names, since), tag("syncs", log))
        return [snowflake_log.event(*row.values()) for row in rows]

    def _no_database(self, name: str, setting: str) -> str:
        role = self.settings.snowflake.role if self.settings.snowflake else "the role"
        return (
            f"found no database {quote(name)} that {role} may see: set {setting} to its exact name, "
            f"or run GRANT USAGE ON DATABASE {quote(name)} TO ROLE {role}"
        )
