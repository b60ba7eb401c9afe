"""What makes no sense is refused in one line that says what was found, what was expected, what to do."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest

from history_assets.errors import HistoryError, UsageError
from history_assets.history import History
from tests.stories.reading.story import ask, cutoff

pytestmark = pytest.mark.xdist_group("reading")

WRONG: Mapping[str, tuple[Any, str]] = {
    "an unknown table": (
        lambda h: h.as_of("crm.acount", "2026-10-03"),
        "found no history of crm.acount: did you mean crm.account?",
    ),
    "a table in another case": (
        lambda h: h.as_of("CRM.ACCOUNT", "2026-10-03"),
        "found no history of CRM.ACCOUNT: did you mean crm.account?",
    ),
    "an unknown table, of no date": (
        lambda h: h.as_of("crm.acount"),
        "found no history of crm.acount: did you mean crm.account?",
    ),
    "another unknown table": (
        lambda h: h.dates("x"),
        'found no history of x: expected one of crm.account, crm.contact, crm.keyless, crm.od"d na.me',
    ),
    "a date between": (
        lambda h: h.as_of("crm.account", "2026-10-04"),
        "found no night 2026-10-04 in the history of crm.account: the nearest that it holds are 2026-10-03 and 2026-10-05",
    ),
    "a date before": (
        lambda h: h.changes("crm.account", "2026-09-01", "2026-10-01"),
        "found no night 2026-09-01 in the history of crm.account: the nearest that it holds is 2026-10-01",
    ),
    "an instant before": (
        lambda h: h.as_of("crm.account", "2026-09-30T23:00+00:00"),
        "found nothing known of crm.account at 2026-09-30 23:00:00 UTC: its first night is 2026-10-01",
    ),
    "a naive datetime": (
        lambda h: h.as_of("crm.account", dt.datetime(2026, 10, 3)),  # noqa: DTZ001
        "found 2026-10-03 00:00:00, which has no time zone: give an aware instant, or a clone date",
    ),
    "a naive text": (
        lambda h: h.as_of("crm.account", "2026-10-03T00:00:00"),
        "found 2026-10-03 00:00:00, which has no time zone: give an aware instant, or a clone date",
    ),
    "no date": (
        lambda h: h.as_of("crm.account", "yesterday evening"),
        "found 'yesterday evening', expected a clone date such as 2026-11-22 or an instant such as 2026-11-22T06:00:00+00:00",
    ),
    "an unknown column": (
        lambda h: h.as_of("crm.account", "2026-10-03", columns=["vaule"]),
        "found no column vaule in crm.account on 2026-10-03: expected one of value",
    ),
    "a column of another day": (
        lambda h: h.as_of("crm.account", "2026-10-03", where={'early"': 1}),
        'found no column early" in crm.account on 2026-10-03: '
        "expected one of id, value, later, _fivetran_deleted, _fivetran_synced",
    ),
    "changes backwards": (
        lambda h: h.changes("crm.account", "2026-10-05", "2026-10-03"),
        "found changes from 2026-10-05 to 2026-10-03: give the earlier one first",
    ),
    "a wrong key": (
        lambda h: h.versions("crm.account", {"name": 1}),
        "found the key {'name': 1} of crm.account, expected a value for each of id: give them as a mapping",
    ),
    "a scalar without a key": (
        lambda h: h.versions("crm.keyless", 1),
        "found the key 1 of crm.keyless, expected any of _fivetran_synced, n, v: give them as a mapping",
    ),
    "a wrong join": (
        lambda h: ask(h, on={"crm.account": {"id": "nope"}}),
        "found no column nope in crm.account on 2026-10-03: "
        "expected one of id, value, later, _fivetran_deleted, _fivetran_synced",
    ),
    "a join that multiplies": (
        lambda h: ask(h, pa.table({"v": ["a"], "at": pa.array([cutoff(3)])}), {"crm.keyless": "v"}),
        "found several rows of crm.keyless at a time with v = a, expected one: name the columns that tell its rows apart",
    ),
    "no key in the spine": (
        lambda h: ask(h, on={"crm.account": {"key": "id"}}),
        "found no column key in the spine: expected one of id, at",
    ),
    "naive times": (
        lambda h: ask(h, pa.table({"id": [1], "at": pa.array([dt.datetime(2026, 10, 3)])})),  # noqa: DTZ001
        "found at of type timestamp[us] in the spine, expected instants with a time zone, or dates",
    ),
    "missing times": (
        lambda h: ask(h, pa.table({"id": [1, 2], "at": pa.array([cutoff(3), None])})),
        "found 1 rows of the spine without at, expected one in each: fill or leave them out",
    ),
    "copies": (
        lambda h: ask(h, pa.table({"id": [1, 1], "at": pa.array([cutoff(3)] * 2)})),
        "found several rows of the spine with id = 1 at 2026-10-03 00:00:00 UTC, expected one: "
        "leave out the copies, or say repeated=True",
    ),
    "a look into the future": (
        lambda h: ask(h, lag=dt.timedelta(days=-1)),
        "found a lag of -1 day, 0:00:00, which would look into the future: expected none below zero",
    ),
    "no spine": (
        lambda h: ask(h, [1, 2]),
        "found a spine of type list, expected a pyarrow.Table, a DataFrame that hands over Arrow, as those of polars and "
        "pandas 2.2 do, or the name of a table",
    ),
    "no table": (
        lambda h: ask(h, 'crm.no "such'),
        "found no table crm.no \"such in the history's database: expected a spine as schema.table",
    ),
    "nothing to join": (
        lambda h: h.point_in_time(pa.table({}), {}, time="at"),
        "found no histories to join, expected some: {'schema.table': 'column'}",
    ),
    "columns as text": (
        lambda h: ask(h, columns={"crm.account": "value"}),
        "found 'value' for the columns of crm.account, expected a list of names, such as ['value']",
    ),
    "columns of no table": (
        lambda h: ask(h, columns=["value"]),
        "found columns=['value'], expected lists of names by table, such as {'crm.account': ['name']}",
    ),
    "several keys": (
        lambda h: h.versions("crm.account", [1, 2]),
        "found the key [1, 2] of crm.account, expected that of one row: ask for one after the other",
    ),
    "columns of another": (
        lambda h: ask(h, columns={"crm.contact": ["value"]}),
        "found columns of crm.contact, which is not joined: expected crm.account",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_makes_no_sense_is_refused_in_one_line(history: History, what: str) -> None:
    wrong, said = WRONG[what]
    with pytest.raises(HistoryError) as caught:
        wrong(history)
    assert str(caught.value) == said


def test_a_value_of_no_sense_is_refused_in_one_line(history: History) -> None:
    with pytest.raises((UsageError, HistoryError)) as caught:
        history.as_of("crm.account", "2026-10-03", where={"id": "one"})
    assert "\n" not in str(caught.value)
