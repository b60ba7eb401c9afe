"""The account under test: what a test sets up, injects and reads."""

import datetime as dt
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import duckdb
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from tests.fakes.snowflake import clone, functions
from tests.fakes.snowflake.auth import User
from tests.fakes.snowflake.catalog import Catalog, Database, Schema
from tests.fakes.snowflake.errors import SnowflakeError
from tests.fakes.snowflake.log import Statement
from tests.fakes.snowflake.server import Server
from tests.fakes.snowflake.session import Session
from tests.fakes.snowflake.translate import Place
from tests.fakes.snowflake.words import Words


@dataclass
class Injected:
    """An error that the n-th next statement matching a pattern ends in."""

    pattern: str
    error: SnowflakeError
    left: int


class Emulator:
    """A Snowflake account, served while the ``with`` block lasts.

    It has the user TESTER with an OAuth token and an access token, the role TESTER_ROLE, the warehouse WH, and no database::

        with Emulator() as emulator:
            emulator.create_database("RAW", retention=30)
            emulator.land("RAW.SHOP", "2026-11-21 20:00", "create table t (id int)", "insert into t values (1)")
            emulator.now = "2026-11-23 06:00"
            with snowflake.connector.connect(**emulator.settings) as connection:
                connection.cursor().execute("create transient schema RAW.COPY clone RAW.SHOP at (timestamp => …)")
            assert [statement.kind for statement in emulator.log] == ["CREATE SCHEMA"]

    Its limits: timestamps hold microseconds; TIMESTAMP_TZ forgets its offset; JSON that is not a literal keeps its keys' order;
    DATEADD of a DATE gives a timestamp; what grants allow is not enforced, see ``hide`` and ``fail``.
    """

    account = "emulated"

    def __init__(self, cap: int = 10_000, delay: float = 0.0) -> None:
        self.cap = cap
        """How many records a SHOW command gives at most."""
        self.delay = delay
        """Seconds that each statement takes at least."""
        self.delays: dict[str, float] = {}
        """The same for statements of some kinds, as the log names them."""
        self.lock_timeout = 5.0
        """Seconds that a statement waits for what another transaction has not committed."""
        self.idle_limit = 1.0
        """Seconds without a statement after which a transaction that blocks another is aborted; five minutes at Snowflake."""
        self.log: list[Statement] = []
        self.catalog = Catalog()
        self.catalog.roles.append("TESTER_ROLE")
        self.catalog.warehouses["WH"] = "SUSPENDED"
        self.users = {"TESTER": User("TESTER", "TESTER_ROLE", oauth_tokens={"oauth-token"}, access_tokens={"access-token"})}
        self.lock = threading.RLock()
        self.connection = duckdb.connect()
        self.connection.execute("set global TimeZone = 'UTC'")
        functions.install(self.connection)
        self.locks: dict[Place, Session] = {}
        """Tables that transactions have changed rows of, and not ended since."""
        self.started = self.now
        self._injected: list[Injected] = []
        self._watched: list[tuple[str, Callable[[Statement], None]]] = []
        self._server: Server | None = None

    # Serving.

    def __enter__(self) -> Self:
        self._server = Server(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._server is not None:
            self._server.close()
        self.connection.close()

    @property
    def port(self) -> int:
        assert self._server is not None, "the emulator serves only inside its `with` block"
        return self._server.port

    @property
    def settings(self) -> dict[str, Any]:
        """What ``snowflake.connector.connect`` needs to reach the account; dbt's profile has fields of the same names."""
        return {
            "account": self.account,
            "user": "TESTER",
            "authenticator": "oauth",
            "token": "oauth-token",
            "role": "TESTER_ROLE",
            "warehouse": "WH",
            "host": "127.0.0.1",
            "port": self.port,
            "protocol": "http",
        }

    # Time.

    _now: dt.datetime | None = None

    @property
    def now(self) -> dt.datetime:
        """The account's time; the real one until it is set."""
        return self._now or dt.datetime.now(dt.UTC)

    @now.setter
    def now(self, moment: dt.datetime | str | None) -> None:
        self._now = instant(moment) if isinstance(moment, str) else moment

    @contextmanager
    def as_if_at(self, moment: str) -> Iterator[None]:
        before, self._now = self._now, instant(moment)
        try:
            yield
        finally:
            self._now = before

    # What is in the account.

    def create_database(self, name: str, owner: str = "ACCOUNTADMIN", retention: int | None = None) -> Database:
        """Add a database with its schemas INFORMATION_SCHEMA and PUBLIC, and so many days of Time Travel."""
        database = Database(name, self.now, owner, retention=retention)
        self.catalog.databases[name] = database
        for schema in ("INFORMATION_SCHEMA", "PUBLIC"):
            database.schemas[schema] = Schema(name, schema, self.now, "" if schema == "INFORMATION_SCHEMA" else owner)
            self.connection.cursor().execute(f"create schema {database.schemas[schema].place}")
        return database

    def run(self, *statements: str, at: str | None = None, role: str = "ACCOUNTADMIN") -> list[tuple[Any, ...]]:
        """Run statements beside the server, unlogged, as if at an instant; return the last one's rows."""
        session = Session(self, self.connection.cursor(), "ADMIN", role, warehouse="WH", observed=False)
        try:
            with self.lock if at else nullcontext(), self.as_if_at(at) if at else nullcontext():
                last = [session.execute(statement) for statement in statements][-1]
        finally:
            session.close()
        if last.table is None:
            return [tuple(row) for row in last.rows]
        return list(zip(*(column.to_pylist() for column in last.table.columns), strict=True))

    def land(self, schema: str, at: str, *statements: str) -> None:
        """Run statements in a schema (``RAW."salesforce"``, made if need be) as if at an instant, and record it."""
        database, name = Words(schema).name()
        if database not in self.catalog.databases:
            with self.as_if_at(at):
                self.create_database(database)
        if name not in self.catalog.databases[database].schemas:
            self.run(f"create schema {schema}", at=at)
        self.run(f"use schema {schema}", *statements, at=at)
        self.record(schema, at)

    def record(self, schema: str, at: str) -> None:
        """Keep what a schema holds now as what it held at an instant, for AT (TIMESTAMP => …)."""
        with self.lock:
            clone.record(self.connection.cursor(), self.catalog.schema(*Words(schema).name()), instant(at))

    def hide(self, table: str, role: str = "TESTER_ROLE") -> None:
        """Take from a role the right to see a table: ``RAW.SALESFORCE.ACCOUNT``."""
        database, schema, name = Words(table).name()
        self.catalog.hidden.add((role, database, schema, name))

    def flag(self, table: str, *flags: str) -> None:
        """Make a table ``is_hybrid``, ``is_iceberg``, ``is_dynamic`` or ``is_external``, as far as SHOW and clones tell."""
        database, schema, name = Words(table).name()
        self.catalog.schema(database, schema).tables[name].flags |= frozenset(flags)

    def add_user(self, name: str, role: str, *keys: RSAPublicKey) -> None:
        """Add a user with public keys."""
        if role not in self.catalog.roles:
            self.catalog.roles.append(role)
        self.users[name] = User(name, role, list(keys))

    def end_sessions(self) -> None:
        """Let every session time out, as those of killed clients do in the end."""
        assert self._server is not None, "the emulator serves only inside its `with` block"
        self._server.end_sessions()

    # Failures.

    def fail(self, pattern: str, error: SnowflakeError, nth: int = 1) -> None:
        """Let the n-th next statement that a pattern is found in (in any case) end in an error."""
        self._injected.append(Injected(pattern, error, nth))

    def watch(self, pattern: str, action: Callable[[Statement], None]) -> None:
        """Have something done before each statement that a pattern is found in (in any case), in the thread that serves it."""
        self._watched.append((pattern, action))

    def meet(self, statement: Statement) -> None:
        """Do what a test wants done before a statement, or raise what it wants raised."""
        for pattern, action in self._watched:
            if re.search(pattern, statement.text, re.IGNORECASE | re.DOTALL):
                action(statement)
        with self.lock:
            for injected in list(self._injected):
                if re.search(injected.pattern, statement.text, re.IGNORECASE | re.DOTALL):
                    injected.left -= 1
                    if injected.left == 0:
                        self._injected.remove(injected)
                        raise injected.error

    def abort_idle_transactions(self) -> None:
        """End transactions of sessions that went silent, as where a client died, so that others need not wait for them.

        https://docs.snowflake.com/en/sql-reference/transactions#aborting-transactions
        """
        with self.lock:
            for session in list(self._server.sessions.values()) if self._server else ():
                session.abort_if_idle(self.idle_limit)


def instant(moment: str) -> dt.datetime:
    """Read an ISO instant; one without an offset is UTC."""
    parsed = dt.datetime.fromisoformat(moment)
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=dt.UTC)
