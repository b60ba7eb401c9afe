"""One night as somebody would write it who knows the tables: SQL on DuckDB in one process, without dbt, Dagster or a ledger.

``python -m benchmarks.by_hand REQUEST``. It copies every schema's file, asks the log which tables have changed since the night
before, diffs each by its key against the open rows of its history, and merges the difference in one transaction.
"""

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from benchmarks.landed import METADATA, cutoff_of, date_of, synced_at
from history_assets.naming import quote


def main() -> None:
    """Do what is asked."""
    asked = json.loads(sys.argv[1])
    home, raw, night, columns = Path(asked["home"]), Path(asked["raw"]), asked["night"], asked["columns"]
    with duckdb.connect(str(home / "history.duckdb")) as connection:
        connection.execute("set TimeZone = 'UTC'")
        clones = {}
        for source in sorted(raw.glob("*.duckdb")):
            if source.stem != METADATA:
                clones[source.stem] = home / "clones" / source.stem / f"{date_of(night)}.duckdb"
                clones[source.stem].parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, clones[source.stem])
        changed = changed_tables(raw, night)
        attached = None
        for schema, table in changed:
            if schema != attached:
                if attached:
                    connection.execute("detach clone")
                connection.execute(f"attach '{clones[schema]}' as clone (read_only)")
                connection.execute(f"create schema if not exists {quote(schema)}")
                attached = schema
            for statement in fold(f"{quote(schema)}.{quote(table)}", f"clone.main.{quote(table)}", columns, night):
                connection.execute(statement)


def changed_tables(raw: Path, night: int) -> list[tuple[str, str]]:
    """Return the tables that the log says were written since the night before."""
    with duckdb.connect(str(raw / f"{METADATA}.duckdb"), read_only=True) as connection:
        connection.execute("set TimeZone = 'UTC'")
        return connection.execute(
            "select distinct message_data->>'schema', message_data->>'table' from log "
            "where message_event = 'records_modified' and time_stamp >= ? order by all",
            [synced_at(night)],
        ).fetchall()


def fold(history: str, source: str, columns: Sequence[str], night: int) -> Iterator[str]:
    """Yield the statements that fold a table."""
    at = f"timestamp '{cutoff_of(night)}'"
    names = ", ".join((*columns, "_fivetran_synced"))
    if night == 0:
        yield f"create table {history} as select {names}, {at} as dbt_valid_from, null::timestamp as dbt_valid_to from {source}"
        return
    rest = [name for name in columns if name != "id"]
    yield f"""create or replace temporary table changed as
        select c.id is not null as is_new, h.id is not null as is_gone, coalesce(c.id, h.id) as id,
               {", ".join(f"c.{name}" for name in rest)}, c._fivetran_synced
        from {source} as c full join (select * from {history} where dbt_valid_to is null) as h on c.id = h.id
        where c.id is null or h.id is null or {" or ".join(f"c.{name} is distinct from h.{name}" for name in rest)}"""
    yield "begin"
    yield (
        f"update {history} as h set dbt_valid_to = {at} from changed where changed.is_gone and h.id = changed.id "
        "and h.dbt_valid_to is null"
    )
    yield f"insert into {history} ({names}, dbt_valid_from) select {names}, {at} from changed where is_new"
    yield "commit"


if __name__ == "__main__":
    main()
