"""Two schemas on an emulated account, night after night.

The 20th, 22nd and 23rd in order, the 21st late, a table held back on the 22nd and let in, the 23rd cloned again.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tests.stories.account import Account, Typed

SYNCED = '"_FIVETRAN_SYNCED" timestamp_tz'
STAMP = "'2026-10-19 19:00:00 +00:00'::timestamp_tz"
CRM = (
    f"create table ACCOUNT (ACCOUNT_ID number(38,0) primary key, LABEL varchar, AMOUNT number(12,2), RATE float, "
    f"EXTRA variant, {SYNCED})",
    f"insert into ACCOUNT select 1, 'Ann', 1.5, 'nan'::float, parse_json('{{\"b\":1,\"a\":[null,\"it''s\"]}}'), {STAMP} "
    f"union all select 2, 'Bob', null, 1e300, null, {STAMP}",
    f"create table KEYLESS (LABEL varchar, BYTES binary, {SYNCED})",
    f"insert into KEYLESS select 'same', to_binary('00ff','hex'), {STAMP} "
    f"union all select 'same', to_binary('00ff','hex'), {STAMP}",
    f"create table CODES (CODE_ID number(38,0) primary key, CODE number(9,0), {SYNCED})",
    f"insert into CODES select 1, 7, {STAMP} union all select 2, null, {STAMP}",
)
SHOP = (
    f'create table "order ""line""" ("line no" number(38,0), "sélect" varchar, {SYNCED}, primary key ("line no"))',
    f'insert into "order ""line""" select 1, \'a\', {STAMP} '
    f"union all select 2, 'b', {STAMP} union all select 3, 'c', {STAMP}",
)
LANDED: Mapping[str, tuple[Sequence[str], Sequence[str]]] = {
    "2026-10-19T20:00": (CRM, SHOP),
    "2026-10-20T20:00": (
        ("update ACCOUNT set LABEL = 'Bobby' where ACCOUNT_ID = 2", "insert into KEYLESS (LABEL) select 'new'"),
        ('update "order ""line""" set "sélect" = \'B\' where "line no" = 2',),
    ),
    "2026-10-21T20:00": (
        (
            "delete from ACCOUNT where ACCOUNT_ID = 1",
            "alter table ACCOUNT add column NOTE varchar",
            f"insert into ACCOUNT select 3, 'Cas', 0.01, -2.25, null, {STAMP}, 'x'",
            "delete from KEYLESS where LABEL = 'same'",
            "drop table CODES",
            f"create table CODES (CODE_ID number(38,0) primary key, CODE varchar, {SYNCED})",
            f"insert into CODES select 1, 'seven', {STAMP} union all select 2, null, {STAMP}",
        ),
        ('delete from "order ""line"""',),
    ),
    "2026-10-22T20:00": (
        ("update ACCOUNT set AMOUNT = 12.34 where ACCOUNT_ID = 3",),
        (f'insert into "order ""line""" select 1, \'a\', {STAMP} union all select 4, \'d\', {STAMP}',),
    ),
}
LINES = 'web shop.order "line"'
NIGHTS = {"first": 20, "second": 22, "third": 23, "late": 21, "released": 22, "again": 22, "recloned": 23}


@dataclasses.dataclass(frozen=True)
class Moment:
    """What a command said, and what every history and the ledger were after it."""

    typed: Typed
    histories: Mapping[str, list[tuple[Any, ...]]]
    ledger: Mapping[str, list[tuple[Any, ...]]]


class Snowflake:
    """The story as it is played."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.moments: dict[str, Moment] = {}

    def land(self, at: str, crm: Sequence[str], shop: Sequence[str]) -> None:
        self.account.emulator.land("RAW.CRM", at, *crm)
        self.account.emulator.land('RAW."web shop"', at, *shop)

    def type(self, moment: str, *words: str) -> None:
        typed = self.account.type(*words)
        known = self.account.emulator.catalog.databases["HISTORY"].schemas.values()
        names = {
            (schema.name, table)
            for schema in known
            for table in schema.tables
            if schema.name in ("CRM", "web shop") and schema.tables[table].kind == "TABLE"
        }
        quoted = {f"{schema}.{table}": '"{}"."{}"'.format(schema, table.replace('"', '""')) for schema, table in names}
        histories = {name: self.account.history(table) for name, table in quoted.items()}
        self.moments[moment] = Moment(typed, histories, self.account.ledger() if histories else {})
