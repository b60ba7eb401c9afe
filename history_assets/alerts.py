"""Telling somebody: events in, one message per cause out, and sending it to the channels of ``HISTORY_ALERT_URLS``
and ``HISTORY_OWNER_ALERT_URL``.

Belongs here: which events are news, what a message says, and that a channel which cannot be reached harms nothing. Does not
belong here: when events are looked at (``automation``).
"""

import collections
import dataclasses
import datetime as dt
import enum
import json
import urllib.parse
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import dagster as dg
from pydantic import SecretStr

from history_assets.failures import NO_STEP, WHOLE_RUN, Kind, cause_of, problems_of, reason_of
from history_assets.settings import Settings

QUIET = dt.timedelta(days=7)
"""A cause is news again when it has not come up for so long."""

AGAIN = dt.timedelta(hours=36)
"""A cause is news again after so long if its asset has succeeded meanwhile: what fails each night and is made up for is not."""

STEADY = dt.timedelta(hours=1)
"""How long a state, such as a sensor that fails, has to be away before it is news again."""

_RECORD = "history_assets/alerts/told"
_LISTED = 5
"""Assets that a message names; of the others it says how many."""


class Sort(enum.StrEnum):
    """What happened; the text is how a message begins."""

    FAILED = "failed"
    HELD_BACK = "held back"
    SENSOR = "sensor fails"
    SILENT = "silent"
    CHECK = "check fails"
    SCRIPT = "script fails"
    BROKEN = "script is broken"


_REMEDIES = {
    Sort.FAILED: "mend what the reason names, then: history-assets run --date {date}",
    Sort.HELD_BACK: "look at the copy; if it is right as it is: history-assets run --date {date} --allow GATE",
    Sort.CHECK: "look at the check in the Dagster UI; history-assets verify --repair mends what differs",
    Sort.SILENT: "look at the connection in Fivetran; pause it there if it is to be silent",
    Sort.SCRIPT: "mend what the reason names; history-assets script run runs it",
    Sort.BROKEN: "mend what the reason names; history-assets script check says what is wrong with a file",
    Sort.SENSOR: "look at the sensor's ticks in the Dagster UI, under Automation",
}


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that somebody should know: what happened to which asset (or job, or sensor), for which date, in which run."""

    sort: Sort
    asset: str
    reason: str
    date: str | None = None
    run_id: str | None = None
    owner: str | None = None


@dataclasses.dataclass(frozen=True)
class Message:
    """What is sent; ``keys`` say what has been told once it is, ``owners`` whose scripts it is about."""

    title: str
    body: str
    keys: frozenset[str]
    owners: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Channels:
    """Where messages go: to every address of ``urls``, and by ``owner_url``, with ``{owner}`` in it, to a script's owner."""

    urls: Sequence[SecretStr]
    owner_url: SecretStr | None = None

    def __bool__(self) -> bool:
        return bool(self.urls or self.owner_url)

    def of(self, message: Message) -> list[tuple[str, str]]:
        """Return what to call each channel of a message, and its address."""
        named = [(f"channel {number} of HISTORY_ALERT_URLS", url.get_secret_value()) for number, url in enumerate(self.urls, 1)]
        if self.owner_url:
            # An owner is text of somebody else's.
            addresses = [(owner, urllib.parse.quote(owner, safe="")) for owner in message.owners if "@" in owner]
            template = self.owner_url.get_secret_value()
            named += [(f"HISTORY_OWNER_ALERT_URL for {owner}", template.replace("{owner}", each)) for owner, each in addresses]
        return named


@dataclasses.dataclass(frozen=True)
class Told:
    """When (aware) an asset last had a cause that was told, and for which date."""

    sort: Sort
    asset: str
    date: str | None
    at: dt.datetime


def events_of(
    run: dg.DagsterRun, failures: Sequence[dg.DagsterEvent], scripts: Mapping[str, str | None] | None = None
) -> list[Event]:
    """Return what there is to tell of a failed run, given the failures of its steps; waiting for a sync is none of it.

    ``scripts`` says whose each script is, by its asset.
    """
    if not failures:
        return [Event(Sort.FAILED, run.job_name, NO_STEP, run_id=run.run_id)]
    events = []
    for failed in failures:
        problems = problems_of(failed)
        if not problems:
            events.append(Event(Sort.FAILED, failed.step_key or run.job_name, reason_of(failed), run_id=run.run_id))
        for problem in problems:
            if problem.kind not in (Kind.NOT_SETTLED, Kind.NOTHING_YET):
                sort = Sort.HELD_BACK if problem.kind is Kind.HELD_BACK else Sort.FAILED
                asset = run.job_name if problem.asset == WHOLE_RUN else problem.asset
                sort = Sort.SCRIPT if asset in (scripts or {}) else sort
                events.append(Event(sort, asset, problem.reason, problem.date, run.run_id, (scripts or {}).get(asset)))
    return events


def messages(
    events: Iterable[Event], told: Mapping[str, Told], now: dt.datetime, webserver: str | None
) -> tuple[list[Message], dict[str, Told]]:
    """Return the messages that are news, and what has been told, by its key, once they are sent; ``now`` is aware.

    Events of the same sort and reason, whatever their names, dates, ids and counts, have the same cause and share a message.
    Each asset of a cause is news once; sensors are no assets, and a cause that stops one will stop others.
    """
    by_cause = collections.defaultdict[str, list[Event]](list)
    lately = {key: each for key, each in told.items() if now - each.at < QUIET}
    after = dict(lately)
    for event in events:
        if (key := _key(event)) not in lately:
            by_cause[f"{event.sort}: {cause_of(event.reason, event.asset)}"].append(event)
        after[key] = Told(event.sort, event.asset, event.date, now)
    return [_message(each, webserver) for each in by_cause.values()], after


def _key(event: Event) -> str:
    asset = "" if event.sort is Sort.SENSOR else event.asset
    return f"{event.sort}: {asset}: {cause_of(event.reason)}"


def _message(events: Sequence[Event], webserver: str | None) -> Message:
    first = events[0]
    assets = list(dict.fromkeys(event.asset for event in events))
    dates = sorted({event.date for event in events if event.date})
    named = ", ".join(assets[:_LISTED]) + (f" and {len(assets) - _LISTED} more" if len(assets) > _LISTED else "")
    span = "..".join(dict.fromkeys((dates[0], dates[-1]))) if dates else None
    remedy = _REMEDIES[first.sort] if span else _REMEDIES[first.sort].partition(", then:")[0]
    owners = tuple(sorted({event.owner for event in events if event.owner}))
    lines = {
        "asset": named + (f", {span}" if span else ""),
        "owner": ", ".join(owners),
        "reason": first.reason,
        "remedy": remedy.format(date=span),
        "link": _link(first.run_id, webserver),
    }
    body = "\n".join(f"{name}: {text}" for name, text in lines.items() if text)
    return Message(f"history_assets: {first.sort}: {named}", body, frozenset(map(_key, events)), owners)


def _link(run_id: str | None, webserver: str | None) -> str | None:
    if run_id is None:
        return f"http://{webserver}/automation" if webserver else None
    return f"http://{webserver}/runs/{run_id}" if webserver else f"run {run_id} in the Dagster UI"


def send(message: Message, channels: Channels, warn: Callable[[str], None]) -> bool:
    """Send a message to every channel and say whether any took it; one that did not is only warned of, never by its address."""
    import apprise

    taken = 0
    for name, url in channels.of(message):
        named = f"{name} ({url.partition('://')[0]})"
        channel = apprise.Apprise()
        if not channel.add(url):
            warn(f"found no way to send to {named}: expected an address that apprise knows")
        elif not channel.notify(body=message.body, title=message.title):
            warn(f"found {named} out of reach: this was not sent to it: {message.title}")
        else:
            taken += 1
    return taken > 0


def channels_of(settings: Settings) -> Channels:
    """Return the channels that the settings name."""
    return Channels(settings.alert_urls, settings.owner_alert_url)


def alert(
    instance: dg.DagsterInstance,
    events: Sequence[Event],
    now: dt.datetime,
    settings: Settings,
    warn: Callable[[str], None],
    states: Collection[Sort] = (),
) -> dg.SkipReason:
    """Send what is news to the channels, remember it in Dagster's instance, and say what was sent.

    What no channel took is news again. Of the sorts in ``states``, ``events`` are all that there is at the moment: what is not
    among them is over.
    """
    storage = instance.daemon_cursor_storage
    if storage is None:
        warn("found no storage in Dagster's instance to remember alerts in: every one is sent")
    told = _recall(storage.get_cursor_values({_RECORD}).get(_RECORD)) if storage else {}
    there = {_key(event) for event in events}
    over = {key for key, each in told.items() if each.sort in states and key not in there and now - each.at >= STEADY}
    over |= _succeeded(instance, told, now)
    news, after = messages(events, {key: each for key, each in told.items() if key not in over}, now, settings.webserver)
    sent = [message for message in news if send(message, channels_of(settings), warn)]
    untold = {key for message in news if message not in sent for key in message.keys}
    if storage:
        remembered = {key: _kept(each) for key, each in after.items() if key not in untold}
        storage.set_cursor_values({_RECORD: json.dumps(remembered)})
    return dg.SkipReason("; ".join(message.title for message in sent) or "nothing that is news")


def _succeeded(instance: dg.DagsterInstance, told: Mapping[str, Told], now: dt.datetime) -> set[str]:
    """Return what was told long enough ago of assets that have been materialized since, for the same date or a later one."""
    old = {key: each for key, each in told.items() if (each.date or each.sort is Sort.SCRIPT) and now - each.at >= AGAIN}
    records = instance.get_asset_records([dg.AssetKey(each.asset.split("/")) for each in old.values()]) if old else []
    last = {"/".join(each.asset_entry.asset_key.path): each.asset_entry.last_materialization_record for each in records}
    made = {key: record for key, each in old.items() if (record := last.get(each.asset))}
    since = {key for key, record in made.items() if record.timestamp > old[key].at.timestamp()}
    return {key for key in since if (made[key].partition_key or "") >= (old[key].date or "")}


def _kept(told: Told) -> dict[str, str | None]:
    return dataclasses.asdict(told) | {"at": told.at.isoformat()}


def _recall(text: str | None) -> dict[str, Told]:
    return {
        key: Told(Sort(each["sort"]), each["asset"], each["date"], dt.datetime.fromisoformat(each["at"]))
        for key, each in json.loads(text or "{}").items()
    }
