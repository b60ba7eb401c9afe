"""What a run folds: which tables of which nights, which of them cannot have changed, and what dbt is told of the others.

Belongs here: the way from a choice of tables and dates to a ledger that holds them. Does not belong here: how Dagster is told
(``snapshots``), how it is known that nothing has changed (``unchanged``), the folding itself (``dbt_project/macros``).
"""

import collections
import dataclasses
import datetime as dt
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

from history_assets import dbt_run
from history_assets.dbt_child import Night, NightResult
from history_assets.dbt_files import DbtProject
from history_assets.errors import SettingsError
from history_assets.failures import Kind, Problem
from history_assets.fivetran.log import Log, written_between
from history_assets.gates import Gate
from history_assets.inventory import KeySource, Table
from history_assets.naming import encode, history_key, snapshot_name, table_name
from history_assets.progress import Watch, unwatched
from history_assets.unchanged import Chain, State, is_unchanged
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.statements import instant
from history_assets.warehouse.values import Applied, Carried, Clone, Stamp, Status

_LOG_BEFORE = dt.timedelta(days=30)
"""How long before the oldest night the log is read from, to see that it was being written then."""

TableRef = tuple[str, str]
"""A table as (schema, name)."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a date's run comes to: the dbt invocation, the tables it folds, and why others cannot be folded."""

    date: dt.date
    clones: Mapping[str, Clone]
    tables: tuple[TableRef, ...]
    failures: Mapping[TableRef, str]

    def todo(self, ledger: Collection[Applied]) -> tuple[TableRef, ...]:
        """Return the tables whose ledger does not hold this date's clone yet."""
        applied = [row for row in ledger if row.date == self.date and row.status is Status.APPLIED]
        held = {(row.schema, row.table): row.clone_id for row in applied}
        return tuple(table for table in self.tables if held.get(table) != self.clones[table[0]].clone_id)


def plan(warehouse: Warehouse, tables: Sequence[TableRef], date: dt.date) -> Plan:
    """Return what there is to fold for a date: the selected tables of schemas that have a clone, and why not the others."""
    found = {schema: clone for (schema, _), clone in warehouse.find_clones(_schemas(tables), [date]).items()}
    clones = {schema: clone for schema, clone in found.items() if isinstance(clone, Clone)}
    failures = {
        (schema, table): str(
            found.get(schema, f"found no clone of {schema} for {date}: materialize clones/{encode(schema)} first")
        )
        for schema, table in tables
        if schema not in clones
    }
    return Plan(date, clones, tuple(table for table in tables if table[0] in clones), failures)


@dataclasses.dataclass(frozen=True)
class Raw:
    """What is known of tables without a look at a row: as the clone of each date has them, and their stamps of now."""

    clones: Mapping[tuple[dt.date, str], Mapping[str, Table]]
    stamps: Mapping[TableRef, Stamp]

    @classmethod
    def read(cls, warehouse: Warehouse, plans: Collection[Plan], todo: Mapping[dt.date, Collection[TableRef]]) -> Self:
        """Read what concerns the tables that there are to do of some dates."""
        clones = {(each.date, schema): each.clones[schema] for each in plans for schema in sorted(_schemas(todo[each.date]))}
        with ThreadPoolExecutor(warehouse.settings.threads) as pool:
            found = pool.map(warehouse.read_clone, clones.values())
            read = {pair: {table.name: table for table in one.tables} for pair, one in zip(clones, found, strict=True)}
        return cls(read, warehouse.stamps({schema for _, schema in clones}) if clones else {})

    def table(self, date: dt.date, table: TableRef) -> Table | None:
        """Return a table as its schema's clone of a date has it."""
        return self.clones[date, table[0]].get(table[1])


def fold(
    project: DbtProject,
    warehouse: Warehouse,
    plans: Sequence[Plan],
    say: Callable[[str], Any],
    *,
    allow: Collection[Gate] = (),
    force: bool = False,
    entered: Callable[[Sequence[Applied]], Any] = lambda rows: None,  # noqa: ARG005 - nobody asked
    watch: Watch = unwatched,
) -> dict[dt.date, NightResult]:
    """Fold every planned table that is not folded yet, date by date, and return what dbt said of each date.

    One that cannot have changed is entered into the ledger as it was. Those of the first date are entered before dbt folds the
    others, and ``entered`` is called meanwhile with what the ledger holds of them. ``allow`` opens gates for this once.
    ``force`` folds all, folded or not, changed or not, and opens every gate. Raises SettingsError when the rule of cutoffs is
    not the one that the history was built with.
    """
    project.keep()
    plans, results = sorted(plans, key=lambda each: each.date), dict[dt.date, NightResult]()
    skipping = warehouse.settings.skip_unchanged and not force
    with dbt_run.ahead(project.folder, warehouse.settings):
        while True:
            with warehouse.reading():
                check_rule(warehouse)
                ledger = _ledger_of(warehouse, plans)
                todo = {each.date: list(each.tables if force else each.todo(ledger)) for each in plans}
                raw = Raw.read(warehouse, plans, todo)
                carried = _carry_out_of(todo, warehouse, plans, ledger, raw) if skipping else {}
            folding = [each for each in plans if todo[each.date]]
            # The nights before those of the first date are in the ledger already.
            rows = [row for each in plans[:1] for row in _enter(warehouse, each, carried.get(each.date, ()), say)]
            if folding:
                _make_room(warehouse, todo, ledger)
                nights = [night(each, todo[each.date], warehouse, allow, force, raw) for each in folding]
                done = dbt_run.fold(project.folder, nights, warehouse.settings, say, watch, functools.partial(entered, rows))
                results |= {each.date: result for each, result in zip(folding, done, strict=True)}
            else:
                entered(rows)
            rows += [row for each in plans[1:] for row in _enter(warehouse, each, carried.get(each.date, ()), say)]
            if len(rows) == sum(map(len, carried.values())):
                return results
            # What was not entered after all, since the night before it failed or was held back, is folded itself.
            skipping = False


def _enter(warehouse: Warehouse, each: Plan, tables: Sequence[Carried], say: Callable[[str], Any]) -> list[Applied]:
    """Enter tables of a date into the ledger as unchanged, and return its rows of them: of each, if all went well."""
    if not tables:
        return []
    say(f"{each.date}: {len(tables)} tables cannot have changed")
    ledger = warehouse.carry({one.schema: each.clones[one.schema] for one in tables}, tables)
    asked, left = {(one.schema, one.table) for one in tables}, set(each.todo(ledger))
    return [row for row in ledger if (row.schema, row.table) in asked - left]


def _make_room(warehouse: Warehouse, todo: Mapping[dt.date, Collection[TableRef]], ledger: Collection[Applied]) -> None:
    tables = {table for of_date in todo.values() for table in of_date}
    if new := tables - {(row.schema, row.table) for row in ledger}:
        warehouse.make_room(warehouse.applied_before(_schemas(new), dt.date.max), new)


def _ledger_of(warehouse: Warehouse, plans: Sequence[Plan]) -> list[Applied]:
    """Return what the ledger says of some dates, and of each of their tables the applied night next before the first."""
    schemas, dates = {schema for each in plans for schema in _schemas(each.tables)}, sorted(each.date for each in plans)
    if not schemas:
        return []
    return [*warehouse.applied_before(schemas, dates[0]), *warehouse.ledger(schemas, (dates[0], dates[-1]))]


def _carry_out_of(
    todo: dict[dt.date, list[TableRef]],
    warehouse: Warehouse,
    plans: Sequence[Plan],
    ledger: Collection[Applied],
    raw: Raw,
) -> dict[dt.date, list[Carried]]:
    """Take the tables that cannot have changed out of what there is to do, and return them, by date.

    The night before is the one that the ledger will hold once the dates before are done.
    """
    rows = collections.defaultdict[TableRef, list[Applied]](list)
    for row in ledger:
        rows[row.schema, row.table].append(row)
    chains = {table: Chain(rows[table]) for tables in todo.values() for table in tables}
    margin, writes = dt.timedelta(hours=warehouse.settings.unchanged_hours), _writes(warehouse, ledger)
    carried = collections.defaultdict[dt.date, list[Carried]](list)
    for each in sorted(plans, key=lambda plan: plan.date):
        changed = []
        for schema, name in todo[each.date]:
            now = State.cloned(each.clones[schema], raw.table(each.date, (schema, name)), raw.stamps.get((schema, name)))
            before = chains[schema, name].before(each.date)
            if before and is_unchanged(name, before, now, writes and functools.partial(writes, schema), margin):
                carried[each.date].append(Carried(schema, name, before.clone_id, now.stamp))
            else:
                changed.append((schema, name))
            chains[schema, name].add(each.date, now)
        todo[each.date] = changed
    return carried


def _writes(warehouse: Warehouse, ledger: Collection[Applied]) -> Callable[..., frozenset[str] | None] | None:
    """Return who tells which tables of a schema were written between two instants; nobody where stamps do."""
    if warehouse.reaches_back or not ledger:
        return None
    log = Log(warehouse.sync_events(min(row.quiet_point for row in ledger) - _LOG_BEFORE))
    return functools.cache(lambda schema, since, until: written_between(schema, log, since, until))


def night(
    each: Plan,
    todo: Collection[TableRef],
    warehouse: Warehouse,
    allow: Collection[Gate] = (),
    force: bool = False,
    raw: Raw | None = None,
) -> Night:
    """Return the dbt invocation of a date: what the macros are told of it, and of each table as its clone has it."""
    raw, settings = raw or Raw.read(warehouse, [each], {each.date: todo}), warehouse.settings
    run = {
        "clone_date": str(each.date),
        "cutoff": instant(settings.cutoffs().at(each.date)),
        "time_zone": settings.timezone.key,
        "cutoff_time": f"{settings.cutoff:%H:%M}",
        "force": force,
        "gates": {
            "shut": [gate.value for gate in settings.gates if gate not in allow],
            "shrunken_share": settings.shrunken_share,
            "shrunken_rows": settings.shrunken_rows,
        },
        "schemas": {
            schema: {
                "clone_id": each.clones[schema].clone_id,
                "quiet_point": instant(each.clones[schema].quiet_point),
                "location": each.clones[schema].location,
            }
            for schema in sorted(_schemas(todo))
        },
    }
    return Night(run, {snapshot_name(*table): _told(raw, each.date, table, warehouse) for table in todo})


def _told(raw: Raw, date: dt.date, ref: TableRef, warehouse: Warehouse) -> dict[str, Any]:
    table, stamp = raw.table(date, ref), raw.stamps.get(ref)
    if table is None:
        return {"columns": [], "key": [], "key_holds": False, "created": None, "altered": None}
    return {
        "columns": [{"name": column.name, "type": column.type} for column in table.columns],
        "key": list(table.gate_key),
        "key_holds": warehouse.enforces_keys and table.key_source is KeySource.DECLARED,
        "created": instant(stamp.created) if stamp else None,
        "altered": instant(stamp.altered) if stamp else None,
    }


def _schemas(tables: Collection[TableRef]) -> set[str]:
    return {schema for schema, _ in tables}


def problems_with(each: Plan, ledger: Collection[Applied], result: NightResult | None) -> list[Problem]:
    """Return every selected table of a date that the ledger does not hold afterwards, with what its gate or dbt said."""
    held_back = {(row.schema, row.table): row.problem for row in ledger if row.date == each.date and row.problem}
    problems = [Problem(_asset(table), str(each.date), reason) for table, reason in each.failures.items()]
    for table in each.todo(ledger):
        if reason := held_back.get(table):
            problems.append(Problem(_asset(table), str(each.date), reason, Kind.HELD_BACK))
        else:
            said = (result and (result.failed.get(snapshot_name(*table)) or result.error)) or "dbt said nothing of it"
            reason = f"{table_name(*table)} of {each.date}: {' '.join(said.split())}"
            problems.append(Problem(_asset(table), str(each.date), reason))
    return problems


def _asset(table: TableRef) -> str:
    return "/".join(history_key(*table))


def check_rule(warehouse: Warehouse) -> None:
    """Refuse settings under which the dates of an existing history would stand for other instants."""
    settings = warehouse.settings
    for zone, time in warehouse.rules():
        if (zone, time) != (settings.timezone.key, f"{settings.cutoff:%H:%M}"):
            raise SettingsError(
                f"found HISTORY_CUTOFF={settings.cutoff:%H:%M} and HISTORY_TIMEZONE={settings.timezone.key}, but the history "
                f"was built with {time} and {zone}: set these again, or start another HISTORY_HOME"
            )
