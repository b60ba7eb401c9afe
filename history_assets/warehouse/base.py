"""The one interface through which everything else sees a warehouse.

Belongs here: what every engine can do. Does not belong here: the values that cross it (``values``), any SQL, any engine's name,
any decision about nights. It is as long as the list of what there is to ask a warehouse for: one class, mostly of words.
"""

import abc
import contextlib
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from history_assets.errors import UsageError, WarehouseError
from history_assets.inventory import Inventory, KeySource, Schema, Table, is_fivetrans_own, shared_column
from history_assets.settings import Settings
from history_assets.warehouse.values import (
    Applied,
    Carried,
    Check,
    Clone,
    Dates,
    Difference,
    Joined,
    Question,
    SpineRows,
    SpineTable,
    SpineTimes,
    Stamp,
    SyncEvent,
)

if TYPE_CHECKING:
    import pyarrow as pa


class Warehouse(abc.ABC):
    """A warehouse with its raw, clone and history databases.

    ``enforces_keys`` says whether a declared key is known to tell the rows of its table apart.
    """

    enforces_keys: bool

    reaches_back = False
    """Whether a schema can be cloned as it was at an instant of the past, whatever was synced since."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @abc.abstractmethod
    def landing_schemas(self) -> list[str]:
        """Return the names of all schemas in raw; raises WarehouseError when there is no raw database."""

    @abc.abstractmethod
    def read_schema(self, schema: str, *, wait: bool = True) -> Schema:
        """Return a raw schema's base tables, in a constant number of statements.

        Raises InUseError where another process keeps it to itself: at once, unless ``wait``.
        """

    @abc.abstractmethod
    def marks(self, now: dt.datetime) -> dict[str, str]:
        """Return a mark of each raw schema that has tables, which is another one once any of them has changed.

        It costs next to nothing and waits for nobody. Where a change leaves no trace, marks change by themselves, each once an
        hour of ``now`` (aware). Raises WarehouseError when there is no raw database.
        """

    @abc.abstractmethod
    def clone(
        self,
        schema: str,
        date: dt.date,
        settle: Callable[[], dt.datetime | None],
        *,
        replace: bool = False,
    ) -> Clone:
        """Make a schema's clone of a date, complete or not at all, and return it.

        A clone that exists is kept, unless ``replace``. ``settle`` is called just before copying, where the engine cannot reach
        back when nothing can be written any more: it returns the instant to clone, nothing where the sync log knows nothing of
        the schema, or raises CloneError.
        """

    @abc.abstractmethod
    def find_clone(self, schema: str, date: dt.date) -> Clone | None:
        """Return a schema's clone of a date, or nothing; raises WarehouseError for one that cannot be read."""

    @abc.abstractmethod
    def find_clones(
        self, schemas: Collection[str], dates: Collection[dt.date]
    ) -> dict[tuple[str, dt.date], Clone | WarehouseError]:
        """Return the clones that there are of some schemas and dates, by both; of one that cannot be read, why."""

    @abc.abstractmethod
    def read_clone(self, clone: Clone) -> Schema:
        """Return the tables that a clone holds."""

    def reach(self, now: dt.datetime) -> dict[str, dt.datetime]:  # noqa: ARG002 - most engines reach nowhere
        """Return the earliest instant (aware) that each raw schema may be cloned as of; none where only as it is now.

        Like ``clone_marks`` it needs nothing that costs: sensors ask.
        """
        return {}

    @abc.abstractmethod
    def clone_marks(self) -> dict[str, dict[dt.date, str]]:
        """Return a mark of every clone, by schema and date, which is another once that clone is made again.

        It costs next to nothing, however many clones there are: sensors ask.
        """

    def clone_dates(self) -> dict[str, list[dt.date]]:
        """Return the dates of every schema's clones, ascending."""
        return {schema: sorted(marks) for schema, marks in sorted(self.clone_marks().items())}

    @abc.abstractmethod
    def drop_clone(self, clone: Clone) -> None:
        """Drop a clone; one that is gone already, or was made again meanwhile, is left alone."""

    @abc.abstractmethod
    def sync_events(self, since: dt.datetime | None = None, *, wait: bool = True) -> list[SyncEvent]:
        """Return what the Fivetran Platform Connector logged, oldest first; nothing where it does not load into this raw.

        What was logged before ``since`` (aware) may be left out, as may all but the last of the writes into a schema.
        Raises InUseError where another process keeps the log to itself: at once, unless ``wait``.
        """

    def log_mark(self) -> str:
        """Return a mark of what ``sync_events`` tells, another once more is logged; it opens nothing.

        It is always the same where clones are of the past, which the log does not tell otherwise later.
        """
        return ""

    @abc.abstractmethod
    def await_history(self) -> None:
        """Wait until histories can be written; raises WarehouseError when another process keeps them to itself for too long."""

    @abc.abstractmethod
    def checks(self) -> Iterator[Check]:
        """Look at all that must be there and allowed; ends at what makes the rest pointless, or raises HistoryError at it."""

    @abc.abstractmethod
    def ledger(
        self, schemas: Collection[str] | None = None, date: dt.date | Dates | None = None, table: str | None = None
    ) -> list[Applied]:
        """Return the ledger, ordered by schema, table and date.

        Of some schemas, of a date or of those from a first to a last, or of a table named ``schema.table``.
        """

    @abc.abstractmethod
    def applied_before(self, schemas: Collection[str] | None, date: dt.date) -> list[Applied]:
        """Return, of each table of some schemas, the row of the ledger that is applied next before a date."""

    @abc.abstractmethod
    def column_nights(self, schemas: Collection[str]) -> list[Applied]:
        """Return, of each table of some schemas, the applied nights whose columns are not those of the one before."""

    @abc.abstractmethod
    def rules(self) -> list[tuple[str, str]]:
        """Return by which rules of cutoffs the ledger was written: time zones and local times, HH:MM."""

    def stamps(self, schemas: Collection[str]) -> dict[tuple[str, str], Stamp]:  # noqa: ARG002 - most engines keep none
        """Return the stamps of some raw schemas' tables, by schema and table, in one statement; none where there are none."""
        return {}

    @property
    @abc.abstractmethod
    def place(self) -> str:
        """What the histories are in, as people know it."""

    @property
    @abc.abstractmethod
    def raw_place(self) -> str:
        """What Fivetran loads into, as people know it."""

    def reading(self) -> contextlib.AbstractContextManager[Any]:
        """Have the history open while several questions are asked of it; nothing is written meanwhile."""
        return contextlib.nullcontext()

    @abc.abstractmethod
    def carry(self, clones: Mapping[str, Clone], tables: Sequence[Carried]) -> list[Applied]:
        """Enter tables of a date's clones, by schema, into the ledger as applied and unchanged, in one transaction; return what
        it then holds of these schemas and that date.

        One is left out whose applied night before is no longer the one that it names, or that has an entry for the date.
        """

    @abc.abstractmethod
    def tables(self) -> list[str]:
        """Return the names, ``schema.table``, of the tables of which a night was applied, sorted."""

    @abc.abstractmethod
    def ask(self, question: Question) -> "pa.Table":
        """Return what the SQL of a question (``reading_sql``) answers.

        Raises UsageError for a value that its column cannot be compared with.
        """

    @abc.abstractmethod
    def columns(self, table: str) -> dict[str, str]:
        """Return the types of the columns of a table or view, named ``schema.table``, in the history's database; none where
        there is no such table.
        """

    @abc.abstractmethod
    def spine_times(self, table: str, time: str, *, is_date: bool) -> SpineTimes:
        """Return what a table in the history's database has in a column of instants with a zone, or of dates."""

    @abc.abstractmethod
    def join(self, spine: SpineRows | SpineTable, histories: Sequence[Joined], *, repeated: bool) -> "pa.Table":
        """Return what was known of each row of a spine: the histories' columns in the order of rows from outside, and those of
        a table after its own.

        Raises UsageError for keys by which a history has several rows at a time, and, unless ``repeated``, for a spine that has
        the same keys and time in several rows.
        """

    @abc.abstractmethod
    def keep_functions(self, ledger: Collection[Applied]) -> list[str]:
        """Have beside each history the function and the view that its columns ask for; return a line on each that cannot be.

        ``ledger`` has the nights at which the columns of tables of some schemas changed. What is as it is to be costs nothing;
        what a crash left out is written now.
        """

    def lacks_functions(self, ledger: Collection[Applied]) -> bool:
        """Say whether ``keep_functions`` may have anything to do; while ``reading``, to ask opens nothing."""
        return bool(ledger)

    @abc.abstractmethod
    def make_room(self, ledger: Collection[Applied], tables: Collection[tuple[str, str]]) -> None:
        """Drop the views that have the names of tables, as (schema, name), which are to be folded for the first time."""

    @abc.abstractmethod
    def contradictions(self, applied: Sequence[Applied]) -> list[str]:
        """Return what a table's history says against itself and its ledger, given all of the ledger's rows of that table."""

    @abc.abstractmethod
    def differences(self, clone: Clone, applied: Sequence[Applied]) -> list[Difference]:
        """Compare the history as of each applied row's date with the clone it was folded from, as multisets of whole rows."""

    def histories(self) -> Inventory:
        """Return the tables that have a history, as far as is known of them without raw."""
        tables: dict[str, dict[str, Table]] = {}
        for row in self.applied_before(None, dt.date.max):
            columns = tuple(shared_column(column.name, column.type, position) for position, column in enumerate(row.columns, 1))
            names = tuple(column.name for column in columns)
            tables.setdefault(row.schema, {})[row.table] = Table(row.table, columns, names, KeySource.WHOLE_ROW)
        return Inventory(tuple(Schema(name, tuple(found.values())) for name, found in sorted(tables.items())))

    def is_wanted(self, name: str) -> bool:
        """Say whether a raw schema of that name can be one to clone: not Fivetran's own, and let in by the settings."""
        return not is_fivetrans_own(name) and self.settings.selects(name)

    def is_source(self, schema: Schema) -> bool:
        """Say whether a raw schema whose name is wanted is one to clone: one that Fivetran fills."""
        return any(table.column("_fivetran_synced") for table in schema.tables)

    def nothing_to_clone(self) -> str:
        """Return what is said where there is no schema to clone."""
        patterns = f"HISTORY_INCLUDE={','.join(self.settings.include)}"
        if self.settings.exclude:
            patterns += f" and HISTORY_EXCLUDE={','.join(self.settings.exclude)}"
        return (
            f"found no schema to clone in {self.raw_place}, expected one that Fivetran fills and {patterns} selects: "
            "load one, or set these otherwise"
        )

    def inventory(self, only: Collection[str] | None = None) -> Inventory:
        """Return every schema to clone, or those named in ``only``.

        Raises UsageError for one that is not there, and WarehouseError for one that cannot be read.
        """
        found, unread = self.readable(only)
        for error in unread.values():
            raise error
        return found

    def readable(self, only: Collection[str] | None = None) -> tuple[Inventory, dict[str, WarehouseError]]:
        """Return every schema to clone that can be read, as ``inventory`` does, and of the others why not, by name.

        Raises WarehouseError where none can.
        """
        names = [name for name in self.landing_schemas() if self.is_wanted(name)]
        if missing := sorted(set(only or ()) - set(names)):
            raise UsageError(f"found no schema {', '.join(missing)} to clone: expected one of {', '.join(names) or 'none'}")
        wanted = [name for name in names if only is None or name in only]
        with ThreadPoolExecutor(self.settings.threads) as pool:
            read = dict(zip(wanted, pool.map(self._read, wanted), strict=True))
        unread = {name: each for name, each in read.items() if isinstance(each, WarehouseError)}
        if unread and len(unread) == len(read):
            raise next(iter(unread.values()))
        schemas = [each for each in read.values() if isinstance(each, Schema) and self.is_source(each)]
        if empty := sorted(set(only or ()) - {schema.name for schema in schemas} - unread.keys()):
            raise UsageError(
                f"found no table with _fivetran_synced in {', '.join(empty)}: expected a schema that Fivetran fills"
            )
        return Inventory(tuple(schemas)), unread

    def _read(self, schema: str) -> Schema | WarehouseError:
        try:
            return self.read_schema(schema)
        except WarehouseError as error:
            return error
