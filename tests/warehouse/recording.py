"""A double of the Snowflake sessions that keeps schemas in memory, records every statement, and fails when told to.

It knows just the DDL and SHOW statements of this project; what they look like is asserted in tests/unit/test_snowflake_sql.py.
"""

import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from history_assets.warehouse.snowflake_errors import Kind, SnowflakeError, kind_of
from history_assets.warehouse.snowflake_session import Identity, retrying
from history_assets.warehouse.statements import Statement

Rows = list[dict[str, Any]]

LONG_AGO = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_PAGE = r" LIMIT (\d+)(?: FROM '(.*)')?$"
_NAME = r'"((?:[^"]|"")+)"'


def table(name: str, *columns: str, key: tuple[str, ...] = (), **facts: Any) -> dict[str, Any]:
    """A table: ``columns`` as name, or name and type as SHOW COLUMNS gives it; ``facts`` are further columns of SHOW TABLES."""
    return {
        "name": name,
        "kind": "TABLE",
        "created_on": LONG_AGO,
        "rows": 1,
        "bytes": 1024,
        "columns": [column.partition(" ")[::2] for column in (*columns, "_FIVETRAN_SYNCED")],
        "key": key,
    } | facts


def refused(number: int, said: str) -> SnowflakeError:
    """An error as the session raises it."""
    return SnowflakeError(kind_of(number, None), said, "run a statement")


class RecordingSessions:
    """Schemas by database and name, each with its comment and its tables."""

    def __init__(self, raw: dict[str, list[dict[str, Any]]], page: int = 10_000) -> None:
        self.databases: dict[str, dict[str, dict[str, Any]]] = {
            "RAW": {schema: {"comment": "", "tables": tables} for schema, tables in raw.items()},
            "CLONES": {"INFORMATION_SCHEMA": {"comment": None, "tables": []}},
            "HISTORY": {},
        }
        self.page = page
        self.sent: list[Statement] = []
        self.tags: list[str] = []
        self.failures: list[tuple[str, BaseException]] = []
        self.hidden: set[str] = set()  # tables that a clone leaves out
        self.selected: Callable[[Statement], Rows] = lambda statement: []
        self.grants: dict[str, Rows] = {}

    @property
    def texts(self) -> list[str]:
        return [statement.text for statement in self.sent]

    def fail(self, beginning: str, error: BaseException, times: int = 1) -> None:
        """Have the next statements that begin so fail."""
        self.failures += [(beginning, error)] * times

    def identity(self, *, compute: bool = False) -> Identity:
        return Identity("account", "LOADER", "HISTORIAN", "NIGHTLY" if compute else None)

    def close(self) -> None:
        pass

    def rows(self, statement: Statement, query_tag: str) -> Rows:
        if statement.compute or statement.text.startswith("SHOW "):
            return retrying()(self._once, statement, query_tag)
        return self._once(statement, query_tag)

    def _once(self, statement: Statement, query_tag: str) -> Rows:
        self.sent.append(statement)
        self.tags.append(query_tag)
        for failure in self.failures:
            if statement.text.startswith(failure[0]):
                self.failures.remove(failure)
                raise failure[1]
        if statement.compute:
            return self.selected(statement)
        for pattern, answer in self._answers.items():
            if found := re.match(pattern, statement.text):
                return list(answer(self, *(name and name.replace('""', '"') for name in found.groups())) or ())
        raise AssertionError(f"the double does not know {statement.text}")

    def _schema(self, database: str, schema: str) -> dict[str, Any]:
        if schema not in self.databases.get(database, {}):
            raise refused(2003, f"SQL compilation error: Schema '{database}.{schema}' does not exist or not authorized.")
        return self.databases[database][schema]

    def _show_schemas(
        self, like: str | None, database: str, prefix: str | None, limit: str, after: str | None
    ) -> Iterator[dict[str, Any]]:
        if database not in self.databases:
            raise refused(2003, f"SQL compilation error: Database '{database}' does not exist or not authorized.")
        ending = (like or "")[1:].replace("_", ".")
        names = [
            name
            for name in sorted(self.databases[database])
            if name.startswith(prefix or "") and re.search(f"{ending}$", name) and name > (after or "")
        ]
        for name in names[: self.page]:
            yield {"name": name, "comment": self.databases[database][name]["comment"]}

    def _show_tables(self, database: str, schema: str, limit: str, after: str | None) -> Rows:
        tables = sorted(self._schema(database, schema)["tables"], key=lambda each: each["name"])
        return [{"schema_name": schema} | each for each in tables if each["name"] > (after or "")][: self.page]

    def _show_all_tables(self, database: str) -> Iterator[dict[str, Any]]:
        for schema in sorted(self.databases[database]):
            yield from ({"schema_name": schema} | each for each in self._schema(database, schema)["tables"])

    def _show_columns(self, database: str, schema: str, name: str | None) -> Rows:
        tables = [each for each in self._schema(database, schema)["tables"] if name in (None, each["name"])]
        if name and not tables:
            raise refused(2003, f"SQL compilation error: Table '{name}' does not exist or not authorized.")
        described = {"": '{"type":"TEXT","length":16777216}'}
        return [
            {"table_name": each["name"], "column_name": column, "data_type": described.get(kind, kind)}
            for each in sorted(tables, key=lambda each: each["name"])
            for column, kind in each["columns"]
        ][: None if name else self.page]

    def _show_keys(self, database: str, schema: str, name: str | None) -> Rows:
        return [
            {"table_name": each["name"], "column_name": column, "key_sequence": position}
            for each in sorted(self._schema(database, schema)["tables"], key=lambda each: each["name"])
            if name in (None, each["name"])
            for position, column in reversed(list(enumerate(each["key"], 1)))
        ][: None if name else self.page]

    def _create(self, database: str, name: str, source: str, schema: str, comment: str) -> None:
        tables = [each for each in self._schema(source, schema)["tables"] if each["name"] not in self.hidden]
        self.databases[database][name] = {"comment": _text(comment), "tables": [dict(each) for each in tables]}

    def _comment(self, database: str, name: str, comment: str) -> None:
        self._schema(database, name)["comment"] = _text(comment)

    def _rename(self, database: str, old: str, _: str, new: str) -> None:
        if new in self.databases[database]:
            raise refused(2002, f"SQL compilation error: Object '{new}' already exists.")
        self.databases[database][new] = self.databases[database].pop(old)

    def _swap(self, database: str, one: str, _: str, other: str) -> None:
        schemas = self.databases[database]
        schemas[one], schemas[other] = schemas[other], schemas[one]

    def _drop(self, database: str, name: str) -> None:
        self.databases[database].pop(name, None)

    def _grant(self, database: str, name: str, role: str) -> None:
        self._schema(database, name)

    _answers: ClassVar[dict[str, Callable[..., Any]]] = {
        rf"SHOW (?:TERSE )?SCHEMAS(?: LIKE '(.*)')? IN DATABASE {_NAME}(?: STARTS WITH '(.*)')?{_PAGE}": _show_schemas,
        rf"SHOW TABLES IN SCHEMA {_NAME}\.{_NAME}{_PAGE}": _show_tables,
        rf"SHOW TABLES IN DATABASE {_NAME} LIMIT \d+$": _show_all_tables,
        rf"SHOW COLUMNS IN (?:SCHEMA|TABLE) {_NAME}\.{_NAME}(?:\.{_NAME})?$": _show_columns,
        rf"SHOW PRIMARY KEYS IN (?:SCHEMA|TABLE) {_NAME}\.{_NAME}(?:\.{_NAME})?$": _show_keys,
        rf"SHOW GRANTS TO ROLE {_NAME}$": lambda self, role: self.grants.get(role, []),
        rf"SHOW FUTURE GRANTS TO ROLE {_NAME}$": lambda self, role: self.grants.get(f"future {role}", []),
        rf"CREATE (?:TRANSIENT )?SCHEMA {_NAME}\.{_NAME} CLONE {_NAME}\.{_NAME} AT .* COMMENT = '(.*)'$": _create,
        rf"ALTER SCHEMA {_NAME}\.{_NAME} SET COMMENT = '(.*)'$": _comment,
        rf"ALTER SCHEMA {_NAME}\.{_NAME} RENAME TO {_NAME}\.{_NAME}$": _rename,
        rf"ALTER SCHEMA {_NAME}\.{_NAME} SWAP WITH {_NAME}\.{_NAME}$": _swap,
        rf"DROP SCHEMA IF EXISTS {_NAME}\.{_NAME} CASCADE$": _drop,
        rf"GRANT USAGE ON SCHEMA {_NAME}\.{_NAME} TO ROLE {_NAME}$": _grant,
    }


def network() -> SnowflakeError:
    """A lost connection."""
    return SnowflakeError(Kind.NETWORK, "250003: connection reset", "run a statement")


def comment(sessions: RecordingSessions, name: str) -> dict[str, Any]:
    """What a clone's schema says of itself."""
    known: dict[str, Any] = json.loads(sessions.databases["CLONES"][name]["comment"])
    return known


def _text(literal: str) -> str:
    return literal.replace("''", "'").replace("\\\\", "\\")
