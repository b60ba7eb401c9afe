"""Writing a script's beginning, and looking a script over before Dagster does.

Belongs here: what is found, as lines. Does not belong here: printing (``cli_scripts``), running it (``nights``).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from history_assets import dbt_files
from history_assets.errors import UsageError
from history_assets.inventory import Inventory
from history_assets.naming import table_name
from history_assets.scripts.environments import hidden
from history_assets.scripts.folder import read_file, read_folder, shown
from history_assets.scripts.links import Linked, link, unmatched
from history_assets.settings import Settings

_TEMPLATE = '''\
"""What this script does, in a sentence: Dagster shows it."""
# /// script
# dependencies = []                       # such as "pandas"; what it imports beside history_assets
# [tool.history-assets]
# after = ["schema.table"]                # run when these histories are folded; patterns such as "salesforce.*"
# # schedule = "0 6 * * MON"              # and, or instead, on a clock
# # retries = 3
# # timeout = "30m"
# # owner = "someone@example.com"         # who is told when it fails
# # feeds = ["another_script"]            # what is refreshed after it
# ///

from history_assets import History

history = History.from_env()  # of the date that the script runs for
table = history.as_of("schema.table")
print(f"{table.num_rows} rows on {history.date}")
'''


def write_template(folder: Path, name: str) -> Path:
    """Write the beginning of a script, and return its file; raises UsageError where there is one already."""
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", name):
        raise UsageError(f"found the name {shown(name)!r}, expected letters, digits, _ and -, such as weekly_forecast")
    path = folder / f"{name}.py"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE)
    except FileExistsError:
        raise UsageError(f"found {path} already, which is left as it is: choose another name") from None
    return path


def look_over(settings: Settings, path: Path) -> tuple[list[str], list[str]]:
    """Return what a script's file says of itself, and what is wrong with it; by what the last refresh found, free of cost."""
    path = path.absolute()
    project = dbt_files.current(settings.home)
    inventory = project.inventory if project else Inventory(())
    others = [each for each in read_folder(settings.scripts) if each.path != path]
    linked, broken = link([*others, read_file(path)], inventory)
    mine = next((each for each in linked if each.script.path == path), None)
    problems = [each.reason for each in broken if each.path == path]
    if path.parent != settings.scripts and path.exists():
        problems.append(f"found {shown(path)} outside of HISTORY_SCRIPTS={settings.scripts}: move it there for it to run")
    if mine:
        problems += unmatched(mine, inventory)
    return list(_said(mine)) if mine else [], problems


def _said(linked: Linked) -> Iterator[str]:
    wishes = linked.script.metadata
    yield f"description: {shown(wishes.description.partition(chr(10))[0]) or 'none'}"
    yield hidden(f"dependencies: {', '.join(wishes.dependencies) or 'none'}")
    tables = ", ".join(table_name(*table) for table in linked.tables)
    yield f"after: {tables or 'no history'}" + (", a partition for each date" if linked.script.dated else "")
    yield f"schedule: {wishes.schedule or 'none'}"
    yield f"retries: {wishes.retries}, timeout: {wishes.timeout}, owner: {wishes.owner or 'none'}"
    yield f"feeds: {', '.join('/'.join(key) for key in linked.feeds) or 'nothing'}"


def script_of(settings: Settings, file: Path) -> Path:
    """Return the file that is meant: a path, or the name of a script in the folder."""
    named = settings.scripts / f"{file}.py"
    return named if not file.exists() and named.exists() else file.absolute()
