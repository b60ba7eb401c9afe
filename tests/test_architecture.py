"""Which module may import which and who pays for what, as docs/architecture.md says it."""

import ast
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
EARLY = {"scripts.metadata", "scripts.folder"}
"""Which are words, as the page says; the others of their package are readers."""
PACKAGE = Path(__file__).parent.parent / "history_assets"
# fmt: off
ORDER = [
    "errors", "wording", "naming", "markdown", "dates", "gates", "own_process", "interrupts", "progress", "lifelines",
    "credentials", "settings", "inventory",
    "warehouse.files", "warehouse.values", "warehouse.statements", "warehouse.base", "warehouse.platform_log",
    "warehouse.ledger_sql", "warehouse.history_sql", "warehouse.reading_sql", "warehouse.spine_sql", "warehouse.functions_sql",
    "warehouse.duckdb_files", "warehouse.duckdb_log", "warehouse.duckdb_clones", "warehouse.duckdb_history",
    "warehouse.duckdb_spine", "warehouse.duckdb_functions",
    "warehouse.duckdb",
    "warehouse.snowflake_errors", "warehouse.snowflake_sql", "warehouse.snowflake_log", "warehouse.snowflake_session",
    "warehouse.snowflake_catalog",
    "warehouse.snowflake_history", "warehouse.snowflake_spine", "warehouse.snowflake_functions",
    "warehouse.snowflake_clones", "warehouse.snowflake_setup", "warehouse.snowflake_checks", "warehouse.snowflake",
    "warehouse", "fivetran", "fivetran.syncs", "fivetran.quiet", "fivetran.log", "fivetran.api", "fivetran.sources",
    "fivetran.completions", "fivetran.silence", "unchanged", "dbt_files", "dbt_checkpoints", "dbt_clones", "dbt_child",
    "dbt_run", "drift", "sighting", "refresh", "reloading", "partitions", "failures", "folding", "event_log", "records",
    "missing", "descriptions", "preview", "clones", "snapshots", "verification", "retention",
    "coverage", "checks", "jobs", "run_requests", "syncing", "healing", "killed", "alerts", "watching", "scripts",
    "scripts.metadata", "scripts.folder", "refreshing", "retaining",
    "automation", "scripts.links", "scripts.process",
    "scripts.environments", "scripts.assets", "scripts.automation", "scripts.checking", "spines", "history", "status",
    "doctor",
    "location", "definitions", "nights", "sandbox.shapes", "sandbox.invented", "sandbox.salesforce", "sandbox.zendesk",
    "sandbox.stripe",
    "sandbox.shop", "sandbox.connectors", "sandbox.files", "sandbox.sync", "sandbox", "serving", "demo",
    "terminal", "cli_options", "cli_tables", "cli_scripts", "cli_checks", "cli", "program",
]
# fmt: on


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")
        if name != "__init__":
            found[name] = path
    return found


def imports(path: Path) -> set[str]:
    """Return the modules of this package that a file imports, wherever in it, but for types alone."""
    tree = ast.parse(path.read_text())
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")]
    typed = {each for block in blocks for statement in block.body for each in ast.walk(statement)}
    found = set()
    for node in ast.walk(tree):
        if node in typed:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (named & {f"history_assets.{module}" for module in ORDER}) or {node.module}
    return {name.removeprefix("history_assets.") for name in found if name.startswith("history_assets.")}


def test_every_module_has_its_place() -> None:
    assert sorted(modules()) == sorted(ORDER)


def test_imports_point_one_way() -> None:
    """A file imports only from files above it; what it needs for types alone does not count."""
    offences = []
    for name, path in modules().items():
        # The engine is chosen inside a function, where the package itself stands above its parts.
        allowed = set(ORDER[: ORDER.index(name)])
        offences += [f"{name} imports {other}" for other in imports(path) - allowed]

    assert offences == []


def test_an_import_of_any_sort_counts_but_for_types_alone(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(
        "import os, history_assets.cli\n"
        "from history_assets import errors\n"
        "from history_assets.naming import quote\n"
        "from history_assets.warehouse import base, open_warehouse\n"
        "if TYPE_CHECKING:\n    import history_assets.demo\n    from history_assets.status import Night\n"
        "else:\n    from history_assets import doctor\n"
        "def late():\n    import history_assets.scripts.links as links\n    from history_assets.dates import Cutoff\n"
        "if typing.TYPE_CHECKING:\n    from history_assets import nights\n"
        "import history_assets_of_another\n"
    )

    assert imports(file) == {"cli", "errors", "naming", "warehouse.base", "doctor", "scripts.links", "dates"}


def test_the_clock_is_read_where_a_process_begins_alone() -> None:
    """What it is then is an argument of all the rest; dbt is told of it too."""
    reading = {
        name
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and re.fullmatch(r"(\w+\.)?(date|datetime)\.(utc)?(now|today)|time\.time", ast.unparse(node))
    }
    sql = [path.read_text() for path in (PACKAGE.parent / "dbt_project" / "macros").rglob("*.sql")]
    sql += [path.read_text() for path in (PACKAGE / "warehouse").glob("*.py")]

    assert reading == {"cli", "cli_checks", "location", "demo", "nights"}
    assert [text for text in sql if re.search(r"current_(date|time)|\b(now|sysdate|getdate)\(\)", text, re.IGNORECASE)] == []


def test_importing_the_package_imports_nothing_heavy() -> None:
    script = "import sys, history_assets, history_assets.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert {"dagster", "dbt", "duckdb", "snowflake.connector", "pyarrow", "dagster_dbt", "pydantic_settings"} & set(
        loaded
    ) == set()


@pytest.mark.parametrize(("engine", "other"), [("duckdb", "snowflake.connector"), ("snowflake", "duckdb")])
def test_nobody_pays_for_the_other_engine(engine: str, other: str) -> None:
    script = (
        "import sys; from history_assets.settings import Settings; from history_assets.warehouse import open_warehouse; "
        f"open_warehouse(Settings(engine={engine!r})); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert other not in loaded


def test_the_architecture_names_the_modules_in_the_order_of_their_imports() -> None:
    layers = re.findall(r"^\| [^|`]+ \| (`[^|]+) \|", PAGE.read_text(encoding="utf-8"), re.M)
    named = [name.strip("/") for layer in layers for name in re.findall(r"`([^`]+)`", layer)]
    # A package whose modules are not all in one layer counts as where its last one is.
    last = {module.partition(".")[0]: place for place, module in enumerate(ORDER)}

    assert named == sorted(last, key=lambda name: last[name])


def test_the_diagram_of_the_layers_matches_the_imports() -> None:
    """No layer imports one that is right of it, and each imports the one next to it."""
    page = PAGE.read_text(encoding="utf-8")
    (drawn,) = re.findall(r"^(words ◀─ .+)$", page, re.M)
    order = drawn.split(" ◀─ ")
    rows = re.findall(r"^\| ([^|`]+) \| (`[^|]+) \|", page, re.M)
    layers = {name.strip("/"): layer for layer, names in rows for name in re.findall(r"`([^`]+)`", names)}

    def layer_of(module: str) -> str:
        top = module.partition(".")[0]
        return order[0] if module in EARLY else layers[next(name for name in (top, top.partition("_")[0]) if name in layers)]

    pairs = {(layer_of(module), layer_of(other)) for module, path in modules().items() for other in imports(path)}
    assert [layer for layer, _ in rows] == order
    assert [pair for pair in pairs if order.index(pair[0]) < order.index(pair[1])] == []
    assert [(right, left) for left, right in itertools.pairwise(order) if (right, left) not in pairs] == []


def test_modules_send_a_reader_to_modules_that_there_are() -> None:
    """In the parentheses of what does not belong in them: by name, or by a path in the package or the project."""
    there = {part for name in modules() for part in (name, name.rpartition(".")[2])}
    astray = []
    for name, path in modules().items():
        _, _, elsewhere = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("Does not belong here")
        sentence = re.split(r"\.(?:\s|$)", elsewhere, maxsplit=1)[0]
        for told in re.findall(r"``([^`]+)``", " ".join(re.findall(r"\(([^)]*)\)", sentence))):
            paths = [folder / f"{told}{end}" for folder in (PACKAGE, PACKAGE.parent) for end in ("", ".py")]
            if told not in there and not any(each.exists() for each in paths):
                astray.append(f"{name}: {told}")

    assert astray == []
