"""The folder of scripts: one script for each file, or why it is none.

Belongs here: which files are looked at, and that nothing that lies there stops the others. Does not belong here: what a file
says (``metadata``).
"""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from history_assets.errors import ScriptError
from history_assets.naming import LONGEST_ENCODED, encode
from history_assets.scripts.metadata import Metadata, parse

_LARGEST = 1_000_000
"""Bytes of a file; no script is so long, and all are read whenever the definitions load."""


@dataclasses.dataclass(frozen=True)
class Script:
    """A script that can run; ``name`` is its file's, without the ending."""

    name: str
    path: Path
    metadata: Metadata

    @property
    def key(self) -> list[str]:
        """The asset's key path."""
        return script_key(self.name)

    @property
    def dated(self) -> bool:
        """Whether it reads histories, and so has a partition for each date."""
        return bool(self.metadata.after)


@dataclasses.dataclass(frozen=True)
class Broken:
    """A file that is no script, and why; ``owner`` where it still says who that is."""

    name: str
    path: Path
    reason: str
    owner: str | None = None

    @property
    def key(self) -> list[str]:
        """The asset's key path."""
        return script_key(self.name)


def script_key(name: str) -> list[str]:
    """Return the asset key path of a script."""
    encoded = encode(name)
    if len(encoded) > LONGEST_ENCODED:  # a file's name may be all escapes
        encoded = f"{encoded[:100]}__{hashlib.sha256(encoded.encode()).hexdigest()[:16]}"
    return ["scripts", encoded]


def read_folder(folder: Path) -> list[Script | Broken]:
    """Return what the folder holds, by name; nothing where it does not exist. Names that begin with _ or . are left alone."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".py") and name[0] not in "_.")
    except FileNotFoundError:
        return []
    except OSError as error:
        reason = f"found HISTORY_SCRIPTS={shown(folder)}, expected a folder that can be read: {error.strerror}"
        return [Broken(folder.name, folder, reason)]
    return [read_file(folder / name) for name in names]


def read_file(path: Path) -> Script | Broken:
    """Return the script in a file, or why it is none."""
    name = path.name.removesuffix(".py")
    try:
        return Script(name, path, parse(_text(path)))
    except ScriptError as error:
        where = f"{shown(path.name)}, line {error.line}" if error.line else shown(path.name)
        return Broken(name, path, f"{where}: {error}")


def broken(script: Script, reason: str, line: int) -> Broken:
    """Return a script as one that cannot run after all."""
    return Broken(script.name, script.path, f"{shown(script.path.name)}, line {line}: {reason}", script.metadata.owner)


def shown(text: Path | str) -> str:
    """Return a text on one line that can be kept anywhere, which a file's name need not be."""
    return str(text) if str(text).isprintable() else ascii(str(text))[1:-1]


def mark(folder: Path) -> str:
    """Return what stands for the files of a folder as they are: the same for the same, without reading them."""
    known: Sequence[tuple[str, int, int]] = ()
    try:
        with os.scandir(folder) as entries:
            known = sorted(
                (repr(each.name), (found := each.stat(follow_symlinks=False)).st_mtime_ns, found.st_size)
                for each in entries
                if each.name.endswith(".py") and each.name[0] not in "_."
            )
    except OSError:  # as of a folder that is not there
        return "none"
    return hashlib.sha256(repr(known).encode()).hexdigest()[:16]


def _text(path: Path) -> str:
    try:
        if not path.is_file():  # a pipe would be waited for
            raise ScriptError("found what is no file, expected a Python file")
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise ScriptError(f"found a file that cannot be read: {error.strerror}") from None
    if len(content) > _LARGEST:
        raise ScriptError(f"found more than {_LARGEST} bytes: expected a script, and its data elsewhere")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScriptError("found what is no UTF-8", content.count(b"\n", 0, error.start) + 1) from None
    return text.replace("\r\n", "\n").replace("\r", "\n")
