"""What a story needs of an engine: to land tables, to clone and fold them, and to look at what came of it.

Does not belong here: how tables are written for either engine (``tables``), what is landed, and what must come of it.
"""

import abc
import contextlib
import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from tests.stories.tables import Night

Rows = list[tuple[Any, ...]]
OURS = ("dbt_scd_id", "dbt_updated_at", "dbt_valid_from", "dbt_valid_to")


@dataclasses.dataclass(frozen=True)
class Stored:
    """A history as it is stored: types by the names of its columns, dbt's own in lower case, and its rows."""

    types: Mapping[str, str]
    rows: Rows

    def values(self, *names: str) -> Rows:
        """Return the values of some columns, row by row."""
        places = [list(self.types).index(name) for name in names]
        return [tuple(row[place] for place in places) for row in self.rows]

    @property
    def source(self) -> dict[str, str]:
        """The types of the source's own columns but its stamp."""
        return {name: kind for name, kind in self.types.items() if name not in (*OURS, "_fivetran_synced")}


class Engine(abc.ABC):
    """An installation of its own, with nothing landed; ``ledger`` is where its ledger lies.

    ``folds_case`` says whether names that differ only in the case of their ASCII letters are one.
    """

    ledger: str
    folds_case: bool

    def __init__(self, home: Path) -> None:
        self.home = home

    @abc.abstractmethod
    def settings(self, **overrides: Any) -> Settings: ...

    @abc.abstractmethod
    def warehouse(self, **overrides: Any) -> Warehouse: ...

    @abc.abstractmethod
    def land(self, schema: str, at: str, tables: Night, synced: str) -> None:
        """Make a schema hold these tables and no others, as if at an instant; every row bears a stamp of Fivetran's."""

    @abc.abstractmethod
    def rewrite(self, schema: str, at: str, tables: Night, gone: Sequence[str], synced: str, *, well: bool = True) -> None:
        """Make tables of a schema anew and drop those that are gone, as a connector that leaves all others as they are.

        Where the engine has a log of syncs, it tells of this one, which ended ``well`` or failed.
        """

    @abc.abstractmethod
    def histories(self, schema: str) -> dict[str, Stored]:
        """Return a schema's histories by their names."""

    @abc.abstractmethod
    def query(self, sql: str) -> Rows:
        """Return the rows of a query on the history's database that any engine understands."""

    @abc.abstractmethod
    def execute(self, *statements: str) -> None:
        """Run statements on the history's database that any engine understands, behind everybody's back."""

    @abc.abstractmethod
    def table(self, schema: str, table: str) -> str:
        """Return a history's name as such statements write it."""

    @abc.abstractmethod
    def keep(self) -> None:
        """Keep a spare copy of all histories and the ledger."""

    @abc.abstractmethod
    def bring_back(self) -> None:
        """Make histories and ledger what they were when they were kept."""

    @abc.abstractmethod
    def without_clone(self, schema: str, date: dt.date) -> contextlib.AbstractContextManager[None]:
        """Have a clone put aside for a while."""

    @property
    @abc.abstractmethod
    def environment(self) -> dict[str, str]:
        """The variables that lead a command here."""

    @abc.abstractmethod
    def type_of(self, kind: str) -> str:
        """Return the engine's own type of a column that DuckDB defines with the one given."""

    @abc.abstractmethod
    def stored(self, kind: str) -> str:
        """Return the engine's own type in which a history first stores a column that DuckDB defines with the one given."""

    @abc.abstractmethod
    def family(self, own: str) -> str:
        """Return the family of one of the engine's own types, after which a column that is kept apart is named."""

    @abc.abstractmethod
    def holds(self, kind: str, text: str) -> bool:
        """Say whether a column that DuckDB defines with a type can hold all that it holds in DuckDB, given as text."""

    @abc.abstractmethod
    def read(self, kind: str, text: str) -> Any:
        """Return a value of a column that DuckDB defines with a type, given as text, as a history gives it back."""

    @abc.abstractmethod
    def arrow(self, kind: str) -> pa.DataType:
        """Return as what a column that DuckDB defines with a type is given back as of a day."""
