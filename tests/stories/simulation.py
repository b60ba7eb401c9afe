"""Weeks of an account that runs itself, hour by hour: connectors that sync, things that fail, and what must come of it.

    python -m tests.stories.simulation 60 20 7      days, connectors, seed

Syncs and faults are drawn from the seed; the real schedule, sensors and jobs run over the emulated account at a clock of their
own. The oracle knows what each sync wrote, and nothing of this project.
"""

import collections
import contextlib
import dataclasses
import datetime as dt
import itertools
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg

from history_assets import dbt_files
from history_assets.location import build_definitions
from history_assets.naming import clone_key, fivetran_key, history_key
from history_assets.refresh import refresh
from history_assets.refreshing import REFRESH_JOB
from history_assets.verification import verify
from history_assets.warehouse.values import Status
from tests.fakes.channel import Channel
from tests.fakes.fivetran import GROUP, FakeFivetran, Fault
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.errors import SnowflakeError
from tests.fakes.snowflake.log import Statement
from tests.stories.daemon import Daemon
from tests.stories.engines.snowflake import Snowflake

START = dt.datetime(2026, 9, 3, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
SYNCED = "2026-09-03 00:00:00+00"


Rows = tuple[tuple[int, int, str], ...]
"""Rows as (id, value, state)."""

Tables = Mapping[str, Rows]


@dataclasses.dataclass(frozen=True)
class Written:
    """What a schema held from an instant on, by table, and whether a sync had just ended well."""

    at: dt.datetime
    tables: Tables
    whole: bool


@dataclasses.dataclass(frozen=True)
class Planned:
    """One sync: its number, which its rows bear, and what it leaves; ``more`` says whether there is a second table by then."""

    start: dt.datetime
    end: dt.datetime
    status: str
    number: int
    empty: bool
    more: bool


@dataclasses.dataclass(frozen=True)
class Outage:
    """Something that is down from an instant to another."""

    what: str
    start: dt.datetime
    end: dt.datetime

    def holds(self, now: dt.datetime) -> bool:
        return self.start <= now < self.end


def plan_syncs(chance: random.Random, days: int) -> list[Planned]:
    """Draw a connector's syncs, about every six hours, some of them at midnight, failing, put off or historical.

    Of some connectors a second table comes, and may go again; some fall silent for days.
    """
    syncs: list[Planned] = []
    born, gone = (chance.randrange(8, days * 4) if chance.random() < share else None for share in (0.3, 0.5))
    silent = chance.randrange(8, days * 4) if chance.random() < 0.2 else None
    now = START - DAY + chance.randrange(360) * dt.timedelta(minutes=1)
    while now < START + (days + 1) * DAY:
        minutes = chance.randint(300, 600) if chance.random() < 0.02 else chance.randint(3, 50)
        end = now + dt.timedelta(minutes=minutes)
        status = "COMPLETED" if len(syncs) < 2 else chance.choices(["COMPLETED", "FAILURE", "RESCHEDULED"], [90, 8, 2])[0]
        empty = status == "COMPLETED" and len(syncs) > 4 and chance.random() < 0.01
        number = len(syncs) + 1
        more = born is not None and number >= born and not (gone and number >= gone > born)
        syncs.append(Planned(now, end, status, number, empty, more))
        now = max(now + 6 * HOUR, end + dt.timedelta(minutes=5)) + dt.timedelta(minutes=chance.randint(0, 9))
        now += 3 * DAY if number == silent else dt.timedelta()
    return syncs


def plan_outages(chance: random.Random, days: int) -> list[Outage]:
    """Draw outages that do not meet each other: of the daemon for up to three days, of the account and the API for hours."""
    outages: list[Outage] = []
    now = START + DAY + chance.randrange(24) * HOUR
    while now < START + (days - 2) * DAY:
        what = chance.choice(["daemon", "account", "api"])
        end = now + chance.randint(2, 70 if what == "daemon" else 9) * HOUR
        outages.append(Outage(what, now, end))
        now = end + chance.randint(24, 120) * HOUR
    return outages


_TICKS = (
    *((1, "syncs"), (6, "drift"), (16, "healing"), (21, "watch")),
    *((31, "syncs"), (33, "drift"), (36, "healing"), (46, "syncs"), (51, "watch")),
)
"""The minutes of an hour at which sensors tick."""


class Simulation:
    """An account, a Fivetran and a daemon, with weeks of both drawn in advance."""

    def __init__(
        self, home: Path, emulator: Emulator, fivetran: FakeFivetran, channel: Channel, days: int, count: int, seed: int
    ):
        (home / "dagster").mkdir(parents=True)
        chance = random.Random(seed)
        self.days = days
        self.engine = Snowflake(home, emulator)
        self.emulator, self.fivetran, self.channel = emulator, fivetran, channel
        self.syncs = {f"S{number:02}": plan_syncs(random.Random(f"{seed} {number}"), days) for number in range(count)}
        self.outages = plan_outages(chance, days)
        self.written: dict[str, list[Written]] = {schema: [] for schema in self.syncs}
        self.warehouse = self.engine.warehouse(fivetran=fivetran.credentials(), alert_urls=(channel.url,), shrunken_rows=10)
        self.daemon = Daemon(dg.DagsterInstance.local_temp(str(home / "dagster")), self._definitions, START)
        self.told: list[tuple[dt.datetime, str, str]] = []
        self._loaded: tuple[Path, dg.Definitions] | None = None
        self._steps = sorted(self._landings(), key=lambda step: step[0])
        emulator.watch(".", self._meet)
        for schema in self.syncs:
            fivetran.connect(schema.lower())

    def run(self) -> None:
        """Let the days pass, and one more in which nothing fails."""
        self._pass(START)
        refresh(self.warehouse.settings, self.warehouse)
        now = START
        while now <= START + (self.days + 1) * DAY:
            self._pass(now)
            if not self._down("daemon"):
                self._tick(now)
            now += HOUR
            if now.hour == 0:
                print(f"{now:%m-%d}: {len(self.daemon.ran)} runs, {len(self.channel.titles)} messages", flush=True)

    def _tick(self, now: dt.datetime) -> None:
        if self._down("api"):
            self.fivetran.faults.extend([Fault(status=401)] * 40)
        if now.hour == 0:
            self.daemon.schedule("nightly")
        for minute, sensor in _TICKS:
            self._pass(now + dt.timedelta(minutes=minute))
            self.daemon.sensor(sensor)
            new = self.channel.received[len(self.told) :]
            self.told += [(self.daemon.now, each["title"], each["message"]) for each in new]
        self.fivetran.faults.clear()

    def _pass(self, now: dt.datetime) -> None:
        while self._steps and self._steps[0][0] <= now:
            _, schema, sync, ended = self._steps.pop(0)
            self._land(schema, sync, ended)
        self.daemon.now = now
        self.emulator.now = now.replace(tzinfo=None).isoformat()  # type: ignore[assignment]

    def _landings(self) -> Iterator[tuple[dt.datetime, str, Planned, bool]]:
        for schema, syncs in self.syncs.items():
            for sync in syncs:
                yield sync.start, schema, sync, False
                yield sync.end, schema, sync, True

    def _land(self, schema: str, sync: Planned, ended: bool) -> None:
        whole = ended and sync.status == "COMPLETED"
        state = "whole" if whole else "broken" if ended else "half"
        rows = tuple((row, sync.number, state) for row in range(3))
        tables = {"T": () if sync.empty and whole else rows} | ({"MORE": rows} if sync.more else {})
        (connection,) = [each for each in self.fivetran.connections[GROUP] if each["schema"] == schema.lower()]
        if ended:
            self.fivetran.syncs[connection["id"]].pop()
            connection["status"]["sync_state"] = "scheduled"
        self.fivetran.sync(schema.lower(), sync.start, sync.end if ended else None, sync.status)
        at = (sync.end if ended else sync.start).replace(tzinfo=None).isoformat()
        landed = {name: ("ID int primary key, V int, STATE varchar", _values(rows)) for name, rows in tables.items()}
        self.engine.land(schema, at, landed, SYNCED)
        self.written[schema].append(Written(sync.end if ended else sync.start, tables, whole))

    def _meet(self, statement: Statement) -> None:
        if statement.user == "TESTER" and self._down("account"):
            raise SnowflakeError("250001", "08001", "Could not connect to Snowflake backend")

    def _down(self, what: str) -> bool:
        return any(each.what == what and each.holds(self.daemon.now) for each in self.outages)

    def _definitions(self) -> dg.Definitions:
        settings, project = self.warehouse.settings, dbt_files.current(self.warehouse.settings.home)
        assert project
        if self._loaded is None or self._loaded[0] != project.folder:
            definitions = build_definitions(settings, warehouse=self.warehouse, now=lambda: self.daemon.now)
            self._loaded = project.folder, definitions
        return self._loaded[1]

    # What must have come of it.

    def problems(self) -> Iterator[str]:
        """Yield what is not as it should be."""
        yield from (finding.problem for finding in verify(self.warehouse) if finding.problem)
        yield from self._wrong_clones()
        yield from self._wrong_ledger()
        yield from self._told_twice()
        yield from self._wrong_messages()
        yield from self._wrong_drift()

    def expected(self, schema: str, date: dt.date) -> Tables:
        """Return what a clone holds: what the last sync that had ended well before the cutoff, with none running, had left."""
        cutoff = dt.datetime.combine(date, dt.time(), dt.UTC)
        return [each.tables for each in self.written[schema] if each.whole and each.at <= cutoff][-1]

    def held_back(self, schema: str, table: str) -> list[dt.date]:
        """Return the dates of which a table is held back: it is empty, or gone; not those before it came."""
        found = [(date, self.expected(schema, date).get(table)) for date in self.dates()]
        return [date for number, (date, rows) in enumerate(found) if not rows and any(before for _, before in found[:number])]

    def dates(self) -> list[dt.date]:
        return [(START + day * DAY).date() for day in range(self.days + 2)]

    def _wrong_clones(self) -> Iterator[str]:
        found = self.warehouse.clone_dates()
        for schema in self.syncs:
            if found.get(schema) != self.dates():
                yield f"{schema} has clones of {found.get(schema)}, expected every one of {self.dates()}"
            for date in found.get(schema, ()):
                name = f"{schema}__{date:%Y%m%d}"
                tables = {
                    table: self._rows(name, table) for table in self.emulator.catalog.databases["CLONES"].schemas[name].tables
                }
                if tables != self.expected(schema, date):
                    yield f"clone {date} of {schema} holds {tables}, expected {self.expected(schema, date)}"

    def _rows(self, clone: str, table: str) -> Rows:
        rows = self.emulator.run(f'select ID, V, STATE from CLONES."{clone}"."{table}" order by ID')
        return tuple((int(row), int(value), state) for row, value, state in rows)

    def _wrong_ledger(self) -> Iterator[str]:
        ledger = {(row.schema, row.table, row.date): row.status is Status.QUARANTINED for row in self.warehouse.ledger()}
        for schema, table, date in itertools.product(self.syncs, ("T", "MORE"), self.dates()):
            held_back = date in self.held_back(schema, table)
            there = table in self.expected(schema, date) or held_back
            if there and (schema, table, date) not in ledger:
                yield f"{date} of {schema}.{table} is neither folded nor held back"
            if ledger.get((schema, table, date), False) != held_back:
                yield f"{date} of {schema}.{table} is {'not ' if held_back else ''}held back"

    def _told_twice(self) -> Iterator[str]:
        instance = self.daemon.instance
        for schema in self.syncs:
            for path in (clone_key(schema), history_key(schema, "T"), history_key(schema, "MORE")):
                records = instance.fetch_materializations(dg.AssetKey(path), 9999).records
                for date, times in collections.Counter(record.partition_key for record in records).items():
                    if times > 1:
                        yield f"{'/'.join(path)} of {date} was made {times} times"
            told = collections.Counter[dt.datetime]()
            key = dg.AssetKey(fivetran_key(schema))
            for fetch in (instance.fetch_materializations, instance.fetch_observations):
                for record in fetch(key, 9999).records:
                    event = record.asset_event
                    ended: float = event.metadata["ended"].value if event else 0  # type: ignore[assignment]
                    told[dt.datetime.fromtimestamp(ended, dt.UTC)] += 1
            # Of those that ended before the first look, only the last ones are listed.
            ended_since = [each.end for each in self.syncs[schema] if START <= each.end <= self.daemon.now - HOUR]
            twice = [end for end, times in told.items() if times > 1]
            if lost := [end for end in ended_since if told[end] != 1] + twice:
                yield f"of the syncs of {schema} that ended at {lost} not each was told once: {[told[end] for end in lost]}"

    def _wrong_messages(self) -> Iterator[str]:
        """Each fault is told once, and nothing else is; faults of one cause at one time share a message."""
        expected = collections.Counter[str]()
        for outage in self.outages:
            expected[f"sensor fails: {'the daemon' if outage.what == 'daemon' else outage.what}"] += 1
        for schema, table in itertools.product(self.syncs, ("T", "MORE")):
            dates = self.held_back(schema, table)
            expected[f"held back: history/{schema}/{table}"] += sum(date - DAY not in dates for date in dates)
        for schema, syncs in self.syncs.items():
            silences = [one.end for one, other in itertools.pairwise(syncs) if other.end - one.end > DAY]
            expected[f"silent: fivetran/{schema.lower()}"] += sum(end + DAY < self.daemon.now for end in silences)
        found = collections.Counter(each for told in self.told for each in self._faults(*told))
        for fault in sorted(expected.keys() | found.keys()):
            if expected[fault] != found[fault]:
                yield f"of {fault!r} there were {expected[fault]}, which were told {found[fault]} times"

    def _faults(self, at: dt.datetime, title: str, body: str) -> Iterator[str]:
        sort, _, names = title.removeprefix("history_assets: ").partition(": ")
        if sort == "sensor fails" and names != "the daemon":
            down = [each.what for each in self.outages if each.holds(at)]
            yield f"{sort}: {', '.join(down) or body}"
        else:
            yield from (f"{sort}: {name}" for name in names.split(", "))

    def _wrong_drift(self) -> Iterator[str]:
        """Each table that comes or goes is in the change list of one refresh."""
        expected = collections.Counter[str]()
        for schema, syncs in self.syncs.items():
            seen = [sync.more for sync in syncs if sync.start <= self.daemon.now - HOUR]
            expected[f"- new table {schema}.MORE"] += sum(other > one for one, other in itertools.pairwise(seen))
            expected[f"- table {schema}.MORE is gone"] += sum(other < one for one, other in itertools.pairwise(seen))
        found = collections.Counter[str]()
        for run in self.daemon.instance.get_runs(dg.RunsFilter(job_name=REFRESH_JOB)):
            for record in self.daemon.instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_OUTPUT).records:
                event = record.event_log_entry.dagster_event
                text = str(event.step_output_data.metadata["drift"].value) if event else ""
                found.update(line.partition(" (")[0].partition(",")[0] for line in text.splitlines())
        for change in sorted(expected.keys() | found.keys()):
            if expected[change] != found[change]:
                yield f"of {change!r} there were {expected[change]}, which were reported {found[change]} times"


def _values(rows: Rows) -> str:
    values = ", ".join(f"({row}, {number}, '{state}')" for row, number, state in rows)
    return values and f"values {values}"


@contextlib.contextmanager
def simulated(home: Path, days: int, count: int, seed: int) -> Iterator[Simulation]:
    """Open a simulation, not yet run."""
    channel = Channel()
    try:
        with Emulator() as emulator, FakeFivetran() as fivetran:
            yield Simulation(home, emulator, fivetran, channel, days, count, seed)
    finally:
        channel.close()


def main(days: int, count: int, seed: int) -> int:
    """Run a simulation, print what was wrong, and return how much that is."""
    with tempfile.TemporaryDirectory() as folder, simulated(Path(folder) / "home", days, count, seed) as simulation:
        for outage in simulation.outages:
            print(f"{outage.what} is down from {outage.start} to {outage.end}")
        simulation.run()
        problems: Sequence[str] = list(simulation.problems())
        nights = sum(map(len, simulation.warehouse.clone_dates().values()))
        print(f"{nights} clones, {len(simulation.daemon.ran)} runs, {len(simulation.channel.titles)} messages:")
        print(*(f"{at:%m-%d %H:%M} {title}" for at, title, _ in simulation.told), *problems, sep="\n")
        print(f"{len(problems)} wrong")
        return len(problems)


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:4])) > 0)
