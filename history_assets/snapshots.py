"""Assets: a table's history, one dagster-dbt asset per generated snapshot, folded by one op.

Belongs here: what a run folds, what dbt is told of each night, how Dagster learns what became of it. Does not belong here: the
folding (``dbt_project/macros``), the process that runs dbt (``dbt_run``).
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets
from pydantic import Field

from history_assets import dbt_run
from history_assets.dbt_files import DbtProject
from history_assets.errors import HistoryError, SettingsError
from history_assets.failures import WHOLE_RUN, Kind, Problem, failure, kind_of
from history_assets.gates import Gate
from history_assets.inventory import KeySource, Schema, Table
from history_assets.naming import clone_key, encode, history_key, snapshot_name, table_name
from history_assets.partitions import CLONE_DATES, dates_of, freshness
from history_assets.records import folded_event
from history_assets.settings import Settings
from history_assets.warehouse.base import Applied, Clone, Status, Warehouse


class FoldConfig(dg.Config):
    """What a run of histories can be told."""

    allow: list[Gate] = Field([], description="Gates to leave open in this run, for tables whose copies are right as they are.")


TableRef = tuple[str, str]
"""A table as (schema, name)."""


class HistoryTranslator(DagsterDbtTranslator):
    """Names and describes the asset of a snapshot; ``tables`` maps each snapshot's dbt name to its table."""

    def __init__(self, tables: Mapping[str, TableRef], settings: Settings) -> None:
        # Every table of a schema comes from the one asset of its clones.
        super().__init__(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True, enable_code_references=False))
        self.tables = tables
        self.engine = settings.engine
        self.freshness = freshness(settings.cutoffs())

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        if not unique_id.startswith("snapshot."):
            return spec
        node = manifest["nodes"][unique_id]
        schema, table = self.tables[node["name"]]
        return spec.replace_attributes(
            key=dg.AssetKey(history_key(schema, table)),
            # Not as dagster-dbt says it: with the name of a table by which Dagster takes the asset for its own parent, in a job
            # of what is downstream of it alone.
            deps=[dg.AssetDep(clone_key(schema))],
            group_name=encode(schema),
            kinds={"dbt", self.engine},
            description=node["description"],
            freshness_policy=self.freshness,
        )


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


def history_assets(project: DbtProject, warehouse: Warehouse, now: Callable[[], dt.datetime]) -> dg.AssetsDefinition:
    """Return the asset of every table's history, downstream of its schema's clones, same partitions."""
    named = {snapshot_name(schema, table.name): (schema, table.name) for schema, table in project.inventory.tables()}
    tables = {dg.AssetKey(history_key(*table)): table for table in named.values()}
    settings = warehouse.settings

    @dbt_assets(
        manifest=project.manifest,
        name="fold_histories",
        partitions_def=CLONE_DATES,
        backfill_policy=dg.BackfillPolicy.single_run(),
        dagster_dbt_translator=HistoryTranslator(named, settings),
        pool="history",
    )
    def history(context: dg.AssetExecutionContext, config: FoldConfig) -> Iterator[Any]:
        # A generator that yields nothing: events name their own date, whereas an output stands for every date of the run.
        yield from ()
        dates = dates_of(context, settings.cutoffs(), now())
        selected = sorted(tables[key] for key in context.selected_asset_keys)
        try:
            plans = [plan(warehouse, selected, date) for date in dates]
            results = fold(project, warehouse, plans, context.log.info, allow=config.allow)
            ledger = warehouse.ledger({schema for schema, _ in selected})
        except HistoryError as error:
            raise failure("nothing was folded", [Problem(WHOLE_RUN, None, str(error), kind_of(error))]) from error
        problems: list[Problem] = []
        for each in plans:
            for row in ledger:
                if (row.schema, row.table) in each.tables and _stands_for(row, each):
                    context.log_event(_materialization(row))
            for schema, clone in each.clones.items():
                context.log_event(folded_event(clone, _left(clone, project.inventory.schema(schema), ledger)))
            problems += problems_with(each, ledger, results.get(each.date))
        if problems:
            raise failure(f"{len(problems)} of {len(selected) * len(dates)} tables were not folded", problems)

    return history


def plan(warehouse: Warehouse, tables: Sequence[TableRef], date: dt.date) -> Plan:
    """Return what there is to fold for a date: the selected tables of schemas that have a clone, and why not the others."""
    schemas = sorted({schema for schema, _ in tables})
    clones = {schema: clone for (schema, _), clone in warehouse.find_clones(schemas, [date]).items()}
    failures = {
        (schema, table): f"found no clone of {schema} for {date}: materialize clones/{encode(schema)} first"
        for schema, table in tables
        if schema not in clones
    }
    return Plan(date, clones, tuple(table for table in tables if table[0] in clones), failures)


def fold(
    project: DbtProject,
    warehouse: Warehouse,
    plans: Sequence[Plan],
    say: Callable[[str], Any],
    *,
    allow: Collection[Gate] = (),
    force: bool = False,
) -> dict[dt.date, dbt_run.NightResult]:
    """Fold every planned table that is not folded yet, date by date, and return what dbt said of each date.

    ``allow`` opens gates for this once. ``force`` folds all, folded or not, and opens every gate. Raises SettingsError when the
    rule of cutoffs is not the one that the history was built with.
    """
    ledger = warehouse.ledger()
    check_rule(warehouse.settings, ledger)
    todo = {each.date: each.tables if force else each.todo(ledger) for each in plans}
    open_plans = [each for each in plans if todo[each.date]]
    if not open_plans:
        return {}
    nights = [night(each, todo[each.date], warehouse, allow, force) for each in open_plans]
    results = dbt_run.fold(project.folder, nights, warehouse.settings, say)
    return {each.date: result for each, result in zip(open_plans, results, strict=True)}


def night(
    each: Plan, todo: Sequence[TableRef], warehouse: Warehouse, allow: Collection[Gate] = (), force: bool = False
) -> dbt_run.Night:
    """Return the dbt invocation of a date: what the macros are told of it, and of each table as its clone has it."""
    settings = warehouse.settings
    cloned = {schema: warehouse.read_clone(each.clones[schema]) for schema in sorted({schema for schema, _ in todo})}
    run = {
        "clone_date": str(each.date),
        "cutoff": _sql_instant(settings.cutoffs().at(each.date)),
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
                "quiet_point": _sql_instant(each.clones[schema].quiet_point),
                "location": each.clones[schema].location,
            }
            for schema in cloned
        },
    }
    found = {(schema, table.name): table for schema, tables in cloned.items() for table in tables.tables}
    return dbt_run.Night(run, {snapshot_name(*table): _told(found.get(table), warehouse) for table in todo})


def _told(table: Table | None, warehouse: Warehouse) -> dict[str, Any]:
    if table is None:
        return {"columns": [], "key": [], "key_holds": False}
    return {
        "columns": [{"name": column.name, "type": column.type} for column in table.columns],
        # A whole row is no way in that would be worth a gate.
        "key": [] if table.key_source is KeySource.WHOLE_ROW else list(table.key),
        "key_holds": warehouse.enforces_keys and table.key_source is KeySource.DECLARED,
    }


def problems_with(each: Plan, ledger: Collection[Applied], result: dbt_run.NightResult | None) -> list[Problem]:
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


def _left(clone: Clone, schema: Schema | None, ledger: Collection[Applied]) -> list[str]:
    decided = {
        row.table for row in ledger if (row.schema, row.date, row.clone_id) == (clone.schema, clone.date, clone.clone_id)
    }
    return [table.name for table in schema.tables if table.name not in decided] if schema else []


def _asset(table: TableRef) -> str:
    return "/".join(history_key(*table))


def check_rule(settings: Settings, ledger: Sequence[Applied]) -> None:
    """Refuse settings under which the dates of an existing history would stand for other instants."""
    for row in ledger[:1]:
        if (row.time_zone, row.cutoff_time) != (settings.timezone.key, f"{settings.cutoff:%H:%M}"):
            raise SettingsError(
                f"found HISTORY_CUTOFF={settings.cutoff:%H:%M} and HISTORY_TIMEZONE={settings.timezone.key}, but the history "
                f"was built with {row.cutoff_time} and {row.time_zone}: set these again, or start another HISTORY_HOME"
            )


def _stands_for(row: Applied, each: Plan) -> bool:
    clone = each.clones[row.schema]
    return (row.status, row.date, row.clone_id) == (Status.APPLIED, each.date, clone.clone_id)


def _materialization(row: Applied) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        dg.AssetKey(history_key(row.schema, row.table)),
        partition=str(row.date),
        metadata={
            "dagster/row_count": dg.MetadataValue.int(row.rows),
            "opened": dg.MetadataValue.int(row.opened),
            "closed": dg.MetadataValue.int(row.closed),
            "cutoff": dg.MetadataValue.timestamp(row.cutoff),
            "quiet_point": dg.MetadataValue.timestamp(row.quiet_point),
            "clone_id": dg.MetadataValue.text(row.clone_id),
        },
    )


def _sql_instant(instant: dt.datetime) -> str:
    return f"{instant.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S.%f}"
