"""The simulated Fivetran: what it promises of rows, nights and log, read back from its files as anybody else would."""

import collections
import datetime as dt
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from history_assets.errors import UsageError
from history_assets.sandbox import Sandbox
from tests.unit.sandbox import (
    FILLS,
    FIRST,
    FLAGS,
    NIGHTS,
    SCHEMAS,
    WINDOW,
    Row,
    State,
    dropped,
    nights,
    operations,
    read,
    vanished,
    without_stamp,
)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("nights") / "raw"


@pytest.fixture(scope="module")
def states(raw: Path) -> list[State]:
    """What the files hold after each of seven nights, every one synced by a new object."""
    found = []
    for at in NIGHTS:
        Sandbox(raw).sync(at)
        found.append(read(raw))
    return found


def test_schemas_and_tables_are_those_of_the_connectors(states: list[State]) -> None:
    """Each schema is a file, and its tables lie in the file's main schema."""
    found: dict[str, set[str]] = collections.defaultdict(set)
    for name in states[-1]:
        schema, table = name.split(".")
        found[schema].add(table)

    assert found == SCHEMAS


def test_every_row_says_when_it_was_synced(states: list[State]) -> None:
    """``_fivetran_synced`` is an instant in every row of every table, within the sync that wrote it."""
    for state in states:
        for table in state.values():
            assert table.types["_fivetran_synced"] == "TIMESTAMP WITH TIME ZONE"
            assert all(any(at <= row["_fivetran_synced"] <= at + WINDOW for at in NIGHTS) for row in table.rows)


def test_keys_are_declared_as_the_real_connectors_do(states: list[State]) -> None:
    """Tables have a declared key, single or composite, but for one with a surrogate and one where the whole row is the key."""
    keys = {name: table.key for name, table in states[-1].items() if table.key != ("id",)}

    assert keys == {
        "fivetran_metadata.connection": ("connection_id",),
        "shop_billing.exchange_rate": ("currency",),
        "shop_public.order_item": ("order_id", "line_number"),
        "shop_public.stock_count": (),
        "stripe.balance_transaction": (),
        "zendesk.ticket_field_history": ("ticket_id", "field_name", "updated"),
        "zendesk.ticket_tag": ("tag", "ticket_id"),
    }
    surrogates = [row["_fivetran_id"] for row in states[-1]["stripe.balance_transaction"].rows]
    assert None not in surrogates
    assert len(set(surrogates)) == len(surrogates)


def test_all_kinds_of_types_are_there(states: list[State]) -> None:
    """Somewhere there is a column, with values and more than one of them, of every type that engines treat differently."""
    found: dict[str, set[Any]] = collections.defaultdict(set)
    for table in states[-1].values():
        for column, kind in table.types.items():
            found[kind].update(row[column] for row in table.rows if row[column] is not None)

    kinds = ["BIGINT", "BLOB", "BOOLEAN", "DATE", "DECIMAL(12,2)", "DOUBLE", "JSON", "TIMESTAMP", "VARCHAR"]
    assert {kind for kind, values in found.items() if len(values) > 1} == {*kinds, "TIMESTAMP WITH TIME ZONE"}
    assert any(not text.isascii() for text in found["VARCHAR"])
    assert all(json.loads(text) for text in found["JSON"])


def test_references_lead_to_rows(states: list[State]) -> None:
    """What a row refers to was there when it was written."""
    tables = states[-1]
    for child, column, parent in (
        ("salesforce.contact", "account_id", "salesforce.account"),
        ("salesforce.opportunity_line_item", "opportunity_id", "salesforce.opportunity"),
        ("stripe.invoice", "customer_id", "stripe.customer"),
        ("zendesk.ticket_tag", "ticket_id", "zendesk.ticket"),
        ("shop_public.order_item", "order_id", "shop_public.orders"),
        ("shop_billing.payment", "order_id", "shop_public.orders"),
    ):
        assert {row[column] for row in tables[child].rows} <= {row["id"] for row in tables[parent].rows}, child


def test_ticket_history_ends_in_what_the_ticket_says(states: list[State]) -> None:
    """The latest entry of a field is the ticket's present value."""
    history = sorted(states[-1]["zendesk.ticket_field_history"].rows, key=lambda row: row["updated"])
    latest = {(row["ticket_id"], row["field_name"]): row["value"] for row in history}

    for ticket in states[-1]["zendesk.ticket"].rows:
        for field in ("status", "priority", "assignee_id"):
            value = ticket[field]
            assert latest.get((ticket["id"], field)) == (None if value is None else str(value))


def test_values_change_to_null_and_back(states: list[State]) -> None:
    """Updates change values, empty them, and fill empty ones."""
    flips = collections.Counter[tuple[bool, bool]]()
    for before, after in nights(states):
        for name, table in before.items():
            news = after[name].by_key()
            for key, old in table.by_key().items():
                if table.key and key in news:
                    flips.update((old[c] is None, news[key][c] is None) for c in old if old[c] != news[key][c] and c[0] != "_")

    assert min(flips[False, False], flips[False, True], flips[True, False]) > 5


@pytest.mark.parametrize("table", ["salesforce.account", "stripe.customer", "shop_public.orders", "zendesk.ticket"])
def test_soft_deletes_flag_a_row_and_keep_it(states: list[State], table: str) -> None:
    """A table with a flag of deletion loses no row, and has a flagged one more after every night."""
    flagged = [sum(dropped(row) for row in state[table].rows) for state in states]

    assert flagged[0] == 0
    assert flagged[-1] >= 5
    assert not any(keys for _, keys in vanished(states, table))


@pytest.mark.parametrize("table", ["shop_public.cart", "zendesk.ticket_tag"])
def test_hard_deleted_rows_return(states: list[State], table: str) -> None:
    """Rows vanish without a trace, and some of the same keys are there again later."""
    returned = [
        key
        for night, keys in vanished(states, table)
        for key in keys
        if any(key in later[table].by_key() for later in states[night + 2 :])
    ]

    assert not set(FLAGS) & states[-1][table].types.keys()
    assert returned


def test_rows_without_a_key_come_in_copies(states: list[State]) -> None:
    """The table without key and surrogate holds equal rows, equal even in ``_fivetran_synced``, and loses some for good."""
    for state in states:
        assert max(collections.Counter(tuple(row.values()) for row in state["shop_public.stock_count"].rows).values()) > 1
    assert all(keys for _, keys in vanished(states, "shop_public.stock_count"))


def test_update_without_a_key_is_a_new_row_and_a_deleted_one(states: list[State]) -> None:
    """Keyed by a surrogate made from its values, a changed row is another row; the old one stays, flagged and unchanged."""
    versions = collections.Counter(row["id"] for row in states[-1]["stripe.balance_transaction"].rows)
    assert max(versions.values()) > 1

    for before, after in nights(states):
        news = after["stripe.balance_transaction"].by_key()
        for key, old in before["stripe.balance_transaction"].by_key().items():
            flag = {"_fivetran_deleted": news[key]["_fivetran_deleted"]}
            assert without_stamp(news[key]) == without_stamp(old) | flag
        live = collections.Counter(row["id"] for row in after["stripe.balance_transaction"].rows if not dropped(row))
        assert max(live.values()) == 1


def test_fifth_sync_restamps_a_table_and_changes_nothing_else(states: list[State]) -> None:
    """After a re-sync every row has a new ``_fivetran_synced``, and all else is as it was."""
    before, after = states[3]["zendesk.user"].rows, states[4]["zendesk.user"].rows

    assert [without_stamp(row) for row in after] == [without_stamp(row) for row in before]
    assert all(row["_fivetran_synced"] >= NIGHTS[4] for row in after)


def endings(states: list[State]) -> Iterator[tuple[Row, Row]]:
    """Yield each deal that ends: its row of the night before, and that of the night on which it is over."""
    for before, after in nights(states):
        olds = before["salesforce.opportunity"].by_key()
        for key, new in after["salesforce.opportunity"].by_key().items():
            if key in olds and olds[key]["stage_name"] != new["stage_name"] and new["stage_name"].startswith("Closed"):
                yield olds[key], new


def test_deals_end_as_they_stood(states: list[State]) -> None:
    """Who sells a deal, what is next and its size tell beforehand how it ends: each of the better half wins more often."""
    ended = [(old, new["stage_name"] == "Closed Won") for old, new in endings(states)]
    sellers = sorted({old["owner_id"] for old, _ in ended})
    assert len(sellers) == 12

    for better in (
        lambda deal: deal["owner_id"] >= sellers[6],
        lambda deal: deal["next_step"] in ("quote", "visit"),
        lambda deal: deal["amount"] is not None and deal["amount"] < 125_000,
    ):
        halves = [[won for deal, won in ended if better(deal) is half] for half in (True, False)]
        shares = [sum(half) / len(half) for half in halves]
        assert min(map(len, halves)) > 40
        assert shares[0] > shares[1] + 0.1


def test_ending_tidies_a_deal_up(states: list[State]) -> None:
    """A deal that is over says how it ended, in more columns than its stage, and is never changed again."""
    ended = [new for _, new in endings(states)]
    sellers = {row["owner_id"] for row in states[0]["salesforce.opportunity"].rows}
    handed_over = [row["stage_name"] for row in ended if row["owner_id"] not in sellers]

    assert {(row["stage_name"], row["probability"], row["next_step"]) for row in ended} == {
        ("Closed Won", 100.0, None),
        ("Closed Lost", 0.0, None),
    }
    assert set(handed_over) == {"Closed Won"}
    assert len(handed_over) > 0.8 * sum(row["stage_name"] == "Closed Won" for row in ended)
    told_later = {"system_modstamp", "is_deleted", "forecast_confidence_c", "_fivetran_synced"}
    last = states[-1]["salesforce.opportunity"].by_key()
    for row in ended:
        assert {name: last[row["id"], 1][name] for name in row.keys() - told_later} == {
            name: row[name] for name in row.keys() - told_later
        }


def test_third_sync_adds_a_column_for_some_rows(states: list[State]) -> None:
    """A new column comes last, and is empty in some of the rows that were there."""
    before, after = states[1]["salesforce.opportunity"], states[2]["salesforce.opportunity"]
    assert list(after.types) == [*before.types, "forecast_confidence_c"]

    values = [after.by_key()[key]["forecast_confidence_c"] for key in before.by_key()]
    assert 10 < values.count(None) < len(values) - 10


def test_fourth_sync_brings_a_table(states: list[State]) -> None:
    """A table appears in a schema that had been synced without it."""
    assert [sorted(after.keys() - before.keys()) for before, after in nights(states)] == [[], [], ["stripe.refund"], [], [], []]
    assert states[3]["stripe.refund"].rows


def test_sixth_sync_of_a_connector_has_nothing_to_do(states: list[State]) -> None:
    """An idle connector starts and ends a sync, and touches no table of its schema; the others go on."""
    changed = {name.split(".")[0] for name in states[5] if states[5][name] != states[4][name]}

    assert changed == SCHEMAS.keys() - {"stripe"}


def test_every_connection_logs_start_and_success_of_every_sync(states: list[State]) -> None:
    """A sync's events begin with its start and end with its success; syncs start two minutes apart, all in half an hour."""
    names = {row["connection_id"]: row["connection_name"] for row in states[-1]["fivetran_metadata.connection"].rows}
    syncs: dict[str, list[Row]] = collections.defaultdict(list)
    for row in sorted(states[-1]["fivetran_metadata.log"].rows, key=lambda row: row["time_stamp"]):
        syncs[row["sync_id"]].append(row)

    started = set()
    for start, *between, end in syncs.values():
        at = max(at for at in NIGHTS if at <= start["time_stamp"])
        started.add((names[start["connection_id"]], start["time_stamp"]))
        assert {row["connection_id"] for row in (*between, end)} == {start["connection_id"]}
        assert start["message_event"] == "sync_start"
        assert (end["message_event"], json.loads(end["message_data"])) == ("sync_end", {"status": "SUCCESSFUL"})
        assert not {"sync_start", "sync_end"} & {row["message_event"] for row in between}
        assert end["time_stamp"] <= at + WINDOW
    expected = {(name, at + dt.timedelta(minutes=2 * position)) for at in NIGHTS for position, name in enumerate(FILLS)}
    assert len(syncs) == len(expected)
    assert started == expected


def test_rows_are_stamped_within_their_sync(states: list[State]) -> None:
    """What a sync wrote carries an instant between the log's start and end of the writing of that table."""
    log = states[-1]["fivetran_metadata.log"].rows
    spans = collections.defaultdict(list)
    names = {row["connection_id"]: row["connection_name"] for row in states[-1]["fivetran_metadata.connection"].rows}
    for row in sorted(log, key=lambda row: row["time_stamp"]):
        if row["message_event"].startswith("write_to_table"):
            spans[names[row["connection_id"]], json.loads(row["message_data"])["table"]].append(row["time_stamp"])

    for name, schemas in FILLS.items():
        for schema in schemas:
            for table in SCHEMAS[schema]:
                edges = iter(spans[name, table])
                pairs = list(zip(edges, edges, strict=True))
                for stamp in {row["_fivetran_synced"] for row in states[-1][f"{schema}.{table}"].rows}:
                    assert any(start <= stamp <= end for start, end in pairs), (schema, table, stamp)


def test_log_counts_what_happened(states: list[State]) -> None:
    """The counts of ``records_modified`` are those of comparing each table before and after the night."""
    seen: set[str] = set()
    for night, after in enumerate(states):
        before = states[night - 1] if night else {}
        logged: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        for row in after["fivetran_metadata.log"].rows:
            if row["message_event"] == "records_modified" and row["time_stamp"] >= NIGHTS[night]:
                data = json.loads(row["message_data"])
                logged[f"{data['schema']}.{data['table']}"][data["operationType"]] += data["count"]
        happened = {
            name: counts
            for name, table in after.items()
            if not name.startswith("fivetran_metadata.") and (counts := operations(before.get(name), table))
        }
        seen.update(*logged.values())

        assert logged == happened, f"night {night + 1}"
    assert seen == {"REPLACED_OR_INSERTED", "UPDATED", "DELETED"}


def test_same_syncs_give_the_same_rows(states: list[State], tmp_path: Path) -> None:
    """All rows, and the log, follow from seed and instants alone, not from the object, nor the zone of the instants."""
    sandbox = Sandbox(tmp_path / "raw")
    for at in NIGHTS:
        sandbox.sync(at.astimezone(dt.timezone(dt.timedelta(hours=9))))

    assert read(tmp_path / "raw") == states[-1]


def test_same_syncs_give_the_same_rows_in_another_process(states: list[State], tmp_path: Path) -> None:
    """Neither the order of sets nor the machine's time zone has a say."""
    script = (
        "import datetime as dt, pathlib, sys; from history_assets.sandbox import Sandbox\n"
        "for at in sys.argv[2:]: Sandbox(pathlib.Path(sys.argv[1])).sync(dt.datetime.fromisoformat(at))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    arguments = [str(tmp_path / "raw"), *(at.isoformat() for at in NIGHTS[:3])]
    subprocess.run([sys.executable, "-c", script, *arguments], env=environment, check=True)

    assert read(tmp_path / "raw") == states[2]


def test_another_seed_gives_other_rows(states: list[State], tmp_path: Path) -> None:
    """The seed decides what is invented, not what happens."""
    Sandbox(tmp_path / "raw", seed=12).sync(FIRST)
    found = read(tmp_path / "raw")

    assert found.keys() == states[0].keys()
    assert found["salesforce.account"].rows != states[0]["salesforce.account"].rows


def test_last_sync_is_the_end_of_the_latest(raw: Path, states: list[State], tmp_path: Path) -> None:
    """It is read from the log, by whichever object, and nothing where nothing was synced."""
    ends = [row["time_stamp"] for row in states[-1]["fivetran_metadata.log"].rows if row["message_event"] == "sync_end"]

    assert Sandbox(raw).last_sync() == max(ends)
    assert Sandbox(tmp_path / "none").last_sync() is None
    assert not (tmp_path / "none").exists()


def test_naive_time_is_refused(tmp_path: Path) -> None:
    """An instant needs a zone; nothing is written before that is known."""
    with pytest.raises(UsageError, match="without a zone"):
        Sandbox(tmp_path / "raw").sync(FIRST.replace(tzinfo=None))

    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("at", [FIRST, NIGHTS[-1], NIGHTS[-1] + dt.timedelta(minutes=3)])
def test_time_that_goes_back_is_refused(raw: Path, states: list[State], at: dt.datetime) -> None:
    """A sync begins after the latest one has ended, and a refused one leaves all as it was."""
    with pytest.raises(UsageError, match="expected one after"):
        Sandbox(raw).sync(at)

    assert read(raw) == states[-1]


@pytest.mark.parametrize("stems", [["netsuite"], ["fivetran_metadata", "netsuite"], ["salesforce"]])
def test_folder_of_somebody_else_is_refused(tmp_path: Path, stems: list[str]) -> None:
    """Schemas that the sandbox has not made are never written to: other names, or the right ones without its metadata."""
    for stem in stems:
        duckdb.connect(str(tmp_path / f"{stem}.duckdb")).close()

    with pytest.raises(UsageError, match=f"found {stems[-1]} in .*, expected .*: choose"):
        Sandbox(tmp_path)


def test_metadata_of_somebody_else_are_refused(tmp_path: Path) -> None:
    """Real metadata name other connections, and are left as they are."""
    path = tmp_path / "fivetran_metadata.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "CREATE TABLE log AS SELECT 'real' AS connection_id, 'sync_start' AS message_event, now() AS time_stamp"
        )
    before = hashlib.sha256(path.read_bytes()).digest()

    with pytest.raises(UsageError, match="found real in"):
        Sandbox(tmp_path).sync(FIRST)

    assert [path.name for path in tmp_path.iterdir()] == [path.name]
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_folder_that_cannot_be_made_is_refused_in_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(UsageError, match=r"found the folder .*/file/raw not to be made \(Not a directory\)"):
        Sandbox(tmp_path / "file" / "raw").sync(FIRST)
