"""Assets: a table's history, one dagster-dbt asset per generated snapshot, folded by one op.

Belongs here: what the assets are, and how Dagster learns what became of them. Does not belong here: what is folded and what dbt
is told of it (``folding``).
"""

import collections
import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets
from pydantic import Field

from history_assets.dbt_files import DbtProject
from history_assets.errors import HistoryError
from history_assets.event_log import log_materializations
from history_assets.failures import WHOLE_RUN, Problem, failure, kind_of
from history_assets.folding import Plan, TableRef, fold, plan, problems_with
from history_assets.gates import Gate
from history_assets.inventory import Schema
from history_assets.naming import clone_key, encode, history_key, snapshot_name
from history_assets.partitions import CLONE_DATES, dates_of, freshness
from history_assets.records import Folded, folded_event, tables_mark
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Applied, Clone, Status


class FoldConfig(dg.Config):
    """What a run of histories can be told."""

    allow: list[Gate] = Field([], description="Gates to leave open in this run, for tables whose copies are right as they are.")


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
        logged: set[tuple[str, str, dt.date]] = set()

        def log(rows: Iterable[Applied]) -> None:
            new = {(row.schema, row.table, row.date): row for row in rows}
            log_materializations(context, [_materialization(row) for which, row in new.items() if which not in logged])
            logged.update(new)

        try:
            plans = [plan(warehouse, selected, date) for date in dates]
            results = fold(project, warehouse, plans, context.log.info, allow=config.allow, entered=log)
            schemas = {schema for schema, _ in selected}
            with warehouse.reading():
                ledger = warehouse.ledger(schemas, (dates[0], dates[-1]))
                columns = warehouse.column_nights(schemas) if results else []
            for line in warehouse.keep_functions(columns):
                context.log.warning(line)
        except HistoryError as error:
            raise failure("nothing was folded", [Problem(WHOLE_RUN, None, str(error), kind_of(error))]) from error
        problems: list[Problem] = []
        of_date = collections.defaultdict[dt.date, list[Applied]](list)
        for row in ledger:
            of_date[row.date].append(row)
        for each in plans:
            rows, planned = of_date[each.date], set(each.tables)
            applied = (row for row in rows if (row.schema, row.table) in planned and _stands_for(row, each))
            log(applied)
            for schema, clone in each.clones.items():
                context.log_event(folded_event(clone, _became(clone, project.inventory.schema(schema), rows, settings)))
            problems += problems_with(each, rows, results.get(each.date))
        if problems:
            raise failure(f"{len(problems)} of {len(selected) * len(dates)} tables were not folded", problems)

    return history


def _became(clone: Clone, schema: Schema | None, ledger: Collection[Applied], settings: Settings) -> Folded:
    of_clone = [row for row in ledger if (row.schema, row.date, row.clone_id) == (clone.schema, clone.date, clone.clone_id)]
    decided = {row.table for row in of_clone}
    known = [table.name for table in schema.tables] if schema else []
    return Folded(
        clone.clone_id,
        left=tuple(name for name in known if name not in decided),
        held_back=tuple(row.table for row in of_clone if row.status is Status.QUARANTINED),
        gates=settings.gates_in_force(),
        tables=tables_mark(known),
        unknown=max(0, clone.tables - sum(1 for row in of_clone if row.columns)),
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
            "unchanged": dg.MetadataValue.bool(row.unchanged),
        },
    )
