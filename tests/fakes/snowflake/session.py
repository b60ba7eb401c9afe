"""A session: its current role, warehouse, database and schema, its transaction, its temporary tables, and what runs in it."""

import itertools
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import duckdb
import sqlglot
from sqlglot import exp

from tests.fakes.snowflake import commands, information_schema, log, names, queries, show, tables, translate
from tests.fakes.snowflake.catalog import Table
from tests.fakes.snowflake.errors import (
    SnowflakeError,
    no_current,
    no_warehouse,
    syntax_error,
    unsupported,
)
from tests.fakes.snowflake.results import Result
from tests.fakes.snowflake.words import Words

if TYPE_CHECKING:
    from tests.fakes.snowflake.emulator import Emulator

_numbers = itertools.count(1)


@dataclass
class Session:
    """One login."""

    emulator: "Emulator"
    connection: duckdb.DuckDBPyConnection
    user: str
    role: str
    warehouse: str | None = None
    database: str | None = None
    schema: str | None = None
    parameters: dict[str, str] = field(default_factory=dict)
    in_transaction: bool = False
    observed: bool = True
    """Whether its statements are logged, delayed and made to fail; those that set a test up are not."""
    journal: list[str] = field(default_factory=list)
    """What the open transaction wrote, to be written again where a failed statement makes DuckDB give the transaction up."""
    temporary: dict[tuple[str, str, str], Table] = field(default_factory=dict)
    number: int = field(default_factory=lambda: next(_numbers))
    last_query: str | None = None
    idle_since: float | None = None
    """When its last statement ended; nothing while one runs."""

    def execute(self, sql: str, tag: str | None = None) -> Result:
        """Run one statement and log it; the tag, where given, is the statement's own."""
        words = Words(sql)
        entry = log.Statement(
            text=sql,
            kind=_kind(sql),
            tag=self.parameters.get("QUERY_TAG", "") if tag is None else tag,
            session=self.number,
            user=self.user,
            role=self.role,
            at=self.emulator.now,
            began=time.perf_counter(),
        )
        self.idle_since = None
        if self.observed:
            self.emulator.log.append(entry)
            time.sleep(self.emulator.delays.get(entry.kind, self.emulator.delay))
        try:
            if self.observed:
                self.emulator.meet(entry)
            return self._run_when_free(sql, words, entry)
        except SnowflakeError as error:
            entry.error = error.code
            raise
        finally:
            entry.seconds = time.perf_counter() - entry.began
            self.idle_since = time.monotonic()

    def _run_when_free(self, sql: str, words: Words, entry: log.Statement) -> Result:
        """Run a statement; one that meets what another transaction has not committed waits for it, as at Snowflake's locks."""
        patience = time.monotonic() + self.emulator.lock_timeout
        start = words.position
        while True:
            try:
                with self.emulator.lock:
                    return self._run(sql, words, entry)
            except duckdb.Error as error:
                with self.emulator.lock:
                    self._restore_transaction()
                if not isinstance(error, duckdb.TransactionException) or time.monotonic() > patience:
                    raise queries.error_of(error) from error
            self.emulator.abort_idle_transactions()
            words.position = start
            time.sleep(0.02)

    def write(self, sql: str) -> list[tuple[Any, ...]]:
        """Run DML in DuckDB, and note it in the journal of the transaction.

        DuckDB's transaction begins with the first write, since Snowflake's sees what others commit after its BEGIN.
        """
        if self.parameters.get("AUTOCOMMIT", "true").lower() == "false":
            self.in_transaction = True
        if self.in_transaction and not self.journal:
            self.connection.execute("begin")
            self.journal.append("select 1")
        rows = self.connection.execute(sql).fetchall()
        if self.in_transaction:
            self.journal.append(sql)
        return rows

    def lock_table(self, place: translate.Place) -> None:
        """Have a table to itself until the transaction ends, as MERGE, UPDATE and DELETE do, whatever they meet.

        https://docs.snowflake.com/en/sql-reference/transactions#resource-locking
        """
        holder = self.emulator.locks.get(place)
        if holder is not None and holder is not self:
            raise duckdb.TransactionException(f"{'.'.join(place)} is locked by the session {holder.number}")
        if self.in_transaction:
            self.emulator.locks[place] = self

    def _restore_transaction(self) -> None:
        """A statement that fails ends no transaction on Snowflake: https://docs.snowflake.com/en/sql-reference/transactions"""
        if self.journal:
            self.connection.execute("rollback")
            self.connection.execute("begin")
            for sql in self.journal:
                self.connection.execute(sql)

    def _run(self, sql: str, words: Words, entry: log.Statement) -> Result:
        command = commands.find(words)
        if command is not None:
            return command(self, words)
        if words.accept("SHOW"):
            return show.run(self, words)
        if words.one_of("DESCRIBE", "DESC"):
            return show.describe(self, words)
        try:
            trees = [
                tree
                for tree in sqlglot.parse(sql, read="snowflake")
                if tree is not None and not isinstance(tree, exp.Semicolon)
            ]
        except sqlglot.errors.ParseError as error:
            raise syntax_error(re.sub(r"\x1b\[\d*m", "", str(error))) from None
        if len(trees) != 1:
            raise SnowflakeError(
                "000008", "0A000", f"Actual statement count {len(trees)} did not match the desired statement count 1."
            )
        tree = trees[0]
        entry.needs_warehouse = log.needs_warehouse(tree)
        if entry.needs_warehouse:
            self.wake_warehouse()
        if isinstance(tree, exp.Query | exp.Insert | exp.Update | exp.Delete | exp.Merge):
            return queries.run(self, tree)
        if isinstance(tree, exp.Create | exp.Drop | exp.Alter | exp.Comment | exp.TruncateTable):
            return tables.run(self, tree)
        raise unsupported(sql[:200])

    def wake_warehouse(self) -> None:
        if self.warehouse is None or self.warehouse not in self.emulator.catalog.warehouses:
            raise no_warehouse()
        self.emulator.catalog.warehouses[self.warehouse] = "STARTED"

    def commit(self) -> None:
        """End the transaction, if there is one; also what any DDL does first."""
        self._end("commit")

    def close(self) -> None:
        """Give up what is not committed, and the temporary tables."""
        with self.emulator.lock:
            self.rollback()
            self.connection.close()

    def rollback(self) -> None:
        self._end("rollback")

    def abort_if_idle(self, limit: float) -> None:
        """Roll back a transaction of which nothing was heard for so many seconds."""
        if self.in_transaction and self.idle_since is not None and time.monotonic() - self.idle_since > limit:
            self.rollback()

    def _end(self, how: str) -> None:
        self.in_transaction = False
        for place in [place for place, holder in self.emulator.locks.items() if holder is self]:
            del self.emulator.locks[place]
        if self.journal:
            self.journal.clear()
            self.connection.execute(how)

    def full(self, parts: tuple[str, ...], length: int = 3) -> tuple[str, ...]:
        """Complete a name of a table (3 parts) or a schema (2) with the current database and schema."""
        if len(parts) > length:
            raise syntax_error(f"too many parts in {names.shown(*parts)}")
        missing = length - len(parts)
        current = (self.database, self.schema)[:missing] if length == 3 else (self.database,)[:missing]
        for value, kind in zip(current, ("database", "schema"), strict=False):
            if value is None:
                raise no_current(kind)
        return (*(value for value in current if value), *parts)

    def table_place(self, parts: tuple[str, ...]) -> tuple[Table, translate.Place]:
        """Return a table that the role may see, and where it is stored; temporary ones hide others."""
        database, schema, name = self.full(parts)
        if (database, schema, name) in self.temporary:
            return self.temporary[database, schema, name], translate.temporary_place(database, schema, name)
        table = self.emulator.catalog.table(self.role, database, schema, name)
        return table, (self.place(database, schema), names.stored(name))

    def place(self, database: str, schema: str) -> str:
        return self.emulator.catalog.schema(database, schema).place[1:-1].replace('""', '"')

    def context(self) -> translate.Context:
        facts = {
            "ROLE": self.role,
            "USER": self.user,
            "WAREHOUSE": self.warehouse,
            "DATABASE": self.database,
            "SCHEMA": self.schema,
            "VERSION": "9.99.0",
            "ACCOUNT": self.emulator.account.upper(),
            "REGION": "AWS_EU_CENTRAL_1",
            "SESSION": str(self.number),
            "TRANSACTION": str(self.number) if self.in_transaction else None,
            "LAST_QUERY_ID": self.last_query,
        }
        return translate.Context(self._place_of, self._function_of, self.emulator.now, facts)

    def _place_of(self, table: exp.Table) -> translate.Place:
        parts = translate.name_of(table)
        if len(parts) >= 2 and parts[-2] == "INFORMATION_SCHEMA":
            database = parts[0] if len(parts) == 3 else self.full(("INFORMATION_SCHEMA",), 2)[0]
            return information_schema.place(self, database, parts[-1])
        found, place = self.table_place(parts)
        when = table.args.get("when")
        if when is not None:
            return queries.place_at(self, self.full(parts), found, when)
        return place

    def _function_of(self, parts: tuple[str, ...]) -> translate.Place | None:
        try:
            database, schema, name = self.full(parts)
            found = self.emulator.catalog.schema(database, schema)
        except SnowflakeError:
            return None
        return (self.place(database, schema), names.stored(name)) if name in found.functions else None


def _kind(sql: str) -> str:
    """Return what a statement does, in a word or two."""
    skipped = {"OR", "REPLACE", "TRANSIENT", "TEMPORARY", "TEMP", "TERSE", "IF", "NOT", "EXISTS", "INTO", "FROM"}
    found = [word.upper() for word in re.findall(r"[A-Za-z_]+", re.sub(r"/\*.*?\*/|--[^\n]*", " ", sql, flags=re.DOTALL))[:8]]
    found = [word for word in found if word not in skipped] or [""]
    if found[0] == "WITH":
        return "SELECT"
    two = found[0] in ("CREATE", "ALTER", "DROP", "SHOW", "DESCRIBE", "DESC", "USE", "COMMENT", "TRUNCATE")
    return " ".join(found[:2]) if two else found[0]
