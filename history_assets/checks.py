"""Asset checks: every history proves itself against its kept clones, and against its own ledger.

Belongs here: how Dagster is told. Does not belong here: what is checked (``verification``).
"""

import collections
from collections.abc import Iterator

import dagster as dg

from history_assets.errors import HistoryError
from history_assets.inventory import Inventory
from history_assets.naming import history_key
from history_assets.verification import verify
from history_assets.warehouse.base import Warehouse

CHECK = "exact"


def exactness_checks(inventory: Inventory, warehouse: Warehouse) -> dg.AssetChecksDefinition:
    """Return the check of every history: as of each night it is that night's clone, and it contradicts itself nowhere."""
    tables = {dg.AssetKey(history_key(schema, table.name)): (schema, table.name) for schema, table in inventory.tables()}

    @dg.multi_asset_check(
        name="exactness",
        specs=[
            dg.AssetCheckSpec(CHECK, asset=key, description="The history as of every kept night is that night's clone.")
            for key in tables
        ],
        can_subset=True,
    )
    def exactness(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        selected = {check.asset_key: tables[check.asset_key] for check in context.selected_asset_check_keys}
        nights = collections.Counter[tuple[str, str]]()
        problems = collections.defaultdict[tuple[str, str], list[str]](list)
        try:
            for finding in verify(warehouse, {schema for schema, _ in selected.values()}):
                nights[finding.schema, finding.table] += finding.date is not None
                if finding.problem:
                    problems[finding.schema, finding.table].append(finding.problem)
        except HistoryError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        for key, table in selected.items():
            yield dg.AssetCheckResult(
                passed=not problems[table],
                asset_key=key,
                check_name=CHECK,
                description="; ".join(problems[table]) or f"{nights[table]} nights are exact",
                metadata={"nights": dg.MetadataValue.int(nights[table])},
            )

    return exactness
