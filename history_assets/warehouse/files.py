"""Copying a file without copying its blocks, where the file system can.

Belongs here: the copy-on-write calls of each operating system and the plain copy behind them. Does not belong here: DuckDB.
"""

import contextlib
import ctypes
import os
import shutil
import sys
from pathlib import Path
from typing import BinaryIO

_FICLONE = 0x40049409
"""ioctl of Linux that shares a file's extents (Btrfs, XFS, bcachefs, ZFS 2.2): linux/fs.h."""


_PIECE = 1 << 22
"""Bytes that a plain copy takes at a time."""

_AT_FDCWD = -2
"""Says to macOS that a name is to be looked up as usual: sys/fcntl.h."""


def copy_file(source: BinaryIO, target: Path) -> bool:
    """Copy a file that is open for reading, and say whether its blocks are shared (copy-on-write) rather than copied.

    It is opened no second time: to close any descriptor of a file drops all locks that the process has on it.
    """
    shared = _clone_file(source, target)
    if not shared:
        with target.open("wb") as writing:
            shutil.copyfileobj(source, writing, _PIECE)
    return shared


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder last through a power cut."""
    with contextlib.suppress(PermissionError):  # Windows opens no folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _clone_file(source: BinaryIO, target: Path) -> bool:
    if sys.platform == "linux":
        import fcntl

        with target.open("wb") as writing:
            try:
                fcntl.ioctl(writing.fileno(), _FICLONE, source.fileno())
            except OSError:  # the file system cannot, or the two are on different ones
                return False
            return True
    if sys.platform == "darwin":
        clone = ctypes.CDLL(None, use_errno=True).fclonefileat
        return bool(clone(source.fileno(), _AT_FDCWD, os.fsencode(target), 0) == 0)
    return False
