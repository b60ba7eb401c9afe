"""Clones on Snowflake: finding, dropping and making them, complete under their names or not there at all.

Belongs here: what a schema's name and comment make it, the steps of one clone, and what a failure of each means. Does not
belong here: the statements (``snowflake_sql``), or the tables that a clone holds (``snowflake_catalog``).

A clone is built under a name of the attempt's own, compared with raw, told what it is, opened to its readers, and only then
renamed; one that is made again changes names with the old one in one step. So a schema under its final name is always complete.
"""

import collections
import contextlib
import dataclasses
import datetime as dt
import itertools
from collections.abc import Callable, Collection, Mapping
from typing import Any

from history_assets.errors import CloneError, WarehouseError
from history_assets.naming import quote
from history_assets.warehouse import snowflake_sql
from history_assets.warehouse.snowflake_catalog import Catalog
from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError
from history_assets.warehouse.snowflake_session import retrying, tag
from history_assets.warehouse.snowflake_sql import path
from history_assets.warehouse.statements import Statement
from history_assets.warehouse.values import Clone

_NAMED = 5
"""Tables that an error names before it only counts."""


class Clones:
    """The clones of an account, as their schemas' names and comments tell of them."""

    def __init__(self, catalog: Catalog, new_id: Callable[[], str]) -> None:
        self.catalog = catalog
        self.settings = catalog.settings
        self.sessions = catalog.sessions
        self.new_id = new_id

    def make(self, schema: str, date: dt.date, settle: Callable[[], dt.datetime | None], *, replace: bool) -> Clone:
        """Make a schema's clone of a date as ``Warehouse.clone`` says."""
        return _Cloning(self, schema, date).run(settle, replace=replace)

    def find(self, schema: str, date: dt.date) -> Clone | None:
        """Return a schema's clone of a date, or nothing."""
        name = snowflake_sql.clone_name(schema, date)
        return self.named(name, self.comments(tag("find", schema, date), prefix=name))

    def find_all(
        self, schemas: Collection[str], dates: Collection[dt.date]
    ) -> dict[tuple[str, dt.date], Clone | WarehouseError]:
        """Return the clones that there are of some schemas and dates, by both, as ``Warehouse.find_clones`` says."""
        like = f"%__{next(iter(dates)):%Y%m%d}" if len(dates) == 1 else None
        comments = self.comments(tag("find"), like=like)
        found = dict[tuple[str, dt.date], Clone | WarehouseError]()
        for schema, date in itertools.product(schemas, dates):
            try:
                if clone := self.named(snowflake_sql.clone_name(schema, date), comments):
                    found[schema, date] = clone
            except WarehouseError as error:
                found[schema, date] = error
        return found

    def marks(self) -> dict[str, dict[dt.date, str]]:
        """Return the identifier of every clone, by schema and date."""
        found = collections.defaultdict[str, dict[dt.date, str]](dict)
        for name, comment in self.comments(tag("find")).items():
            if clone := snowflake_sql.clone_of(name, comment):
                found[clone.schema][clone.date] = clone.clone_id
        return dict(found)

    def drop(self, clone: Clone) -> None:
        """Drop a clone as ``Warehouse.drop_clone`` says."""
        found = self.find(clone.schema, clone.date)
        if found and found.clone_id == clone.clone_id:
            drop = snowflake_sql.drop_schema(self.settings.clone_database, clone.location)
            self.sessions.rows(drop, tag("retention", clone.schema, clone.date))

    def comments(self, query_tag: str, *, prefix: str | None = None, like: str | None = None) -> dict[str, str | None]:
        """Return the comments of the schemas in the clone database, by name."""
        database = self.settings.clone_database
        with self.catalog.expecting(database, "HISTORY_CLONE_DATABASE"):
            rows = self.catalog.schemas(database, query_tag, prefix=prefix, like=like)
        return {row["name"]: row["comment"] for row in rows}

    def named(self, name: str, comments: Mapping[str, str | None]) -> Clone | None:
        """Return the clone of that name among schemas and their comments, or nothing where there is no such schema."""
        if name not in comments:
            return None
        if not (clone := snowflake_sql.clone_of(name, comments[name])):
            raise WarehouseError(
                f"found a schema {path(self.settings.clone_database, name)} without the comment that says which clone it is: "
                "drop or rename it, and clone the date again"
            )
        return clone


class _Cloning:
    """One attempt to have a schema's clone of a date."""

    def __init__(self, clones: Clones, schema: str, date: dt.date) -> None:
        self.clones = clones
        self.settings = clones.settings
        self.schema = schema
        self.date = date
        self.name = snowflake_sql.clone_name(schema, date)
        self.tag = tag("clone", schema, date)

    def run(self, settle: Callable[[], dt.datetime | None], *, replace: bool) -> Clone:
        """Return the clone, made unless it is there; ``replace`` makes it again."""
        found = self.clones.comments(self.tag, prefix=self.name)
        kept = self.clones.named(self.name, found)
        if kept and not replace:
            return kept
        cutoff = self.settings.cutoffs().at(self.date)
        quiet_point = settle() or cutoff
        clone = Clone(self.schema, self.date, self.clones.new_id(), cutoff, quiet_point, 0, 0, 0, self.name)
        building = snowflake_sql.building_name(self.name, clone.clone_id)
        try:
            for leftover in found:
                if snowflake_sql.is_building(leftover, self.name):
                    self._drop(leftover)
            expected = self._tables(self.settings.raw_database, self.schema)
            self._create(building, clone)
            clone = self._reconcile(building, clone, expected)
            self._finish(building, clone, kept is not None)
        except BaseException as error:
            with contextlib.suppress(SnowflakeError):
                self._drop(building)
            if not isinstance(error, SnowflakeError):
                raise
            # Another run may have been faster, and swept this one's work; its clone is as good.
            beaten = error.kind in (Kind.RACE, Kind.MISSING) and not replace
            if beaten and (other := self.clones.find(self.schema, self.date)):
                return other
            kind = Kind.RACE if building in error.said else error.kind
            said = self._cannot(quiet_point, error.said, self._remedy(kind))
            raise CloneError(said, passing=error.passing or kind is Kind.RACE) from error
        if kept:
            with contextlib.suppress(SnowflakeError):  # the next attempt sweeps it
                self._drop(building)
        return clone

    def _create(self, building: str, clone: Clone) -> None:
        create = snowflake_sql.create_clone(
            (self.settings.clone_database, building),
            (self.settings.raw_database, self.schema),
            clone.quiet_point,
            snowflake_sql.comment_of(clone, finished=False),
            transient=self.settings.transient_clones,
        )
        for attempt in retrying():
            with attempt:
                if attempt.retry_state.attempt_number > 1:
                    self._drop(building)  # of an attempt whose answer was lost
                self._send(create)

    def _reconcile(self, building: str, clone: Clone, expected: list[dict[str, Any]]) -> Clone:
        made = self._tables(self.settings.clone_database, building)
        names = {row["name"] for row in made}
        # Snowflake leaves out in silence what the role may not read.
        missing = [row for row in expected if row["name"] not in names and _aware(row["created_on"]) <= clone.quiet_point]
        if missing:
            some = ", ".join(row["name"] for row in missing[:_NAMED])
            more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
            raise CloneError(
                self._cannot(
                    clone.quiet_point,
                    f"the clone lacks {some}{more}, which raw has",
                    f"run {self._grant_select()}, and see that their DATA_RETENTION_TIME_IN_DAYS reaches back that far",
                )
            )
        rows, size = (sum(int(row[column] or 0) for row in made) for column in ("rows", "bytes"))
        return dataclasses.replace(clone, tables=len(made), rows=rows, bytes=size)

    def _finish(self, building: str, clone: Clone, exists: bool) -> None:
        database = self.settings.clone_database
        self._send(snowflake_sql.set_comment(database, building, snowflake_sql.comment_of(clone)))
        for reader in self.settings.clone_readers:
            self._send(snowflake_sql.grant_usage(database, building, reader))
        if exists:
            self._send(snowflake_sql.swap_schemas(database, self.name, building))
        else:
            self._send(snowflake_sql.rename_schema(database, building, self.name))

    def _tables(self, database: str, schema: str) -> list[dict[str, Any]]:
        return self.clones.catalog.base_tables(database, schema, self.tag)

    def _send(self, statement: Statement) -> None:
        self.clones.sessions.rows(statement, self.tag)

    def _drop(self, building: str) -> None:
        self._send(snowflake_sql.drop_schema(self.settings.clone_database, building))

    def _cannot(self, at: dt.datetime, reason: str, remedy: str) -> str:
        return f"cannot clone {self.schema} as it was at {at:%Y-%m-%d %H:%M:%S} UTC, because {reason}: {remedy}"

    def _grant_select(self) -> str:
        return f"GRANT SELECT ON ALL TABLES IN SCHEMA {self._raw} TO ROLE {self._role}"

    def _remedy(self, kind: Kind) -> str:
        remedies = {
            Kind.BEYOND_TIME_TRAVEL: (
                f"clone a newer date; for those to come, raise DATA_RETENTION_TIME_IN_DAYS of {self._raw} and its tables"
            ),
            Kind.MISSING: (
                f"clone a date on which {self._raw} was there, or, if it was, run "
                f"GRANT USAGE ON SCHEMA {self._raw} TO ROLE {self._role}"
            ),
            Kind.RACE: "somebody renamed or made the same meanwhile; clone the date again",
            Kind.PRIVILEGE: (
                f"run GRANT CREATE SCHEMA ON DATABASE {quote(self.settings.clone_database)} TO ROLE {self._role}; "
                f"GRANT USAGE ON SCHEMA {self._raw} TO ROLE {self._role}; {self._grant_select()}"
            ),
            Kind.TRANSIENT_SOURCE: "its tables are transient, so set HISTORY_TRANSIENT_CLONES=true",
        }
        return remedies.get(kind, "clone the date again")

    @property
    def _raw(self) -> str:
        return path(self.settings.raw_database, self.schema)

    @property
    def _role(self) -> str:
        return self.settings.snowflake.role if self.settings.snowflake else "<role>"


def _aware(moment: dt.datetime) -> dt.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
