"""Drift: what has changed in raw between two inventories, as values and as lines that a person reads.

Belongs here: pure functions of inventories. Does not belong here: reading one (``warehouse/``), noticing that there is a new
one (``sighting``), or acting on it (``refresh``).
"""

import dataclasses
import enum
from collections.abc import Iterator, Mapping, Sequence

from history_assets.inventory import Column, Inventory, KeySource, Schema, Table
from history_assets.markdown import escaped
from history_assets.wording import counted


class Kind(enum.StrEnum):
    """What sort of change it is; what was renamed is gone, and new under its new name."""

    NEW_SCHEMA = "new schema"
    GONE_SCHEMA = "gone schema"
    NEW_TABLE = "new table"
    GONE_TABLE = "gone table"
    NEW_COLUMN = "new column"
    GONE_COLUMN = "gone column"
    TYPE = "type"
    ORDER = "order"
    KEY = "key"


@dataclasses.dataclass(frozen=True)
class Change:
    """One change; ``before`` and ``after`` are what is or was there, in words: so many tables, a type, the columns of a key."""

    kind: Kind
    schema: str
    table: str | None = None
    column: str | None = None
    before: str = ""
    after: str = ""

    def line(self) -> str:
        """Return the change in one line."""
        name = ".".join(part for part in (self.schema, self.table, self.column) if part is not None)
        return _one_line(_TEXTS[self.kind].format(name=name, before=self.before, after=self.after))


_TEXTS = {
    Kind.NEW_SCHEMA: "new schema {name} with {after}",
    Kind.GONE_SCHEMA: "schema {name} is gone with its {before}",
    Kind.NEW_TABLE: "new table {name} ({after})",
    Kind.GONE_TABLE: "table {name} is gone",
    Kind.NEW_COLUMN: "new column {name} {after}",
    Kind.GONE_COLUMN: "column {name} is gone",
    Kind.TYPE: "{name}: {before} is now {after}",
    Kind.ORDER: "columns of {name}: {before} are now in the order {after}",
    Kind.KEY: "key of {name}: {before} is now {after}",
}


def changes(before: Inventory, after: Inventory) -> list[Change]:
    """Return what has changed from one inventory to the next, by schema and table; nothing where they are equal."""
    return list(_schemas(before, after))


def markdown(found: Sequence[Change]) -> str:
    """Return changes as one list in Markdown."""
    return "\n".join(f"- {escaped(change.line())}" for change in found) or "nothing has changed"


def _schemas(before: Inventory, after: Inventory) -> Iterator[Change]:
    old, new = ({schema.name: schema for schema in inventory.schemas} for inventory in (before, after))
    for name in _names(old, new):
        if name not in new:
            yield Change(Kind.GONE_SCHEMA, name, before=counted(len(old[name].tables), "table"))
        elif name not in old:
            yield Change(Kind.NEW_SCHEMA, name, after=counted(len(new[name].tables), "table"))
        else:
            yield from _tables(old[name], new[name])


def _tables(before: Schema, after: Schema) -> Iterator[Change]:
    old, new = ({table.name: table for table in schema.tables} for schema in (before, after))
    for name in _names(old, new):
        if name not in new:
            yield Change(Kind.GONE_TABLE, after.name, name)
        elif name not in old:
            yield Change(Kind.NEW_TABLE, after.name, name, after=counted(len(new[name].columns), "column"))
        elif old[name] != new[name]:
            yield from _columns(after.name, old[name], new[name])
            yield from _key(after.name, old[name], new[name])


def _columns(schema: str, before: Table, after: Table) -> Iterator[Change]:
    old, new = ({column.name: column for column in table.columns} for table in (before, after))
    for name, column in old.items():
        if name not in new:
            yield Change(Kind.GONE_COLUMN, schema, before.name, name, before=column.type)
        elif column.type != new[name].type:
            yield Change(Kind.TYPE, schema, before.name, name, column.type, new[name].type)
    for name, column in new.items():
        if name not in old:
            yield Change(Kind.NEW_COLUMN, schema, after.name, name, after=column.type)
    kept = [_listed(column for column in table.columns if column.name in old.keys() & new.keys()) for table in (before, after)]
    if kept[0] != kept[1]:
        yield Change(Kind.ORDER, schema, after.name, None, *kept)


def _key(schema: str, before: Table, after: Table) -> Iterator[Change]:
    if (before.key, before.key_source) == (after.key, after.key_source):
        return
    if before.key_source is after.key_source is KeySource.WHOLE_ROW:
        return  # its columns have said so
    texts = [_key_text(table) for table in (before, after)]
    if texts[0] == texts[1]:
        texts = [f"{text} ({table.key_source})" for text, table in zip(texts, (before, after), strict=True)]
    yield Change(Kind.KEY, schema, after.name, None, *texts)


def _key_text(table: Table) -> str:
    return "the whole row" if table.key_source is KeySource.WHOLE_ROW else ", ".join(table.key)


def _names(old: Mapping[str, object], new: Mapping[str, object]) -> list[str]:
    return sorted(old.keys() | new.keys())


def _listed(columns: Iterator[Column]) -> str:
    return ", ".join(column.name for column in columns)


def _one_line(text: str) -> str:
    # A name may hold what ends a line.
    return "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text)
