"""Raw as Fivetran lands it, made up: schemas of many tables, of which some change each night, and the log that tells which.

Belongs here: the data that all contenders work on, and what must be read of them. Does not belong here: any contender.

A file ``raw/<schema>.duckdb`` holds 100 tables; those that change are changed in place, and nothing else of the file is
written. ``fivetran_metadata`` is the Platform Connector's log: a sync of every schema each night, with a ``records_modified``
for each table that it wrote, and the start of the Platform Connector's own sync after each cutoff, which brought the rest: a
log that ends before a cutoff does not tell what was written up to it.
"""

import dataclasses
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import duckdb

from history_assets.naming import quote, quote_literal

FIRST = dt.date(2025, 3, 1)
"""The first clone date; all are past."""

METADATA = "fivetran_metadata"
_LOG_AFTER = dt.timedelta(minutes=5)
"""How long after a cutoff the Platform Connector's own sync begins."""
_IN_A_SCHEMA = 100

Table = tuple[str, str]
"""A table as (schema, name)."""

Fingerprint = tuple[int, int]
"""How many rows, and the sum of their hashes: the same for the same rows, duplicates and all."""


@dataclasses.dataclass(frozen=True)
class Size:
    """How much there is, and how much of it changes a night: of ``cycle`` tables one, and of ``every`` rows about one.

    Of the rows that change, eight in ten are updated; one is deleted, and one comes.
    """

    said: str
    tables: int
    rows: int
    columns: int
    cycle: int
    every: int

    @property
    def names(self) -> list[Table]:
        """The tables, in order."""
        return [(f"s{each // _IN_A_SCHEMA:02}", f"t{each % _IN_A_SCHEMA:02}") for each in range(self.tables)]

    @property
    def schemas(self) -> dict[str, list[str]]:
        """The schemas, each with its tables."""
        found: dict[str, list[str]] = {}
        for schema, table in self.names:
            found.setdefault(schema, []).append(table)
        return found

    def changed(self, night: int) -> list[Table]:
        """Return the tables that change for a night."""
        return [name for place, name in enumerate(self.names) if place % self.cycle == night % self.cycle]


def size_of(word: str) -> Size:
    """Return a size by its name: a number of tables of 1,000 rows, or ``million`` or ``wide``."""
    if word == "million":
        return Size("one table of 1,000,000 rows x 20 columns, 1 % changed", 1, 1_000_000, 20, 1, 100)
    if word == "wide":
        return Size("one table of 1,000 rows x 900 columns, 5 % changed", 1, 1_000, 900, 1, 20)
    tables = int(word)
    return Size(
        f"{tables:,} tables of 1,000 rows x 10 columns, 10 % of them changed, 5 % of their rows", tables, 1_000, 10, 10, 20
    )


class Landed:
    """The raw folder of a home, which holds what the last night landed; in the ``first`` all tables came new."""

    def __init__(self, home: Path, size: Size, first: int = 0) -> None:
        self.folder = home / "raw"
        self.size = size
        self._first = first
        self.columns = ["id", "state", *(f"c{each}" for each in range(size.columns - 2))]
        self.folder.mkdir(parents=True)
        self._schemas(self._make)
        self._log(first)

    def land(self, night: int) -> None:
        """Let the syncs of a night pass, the night after the last."""
        self._schemas(lambda connection, schema: self._change(connection, schema, night))
        self._log(night)

    def files(self) -> dict[str, Path]:
        """Return the file of each schema."""
        return {schema: self.folder / f"{schema}.duckdb" for schema in self.size.schemas}

    def fingerprints(self) -> dict[Table, Fingerprint]:
        """Return what every table holds now."""
        found = {}
        for schema, path in self.files().items():
            with duckdb.connect(str(path), read_only=True) as connection:
                for table in self.size.schemas[schema]:
                    shown = ", ".join(map(quote, self.columns))
                    (row,) = connection.execute(
                        f"select count(*), coalesce(sum(hash({shown})), 0) from {quote(table)}"
                    ).fetchall()
                    found[schema, table] = row
        return found

    def _schemas(self, fill: Callable[[duckdb.DuckDBPyConnection, str], None]) -> None:
        for schema, path in self.files().items():
            with duckdb.connect(str(path)) as connection:
                connection.execute("set TimeZone = 'UTC'")
                connection.execute("begin")
                fill(connection, schema)
                connection.execute("commit")

    def _make(self, connection: duckdb.DuckDBPyConnection, schema: str) -> None:
        for table in self.size.schemas[schema]:
            connection.execute(
                f"create table {quote(table)} (id bigint primary key, state integer, "
                f"{', '.join(f'c{each} {_KINDS[each % len(_KINDS)][1]}' for each in range(self.size.columns - 2))}, "
                "_fivetran_synced timestamptz)"
            )
            connection.execute(f"insert into {quote(table)} {self._rows(0, self.size.rows, self._first)}")

    def _change(self, connection: duckdb.DuckDBPyConnection, schema: str, night: int) -> None:
        every, rows = self.size.every * 10, self.size.rows
        few = max(1, rows // every)
        for table in self._changed(schema, night):
            place = f"(id + {-night * 9 % every}) % {every}"  # other rows than the night before
            connection.execute(
                f"update {quote(table)} set state = {night}, _fivetran_synced = {_literal(synced_at(night))} where {place} < 8"
            )
            connection.execute(f"delete from {quote(table)} where {place} = 8")
            connection.execute(f"insert into {quote(table)} {self._rows(rows + night * few, few, night)}")

    def _rows(self, first: int, count: int, night: int) -> str:
        values = [
            f"cast({_KINDS[each % len(_KINDS)][0]} as {_KINDS[each % len(_KINDS)][1]})" for each in range(self.size.columns - 2)
        ]
        shown = ", ".join(["i", str(night), *values, _literal(synced_at(night))])
        return f"select {shown} from range({first}, {first + count}) as made(i)"

    def _log(self, night: int) -> None:
        with duckdb.connect(str(self.folder / f"{METADATA}.duckdb")) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute("begin")
            if night == self._first:
                connection.execute(_CONNECTION)
                connection.execute(_LOG)
                for name, kind in {**dict.fromkeys(self.size.schemas, "postgres"), METADATA: "fivetran_log"}.items():
                    connection.execute(
                        "insert into connection values (?, ?, ?, 'warehouse', 'somebody', false, ?, false, ?)",
                        [f"id_of_{name}", name, kind, synced_at(night - 1), synced_at(night)],
                    )
            rows = [row for schema in self.size.schemas for row in self._events(schema, night)]
            own = _sync_id(METADATA, night)
            rows.append((f"{own}:0", logged_at(night), f"id_of_{METADATA}", "sync_start", None, own))
            # Column by column: rows that are bound one by one take minutes.
            connection.execute(
                "insert into log select unnest($1), unnest($2::timestamptz[]), unnest($3), 'INFO', unnest($4), unnest($5), "
                "unnest($6), null, unnest($2::timestamptz[])",
                [list(column) for column in zip(*rows, strict=True)],
            )
            connection.execute("commit")

    def _events(self, schema: str, night: int) -> Iterator[tuple[str, dt.datetime, str, str, str | None, str]]:
        sync = _sync_id(schema, night)
        told: list[tuple[str, dict[str, object] | None]] = [("sync_start", None)]
        for table in self._changed(schema, night):
            count = self.size.rows if night == self._first else self.size.rows // self.size.every
            written = {"schema": schema, "table": table, "operationType": "REPLACED_OR_INSERTED", "count": count}
            told += [
                ("write_to_table_start", {"table": table}),
                ("records_modified", written),
                ("write_to_table_end", {"table": table}),
            ]
        told.append(("sync_end", {"status": "SUCCESSFUL"}))
        for place, (event, data) in enumerate(told):
            moment = synced_at(night) + dt.timedelta(seconds=place)
            yield f"{sync}:{place}", moment, f"id_of_{schema}", event, json.dumps(data) if data else None, sync

    def _changed(self, schema: str, night: int) -> list[str]:
        if night == self._first:
            return self.size.schemas[schema]
        return [name for owner, name in self.size.changed(night) if owner == schema]


class History:
    """A history that a contender has written: where its tables are, in which file."""

    def __init__(self, path: Path, named: Callable[[Table], str]) -> None:
        self.path = path
        self.named = named

    def check(self, who: str, columns: Sequence[str], expected: Mapping[int, Mapping[Table, Fingerprint]]) -> None:
        """Check that every table comes back exactly as it was in each of some nights; else the benchmark ends here."""
        shown = ", ".join(map(quote, columns))
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("set TimeZone = 'UTC'")
            for table in next(iter(expected.values())):
                nights = [
                    f"count(*) filter ({_held(night)}), coalesce(sum(hash({shown})) filter ({_held(night)}), 0)"
                    for night in expected
                ]
                (row,) = connection.execute(f"select {', '.join(nights)} from {self.named(table)}").fetchall()
                for place, (night, wanted) in enumerate(expected.items()):
                    found = row[2 * place : 2 * place + 2]
                    if tuple(found) != wanted[table]:
                        raise SystemExit(
                            f"{who} does not give back {'.'.join(table)} of {date_of(night)}: found {found[0]} rows, expected "
                            f"{wanted[table][0]}, or others: what it took counts for nothing"
                        )


def in_schema(table: Table) -> str:
    """Return the name of a history that lies in a schema of the source's name."""
    return ".".join(map(quote, table))


def date_of(night: int) -> dt.date:
    """Return a night's clone date."""
    return FIRST + dt.timedelta(days=night)


def cutoff_of(night: int) -> str:
    """Return the cutoff of a night, as SQL writes it in UTC."""
    return f"{date_of(night)} 00:00:00"


def synced_at(night: int) -> dt.datetime:
    """Return when a night's syncs begin."""
    return dt.datetime.combine(date_of(night), dt.time(), dt.UTC) - dt.timedelta(hours=2)


def logged_at(night: int) -> dt.datetime:
    """Return when the sync begins that brings the log of a night."""
    return dt.datetime.combine(date_of(night), dt.time(), dt.UTC) + _LOG_AFTER


def _sync_id(connection: str, night: int) -> str:
    return hashlib.sha1(f"{connection}:{night}".encode(), usedforsecurity=False).hexdigest()


def _held(night: int) -> str:
    at = f"timestamp '{cutoff_of(night)}'"
    return f"where dbt_valid_from <= {at} and (dbt_valid_to is null or dbt_valid_to > {at})"


def _literal(instant: dt.datetime) -> str:
    return f"timestamptz {quote_literal(instant.isoformat())}"


_KINDS = (("i % 97", "integer"), ("i / 7.0", "double"), ("'text ' || i", "varchar"), ("i % 2 = 0", "boolean"))
_CONNECTION = """create table connection (connection_id varchar primary key, connection_name varchar, connector_type_id varchar,
destination_id varchar, connecting_user_id varchar, paused boolean, signed_up timestamptz, _fivetran_deleted boolean,
_fivetran_synced timestamptz)"""
_LOG = """create table log (id varchar, time_stamp timestamptz, connection_id varchar, event varchar, message_event varchar,
message_data varchar, sync_id varchar, transformation_id varchar, _fivetran_synced timestamptz)"""
