"""Assets: a table's history, one dagster-dbt asset per generated snapshot, folded by one op.

Belongs here: what the assets are, and how Dagster learns what became of them. Does not belong here: what is folded and what dbt
is told of it (``folding``).
"""

import collections
import datetime as dt
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets
from pydantic import Field

from history_assets.dbt_files import DbtProject
from history_assets.descriptions import COLUMN_SCHEMA, clones_of, history_columns, shows_columns
from history_assets.errors import HistoryError
from history_assets.event_log import log_materializations
from history_assets.failures import WHOLE_RUN, Problem, failure, kind_of
from history_assets.folding import Plan, fold, plan, problems_with
from history_assets.gates import Gate
from history_assets.inventory import Inventory, Schema
from history_assets.lifelines import lifeline
from history_assets.naming import clone_key, encode, history_key, snapshot_name
from history_assets.partitions import CLONE_DATES, dates_of, freshness
from history_assets.preview import Night, night_of, row_changes, tables_table
from history_assets.progress import Watch, unwatched
from history_assets.records import Folded, folded_event, tables_mark
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Applied, Clone, Status


class FoldConfig(dg.Config):
    """What a run of histories can be told."""

    allow: list[Gate] = Field([], description="Gates to leave open in this run, for tables whose copies are right as they are.")


class HistoryTranslator(DagsterDbtTranslator):
    """Names and describes the asset of a snapshot; ``inventory`` has the tables."""

    def __init__(self, inventory: Inventory, settings: Settings) -> None:
        # Every table of a schema comes from the one asset of its clones.
        super().__init__(
            DagsterDbtTranslatorSettings(
                enable_duplicate_source_asset_keys=True, enable_code_references=False, enable_source_metadata=False
            )
        )
        self.clones = {encode(schema.name): dg.AssetSpec(clone_key(schema.name)) for schema in inventory.schemas}
        self.tables = {snapshot_name(schema, table.name): (schema, table) for schema, table in inventory.tables()}
        self.shows_columns = shows_columns(inventory)
        self.owners = settings.owners
        self.engine = settings.engine
        self.freshness = freshness(settings.cutoffs())
        self.alike: dg.AssetSpec | None = None

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        if unique_id.startswith("source."):
            return self.clones[manifest["sources"][unique_id]["source_name"]]
        # Of each snapshot dagster-dbt says the same but for what is said here; to say it, it makes four specs for each.
        self.alike = self.alike or super().get_asset_spec(manifest, unique_id, project)
        node = manifest["nodes"][unique_id]
        schema, table = self.tables[node["name"]]
        columns = {COLUMN_SCHEMA: history_columns(table)} if self.shows_columns else {}
        return self.alike.replace_attributes(
            key=dg.AssetKey(history_key(schema, table.name)),
            # Not as dagster-dbt says it: with the name of a table by which Dagster takes the asset for its own parent, in a job
            # of what is downstream of it alone.
            deps=[dg.AssetDep(clone_key(schema))],
            group_name=encode(schema),
            kinds={"dbt", self.engine},
            description=node["description"],
            owners=self.owners,
            code_version=self.get_code_version(node),
            metadata={
                **self.alike.metadata,
                "dagster_dbt/unique_id": unique_id,
                "dagster/table_name": ".".join((node["database"], node["schema"], node["alias"])),
                "clones": clones_of(schema),
                **columns,
            },
            freshness_policy=self.freshness,
        )


def history_assets(
    project: DbtProject, warehouse: Warehouse, now: Callable[[], dt.datetime], watch: Watch = unwatched
) -> dg.AssetsDefinition:
    """Return the asset of every table's history, downstream of its schema's clones, same partitions."""
    _remember_keys()
    refs = [(schema, table.name) for schema, table in project.inventory.tables()]
    tables = {dg.AssetKey(history_key(*ref)): ref for ref in refs}
    settings = warehouse.settings

    def fold_and_tell(context: dg.AssetExecutionContext, config: FoldConfig) -> None:
        dates, refused = dates_of(context, settings.cutoffs(), now())
        selected = sorted(tables[key] for key in context.selected_asset_keys)
        logged: set[Night] = set()
        previews: dict[Night, str] = {}

        def log(rows: Iterable[Applied]) -> None:
            new = {night: row for row in rows if (night := night_of(row)) not in logged}
            log_materializations(context, [_materialization(row, previews.get(night)) for night, row in new.items()])
            logged.update(new)

        try:
            plans = [plan(warehouse, selected, date) for date in dates]
            results = fold(project, warehouse, plans, context.log.info, allow=config.allow, entered=log, watch=watch)
            schemas = {schema for schema, _ in selected}
            of_date = collections.defaultdict[dt.date, list[Applied]](list)
            with warehouse.reading():
                for row in warehouse.ledger(schemas, (dates[0], dates[-1])):
                    of_date[row.date].append(row)
                made = {each.date: _made(each, of_date[each.date]) for each in plans}
                columns = warehouse.column_nights(schemas) if results else []
                lacking = columns if warehouse.lacks_functions(columns) else []
                previews.update(row_changes(warehouse, list(itertools.chain(*made.values())), columns))
        except HistoryError as error:
            raise failure("nothing was folded", [Problem(WHOLE_RUN, None, str(error), kind_of(error))]) from error
        problems = [
            Problem("/".join(history_key(*ref)), key, str(error), kind_of(error))
            for key, error in refused.items()
            for ref in selected
        ]
        for each in plans:
            rows = of_date[each.date]
            log(made[each.date])
            of_clone = collections.defaultdict[tuple[str, str], list[Applied]](list)
            for row in rows:
                of_clone[row.schema, row.clone_id].append(row)
            for schema, clone in each.clones.items():
                mine = of_clone[schema, clone.clone_id]
                became = _became(clone, project.inventory.schema(schema), mine, settings)
                context.log_event(folded_event(clone, became, tables_table(mine), mine))
            problems += problems_with(each, rows, results.get(each.date))
        for line in _keep_functions(warehouse, lacking):
            context.log.warning(line)
        if problems:
            raise failure(f"{len(problems)} of {len(selected) * (len(dates) + len(refused))} tables were not folded", problems)

    @dbt_assets(
        manifest=project.read_manifest(),
        name="fold_histories",
        partitions_def=CLONE_DATES,
        backfill_policy=dg.BackfillPolicy.single_run(),
        dagster_dbt_translator=HistoryTranslator(project.inventory, settings),
        pool="history",
    )
    def history(context: dg.AssetExecutionContext, config: FoldConfig) -> Iterator[Any]:
        # A generator that yields nothing: events name their own date, whereas an output stands for every date of the run.
        yield from ()
        with lifeline(settings.home, context.run.run_id):
            fold_and_tell(context, config)

    return history


def _remember_keys() -> None:
    """Have Dagster put the keys of an op's assets together once, as it does all else that never changes.

    It asks for them twice a run for each of the assets; for 5,000 that takes two seconds.
    """
    known = vars(dg.AssetsDefinition)["asset_and_check_keys"]
    if isinstance(known, property) and known.fget:
        remembered = functools.cached_property(known.fget)
        remembered.__set_name__(dg.AssetsDefinition, "asset_and_check_keys")
        dg.AssetsDefinition.asset_and_check_keys = remembered  # type: ignore[assignment, method-assign]


def _keep_functions(warehouse: Warehouse, columns: Collection[Applied]) -> list[str]:
    """Return a line on each function and view beside the histories that cannot be; what is folded stands without them."""
    try:
        return warehouse.keep_functions(columns)
    except HistoryError as error:
        return [f"functions and views beside the histories are left to the next run that folds: {error}"]


def _became(clone: Clone, schema: Schema | None, of_clone: Collection[Applied], settings: Settings) -> Folded:
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


def _made(each: Plan, rows: Collection[Applied]) -> list[Applied]:
    """Return the rows of the ledger by which the tables of a plan are folded."""
    planned = set(each.tables)
    return [row for row in rows if (row.schema, row.table) in planned and _stands_for(row, each.clones[row.schema])]


def _stands_for(row: Applied, clone: Clone) -> bool:
    return (row.status, row.date, row.clone_id) == (Status.APPLIED, clone.date, clone.clone_id)


def _materialization(row: Applied, changes: str | None) -> dg.AssetMaterialization:
    return dg.AssetMaterialization(
        dg.AssetKey(history_key(row.schema, row.table)),
        partition=str(row.date),
        metadata={
            "dagster/row_count": dg.MetadataValue.int(row.rows),
            "opened": dg.MetadataValue.int(row.opened),
            "closed": dg.MetadataValue.int(row.closed),
            **({"changes": dg.MetadataValue.md(changes)} if changes else {}),
            "cutoff": dg.MetadataValue.timestamp(row.cutoff),
            "quiet_point": dg.MetadataValue.timestamp(row.quiet_point),
            "clone_id": dg.MetadataValue.text(row.clone_id),
            "unchanged": dg.MetadataValue.bool(row.unchanged),
        },
    )
