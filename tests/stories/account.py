"""A Snowflake account as an administrator sets it up, and the commands that a person types at it.

Belongs here: the emulated account with its databases, the environment that leads to it, processes of the console script. Does
not belong here: what is landed, and what must come of it.
"""

import dataclasses
import datetime as dt
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from history_assets.credentials import SnowflakeCredentials
from history_assets.settings import Settings
from history_assets.warehouse.snowflake import SnowflakeWarehouse
from history_assets.warehouse.snowflake_setup import setup_script
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.log import Statement

USER, ROLE, WAREHOUSE = "TESTER", "TESTER_ROLE", "WH"
OURS = ("DBT_SCD_ID", "DBT_UPDATED_AT", "DBT_VALID_FROM", "DBT_VALID_TO")
SCRIPT = Path(sys.executable).with_name("history-assets")


@dataclasses.dataclass(frozen=True)
class Typed:
    """A command that ended: its exit code, what it wrote to both streams, and the statements that Snowflake got meanwhile."""

    code: int
    out: str
    err: str
    log: Sequence[Statement]


class Account:
    """An account with nights of October 2026, of which every one is past, and a home for the commands."""

    def __init__(self, emulator: Emulator, home: Path, **credentials: str) -> None:
        self.emulator = emulator
        self.home = home
        emulator.now = "2026-10-31T12:00"
        emulator.create_database("RAW")
        emulator.catalog.databases["RAW"].created = dt.datetime(2026, 9, 1, tzinfo=dt.UTC)
        self.credentials: dict[str, str] = {
            "account": emulator.account,
            "user": USER,
            "role": ROLE,
            "warehouse": WAREHOUSE,
            "host": "127.0.0.1",
            "port": str(emulator.port),
            "protocol": "http",
        } | (credentials or {"token": "oauth-token", "authenticator": "oauth"})

    def set_up(self) -> None:
        """Run the script that ``doctor --print-setup`` prints, as an administrator."""
        script = setup_script(Settings(home=self.home, engine="snowflake"), USER, ROLE, WAREHOUSE)
        lines = [line for line in script.splitlines() if not line.startswith("--")]
        self.emulator.run(*(statement.strip() for statement in "\n".join(lines).split(";") if statement.strip()))

    def settings(self, **overrides: Any) -> Settings:
        who = SnowflakeCredentials(**self.credentials)  # type: ignore[arg-type]
        given: dict[str, Any] = {"home": self.home, "engine": "snowflake", "snowflake": who} | overrides
        return Settings(**given)

    def warehouse(self, **overrides: Any) -> SnowflakeWarehouse:
        return SnowflakeWarehouse(self.settings(**overrides))

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead the commands here."""
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("HISTORY_", "SNOWFLAKE_", "DAGSTER_"))
        }
        own = {"HISTORY_ENGINE": "snowflake", "HISTORY_HOME": str(self.home), "DAGSTER_HOME": str(self.home / "dagster")}
        return kept | own | {f"SNOWFLAKE_{name.upper()}": value for name, value in self.credentials.items()}

    def type(self, *words: str, **changed: str) -> Typed:
        """Type ``history-assets`` with some words, and wait for it to end; ``changed`` are variables."""
        (self.home / "dagster").mkdir(parents=True, exist_ok=True)
        before = len(self.emulator.log)
        done = subprocess.run(
            [SCRIPT, *words], env=self.environment | changed, capture_output=True, text=True, check=False, timeout=300
        )
        return Typed(done.returncode, done.stdout, done.stderr, self.emulator.log[before:])

    def history(self, table: str) -> list[tuple[Any, ...]]:
        """Return a history, ``"SCHEMA"."TABLE"``, as rows of the source's columns, then first and last day."""
        columns, rows = self.whole(table)
        at = [columns.index(name) for name in OURS]
        identifiers = [row[at[0]] for row in rows]
        assert len(set(identifiers)) == len(identifiers), f"{table}: rows share identifiers"
        assert all(row[at[1]] == row[at[2]] for row in rows), f"{table}: dbt's own columns are not as dbt has them"
        shown = [place for place, name in enumerate(columns) if name not in OURS and name.upper() != "_FIVETRAN_SYNCED"]
        found = [(*(row[place] for place in shown), day_of(row[at[2]]), day_of(row[at[3]])) for row in rows]
        return sorted(found, key=repr)

    def whole(self, table: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Return a history's columns and its rows as they are stored, sorted."""
        described = self.emulator.run(f'describe table "HISTORY".{table}')
        return [row[0] for row in described], sorted(self.emulator.run(f'select * from "HISTORY".{table}'), key=repr)

    def ledger(self) -> Mapping[str, list[tuple[Any, ...]]]:
        """Return what the ledger says of each table: day, status, rows, opened, closed, problem."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        for schema, table, date, *rest in self.emulator.run(
            "select schema_name, table_name, clone_date, status, row_count, opened, closed, problem "
            'from "HISTORY"."_history_assets"."applied" order by schema_name, table_name, clone_date, status'
        ):
            row = tuple(int(value) if isinstance(value, int) or hasattr(value, "as_tuple") else value for value in rest)
            found.setdefault(f"{schema}.{table}", []).append((date.day, *row))
        return found


def day_of(cutoff: dt.datetime | None) -> int | None:
    """Return the day of a cutoff, which is at midnight."""
    if cutoff is None:
        return None
    assert (cutoff.year, cutoff.month, cutoff.time()) == (2026, 10, dt.time(0)), cutoff
    return cutoff.day
