"""Assets: a schema's clone of a date, one asset per Fivetran schema, all made by one op.

Belongs here: which clones a run makes, and how Dagster is told. Does not belong here: how a clone is made (``warehouse/``).
"""

import contextlib
import datetime as dt
import functools
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import dagster as dg
from pydantic import Field

from history_assets.descriptions import clones_of, contents
from history_assets.errors import HistoryError, SettingsError, WarehouseError
from history_assets.failures import WHOLE_RUN, Problem, failure, kind_of
from history_assets.fivetran.sources import QuietPoints, open_source
from history_assets.inventory import Inventory, Schema
from history_assets.lifelines import lifeline
from history_assets.markdown import escaped
from history_assets.naming import clone_key, encode, fivetran_key
from history_assets.partitions import CLONE_DATES, dates_of, freshness
from history_assets.progress import Watch, unwatched
from history_assets.settings import Settings
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Clone


class CloneConfig(dg.Config):
    """What a run of clones can be told."""

    reclone: bool = Field(False, description="Clone again where a clone of the date exists; by default it is kept as it is.")


def fivetran_specs(inventory: Inventory, settings: Settings) -> list[dg.AssetSpec]:
    """Return the landing schemas, which Fivetran fills and Dagster only looks at."""
    return [
        dg.AssetSpec(
            fivetran_key(schema.name),
            group_name=encode(schema.name),
            kinds={"fivetran"},
            description=f"The schema {escaped(schema.name)} as Fivetran lands it: {len(schema.tables)} tables, overwritten.",
            owners=settings.owners,
            metadata={"clones": clones_of(schema.name), "contents": contents(schema)},
        )
        for schema in inventory.schemas
    ]


def clone_assets(
    inventory: Inventory, warehouse: Warehouse, now: Callable[[], dt.datetime], watch: Watch = unwatched
) -> dg.AssetsDefinition:
    """Return the asset of every schema's clones, partitioned by clone date."""
    schemas = {dg.AssetKey(clone_key(schema.name)): schema.name for schema in inventory.schemas}

    @dg.multi_asset(
        name="clone_schemas",
        specs=[_spec(schema, warehouse) for schema in inventory.schemas],
        can_subset=True,
        partitions_def=CLONE_DATES,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool="clones",
    )
    def clones(context: dg.AssetExecutionContext, config: CloneConfig) -> Iterator[dg.MaterializeResult[None]]:
        dates, refused = dates_of(context, warehouse.settings.cutoffs(), now())
        selected = sorted(schemas[key] for key in context.selected_asset_keys)
        try:
            check_clones(warehouse)
        except SettingsError as error:
            raise failure("nothing was cloned", [Problem(WHOLE_RUN, None, str(error))]) from error
        problems: list[Problem] = []
        watch("cloning schemas", 0, len(selected))
        with lifeline(warehouse.settings.home, context.run.run_id), ThreadPoolExecutor(warehouse.settings.threads) as pool:
            quiet = QuietPoints(warehouse, open_source(warehouse, warehouse.settings.cutoffs().at(dates[0])), now)
            outcomes = pool.map(lambda schema: clone_schema(quiet, schema, dates, replace=config.reclone), selected)
            for done, (schema, made) in enumerate(zip(selected, outcomes, strict=True), 1):
                watch("cloning schemas", done, len(selected))
                outcome = made | refused
                yield from _record(context, schema, outcome)
                problems += _problems(schema, outcome)
        if problems:
            raise failure(f"{len(problems)} of {len(selected) * (len(dates) + len(refused))} clones failed", problems)

    return clones


def clone_schema(
    quiet: QuietPoints, schema: str, dates: list[dt.date], *, replace: bool
) -> dict[dt.date, Clone | HistoryError]:
    """Clone a schema for each date, oldest first, and return what came of each; one date's failure stops no other."""
    outcome: dict[dt.date, Clone | HistoryError] = {}
    for date in dates:
        try:
            settle = functools.partial(quiet.of, schema, date)
            outcome[date] = quiet.warehouse.clone(schema, date, settle, replace=replace)
        except HistoryError as error:
            outcome[date] = error
    return outcome


def check_clones(warehouse: Warehouse) -> None:
    """Refuse settings under which the date of the oldest clone would stand for another instant than it was made for.

    The ledger has the rule itself, but it may be locked, or in a warehouse that is asleep; clones are free to look at.
    """
    with contextlib.suppress(WarehouseError):  # each schema says for itself what it cannot be cloned for
        oldest = min(((dates[0], schema) for schema, dates in warehouse.clone_dates().items() if dates), default=None)
        clone = warehouse.find_clone(oldest[1], oldest[0]) if oldest else None
        cutoff = warehouse.settings.cutoffs().at(clone.date) if clone else None
        if clone and cutoff != clone.cutoff:
            raise SettingsError(
                f"found HISTORY_CUTOFF and HISTORY_TIMEZONE by which {clone.date} is cut off at {cutoff:%H:%M UTC of %Y-%m-%d},"
                f" but its clone of {clone.schema} at {clone.cutoff:%H:%M UTC of %Y-%m-%d}: set them as they were, or start "
                "another HISTORY_HOME"
            )


def _record(
    context: dg.AssetExecutionContext, schema: str, outcome: Mapping[dt.date | str, Clone | HistoryError]
) -> Iterator[dg.MaterializeResult[None]]:
    key = dg.AssetKey(clone_key(schema))
    made = {date: result for date, result in outcome.items() if isinstance(result, Clone)}
    if len(made) == len(outcome):
        for date, clone in made.items():
            context.add_asset_metadata(_metadata(clone), asset_key=key, partition_key=str(date))
        yield dg.MaterializeResult(asset_key=key)
        return
    # A result would stand for every date of the run, so the good dates are recorded one by one.
    for date, clone in made.items():
        context.log_event(dg.AssetMaterialization(key, partition=str(date), metadata=_metadata(clone)))


def _problems(schema: str, outcome: Mapping[dt.date | str, Clone | HistoryError]) -> Iterator[Problem]:
    for date, result in outcome.items():
        if isinstance(result, HistoryError):
            yield Problem("/".join(clone_key(schema)), str(date), str(result), kind_of(result))


def _metadata(clone: Clone) -> dict[str, dg.MetadataValue]:
    return {
        "cutoff": dg.MetadataValue.timestamp(clone.cutoff),
        "quiet_point": dg.MetadataValue.timestamp(clone.quiet_point),
        "tables": dg.MetadataValue.int(clone.tables),
        "dagster/row_count": dg.MetadataValue.int(clone.rows),
        "bytes": dg.MetadataValue.int(clone.bytes),
        "location": dg.MetadataValue.path(clone.location),
        "clone_id": dg.MetadataValue.text(clone.clone_id),
    }


def _spec(schema: Schema, warehouse: Warehouse) -> dg.AssetSpec:
    return dg.AssetSpec(
        clone_key(schema.name),
        deps=[dg.AssetKey(fivetran_key(schema.name))],
        group_name=encode(schema.name),
        kinds={warehouse.settings.engine},
        description=(
            f"The schema {escaped(schema.name)} as it was at the cutoff of each date: a zero-copy clone of its "
            f"{len(schema.tables)} tables, frozen."
        ),
        owners=warehouse.settings.owners,
        metadata={"raw": dg.MetadataValue.asset(dg.AssetKey(fivetran_key(schema.name))), "contents": contents(schema)},
        freshness_policy=freshness(warehouse.settings.cutoffs()),
        skippable=True,
    )
