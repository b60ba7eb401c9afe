"""The embedded engine: a clone is its schema's file of that instant, whole, frozen, or not there."""

import datetime as dt
import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
import unittest.mock
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pytest

from history_assets.errors import CloneError, NotSettledError, UsageError, WarehouseError
from history_assets.inventory import Column, KeySource, Schema, Table
from history_assets.settings import Settings
from history_assets.warehouse import duckdb_clones, duckdb_files
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.duckdb_files import read_tables
from history_assets.warehouse.values import Clone
from tests.landing import Landing

DATE = dt.date(2026, 11, 20)
BEFORE, CUTOFF, AFTER = "2026-11-19T23:00", "2026-11-20T00:00", "2026-11-20T00:01"
SYNCED = "_fivetran_synced timestamptz"


def no_log() -> None:
    """Settle a schema of which the sync log knows nothing."""
    return


def contents(path: Path | str) -> dict[str, list[tuple[object, ...]]]:
    """Return every row of every table in ``main``, and their definitions."""
    with duckdb.connect(str(path), read_only=True) as connection:
        tables = connection.execute("select table_name, sql from duckdb_tables() where schema_name = 'main'").fetchall()
        return {name: [(sql,), *sorted(connection.execute(f'from main."{name}"').fetchall(), key=repr)] for name, sql in tables}


def leave_a_log(crm: Landing) -> None:
    """Have a writer of the schema be killed before what it wrote was in more than the write-ahead log."""
    script = f"""
import duckdb, os, signal
connection = duckdb.connect({str(crm.file("crm"))!r})
connection.execute("insert into tag values ('late', now())")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    for path in crm.folder.iterdir():
        moment = dt.datetime.fromisoformat(BEFORE).replace(tzinfo=dt.UTC).timestamp()
        os.utime(path, (moment, moment))
    assert crm.file("crm").with_name("crm.duckdb.wal").exists()


def is_refused(path: Path) -> bool:
    """Say whether another process is kept from writing a file."""
    script = f"import duckdb; duckdb.connect({str(path)!r})"
    said = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert said.returncode == 0 or "Could not set lock" in said.stderr
    return said.returncode != 0


@pytest.fixture
def crm(landing: Landing) -> Landing:
    """A schema with a composite key, a keyless table with duplicates, an empty table, and a view."""
    landing.execute(
        "crm",
        BEFORE,
        f"create table item (line int, order_id int, amount decimal(12, 2), raw json, {SYNCED}, primary key (order_id, line))",
        "insert into item values (1, 7, 9.99, '{\"a\": 1}', now()), (2, 7, null, null, now())",
        f"create table tag (name varchar, {SYNCED})",
        "insert into tag values ('x', now()), ('x', now()), (null, now())",
        f"create table nothing (id int, _fivetran_id varchar, {SYNCED})",
        "create view looks as select * from item",
    )
    return landing


def test_inventory_reads_tables_columns_and_keys(crm: Landing, make_settings: Callable[..., Settings]) -> None:
    crm.execute("elsewhere", BEFORE, "create table t (id int)")
    crm.execute("fivetran_metadata", BEFORE, f"create table log (id int, {SYNCED})")

    found = DuckDBWarehouse(make_settings(keys={"crm.tag": ["name"]})).inventory()

    stamp = "TIMESTAMP WITH TIME ZONE"
    assert found.schemas == (
        Schema(
            "crm",
            (
                Table(
                    "item",
                    (
                        Column("line", "INTEGER", 1),
                        Column("order_id", "INTEGER", 2),
                        Column("amount", "DECIMAL(12,2)", 3),
                        Column("raw", "JSON", 4),
                        Column("_fivetran_synced", stamp, 5),
                    ),
                    ("order_id", "line"),
                    KeySource.DECLARED,
                ),
                Table(
                    "nothing",
                    (Column("id", "INTEGER", 1), Column("_fivetran_id", "VARCHAR", 2), Column("_fivetran_synced", stamp, 3)),
                    ("_fivetran_id",),
                    KeySource.SURROGATE,
                ),
                Table(
                    "tag", (Column("name", "VARCHAR", 1), Column("_fivetran_synced", stamp, 2)), ("name",), KeySource.CONFIGURED
                ),
            ),
        ),
    )


def test_inventory_takes_a_constant_number_of_statements(landing: Landing) -> None:
    landing.execute("narrow", BEFORE, f"create table t (id int primary key, {SYNCED})")
    landing.execute("wide", BEFORE, *(f"create table t{number} (id int primary key, {SYNCED})" for number in range(100)))
    asked: dict[str, list[str]] = {"narrow": [], "wide": []}
    for schema, statements in asked.items():
        with duckdb.connect(str(landing.file(schema)), read_only=True) as connection:
            counting = unittest.mock.Mock(wraps=connection)
            found = read_tables(counting, schema, {})
            statements += [call.args[0] for call in counting.execute.call_args_list]

    assert len(found.tables) == 100
    assert asked["narrow"] == asked["wide"]


def test_a_clone_holds_every_table_with_data_types_and_keys(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    clone = warehouse.clone("crm", DATE, no_log)

    assert contents(clone.location) == contents(crm.file("crm"))
    assert warehouse.read_clone(clone) == warehouse.read_schema("crm")
    assert clone == Clone(
        "crm",
        DATE,
        clone.clone_id,
        dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
        dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
        tables=3,
        rows=5,
        bytes=clone.bytes,
        location=str(warehouse.clones / "crm" / "2026-11-20.duckdb"),
    )
    assert clone.bytes > 0
    assert warehouse.find_clone("crm", DATE) == clone
    assert warehouse.clone_dates() == {"crm": [DATE]}


def test_a_clone_is_frozen(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    clone = Path(warehouse.clone("crm", DATE, no_log).location)
    before = contents(clone)
    crm.execute("crm", AFTER, "delete from item", "drop table tag cascade")

    assert contents(clone) == before
    assert stat.S_IMODE(clone.stat().st_mode) == 0o400


def test_a_copy_that_is_not_whole_is_no_clone(
    crm: Landing, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_some(source: BinaryIO, target: Path) -> None:
        target.write_bytes(source.read())
        with duckdb.connect(str(target)) as connection:
            connection.execute("drop table tag cascade")

    monkeypatch.setattr("history_assets.warehouse.duckdb_clones.copy_file", copy_some)

    with pytest.raises(CloneError, match=r"^found \d tables with \d+ columns in the clone of crm, expected \d tables with "):
        warehouse.clone("crm", DATE, no_log)
    assert list((warehouse.clones / "crm").iterdir()) == []


@pytest.mark.parametrize(
    "why", [OSError(errno.ENOSPC, "No space left on device"), duckdb.IOException("a block is torn\n at x")]
)
def test_what_else_a_clone_fails_at_is_that_clone_s_failure(
    why: Exception, crm: Landing, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(duckdb_clones, "copy_file", unittest.mock.Mock(side_effect=why))

    with pytest.raises(
        CloneError, match=r"^cannot clone crm for 2026-11-20, because .*(No space left on device|is torn): look"
    ):
        warehouse.clone("crm", DATE, no_log)
    assert list((warehouse.clones / "crm").iterdir()) == []


def test_a_clone_that_exists_is_kept_unless_another_is_asked_for(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    first = warehouse.clone("crm", DATE, no_log)
    crm.execute("crm", BEFORE, "delete from tag")

    kept = warehouse.clone("crm", DATE, no_log)
    assert kept == first

    again = warehouse.clone("crm", DATE, no_log, replace=True)
    assert again.clone_id != first.clone_id
    assert (again.rows, contents(again.location)) == (2, contents(crm.file("crm")))


def test_a_clone_is_dropped_once_and_its_schemas_others_stay(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    first, second = (warehouse.clone("crm", DATE + dt.timedelta(days=day), no_log) for day in (0, 1))

    warehouse.drop_clone(first)
    warehouse.drop_clone(first)

    assert warehouse.clone_dates() == {"crm": [second.date]}
    assert warehouse.find_clone("crm", second.date) == second
    assert sorted(path.name for path in Path(second.location).parent.iterdir()) == [f"{second.date}.duckdb"]


def test_a_file_that_is_named_after_no_date_is_left_alone(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    warehouse.clone("crm", DATE, no_log)
    for name in ("2026-11-20 copy", "20261121", "2026-13-01", "notes", ".2026-11-20"):
        (warehouse.clones / "crm" / f"{name}.duckdb").touch()

    assert warehouse.clone_dates() == {"crm": [DATE]}


def test_a_clone_that_was_made_again_is_not_dropped_for_the_one_before(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    first = warehouse.clone("crm", DATE, no_log)
    second = warehouse.clone("crm", DATE, no_log, replace=True)

    warehouse.drop_clone(first)

    assert warehouse.find_clone("crm", DATE) == second


def test_whoever_reads_a_clone_reads_it_to_the_end_though_it_is_dropped(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    clone = warehouse.clone("crm", DATE, no_log)
    read = "import duckdb, sys; con = duckdb.connect(); con.execute(f\"attach '{sys.argv[1]}' as c (read_only)\"); "
    read += "print('attached', flush=True); input(); print(con.execute('select count(*) from c.main.item').fetchall())"
    with subprocess.Popen(
        [sys.executable, "-c", read, clone.location], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "attached\n"

        warehouse.drop_clone(clone)

        assert warehouse.find_clone("crm", DATE) is None
        assert reader.communicate("\n", timeout=60)[0] == "[(2,)]\n"


def test_clones_are_compared_with_their_histories_by_several_at_once(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    """A process has a file open once, so that what one attaches is there for all."""
    first, second = (warehouse.clone("crm", DATE + dt.timedelta(days=day), no_log) for day in (0, 1))
    duckdb.connect(str(warehouse.history)).close()

    with duckdb_files.connect(warehouse.history, read_only=True, timeout=1) as other:
        other.execute(f"attach '{first.location}' as clone (read_only)")
        assert warehouse.differences(second, []) == []
        assert warehouse.differences(second, []) == []


def test_a_failed_second_clone_leaves_the_first(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    first = warehouse.clone("crm", DATE, no_log)

    def refuse() -> dt.datetime:
        raise CloneError("not settled")

    with pytest.raises(CloneError, match="not settled"):
        warehouse.clone("crm", DATE, refuse, replace=True)

    assert warehouse.find_clone("crm", DATE) == first
    assert [path.name for path in Path(first.location).parent.iterdir()] == ["2026-11-20.duckdb"]


def test_what_was_written_after_the_cutoff_is_never_cloned(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    crm.touch("crm", AFTER)

    with pytest.raises(CloneError, match=r"cannot clone crm as it was at 2026-11-20 00:00 UTC.*written at 2026-11-20 00:01:00"):
        warehouse.clone("crm", DATE, no_log)

    assert warehouse.clone_dates() == {}
    crm.touch("crm", CUTOFF)
    assert warehouse.clone("crm", DATE, no_log).rows == 5


def test_the_sync_log_is_believed_before_the_file(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    crm.touch("crm", AFTER)
    cutoff = warehouse.settings.cutoffs().at(DATE)

    assert warehouse.clone("crm", DATE, lambda: cutoff).rows == 5


def test_cloning_is_no_sync(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    """What a killed writer left in the write-ahead log is cloned, and the file does not look as if synced by that."""
    leave_a_log(crm)

    first = warehouse.clone("crm", DATE, no_log)
    second = warehouse.clone("crm", DATE, no_log, replace=True)

    assert (first.rows, second.rows) == (6, 6)


def test_a_clone_that_is_refused_is_no_sync(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    """What a killed writer left is written down as the file is let go, and yet the file is not taken for written then."""
    leave_a_log(crm)

    def not_yet() -> None:
        raise NotSettledError("a sync still runs")

    with pytest.raises(NotSettledError):
        warehouse.clone("crm", DATE, not_yet)

    assert warehouse.clone("crm", DATE, no_log).rows == 6


def test_what_a_killed_clone_left_is_swept(crm: Landing, warehouse: DuckDBWarehouse) -> None:
    folder = warehouse.clones / "crm"
    folder.mkdir(parents=True)
    (folder / ".2026-11-20.dead").write_bytes(b"half")

    warehouse.clone("crm", DATE, no_log)

    assert [path.name for path in folder.iterdir()] == ["2026-11-20.duckdb"]


@pytest.mark.skipif(sys.platform != "linux", reason="it stands in for a call of Linux")
@pytest.mark.parametrize("shares", [True, False], ids=["copy-on-write", "plain"])
def test_nobody_can_write_until_a_clone_is_made(
    shares: bool, crm: Landing, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB's lock is gone as soon as the process closes any descriptor of the file, so none may be closed before."""
    raw, refused = crm.file("crm"), list[bool]()
    copy, describe = shutil.copyfileobj, duckdb_clones._describe

    def share(target: int, _ficlone: int, source: int) -> None:
        refused.append(is_refused(raw))
        if not shares:
            raise OSError(errno.EOPNOTSUPP, "no copy-on-write here")
        os.sendfile(target, source, 0, raw.stat().st_size)

    def copy_bytes(*arguments: Any) -> None:
        refused.append(is_refused(raw))
        copy(*arguments)

    def describe_copied(*arguments: Any) -> Clone:
        refused.append(is_refused(raw))
        return describe(*arguments)

    monkeypatch.setattr("fcntl.ioctl", share)
    monkeypatch.setattr("shutil.copyfileobj", copy_bytes)
    monkeypatch.setattr(duckdb_clones, "_describe", describe_copied)

    assert warehouse.clone("crm", DATE, no_log).rows == 5

    assert refused == [True] * (2 if shares else 3)
    assert not is_refused(raw)


def test_a_file_that_was_replaced_while_it_was_waited_for_is_not_cloned(
    crm: Landing, warehouse: DuckDBWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, connect = crm.file("crm"), duckdb_clones.connect

    def replace_and_connect(path: Path, **how: Any) -> Any:
        if path == raw:
            shutil.copyfile(raw, raw.with_name("copy"))
            raw.with_name("copy").replace(raw)
        return connect(path, **how)

    monkeypatch.setattr(duckdb_clones, "connect", replace_and_connect)

    with pytest.raises(CloneError, match=r"^found another file put in place of .*crm\.duckdb while it was opened"):
        warehouse.clone("crm", DATE, no_log)


def test_a_clone_waits_for_a_writer(crm: Landing, warehouse: DuckDBWarehouse, make_settings: Callable[..., Settings]) -> None:
    """A schema that is being written is cloned when it is let go, or refused by name when the wait is over."""
    script = f"""
import duckdb, sys
connection = duckdb.connect({str(crm.file("crm"))!r})
print("open", flush=True)
sys.stdin.readline()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdin is not None
        assert writer.stdout.readline() == "open\n"
        with pytest.raises(WarehouseError, match=r"crm\.duckdb still in use by another process after 0\.3 s"):
            DuckDBWarehouse(make_settings(lock_timeout=0.3)).clone("crm", DATE, no_log)
        threading.Timer(0.5, lambda: writer.stdin and writer.stdin.close()).start()

        assert warehouse.clone("crm", DATE, no_log).rows == 5


@pytest.mark.parametrize("name", ["a b", 'qu"ote', "it's", "ünï", "semi;colon", "select", "UPPER"])
def test_any_schema_and_table_name_works(name: str, landing: Landing, warehouse: DuckDBWarehouse) -> None:
    quoted = '"' + name.replace('"', '""') + '"'
    landing.execute(name, BEFORE, f"create table {quoted} ({quoted} int, {SYNCED})", f"insert into {quoted} values (1, now())")

    clone = warehouse.clone(name, DATE, no_log)

    assert [table.name for table in warehouse.read_clone(clone).tables] == [name]
    assert warehouse.clone_dates() == {name: [DATE]}


def test_schemas_that_duckdb_cannot_tell_apart_are_refused(landing: Landing, warehouse: DuckDBWarehouse) -> None:
    for name in ("crm", "CRM"):
        landing.execute(name, BEFORE, f"create table t (id int, {SYNCED})")

    with pytest.raises(WarehouseError, match="differ from CRM in case only"):
        warehouse.inventory()


@pytest.mark.parametrize("name", ["main", "information_schema", "_history_assets"])
def test_schemas_that_would_shadow_the_engines_own_are_refused(name: str, landing: Landing, warehouse: DuckDBWarehouse) -> None:
    landing.execute(name, BEFORE, f"create table t (id int, {SYNCED})")

    with pytest.raises(WarehouseError, match=f"found a schema named {name}"):
        warehouse.inventory()


def test_bad_input_is_told_apart(landing: Landing, warehouse: DuckDBWarehouse, make_settings: Callable[..., Settings]) -> None:
    landing.execute("crm", BEFORE, f"create table t (id int, {SYNCED})")
    landing.execute("other", BEFORE, "create table t (id int)")

    with pytest.raises(UsageError, match="found no schema nope to clone: expected one of crm, other"):
        warehouse.inventory(["nope"])
    with pytest.raises(UsageError, match="found no table with _fivetran_synced in other"):
        warehouse.inventory(["other"])
    with pytest.raises(CloneError, match="cannot clone gone, because"):
        warehouse.clone("gone", DATE, no_log)
    with pytest.raises(WarehouseError, match="found no folder"):
        DuckDBWarehouse(make_settings(home=Path("/nowhere"))).inventory()
    landing.file("broken").write_bytes(b"this is no database")
    with pytest.raises(WarehouseError, match=r"broken\.duckdb, expected a DuckDB file"):
        warehouse.inventory()


def test_the_history_is_read_with_no_more_memory_than_may_be_taken(make_settings: Callable[..., Settings]) -> None:
    warehouse = DuckDBWarehouse(make_settings(memory_limit="300MB"))
    with duckdb.connect(str(warehouse.history)) as connection:
        connection.execute("create schema _history_assets")
    with duckdb.connect(str(warehouse.history), read_only=True) as same:  # what is set is set for the whole process
        assert warehouse.ledger() == []

        assert same.execute("select current_setting('memory_limit')").fetchall() == [("286.1 MiB",)]


def test_old_and_new_logs_are_read(landing: Landing, warehouse: DuckDBWarehouse) -> None:
    """Accounts from before 2023 have connector where newer ones have connection."""
    for log, word in (("fivetran_log", "connector"), ("fivetran_metadata", "connection")):
        landing.execute(
            log,
            BEFORE,
            f"create table {word} ({word}_id varchar, {word}_name varchar)",
            f"insert into {word} values ('id', 'crm')",
            f"create table log (time_stamp timestamptz, {word}_id varchar, message_event varchar, message_data varchar)",
            "insert into log values ('2026-11-19 22:00:00+00', 'id', 'sync_start', null), "
            "('2026-11-19 22:01:00.5+00', 'id', 'warning', null), ('2026-11-19 22:02:00+00', 'id', 'sync_end', '{}')",
        )

    events = warehouse.sync_events()

    assert [(event.name, event.at.isoformat(), event.event, event.data) for event in events] == 2 * [
        ("crm", "2026-11-19T22:00:00+00:00", "sync_start", None),
        ("crm", "2026-11-19T22:02:00+00:00", "sync_end", "{}"),
    ]


def test_a_log_that_lacks_columns_is_refused_by_name(landing: Landing, warehouse: DuckDBWarehouse) -> None:
    landing.execute(
        "fivetran_log",
        BEFORE,
        "create table connection (connection_id varchar, connection_name varchar)",
        "create table log (time_stamp timestamptz, connection_id varchar, message_event varchar)",
    )

    with pytest.raises(WarehouseError) as refused:
        warehouse.sync_events()

    assert str(refused.value) == "found a log of Fivetran in fivetran_log without data: exclude it from raw"


def test_a_new_history_is_of_small_blocks_and_small_statistics(make_settings: Callable[..., Settings]) -> None:
    """Of thousands of small tables, what is read whenever the file is opened would be most of it."""
    warehouse = DuckDBWarehouse(make_settings())
    warehouse.await_history()
    tables = ", ".join(f"c{number} integer" for number in range(100))
    with duckdb.connect(str(warehouse.history)) as connection:
        connection.execute(f"create table wide ({tables})")
        connection.execute(f"insert into wide select {', '.join(['1'] * 100)}")
        connection.execute("checkpoint")
        ((tags, size),) = connection.execute(
            "select tags, block_size from duckdb_databases(), pragma_database_size() as of_file "
            "where of_file.database_name = duckdb_databases.database_name"
        ).fetchall()

    assert (tags["storage_version"], size) == ("v1.2.0+", 65_536)
    # 3 KB of statistics for each of its columns would be 300.
    assert warehouse.history.stat().st_size < 8 * 65_536
