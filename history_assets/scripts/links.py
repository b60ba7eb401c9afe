"""What the names in scripts stand for: the histories that a script is after, and what it feeds.

Belongs here: pure functions over scripts and an inventory. Does not belong here: what is done with it (``assets``,
``automation``).
"""

import dataclasses
import difflib
import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from history_assets.inventory import Inventory
from history_assets.naming import clone_key, history_key, table_name
from history_assets.scripts.folder import Broken, Script, broken, shown

TableRef = tuple[str, str]
"""A table as (schema, name)."""

Key = tuple[str, ...]
"""An asset key's path."""


@dataclasses.dataclass(frozen=True)
class Linked:
    """A script with the tables that it is after, the assets that it feeds, and its patterns that match no table."""

    script: Script
    tables: tuple[TableRef, ...]
    feeds: tuple[Key, ...]
    unmatched: tuple[str, ...]


def link(found: Iterable[Script | Broken], inventory: Inventory) -> tuple[list[Linked], list[Broken]]:
    """Return scripts with what their names stand for, and those that are broken, by a name too or by feeding each other."""
    every = list(found)
    tables = {table_name(schema, table.name): (schema, table.name) for schema, table in inventory.tables()}
    assets = _assets(every, inventory)
    linked, wrong = list[Linked](), [each for each in every if isinstance(each, Broken)]
    for script in (each for each in every if isinstance(each, Script)):
        unknown = [name for name in script.metadata.feeds if name not in assets]
        if unknown:
            said = f"found feeds naming {unknown[0]!r}, expected a script's name or an asset's key{near(unknown[0], assets)}"
            wrong.append(broken(script, said, script.metadata.line_of("feeds", unknown[0])))
            continue
        matched = {pattern: matches(pattern, tables) for pattern in script.metadata.after}
        refs = sorted({tables[name] for names in matched.values() for name in names})
        feeds = tuple(dict.fromkeys(assets[name] for name in script.metadata.feeds))
        linked.append(Linked(script, tuple(refs), feeds, tuple(pattern for pattern, names in matched.items() if not names)))
    return _without_cycles(linked, wrong, inventory)


def unmatched(linked: Linked, inventory: Inventory) -> Iterator[str]:
    """Yield a line on each name in a script's ``after`` that no history has."""
    names = [table_name(schema, table.name) for schema, table in inventory.tables()]
    for pattern in linked.unmatched:
        said = near(pattern, names) or (": there are no histories yet" if not names else "")
        file, line = shown(linked.script.path.name), linked.script.metadata.line_of("after", pattern)
        yield f"{file}, line {line}: found after naming {pattern!r}, which no history matches{said}"


def matches(pattern: str, names: Collection[str]) -> list[str]:
    """Return the tables, by their real names, that a pattern of ``schema.table`` matches; the name itself always does."""
    return [name for name in names if name == pattern or fnmatch.fnmatchcase(name.lower(), pattern.lower())]


def near(name: str, known: Collection[str]) -> str:
    """Return what to ask of a name that is not known: whether a near one was meant."""
    # Names differ in their case alone, too.
    lower = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), lower, 2, 0.75)
    return f": did you mean {' or '.join(repr(lower[each]) for each in found)}?" if found else ""


def _assets(scripts: Iterable[Script | Broken], inventory: Inventory) -> dict[str, Key]:
    keys = [tuple(clone_key(schema.name)) for schema in inventory.schemas]
    keys += [tuple(history_key(schema, table.name)) for schema, table in inventory.tables()]
    named = {"/".join(key): key for key in keys}
    for script in scripts:
        named |= {"/".join(script.key): tuple(script.key), script.name: tuple(script.key)}
    return named


def _without_cycles(linked: Sequence[Linked], wrong: list[Broken], inventory: Inventory) -> tuple[list[Linked], list[Broken]]:
    after: dict[Key, list[Key]] = {}
    for schema, table in inventory.tables():
        after.setdefault(tuple(clone_key(schema)), []).append(tuple(history_key(schema, table.name)))
    for each in linked:
        key = tuple(each.script.key)
        after[key] = [*after.get(key, ()), *each.feeds]
        for ref in each.tables:
            after.setdefault(tuple(history_key(*ref)), []).append(key)
    kept = []
    for each in linked:
        if cycle := _way(tuple(each.script.key), after):
            at = each.script.metadata.line_of("feeds" if each.feeds else "after")
            said = f"found that it would refresh itself, {' > '.join('/'.join(step) for step in cycle)}: have one feed no other"
            wrong.append(broken(each.script, said, at))
        else:
            kept.append(each)
    return kept, wrong


def _way(start: Key, after: Mapping[Key, Sequence[Key]]) -> list[Key] | None:
    """Return the shortest way from an asset back to itself."""
    ways: list[list[Key]] = [[start]]
    seen: set[Key] = set()
    for way in ways:  # which grows meanwhile
        for step in after.get(way[-1], ()):
            if step == start:
                return [*way, step]
            if step not in seen:
                seen.add(step)
                ways.append([*way, step])
    return None
