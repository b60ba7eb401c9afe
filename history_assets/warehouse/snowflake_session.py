"""Connections to Snowflake: opening them through dagster-snowflake, a bounded pool of them, one statement at a time.

Belongs here: credentials on their way to the connector, tags, retries of what can be sent twice. Does not belong here: what is
sent (``snowflake_sql``), what its errors mean (``snowflake_errors``).

A statement names all it touches in full, so that any connection serves for any statement. Those without a warehouse are for
SHOW and DDL, which must never wake one.
"""

import collections
import contextlib
import dataclasses
import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import tenacity

from history_assets.credentials import SnowflakeCredentials
from history_assets.errors import SettingsError, WarehouseError
from history_assets.settings import Settings
from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError, explain
from history_assets.warehouse.statements import Statement

if TYPE_CHECKING:
    import pyarrow as pa

_IDLE = 1800
"""Seconds after which an unused connection is not used again; Snowflake ends a session after four hours."""

_LONGEST_TAG = 2000

_SESSION = {
    "TIMEZONE": "UTC",
    # Whatever the account or the user prefers; macros/engines/snowflake.sql says the same.
    "TIMESTAMP_INPUT_FORMAT": "AUTO",
    "DATE_INPUT_FORMAT": "AUTO",
    "TIMESTAMP_NTZ_OUTPUT_FORMAT": "YYYY-MM-DD HH24:MI:SS.FF9",
    "CLIENT_TELEMETRY_ENABLED": False,
}


def tag(command: str, what: str = "", date: dt.date | None = None) -> str:
    """Return the query tag of a statement, by which its cost can be traced: who sent it, for which table and date."""
    return f"history_assets:{command}:{what}:{date or ''}"[:_LONGEST_TAG]


def retrying() -> tenacity.Retrying:
    """Return how often, and after what pauses, something that failed by chance is tried again."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, SnowflakeError) and error.kind in _BY_CHANCE),
        wait=tenacity.wait_random_exponential(multiplier=0.5, max=10),
        stop=tenacity.stop_after_attempt(4),
        reraise=True,
    )


_BY_CHANCE = {Kind.RACE, Kind.NETWORK, Kind.EXPIRED}
_OF_THE_SESSION = {Kind.NETWORK, Kind.EXPIRED}
"""What says something against a session; a statement that is refused does not."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """Who a session is, by the exact names that Snowflake answered with."""

    account: str
    user: str
    role: str | None
    warehouse: str | None


class Sessions:
    """A bounded pool of connections, with and without a warehouse; safe to use from several threads."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._free: dict[bool, collections.deque[_Open]] = {compute: collections.deque() for compute in (False, True)}
        self._slots = {compute: threading.BoundedSemaphore(settings.threads) for compute in (False, True)}

    def rows(self, statement: Statement, query_tag: str) -> list[dict[str, Any]]:
        """Run a statement and return its rows, by column name."""
        found: list[dict[str, Any]] = self._run(statement, query_tag, _rows)
        return found

    def transact(self, statements: Sequence[Statement], query_tag: str) -> None:
        """Run statements that make one transaction; what it enters must be what it would enter a second time."""
        retrying()(self._transact_once, statements, query_tag)

    def table(self, statement: Statement, query_tag: str) -> "list[pa.Table]":
        """Run a query and return its rows as Arrow tables of the same columns, at least one."""
        found: list[pa.Table] = self._run(statement, query_tag, _batches)
        return found

    @contextlib.contextmanager
    def session(self, query_tag: str) -> Iterator["Session"]:
        """Lend one session with a warehouse, for statements that need one and the same."""
        with self._connection(compute=True) as connection:
            yield Session(connection, query_tag)

    def identity(self, *, compute: bool = False) -> Identity:
        """Log in, and return who that made us."""
        with self._connection(compute) as connection:
            return Identity(connection.account, connection.user, connection.role, connection.warehouse)

    def close(self) -> None:
        """Log out of every session that is not in use."""
        with self._lock:
            for free in self._free.values():
                while free:
                    free.pop().close()

    def _run(self, statement: Statement, query_tag: str, fetch: Any) -> Any:
        # What changes nothing can be sent twice; whoever sends DDL knows best what a second time would do.
        if statement.compute or statement.text.startswith("SHOW "):
            return retrying()(self._run_once, statement, query_tag, fetch)
        return self._run_once(statement, query_tag, fetch)

    def _run_once(self, statement: Statement, query_tag: str, fetch: Any) -> Any:
        with self._connection(statement.compute) as connection:
            return _send(connection, statement, query_tag, fetch)

    def _transact_once(self, statements: Sequence[Statement], query_tag: str) -> None:
        from snowflake.connector.errors import Error

        with self._connection(compute=True) as connection, contextlib.closing(connection.cursor()) as cursor:
            text = ""
            try:
                for statement in statements:
                    text = statement.text
                    cursor.execute(text, statement.values or None, _statement_params={"QUERY_TAG": query_tag})
            except BaseException as error:
                with contextlib.suppress(Error):  # of a session that is gone, nothing is left
                    cursor.execute("rollback")
                if isinstance(error, Error):
                    raise explain(error, f"run {_first_words(text)}") from error
                raise

    @contextlib.contextmanager
    def _connection(self, compute: bool) -> Iterator[Any]:
        with self._slots[compute]:
            opened = self._take(compute) or self._open(compute)
            try:
                yield opened.connection
            except BaseException as error:
                if isinstance(error, SnowflakeError) and error.kind not in _OF_THE_SESSION:
                    self._give(compute, opened)
                else:
                    opened.close()
                if isinstance(error, SnowflakeError) and error.kind is Kind.EXPIRED:
                    self.close()  # the others that wait have done so for as long
                raise
            self._give(compute, opened)

    def _take(self, compute: bool) -> "_Open | None":
        with self._lock:
            while self._free[compute]:
                opened = self._free[compute].pop()
                if time.monotonic() - opened.since < _IDLE and opened.is_good():
                    return opened
                opened.close()
        return None

    def _give(self, compute: bool, opened: "_Open") -> None:
        if not opened.is_good():
            opened.close()
            return
        opened.since = time.monotonic()
        with self._lock:
            self._free[compute].append(opened)

    def _open(self, compute: bool) -> "_Open":
        from snowflake.connector.errors import Error

        stack, who = contextlib.ExitStack(), credentials(self._settings)
        try:
            connection = stack.enter_context(_resource(self._settings, compute).get_connection())
        except Error as error:
            said = explain(error, "log in").said
            raise WarehouseError(
                f"cannot log in to the Snowflake account {who.account} as {who.user} with the role {who.role} ({said}): "
                "check SNOWFLAKE_*, and that the role is granted to the user"
            ) from error
        except (ValueError, TypeError, OSError):
            # Said without the cause, whose frames hold the key.
            raise SettingsError(
                "found a private key that cannot be read: expected PEM of PKCS #8, and its passphrase if it is encrypted; "
                "check SNOWFLAKE_PRIVATE_KEY_PATH or SNOWFLAKE_PRIVATE_KEY, and SNOWFLAKE_PRIVATE_KEY_PASSPHRASE"
            ) from None
        return _Open(connection, stack, time.monotonic())


@dataclasses.dataclass(frozen=True)
class Session:
    """One session, whose temporary tables all of its statements see."""

    connection: Any
    query_tag: str

    def rows(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Run a statement and return its rows."""
        return [tuple(row.values()) for row in _send(self.connection, statement, self.query_tag, _rows)]

    def table(self, statement: Statement) -> "list[pa.Table]":
        """Run a query and return its rows as Arrow tables of the same columns, at least one."""
        found: list[pa.Table] = _send(self.connection, statement, self.query_tag, _batches)
        return found

    def insert(self, text: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run an INSERT of one row with the values of many, all in one go."""
        from snowflake.connector.errors import Error

        with contextlib.closing(self.connection.cursor()) as cursor:
            try:
                cursor.executemany(text, rows, _statement_params={"QUERY_TAG": self.query_tag})
            except Error as error:
                raise explain(error, f"run {_first_words(text)}") from error


def _send(connection: Any, statement: Statement, query_tag: str, fetch: Callable[[Any], Any]) -> Any:
    from snowflake.connector.errors import Error

    with contextlib.closing(connection.cursor()) as cursor:
        try:
            cursor.execute(statement.text, statement.values or None, _statement_params={"QUERY_TAG": query_tag})
            return fetch(cursor)
        except Error as error:
            raise explain(error, f"run {_first_words(statement.text)}") from error


def _rows(cursor: Any) -> list[dict[str, Any]]:
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _batches(cursor: Any) -> "list[pa.Table]":
    # Timestamps of the year 9999 do not fit into nanoseconds.
    batches = list(cursor.fetch_arrow_batches(force_microsecond_precision=True))
    if batches:
        return batches
    import pyarrow as pa

    # The connector's own way to a table without rows goes by pandas, which need not be there.
    return [pa.table({column.name: pa.nulls(0) for column in cursor.description})]


@dataclasses.dataclass
class _Open:
    connection: Any
    stack: contextlib.ExitStack
    since: float

    def is_good(self) -> bool:
        # The connector goes on with one that it knows to have expired.
        return not (self.connection.is_closed() or self.connection.expired)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.stack.close()


def credentials(settings: Settings) -> SnowflakeCredentials:
    """Return the credentials; raises SettingsError where there are none."""
    if settings.snowflake is None:
        raise SettingsError(
            "found no credentials of Snowflake, expected HISTORY_ENGINE=snowflake, SNOWFLAKE_ACCOUNT and what else "
            "docs/settings.md names: set them"
        )
    return settings.snowflake


def connection_arguments(settings: Settings, compute: bool) -> dict[str, Any]:
    """Return what ``SnowflakeResource`` is made of, secrets and all: never to be kept, shown or logged."""
    who = credentials(settings)
    more: dict[str, Any] = {
        "protocol": who.protocol,
        "arrow_number_to_decimal": True,
        # Asking a cloud's metadata service where it runs delays the login by seconds.
        "platform_detection_timeout_seconds": 0.0,
        "session_parameters": _SESSION,
    }
    more |= {name: value for name in ("host", "port") if (value := getattr(who, name))}
    login: dict[str, Any] = {}
    if who.token:
        more["token"] = who.token.get_secret_value()
        login["authenticator"] = who.authenticator
    elif who.private_key:
        login["private_key"] = who.private_key.get_secret_value()
    else:
        login["private_key_path"] = str(who.private_key_path and who.private_key_path.expanduser())
    if who.private_key_passphrase and not who.token:
        login["private_key_password"] = who.private_key_passphrase.get_secret_value()
    return login | {
        "account": who.account,
        "user": who.user,
        "role": who.role,
        **({"warehouse": who.warehouse} if compute else {}),
        "autocommit": True,
        "paramstyle": "qmark",
        "login_timeout": 60,
        "additional_snowflake_connection_args": more,
    }


def _resource(settings: Settings, compute: bool) -> Any:
    from dagster_snowflake import SnowflakeResource

    return SnowflakeResource(**connection_arguments(settings, compute))


def _first_words(text: str) -> str:
    return text if len(text) <= 120 else text[:117] + "..."
