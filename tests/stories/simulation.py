"""Weeks of an account that runs itself, hour by hour: connectors that sync, things that fail, and what must come of it.

    python -m tests.stories.simulation 60 20 7      days, connectors, seed

Syncs and faults are drawn from the seed; the real schedule, sensors and jobs run over the emulated account at a clock of their
own. The oracle knows what each sync wrote, and nothing of this project.
"""

import collections
import contextlib
import dataclasses
import datetime as dt
import functools
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from history_assets.definitions import build_definitions
from history_assets.naming import clone_key, fivetran_key, history_key
from history_assets.refresh import refresh
from history_assets.verification import verify
from history_assets.warehouse.base import Status
from tests.fakes.channel import Channel
from tests.fakes.fivetran import GROUP, FakeFivetran, Fault
from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.errors import SnowflakeError
from tests.fakes.snowflake.log import Statement
from tests.stories.daemon import Daemon
from tests.stories.engines import Snowflake

START = dt.datetime(2026, 9, 3, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
DAY = dt.timedelta(days=1)
SYNCED = "2026-09-03 00:00:00+00"


@dataclasses.dataclass(frozen=True)
class Written:
    """What a schema held from an instant on: rows as (id, value, state), and whether a sync had just ended well."""

    at: dt.datetime
    rows: tuple[tuple[int, int, str], ...]
    whole: bool


@dataclasses.dataclass(frozen=True)
class Planned:
    """One sync: what its rows are in the middle of it and at its end."""

    start: dt.datetime
    end: dt.datetime
    status: str
    number: int
    empty: bool


@dataclasses.dataclass(frozen=True)
class Outage:
    """Something that is down from an instant to another."""

    what: str
    start: dt.datetime
    end: dt.datetime

    def holds(self, now: dt.datetime) -> bool:
        return self.start <= now < self.end


def plan_syncs(chance: random.Random, days: int) -> list[Planned]:
    """Draw a connector's syncs, about every six hours, some of them at midnight, failing, put off or historical."""
    syncs: list[Planned] = []
    now = START - DAY + chance.randrange(360) * dt.timedelta(minutes=1)
    while now < START + (days + 1) * DAY:
        minutes = chance.randint(300, 600) if chance.random() < 0.02 else chance.randint(3, 50)
        end = now + dt.timedelta(minutes=minutes)
        status = "COMPLETED" if len(syncs) < 2 else chance.choices(["COMPLETED", "FAILURE", "RESCHEDULED"], [90, 8, 2])[0]
        empty = status == "COMPLETED" and len(syncs) > 4 and chance.random() < 0.01
        syncs.append(Planned(now, end, status, len(syncs) + 1, empty))
        now = max(now + 6 * HOUR, end + dt.timedelta(minutes=5)) + dt.timedelta(minutes=chance.randint(0, 9))
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
        for minute, sensor in ((1, "syncs"), (16, "healing"), (31, "syncs"), (36, "healing"), (46, "syncs"), (51, "watch")):
            self._pass(now + dt.timedelta(minutes=minute))
            self.daemon.sensor(sensor)
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
        rows = () if sync.empty and whole else tuple((row, sync.number, state) for row in range(3))
        (connection,) = [each for each in self.fivetran.connections[GROUP] if each["schema"] == schema.lower()]
        if ended:
            self.fivetran.syncs[connection["id"]].pop()
            connection["status"]["sync_state"] = "scheduled"
        self.fivetran.sync(schema.lower(), sync.start, sync.end if ended else None, sync.status)
        at = (sync.end if ended else sync.start).replace(tzinfo=None).isoformat()
        values = ", ".join(f"({row}, {number}, '{state}')" for row, number, state in rows)
        self.engine.land(schema, at, {"T": ("ID int primary key, V int, STATE varchar", values and f"values {values}")}, SYNCED)
        self.written[schema].append(Written(sync.end if ended else sync.start, rows, whole))

    def _meet(self, statement: Statement) -> None:
        if statement.user == "TESTER" and self._down("account"):
            raise SnowflakeError("250001", "08001", "Could not connect to Snowflake backend")

    def _down(self, what: str) -> bool:
        return any(each.what == what and each.holds(self.daemon.now) for each in self.outages)

    @functools.cache  # noqa: B019 - as long as the process; no table comes or goes
    def _definitions(self) -> dg.Definitions:
        return build_definitions(self.warehouse.settings, warehouse=self.warehouse, now=lambda: self.daemon.now)

    # What must have come of it.

    def problems(self) -> Iterator[str]:
        """Yield what is not as it should be."""
        yield from (finding.problem for finding in verify(self.warehouse) if finding.problem)
        yield from self._wrong_clones()
        yield from self._wrong_ledger()
        yield from self._told_twice()
        yield from self._wrong_alerts()

    def expected(self, schema: str, date: dt.date) -> tuple[tuple[int, int, str], ...]:
        """Return the rows of a clone: what the last sync that had ended well before the cutoff, with none running, had left."""
        cutoff = dt.datetime.combine(date, dt.time(), dt.UTC)
        return [each.rows for each in self.written[schema] if each.whole and each.at <= cutoff][-1]

    def dates(self) -> list[dt.date]:
        return [(START + day * DAY).date() for day in range(self.days + 2)]

    def _wrong_clones(self) -> Iterator[str]:
        found = self.warehouse.clone_dates()
        for schema in self.syncs:
            if found.get(schema) != self.dates():
                yield f"{schema} has clones of {found.get(schema)}, expected every one of {self.dates()}"
            for date in found.get(schema, ()):
                rows = self.emulator.run(f'select ID, V, STATE from CLONES."{schema}__{date:%Y%m%d}".T order by ID')
                if tuple((int(row), int(value), state) for row, value, state in rows) != self.expected(schema, date):
                    yield f"clone {date} of {schema} holds {rows}, expected {self.expected(schema, date)}"

    def _wrong_ledger(self) -> Iterator[str]:
        held_back = {(row.schema, row.date) for row in self.warehouse.ledger() if row.status is Status.QUARANTINED}
        there = {(row.schema, row.date) for row in self.warehouse.ledger()}
        for schema in self.syncs:
            for date in self.dates():
                if (schema, date) not in there:
                    yield f"{date} of {schema} is neither folded nor held back"
                if ((schema, date) in held_back) != (not self.expected(schema, date)):
                    yield f"{date} of {schema} is {'' if (schema, date) in held_back else 'not '}held back"

    def _told_twice(self) -> Iterator[str]:
        instance = self.daemon.instance
        for schema in self.syncs:
            for path in (clone_key(schema), history_key(schema, "T")):
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
            first = min(told)
            ended_since = [each.end for each in self.syncs[schema] if first <= each.end <= self.daemon.now - HOUR]
            if lost := [end for end in ended_since if told[end] != 1]:
                yield f"of the syncs of {schema} that ended at {lost} not each was told once: {[told[end] for end in lost]}"

    def _wrong_alerts(self) -> Iterator[str]:
        known = [title for title in self.channel.titles if "held back" in title]
        empty = {schema for schema in self.syncs for date in self.dates() if not self.expected(schema, date)}
        for schema in empty:
            if sum(f"history/{schema}/T" in title for title in known) == 0:
                yield f"nobody was told that {schema} is held back"
        for what, part in (("account", "sensor fails"), ("api", "sensor fails")):
            long = [each for each in self.outages if each.what == what and each.end - each.start >= 3 * HOUR]
            if long and not any(part in title for title in self.channel.titles):
                yield f"nobody was told that the {what} was out"


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
        print(*sorted(simulation.channel.titles), *problems, sep="\n")
        print(f"{len(problems)} wrong")
        return len(problems)


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:4])) > 0)
