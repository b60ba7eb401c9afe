"""The generated dbt project: an inventory in, sources and snapshots as YAML out, and the folder that holds them.

Belongs here: rendering (pure), atomic writes, the pointer to the project in force, and what raw then held. Does not belong
here: running dbt (``dbt_run``), or what the macros do.

    dbt/<hash>/            a copy of the fixed project, generated/*.yml, inventory.json, target/manifest.json; once it is not in
                           force, it goes a week after a run last began with it
    dbt/current            the hash of the project in force; only ever points to one that dbt has parsed
    dbt/raw.json           the inventory of raw at the last refresh that told of its changes
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from history_assets.errors import ProjectError
from history_assets.inventory import Inventory, KeySource, Schema, Table
from history_assets.markdown import escaped
from history_assets.naming import clone_key, encode, refusal, snapshot_name, table_name
from history_assets.warehouse.history_sql import OURS

_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
"""The one in C, where PyYAML was built with it: ten times as fast, which thousands of tables feel."""

_OF_NODE = (
    "unique_id", "resource_type", "fqn", "package_name", "database", "schema", "alias", "name", "version", "description",
    "columns", "raw_code", "depends_on", "group", "meta", "tags",
)  # fmt: skip
_OF_CONFIG = ("enabled", "group", "materialized", "meta", "schema", "tags")
_OF_SOURCE = ("unique_id", "resource_type", "fqn", "package_name", "source_name", "name")
"""What dagster-dbt, with dbt or without, and our translator ask for, of each node and source of a manifest."""

_KEPT = 7 * 24 * 3600
"""Seconds for which a project stays that is no longer in force, from when it was or a run last had it: runs are shorter."""

_UNFINISHED = 24 * 3600
"""Seconds after which whoever was writing what is unfinished has been killed."""

_HASH = re.compile(r"[0-9a-f]{16}")
_ATTEMPT = re.compile(r"\.[0-9a-f-]{36}")


@dataclasses.dataclass(frozen=True)
class DbtProject:
    """A generated project that dbt has parsed."""

    folder: Path

    @property
    def whole(self) -> bool:
        """Whether all of it is there; somebody may have deleted some."""
        return self.manifest.is_file() and (self.folder / "inventory.json").is_file()

    @property
    def manifest(self) -> Path:
        """The manifest that dbt wrote when it parsed the project."""
        return self.folder / "target" / "manifest.json"

    def read_manifest(self) -> dict[str, Any]:
        """Return what dagster-dbt asks for of the manifest; of all of it, Python would hold 15 kB for each table for good."""
        whole: dict[str, Any] = json.loads(self.manifest.read_bytes())
        nodes = {key: _of(node, _OF_NODE) for key, node in whole["nodes"].items()}
        sources = {key: _of(source, _OF_SOURCE) for key, source in whole["sources"].items()}
        return whole | {"nodes": nodes, "sources": sources, "macros": {}}

    def keep(self) -> None:
        """Have it stay for a week from now on, if it is not in force."""
        with contextlib.suppress(OSError):  # it is gone, or nobody can remove it
            os.utime(self.folder)

    @functools.cached_property
    def inventory(self) -> Inventory:
        """The inventory that the project was rendered from."""
        return Inventory.load(self.folder / "inventory.json")


def _of(node: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    config = {name: node["config"][name] for name in _OF_CONFIG if name in node["config"]}
    return {name: node[name] for name in names if name in node} | {"config": config}


@dataclasses.dataclass(frozen=True)
class Rendered:
    """The text of a project's generated files by their relative path, and the tables that it had to leave out, with why."""

    files: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def hash(self) -> str:
        """What names the project: the same for the same content."""
        return hashlib.sha256(json.dumps(self.files, sort_keys=True).encode()).hexdigest()[:16]


def render(inventory: Inventory, engine: str = "duckdb") -> Rendered:
    """Return the project of an inventory: the fixed files, a source and a snapshot per table, and the inventory itself."""
    refused: dict[str, str] = {}
    kept = []
    for schema in inventory.schemas:
        reasons = {table.name: _refusal(schema.name, table) for table in schema.tables}
        refused |= {table_name(schema.name, name): reason for name, reason in reasons.items() if reason}
        kept.append(Schema(schema.name, tuple(table for table in schema.tables if not reasons[table.name])))
    files = _fixed_files(_fixed_project())
    files["versions.json"] = json.dumps({name: importlib.metadata.version(name) for name in ("dbt-core", f"dbt-{engine}")})
    files |= {f"generated/{encode(schema.name)}.yml": _schema_yaml(schema) for schema in kept if schema.tables}
    files["inventory.json"] = Inventory(tuple(kept)).to_json()
    return Rendered(files, refused)


def write(rendered: Rendered, home: Path, parse: Callable[[Path], None]) -> DbtProject:
    """Put a rendered project in force and return it; ``parse`` has dbt read it first, and raises when dbt refuses it.

    A project that is there already is pointed to as it is. Nothing half-written is ever pointed to. What nobody can have in use
    any more is removed. Raises ProjectError where the folder cannot be written.
    """
    project, before = DbtProject(home / "dbt" / rendered.hash), current(home)
    try:
        project.keep()
        if not project.whole:
            _write(rendered, project, parse)
        replace(home / "dbt" / "current", f"{rendered.hash}\n".encode())
        if before:
            before.keep()  # a run may have begun with it a moment ago
        _sweep(home / "dbt", rendered.hash)
    except OSError as error:
        raise ProjectError(
            f"found {home / 'dbt'} not to be written ({error}), expected room and the right to: the project in force stays, "
            "refresh again"
        ) from error
    return project


def current(home: Path) -> DbtProject | None:
    """Return the project in force, or nothing before the first refresh, or where somebody deleted it."""
    pointer = home / "dbt" / "current"
    if not pointer.is_file():
        return None
    project = DbtProject(home / "dbt" / pointer.read_text(encoding="utf-8").strip())
    return project if project.whole else None


def raw_then(home: Path) -> Inventory:
    """Return what raw held when last remembered; nothing where no project is in force."""
    saved = home / "dbt" / "raw.json"
    return Inventory.load(saved) if saved.is_file() and current(home) else Inventory(())


def remember_raw(home: Path, inventory: Inventory) -> None:
    """Save what raw holds, once the changes since the last time were told."""
    replace(home / "dbt" / "raw.json", inventory.to_json().encode())


def replace(path: Path, content: bytes) -> None:
    """Make a file hold this, whole at any time; raises OSError, and then the file is as it was."""
    unfinished = path.with_name(f".{uuid.uuid4()}")
    try:
        unfinished.write_bytes(content)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write(rendered: Rendered, project: DbtProject, parse: Callable[[Path], None]) -> None:
    unfinished = project.folder.with_name(f".{uuid.uuid4()}")
    try:
        for name, content in rendered.files.items():
            path = unfinished / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        parse(unfinished)
        if not project.whole:  # else another refresh made it meanwhile
            shutil.rmtree(project.folder, ignore_errors=True)
            unfinished.rename(project.folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sweep(folder: Path, in_force: str) -> None:
    now = (folder / "current").stat().st_mtime  # by the same clock as the others
    for path in folder.iterdir():
        kept = _UNFINISHED if _ATTEMPT.fullmatch(path.name) else _KEPT
        ours = _ATTEMPT.fullmatch(path.name) or (_HASH.fullmatch(path.name) and path.name != in_force)
        with contextlib.suppress(OSError):  # another refresh sweeps, too
            if ours and now - path.stat().st_mtime > kept:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _refusal(schema: str, table: Table) -> str | None:
    if ours := sorted(OURS & {column.name.lower() for column in table.columns}):
        return f"it has a column {ours[0]}, which history tables use themselves: exclude the table or rename the column"
    return refusal(schema, table.name)


def _fixed_project() -> Path:
    # Inside the package when installed from a wheel, beside it in a checkout.
    package = Path(__file__).parent
    return next(folder for folder in (package / "dbt_project", package.parent / "dbt_project") if folder.is_dir())


def _fixed_files(folder: Path) -> dict[str, str]:
    paths = sorted([*folder.glob("*.yml"), *folder.glob("macros/**/*.sql")])
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}


def _schema_yaml(schema: Schema) -> str:
    name = encode(schema.name)
    source = {
        "name": name,
        "schema": schema.name,
        "description": f"Fivetran schema {escaped(schema.name)}, in the clone of the night that is run.",
        "tables": [
            {
                "name": encode(table.name),
                "identifier": table.name,
                "config": {"meta": {"dagster": {"asset_key": clone_key(schema.name)}}},
            }
            for table in schema.tables
        ],
    }
    snapshots = [
        {
            "name": snapshot_name(schema.name, table.name),
            "relation": f"source('{name}', '{encode(table.name)}')",
            "description": f"Every version of each row of {escaped(table_name(schema.name, table.name))}; {_key_text(table)}.",
            "config": {"schema": schema.name, "alias": table.name},
        }
        for table in schema.tables
    ]
    data = {"version": 2, "sources": [source], "snapshots": snapshots}
    return yaml.dump(data, Dumper=_DUMPER, allow_unicode=True, sort_keys=False)


def _key_text(table: Table) -> str:
    if table.key_source is KeySource.WHOLE_ROW:
        return "the whole row is its key"
    if table.key_source is KeySource.SURROGATE:
        return "its key is Fivetran's own row id"
    return f"key {escaped(', '.join(table.key))}, as {_SAYS[table.key_source]}"


_SAYS = {KeySource.DECLARED: "Fivetran declares it", KeySource.CONFIGURED: "HISTORY_KEYS says"}
"""Who says what a table's key is."""
