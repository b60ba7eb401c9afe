"""Making one clone on Snowflake: complete under its name, or not there at all.

Belongs here: the steps of one clone, and what a failure of each means. Does not belong here: finding clones, or reading them
(``snowflake``).

A clone is built under a name of the attempt's own, compared with raw, told what it is, opened to its readers, and only then
renamed; one that is made again changes names with the old one in one step. So a schema under its final name is always complete.
"""

import contextlib
import dataclasses
import datetime as dt
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from history_assets.errors import CloneError
from history_assets.naming import quote
from history_assets.warehouse import snowflake_sql
from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError
from history_assets.warehouse.snowflake_session import retrying, tag
from history_assets.warehouse.snowflake_sql import path
from history_assets.warehouse.statements import Statement
from history_assets.warehouse.values import Clone

if TYPE_CHECKING:
    from history_assets.warehouse.snowflake import SnowflakeWarehouse

_NAMED = 5
"""Tables that an error names before it only counts."""


class Cloning:
    """One attempt to have a schema's clone of a date."""

    def __init__(self, warehouse: "SnowflakeWarehouse", schema: str, date: dt.date) -> None:
        self.warehouse = warehouse
        self.settings = warehouse.settings
        self.schema = schema
        self.date = date
        self.name = snowflake_sql.clone_name(schema, date)
        self.tag = tag("clone", schema, date)

    def run(self, settle: Callable[[], dt.datetime | None], *, replace: bool) -> Clone:
        """Return the clone, made unless it is there; ``replace`` makes it again."""
        found = self.warehouse.clone_schemas(self.tag, prefix=self.name)
        kept = self.warehouse.as_clone(self.name, found)
        if kept and not replace:
            return kept
        cutoff = self.settings.cutoffs().at(self.date)
        quiet_point = settle() or cutoff
        clone = Clone(self.schema, self.date, self.warehouse.new_id(), cutoff, quiet_point, 0, 0, 0, self.name)
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
            if beaten and (other := self.warehouse.find_clone(self.schema, self.date)):
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
        return self.warehouse.base_tables(database, schema, self.tag)

    def _send(self, statement: Statement) -> None:
        self.warehouse.sessions.rows(statement, self.tag)

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
