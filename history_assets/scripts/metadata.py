"""What a script says of itself: inline metadata by PEP 723, and in it the table ``[tool.history-assets]``.

Belongs here: from a file's text to its metadata, or to the line at fault. Does not belong here: files (``folder``), or what the
names in it stand for (``links``).
"""

import ast
import dataclasses
import datetime as dt
import platform
import re
import tomllib
import warnings
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

# The rule by which Dagster reads a schedule has no public name.
from dagster._utils.schedules import is_valid_cron_string
from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StrictInt, StrictStr, ValidationError

from history_assets.errors import ScriptError

TABLE = "history-assets"
_ABOVE = ("tool", TABLE)

_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
"""The reference expression of PEP 723."""

_TIME = re.compile(r"([1-9]\d{0,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_OWNER = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}|team:\S+")
"""As Dagster takes them."""

_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_TOML_LINE = re.compile(r"at line (\d+)")
_WORDS = {
    "extra_forbidden": "is unknown",
    "string_type": "is no text: write it in quotes",
    "int_type": "is no whole number",
    "model_type": "is no table",
    "tuple_type": 'is no list: write it as ["…", "…"]',
}


def _duration(value: Any) -> Any:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if not found:
        raise ValueError('expected a number and its unit, such as "90s", "30m" or "2h"')
    return dt.timedelta(seconds=int(found[1]) * _SECONDS[found[2]])


def _owner(value: str) -> str:
    if not _OWNER.fullmatch(value):
        raise ValueError('expected an e-mail address, or a team as "team:forecasting"')
    return value


def _cron(value: str) -> str:
    if not is_valid_cron_string(value):
        raise ValueError('expected a cron expression of five fields, such as "0 6 * * MON"')
    return value


def _requirement(value: str) -> str:
    try:
        return str(Requirement(value))
    except InvalidRequirement as error:
        raise ValueError(f"expected a dependency by PEP 508 ({str(error).splitlines()[0]})") from None


def _python(value: str) -> str:
    try:
        SpecifierSet(value)
    except InvalidSpecifier:
        raise ValueError('expected a range of versions, such as ">=3.11"') from None
    return value


class _Wishes(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: tuple[Annotated[StrictStr, Field(min_length=1)], ...] = ()
    schedule: Annotated[StrictStr, AfterValidator(_cron)] | None = None
    retries: Annotated[StrictInt, Field(ge=0, le=10)] = 0
    timeout: Annotated[dt.timedelta, BeforeValidator(_duration)] = dt.timedelta(hours=2)
    owner: Annotated[StrictStr, AfterValidator(_owner)] | None = None
    feeds: tuple[Annotated[StrictStr, Field(min_length=1)], ...] = ()


class _Tools(BaseModel):
    model_config = ConfigDict(extra="ignore")  # those of other tools

    wishes: _Wishes = Field(_Wishes(), alias=TABLE)


class _Block(BaseModel):
    model_config = ConfigDict(extra="forbid")

    dependencies: tuple[Annotated[StrictStr, AfterValidator(_requirement)], ...] = ()
    requires_python: Annotated[StrictStr, AfterValidator(_python)] | None = Field(None, alias="requires-python")
    tool: _Tools = _Tools()


@dataclasses.dataclass(frozen=True)
class Metadata:
    """What a script says of itself; ``after`` are patterns of ``schema.table``, ``feeds`` names of scripts or asset keys."""

    description: str
    dependencies: tuple[str, ...]
    after: tuple[str, ...]
    schedule: str | None
    retries: int
    timeout: dt.timedelta
    owner: str | None
    feeds: tuple[str, ...]
    lines: tuple[str, ...] = dataclasses.field(default=(), repr=False, compare=False)
    """The block's lines, and before them as many empty ones as stand above it in the file."""

    def line_of(self, key: str, value: str | None = None) -> int:
        """Return the line of the file on which a key of the table, or one of its values, stands."""
        return _line(self.lines, (*_ABOVE, key), value)


def parse(text: str) -> Metadata:
    """Return the metadata of a script's text; raises ScriptError with the line at fault."""
    lines = _block(text)
    try:
        read = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        at = _TOML_LINE.search(str(error))
        raise ScriptError(f"found metadata that is no TOML: {error}", int(at[1]) if at else len(lines)) from None
    try:
        block = _Block(**{"tool": {}} | read)
    except ValidationError as error:
        (line, said), *others = sorted(_problem(each, lines) for each in error.errors())
        raise ScriptError("; ".join([said, *(f"line {at}: {more}" for at, more in others)]), line) from None
    running = platform.python_version()
    if block.requires_python and not SpecifierSet(block.requires_python).contains(running, prereleases=True):
        raise ScriptError(
            f"found requires-python {block.requires_python!r}, expected a range that holds {running}, with which scripts run",
            _line(lines, ("requires-python",)),
        )
    wishes = block.tool.wishes
    return Metadata(
        _docstring(text),
        tuple(sorted(set(block.dependencies))),
        wishes.after,
        wishes.schedule,
        wishes.retries,
        wishes.timeout,
        wishes.owner,
        wishes.feeds,
        tuple(lines),
    )


def _block(text: str) -> list[str]:
    found = [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if len(found) > 1:
        raise ScriptError(
            "found a second block of metadata, expected one: join them", text.count("\n", 0, found[1].start()) + 1
        )
    if not found:
        begun = re.search(r"(?m)^# /// script", text)
        if begun:
            raise ScriptError(
                "found a block of metadata that does not end, expected lines that begin with '# ', and then '# ///'",
                text.count("\n", 0, begun.start()) + 1,
            )
        raise ScriptError("found no PEP 723 block, expected '# /// script': `history-assets script new NAME` shows one", 1)
    above = text.count("\n", 0, found[0].start("content"))
    # As the reference implementation strips them.
    return [""] * above + [line[2:] if line.startswith("# ") else line[1:] for line in found[0]["content"].splitlines()]


def _docstring(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the script's style
            said = ast.get_docstring(ast.parse(text)) or ""
    except SyntaxError as error:
        raise ScriptError(f"found what is no Python {platform.python_version()}: {error.msg}", error.lineno or 1) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise ScriptError(f"found what Python cannot read: {str(error) or type(error).__name__}", 1) from None
    # Escapes may stand for what no database keeps.
    return said.replace("\0", "").encode("utf-8", "replace").decode()


def _problem(detail: Any, lines: Sequence[str]) -> tuple[int, str]:
    where = tuple("history-assets" if part == "wishes" else part for part in detail["loc"])
    keys = tuple(part for part in where if isinstance(part, str))
    known = list(_Wishes.model_fields) if keys[:2] == _ABOVE else ["dependencies", "requires-python", "tool"]
    value = detail["input"]
    named = keys[-1] + ("" if detail["type"] == "extra_forbidden" else f" = {value!r}")
    said = _WORDS.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    said += f": expected one of {', '.join(known)}" if detail["type"] == "extra_forbidden" else ""
    element = value if isinstance(value, str) and len(keys) < len(where) else None
    return _line(lines, keys, element), f"found {named}{', which' if detail['type'] in _WORDS else ':'} {said}"


def _line(lines: Sequence[str], keys: Sequence[str], value: str | None = None) -> int:
    """Return the number of the line that comes nearest to a key, or one of the values in its list."""
    header: tuple[str, ...] = ()
    best, depth = 1, -1
    for number, line in enumerate(lines, 1):
        if found := _HEADER.match(line):
            header = tuple(_parts(found[1]))
            path = header
        elif found := _KEY.match(line):
            path = (*header, *_parts(found[1]))
        else:
            continue
        same = _common(path, keys)
        if same > depth and (same or depth < 0):
            best, depth = number, same
    if value is not None:
        for number, line in enumerate(lines[best - 1 :], best):
            if f'"{value}"' in line or f"'{value}'" in line:
                return number
    return best


def _parts(dotted: str) -> Iterable[str]:
    for part in re.findall(r"""[\w-]+|"[^"]*"|'[^']*'""", dotted):
        yield part.strip("\"'")


def _common(path: Sequence[str], keys: Sequence[str]) -> int:
    for length, (mine, theirs) in enumerate(zip(path, keys, strict=False)):
        if mine != theirs:
            return length
    return min(len(path), len(keys))
