"""A clone on the embedded engine is its schema's file of an instant, whole, frozen, or not there."""

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

from history_assets.errors import CloneError, NotSettledError, WarehouseError
from history_assets.settings import Settings
from history_assets.warehouse import duckdb_clones
from history_assets.warehouse.duckdb import DuckDBWarehouse
from history_assets.warehouse.values import Clone
from tests.landing import Landing
from tests.warehouse.crm import AFTER, BEFORE, CUTOFF, DATE, contents, no_log


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
