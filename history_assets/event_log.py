"""Dagster's event log on this machine, many events at a time.

Belongs here: what makes the bookkeeping of thousands of tables fast on SQLite. Does not belong here: which events there are
(``clones``, ``snapshots``).

Dagster's own storage on SQLite opens two databases and commits to each for every event, which takes some 20 ms, and a night of
5,000 tables has 10,000 events. Each time it also makes an engine, which has yet to meet the database and to compile its first
statement. On Postgres Dagster stores batches itself, as ``DAGSTER_EVENT_BATCH_SIZE`` says.
"""

import contextlib
import functools
import itertools
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import dagster as dg
import sqlalchemy as sa

# A storage is a plug-in of Dagster's; what one is made of has no public names.
from dagster._config import UserConfigSchema
from dagster._core.events import ASSET_EVENTS, DagsterEvent, DagsterEventBatchMetadata
from dagster._core.storage.event_log import AssetKeyTable, SqlEventLogStorageTable, SqliteEventLogStorage
from dagster._core.storage.sqlite import SQLITE_BUSY_TIMEOUT_SECONDS
from dagster._serdes import ConfigurableClassData
from sqlalchemy.dialects.sqlite import insert

from history_assets.own_process import settle

BATCH_VARIABLE, BATCH = "DAGSTER_EVENT_BATCH_SIZE", "500"
"""How many events Dagster keeps before it stores them."""

ENGINES = 16
"""Engines that a process keeps: that of the index, and those of the runs it has last written or read."""

_OWN_FOLDER = 0o700
"""Permissions of a folder that is its owner's alone."""


class BatchingEventLogStorage(SqliteEventLogStorage):
    """The SQLite event log in ``DAGSTER_HOME``, where it is by default, which stores a batch in two transactions."""

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Return what dagster.yaml may say of it: nothing."""
        return {}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> Self:  # noqa: ARG003
        """Return the storage of the instance in ``DAGSTER_HOME``, and settle the process that opens it.

        Webserver and daemon load nothing else of this project's; what they write holds rows of the data too.
        """
        settle()
        databases = Path(os.environ["DAGSTER_HOME"]) / "history"
        databases.mkdir(exist_ok=True)
        databases.chmod(_OWN_FOLDER)  # Dagster has opened that of the runs by then, as the process was before
        return cls(str(databases / "runs"), inst_data)

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engine = functools.lru_cache(ENGINES)(self._open_engine)
        self._there = set[str]()
        super().__init__(base_dir, inst_data)

    def _open_engine(self, shard: str) -> sa.Engine:
        engine = sa.create_engine(
            self.conn_string_for_shard(shard),
            poolclass=sa.NullPool,  # as Dagster has it: a file that nobody is at can be moved, and taken along by a fork
            connect_args={"timeout": SQLITE_BUSY_TIMEOUT_SECONDS},
        )
        self._initdb(engine)
        return engine

    @contextlib.contextmanager
    def _connect(self, shard: str) -> Iterator[sa.Connection]:
        with self._db_lock, self._engine(shard).begin() as connection:
            yield connection

    def has_table(self, table_name: str) -> bool:
        """Say whether the index has a table; one that is there stays."""
        if table_name not in self._there and super().has_table(table_name):
            self._there.add(table_name)
        return table_name in self._there

    def store_event_batch(self, events: Sequence[dg.EventLogEntry]) -> None:
        """Store events in their order; those that more hangs on than an asset one by one, as Dagster does."""
        for of_assets, group in itertools.groupby(events, lambda event: event.dagster_event_type in ASSET_EVENTS):
            batch = list(group)
            if of_assets and len({event.run_id for event in batch}) == 1:
                self._store_asset_events(batch)
            else:
                super().store_event_batch(batch)

    def _store_asset_events(self, events: Sequence[dg.EventLogEntry]) -> None:
        rows = [self._event_to_row(event) for event in events]
        table = SqlEventLogStorageTable
        with self.run_connection(events[0].run_id) as connection:
            connection.execute(sa.insert(table), rows)
        with self.index_transaction() as connection:
            inserted = sa.insert(table).returning(table.c.id, sort_by_parameter_order=True)
            numbers: list[Any] = list(connection.execute(inserted, rows).scalars())
            self._store_asset_event_tags(connection, events, numbers)
            self._remember_assets(connection, events, numbers, [row["asset_key"] for row in rows])

    def _remember_assets(
        self, connection: sa.Connection, events: Sequence[dg.EventLogEntry], numbers: Sequence[int], keys: Sequence[str]
    ) -> None:
        """Have each asset's own row say what its newest event does, as Dagster does by two statements an event."""
        entries = [self._get_asset_entry_values(event, number, True) for event, number in zip(events, numbers, strict=True)]
        connection.execute(insert(AssetKeyTable).on_conflict_do_nothing(), [{"asset_key": key} for key in dict.fromkeys(keys)])
        said = [{"key": key, **entry} for key, entry in zip(keys, entries, strict=True) if entry]
        for _, alike in itertools.groupby(said, key=tuple):
            connection.execute(sa.update(AssetKeyTable).where(AssetKeyTable.c.asset_key == sa.bindparam("key")), list(alike))


def log_materializations(context: dg.AssetExecutionContext, materializations: Iterable[dg.AssetMaterialization]) -> None:
    """Log materializations as ``context.log_event`` does, in batches where ``DAGSTER_EVENT_BATCH_SIZE`` says so."""
    step, batch, every = context.get_step_execution_context(), str(uuid.uuid4()), list(materializations)
    for number, each in enumerate(every, 1):
        DagsterEvent.asset_materialization(step, each, DagsterEventBatchMetadata(batch, number == len(every)))
