"""Copying a file without copying its blocks, where the file system can.

Belongs here: the copy-on-write calls of each operating system and the plain copy behind them. Does not belong here: DuckDB.
"""

import contextlib
import ctypes
import os
import shutil
import sys
from pathlib import Path

_FICLONE = 0x40049409
"""ioctl of Linux that shares a file's extents (Btrfs, XFS, bcachefs, ZFS 2.2): linux/fs.h."""


def copy_file(source: Path, target: Path) -> bool:
    """Copy a file and say whether its blocks are shared (copy-on-write) rather than copied."""
    shared = _clone_file(source, target)
    if not shared:
        shutil.copyfile(source, target)
    return shared


def sync_folder(folder: Path) -> None:
    """Make the renames in a folder last through a power cut."""
    with contextlib.suppress(PermissionError):  # Windows opens no folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _clone_file(source: Path, target: Path) -> bool:
    if sys.platform == "linux":
        import fcntl

        with source.open("rb") as reading, target.open("wb") as writing:
            try:
                fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
            except OSError:  # the file system cannot, or the two are on different ones
                return False
            return True
    if sys.platform == "darwin":
        clonefile = ctypes.CDLL(None, use_errno=True).clonefile
        return bool(clonefile(os.fsencode(source), os.fsencode(target), 0) == 0)
    return False
