"""Asset checks: every history proves itself against its kept clones and its own ledger, every schema its newest night.

Belongs here: how Dagster is told. Does not belong here: what is checked (``verification``, ``coverage``).
"""

import collections
import datetime as dt
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import dagster as dg

from history_assets.coverage import WINDOW, large_drops, lost_nights
from history_assets.errors import HistoryError, WarehouseError
from history_assets.inventory import Inventory, Schema
from history_assets.markdown import escaped
from history_assets.naming import clone_key, encode, history_key
from history_assets.verification import unfolded, verify, verify_clone
from history_assets.warehouse.base import Warehouse
from history_assets.warehouse.values import Applied

CHECK = "exact"
NEWEST_EXACT = "newest_exact"
NO_LOST_NIGHT = "no_lost_night"
NO_LARGE_DROP = "no_large_drop"
SCHEMA_CHECKS = {
    NEWEST_EXACT: "The histories as of the newest clone are that clone, every table of it.",
    NO_LOST_NIGHT: "Every recent date has a clone, or is in the histories.",
    NO_LARGE_DROP: "No table has lost a large share of its rows since the night before.",
}
"""The checks of a schema's clones, with what each says."""

WRONG = "wrong"
"""Metadata of their results: how much is wrong that no run has told of."""


def exactness_checks(inventory: Inventory, warehouse: Warehouse) -> list[dg.AssetChecksDefinition]:
    """Return the check of every history: as of each night it is that night's clone, and it contradicts itself nowhere.

    One op for each schema: what Dagster takes to load one grows with the square of its checks.
    """
    return [_exactness(schema, warehouse) for schema in inventory.schemas if schema.tables]


def _exactness(schema: Schema, warehouse: Warehouse) -> dg.AssetChecksDefinition:
    tables = {dg.AssetKey(history_key(schema.name, table.name)): table.name for table in schema.tables}

    @dg.multi_asset_check(
        name=f"exactness_{encode(schema.name)}",
        specs=[
            dg.AssetCheckSpec(CHECK, asset=key, description="The history as of every kept night is that night's clone.")
            for key in tables
        ],
        can_subset=True,
    )
    def exactness(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = {check.asset_key: tables[check.asset_key] for check in context.selected_asset_check_keys}
        nights = collections.Counter[str]()
        problems = collections.defaultdict[str, list[str]](list)
        try:
            for finding in verify(warehouse, [schema.name]):
                nights[finding.table] += finding.date is not None
                if finding.problem:
                    problems[finding.table].append(finding.problem)
        except HistoryError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        for key, table in selected.items():
            yield dg.AssetCheckResult(
                passed=not problems[table],
                asset_key=key,
                check_name=CHECK,
                description=escaped("; ".join(problems[table])) or f"{nights[table]} nights are exact",
                metadata={"nights": dg.MetadataValue.int(nights[table])},
            )

    return exactness


def schema_checks(inventory: Inventory, warehouse: Warehouse) -> dg.AssetChecksDefinition:
    """Return the checks of every schema's clones; of all nights only the newest is compared row by row."""
    schemas = {dg.AssetKey(clone_key(schema.name)): schema.name for schema in inventory.schemas}

    @dg.multi_asset_check(
        name="nights",
        specs=[
            dg.AssetCheckSpec(name, asset=key, description=description)
            for key in schemas
            for name, description in SCHEMA_CHECKS.items()
        ],
        can_subset=True,
    )
    def nights(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        if context.run.asset_selection:
            # Dagster adds its checks to a run of an asset; but what this run clones is folded after it, by another.
            context.log.info("left to a run after the clones are folded")
            return
        selected = sorted(context.selected_asset_check_keys)
        wanted = sorted({schemas[key.asset_key] for key in selected})
        exactly = {schemas[key.asset_key] for key in selected if key.name == NEWEST_EXACT}
        try:
            clones = warehouse.clone_dates()
            ledger = collections.defaultdict[str, list[Applied]](list)
            for row in _recent(warehouse, wanted, max((date for dates in clones.values() for date in dates), default=None)):
                ledger[row.schema].append(row)
            with ThreadPoolExecutor(warehouse.settings.threads) as pool:
                compared = pool.map(
                    lambda schema: _newest(warehouse, schema, clones.get(schema, ()), ledger[schema]), sorted(exactly)
                )
                newest = dict(zip(sorted(exactly), compared, strict=True))
        except HistoryError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        for key in selected:
            schema = schemas[key.asset_key]
            if key.name == NEWEST_EXACT:
                problems, fine, wrong = newest[schema]
            elif key.name == NO_LOST_NIGHT:
                problems, fine = _lost(clones.get(schema, ()), ledger[schema]), "every recent date has a clone or is folded"
                wrong = len(problems)
            else:
                share, rows = warehouse.settings.shrunken_share, warehouse.settings.shrunken_rows
                problems, fine, wrong = large_drops(ledger[schema], share, rows), "no table has shrunk much", 0
            yield dg.AssetCheckResult(
                passed=not problems,
                asset_key=key.asset_key,
                check_name=key.name,
                description=escaped("; ".join(problems)) or fine,
                severity=dg.AssetCheckSeverity.WARN if key.name == NO_LARGE_DROP else dg.AssetCheckSeverity.ERROR,
                metadata={WRONG: dg.MetadataValue.int(wrong)},
            )

    return nights


def _recent(warehouse: Warehouse, schemas: Sequence[str], newest: dt.date | None) -> list[Applied]:
    """Return what the ledger says of recent dates, and of each table the applied night next before them."""
    if newest is None:
        return warehouse.ledger(schemas)
    first = newest - WINDOW
    return [*warehouse.applied_before(schemas, first), *warehouse.ledger(schemas, (first, dt.date.max))]


def _newest(
    warehouse: Warehouse, schema: str, clones: Collection[dt.date], ledger: Sequence[Applied]
) -> tuple[list[str], str, int]:
    """Return what is wrong with the histories as of a schema's newest clone, what to say if nothing is, and how many differ."""
    try:
        return _compared(warehouse, schema, clones, ledger)
    except WarehouseError as error:
        if error.passing:
            raise
        return [str(error)], "", 1


def _compared(
    warehouse: Warehouse, schema: str, clones: Collection[dt.date], ledger: Sequence[Applied]
) -> tuple[list[str], str, int]:
    clone = warehouse.find_clone(schema, max(clones)) if clones else None
    if clone is None:
        return [f"found no clone of {schema}: run a night first"], "", 0
    rows = [row for row in ledger if row.date == clone.date]
    # Of what cannot have changed, the night that it was folded on has been compared.
    looked_at = [row for row in rows if not row.unchanged]
    left, compared = list(unfolded(warehouse, clone, rows)), list(verify_clone(warehouse, clone, looked_at))
    # Of a clone that was made again, both say so.
    problems = {finding.table: finding.problem for finding in (*compared, *left) if finding.problem}
    wrong = {finding.table for finding in compared if finding.problem} - {finding.table for finding in left if finding.problem}
    same = len(rows) - len(looked_at)
    fine = f"{len(left) + len(compared)} tables of {clone.date} are exact" + (f", {same} unchanged" if same else "")
    return [problems[table] for table in sorted(problems)], fine, len(wrong)


def _lost(clones: Collection[dt.date], ledger: Sequence[Applied]) -> list[str]:
    lost: Mapping[dt.date, Sequence[str]] = lost_nights(clones, ledger)
    if not lost:
        return []
    dates = ", ".join(f"{date} ({', '.join(tables)})" if tables else str(date) for date, tables in lost.items())
    return [f"found neither clone nor history of {dates}, expected one of every date: run them where raw still reaches back"]
