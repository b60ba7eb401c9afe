"""Definitions as a code server loads them, in a fresh process: ``python -m benchmarks.loading ours`` or ``bare TABLES``.

``bare`` imports Dagster and dagster-dbt as any code location over a dbt project does, then holds as many bare asset specs as
ours has assets, each with its dependency. Prints the seconds of each step as JSON, and the peak of memory.
"""

import json
import sys
import time

from benchmarks.phases import born


def main() -> None:
    """Load, and say what it took."""
    seconds = {}
    last = born()

    def over(step: str) -> None:
        nonlocal last
        seconds[step] = time.time() - last
        last = time.time()

    import dagster as dg
    from dagster._core.remote_representation.external_data import RepositorySnap

    from benchmarks.child import peak

    if sys.argv[1] == "ours":
        from history_assets.definitions import defs

        over("imports")  # but for what is imported once it is asked for
        definitions = defs()
    else:
        import dagster_dbt  # noqa: F401 - for what it takes

        over("imports")
        tables = int(sys.argv[2])
        schemas = [f"s{each:02}" for each in range(-(-tables // 100))]
        landing = [dg.AssetSpec(["fivetran", schema]) for schema in schemas]
        clones = [dg.AssetSpec(["clones", schema], deps=[["fivetran", schema]]) for schema in schemas]
        histories = [
            dg.AssetSpec(["history", f"s{each // 100:02}", f"t{each % 100:02}"], deps=[["clones", f"s{each // 100:02}"]])
            for each in range(tables)
        ]
        definitions = dg.Definitions(assets=[*landing, *clones, *histories])
    over("definitions")
    repository = definitions.get_repository_def()
    over("repository")
    assets = len(list(repository.asset_graph.get_all_asset_keys()))
    over("asset graph")
    RepositorySnap.from_def(repository)
    over("what is told to the webserver")
    print(json.dumps({"seconds": seconds, "assets": assets, "peak": peak()}))


if __name__ == "__main__":
    main()
