"""What the story cost, told by the account's own log: which statements, how many, with which tags and names."""

import collections
import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

from tests.fakes.snowflake.emulator import Emulator
from tests.fakes.snowflake.log import Statement
from tests.stories.account import Account
from tests.stories.snowflake.story import LINES, NIGHTS, SYNCED, Moment
from tests.stories.snowflake.test_nights import TABLES
from tests.stories.test_snowflake_together import DONE, Shop

pytestmark = pytest.mark.xdist_group("snowflake")

SCHEMAS = ("CRM", "web shop")
CHANGED = ["ALTER SESSION", "SELECT", "BEGIN", "MERGE", "INSERT", "COMMIT"]
"""Statements for a table on the newest night: its tag, the facts, and one transaction."""
CREATED = [*CHANGED[:2], "CREATE TABLE", *CHANGED[2:]]
WIDENED = [*CHANGED[:2], "ALTER TABLE", *CHANGED[2:]]
RETYPED = [*CHANGED[:2], "ALTER TABLE", "SELECT", "ALTER TABLE", "ALTER TABLE", *CHANGED[2:]]
TWO_TYPES = [*CHANGED[:2], "SELECT", *CHANGED[2:]]
QUARANTINED = [*CHANGED[:3], "DELETE", "INSERT", "COMMIT"]
MIDDLE = CREATED
"""For a night that is not the newest: what changes is gathered first, in a temporary table."""
MIDDLE_TYPES = [*CHANGED[:2], "SELECT", "CREATE TABLE", *CHANGED[2:]]
INSTEAD = [*MIDDLE[:-2], "DELETE", *MIDDLE[-2:]]
INSTEAD_TYPES = [*MIDDLE_TYPES[:-2], "DELETE", *MIDDLE_TYPES[-2:]]
FOLDS = {
    "first": dict.fromkeys(TABLES, CREATED),
    "second": {"CRM.ACCOUNT": WIDENED, "CRM.CODES": RETYPED, "CRM.KEYLESS": CHANGED, LINES: QUARANTINED},
    "third": {"CRM.ACCOUNT": CHANGED, "CRM.CODES": TWO_TYPES, "CRM.KEYLESS": CHANGED, LINES: CHANGED},
    "late": {"CRM.ACCOUNT": MIDDLE, "CRM.CODES": MIDDLE_TYPES, "CRM.KEYLESS": MIDDLE, LINES: MIDDLE},
    "released": {LINES: INSTEAD},
    "again": {},
    "recloned": {"CRM.ACCOUNT": INSTEAD, "CRM.CODES": INSTEAD_TYPES, "CRM.KEYLESS": INSTEAD},
}
"""What is sent for each table."""


def folds(log: Sequence[Statement], date: str = r"2026-10-\d\d") -> dict[str, list[str]]:
    """Return the kinds of the statements that were sent for each table on a date, that which sets their tag included."""
    found = collections.defaultdict[str, list[str]](list)
    for statement in log:
        told = re.search(r"query_tag = '(.*?)', ", statement.text)
        tag = re.fullmatch(f"history_assets:fold:(.+):{date}", told[1] if told else statement.tag)
        if tag:
            found[tag[1]].append(statement.kind)
    return dict(found)


@pytest.mark.parametrize("moment", FOLDS)
def test_a_table_takes_six_statements_and_one_more_per_change_of_its_columns(
    moment: str, moments: Mapping[str, Moment]
) -> None:
    """Counted by their tags. One that is folded already takes none."""
    assert folds(moments[moment].typed.log) == FOLDS[moment]


@pytest.mark.slow
def test_a_table_of_900_columns_takes_as_many_statements_as_a_narrow_one(tmp_path: Path) -> None:
    """On the first night, the newest, and one in the middle that comes late."""
    widths = {"NARROW": 2, "WIDE": 900}
    columns = {name: ", ".join(f"C{number} varchar" for number in range(2, width + 1)) for name, width in widths.items()}
    landed = [f"create table {name} (C1 number(38,0) primary key, {columns[name]}, {SYNCED})" for name in widths]
    landed += [f"insert into {name} (C1, C{width}) select 1, 'a' union all select 2, 'a'" for name, width in widths.items()]
    changes = [[f"update {name} set C{width} = '{value}' where C1 = 2" for name, width in widths.items()] for value in "bc"]
    tables = [("SHOP", name) for name in widths]
    with Emulator() as emulator:
        shop = Shop(Account(emulator, tmp_path / "home"), [landed, *changes])
        assert shop.fold(*(shop.night(night, *tables) for night in (0, 2, 1))) == [DONE] * 3
        histories = {name: shop.account.history(f'"SHOP"."{name}"') for name in widths}
        sent = {date: folds(emulator.log, f"2026-10-{date}") for date in ("01", "02", "03")}

    assert sent == {
        date: {f"SHOP.{name}": kinds for name in widths} for date, kinds in {"01": CREATED, "02": MIDDLE, "03": CHANGED}.items()
    }
    assert histories == {
        name: [
            (key, *[None] * (width - 2), *rest)
            for key, *rest in ((1, "a", 1, None), (2, "a", 1, 2), (2, "b", 2, 3), (2, "c", 3, None))
        ]
        for name, width in widths.items()
    }


@pytest.mark.parametrize("moment", ["first", "second", "third", "late"])
def test_a_night_is_one_clone_per_schema_and_as_many_shows_for_each(moment: str, moments: Mapping[str, Moment]) -> None:
    """However many tables there are, and however many of them changed."""
    log = moments[moment].typed.log
    clones = [statement.text for statement in log if re.match(r"CREATE TRANSIENT SCHEMA .* CLONE ", statement.text)]

    assert len(clones) == len(SCHEMAS)
    for schema in SCHEMAS:
        assert sum(f'CLONE "RAW"."{schema}" AT (TIMESTAMP => ' in text for text in clones) == 1
        shows = collections.Counter(
            statement.kind for statement in log if statement.kind.startswith("SHOW") and schema in statement.tag
        )
        # One for its clone; and of one schema, whether its oldest was made by the same cutoff.
        looked_at = 2 if schema == min(SCHEMAS) and moment != "first" else 1
        assert shows == {"SHOW TABLES": 4, "SHOW COLUMNS": 2, "SHOW PRIMARY": 2, "SHOW SCHEMAS": looked_at}, schema


def test_a_night_needs_a_warehouse_for_its_ledger_and_its_tables_alone(moments: Mapping[str, Moment]) -> None:
    """For the ledger and for what is known of raw, some statements a run and none a table; for what is offered in SQL, which is
    noted where columns changed; and for what reads or writes rows of a table. No SHOW, DDL or clone wakes one.
    """
    for moment in NIGHTS:
        needing = [statement for statement in moments[moment].typed.log if statement.needs_warehouse]
        ledger = [statement for statement in needing if statement.tag.startswith("history_assets:ledger::")]
        stamps = [statement for statement in needing if statement.tag == "history_assets:stamps::"]
        others = [statement for statement in needing if not statement.tag.startswith("history_assets:fold:")]
        kinds = {statement.kind for statement in needing if statement.tag.startswith("history_assets:fold:")}
        offered = [statement for statement in others if statement not in ledger + stamps]
        assert len(ledger) <= 7, moment
        assert len(stamps) <= 1, moment
        assert {statement.tag for statement in offered} <= {"history_assets:functions::"}, moment
        assert [statement.kind for statement in offered] in ([], ["SELECT"], ["SELECT", "DELETE", "INSERT"]), moment
        assert kinds <= {"SELECT", "MERGE", "INSERT", "DELETE", "CREATE TABLE"}, moment


def test_doctor_and_refresh_need_no_warehouse(moments: Mapping[str, Moment]) -> None:
    for moment in ("doctor", "refresh"):
        assert [statement.text for statement in moments[moment].typed.log if statement.needs_warehouse] == []


def test_every_statement_bears_a_tag_that_says_what_it_is_for(log: Sequence[Statement]) -> None:
    """That which sets a table's tag still bears the one before it: dbt's session has no other way to set one."""
    assert [statement.text for statement in log if not re.match(r"history_assets:[a-z_]+:[^:]*:", statement.tag)] == []
    untraced = {statement.kind for statement in log if statement.tag == "history_assets:fold::"}
    assert untraced <= {"SHOW SCHEMAS", "CREATE SCHEMA", "CREATE TABLE", "ALTER TABLE", "ALTER SESSION"}


def test_no_name_of_a_source_is_ever_outside_quotes(log: Sequence[Statement]) -> None:
    names = {
        "RAW",
        "CLONES",
        "CRM",
        "WEB",
        "SHOP",
        "ACCOUNT",
        "ACCOUNT_ID",
        "LABEL",
        "RATE",
        "KEYLESS",
        "BYTES",
        "CODES",
        "CODE",
    }
    in_quotes = re.compile(r"""'(?:[^'\\]|''|\\.)*'|"(?:[^"]|"")*\"""", re.DOTALL)
    for statement in log:
        bare = {word.upper() for word in re.findall(r"\w+", in_quotes.sub(" ", statement.text))}
        assert not bare & names, statement.text


UNPARSED = (
    r'SHOW (FUTURE )?GRANTS TO ROLE "[^"]+"',
    r'CREATE TRANSIENT SCHEMA "CLONES"\."[^"]+" CLONE "RAW"\."[^"]+" AT \(TIMESTAMP => \'[^\']+\'::TIMESTAMP_TZ\) '
    r"IGNORE HYBRID TABLES DATA_RETENTION_TIME_IN_DAYS = 0 COMMENT = \'.*\'",
    r'ALTER SCHEMA "CLONES"\."[^"]+" SET COMMENT = \'.*\'',
    r'ALTER SCHEMA "CLONES"\."[^"]+" RENAME TO "CLONES"\."[^"]+"',
    r'ALTER SCHEMA "CLONES"\."[^"]+" SWAP WITH "CLONES"\."[^"]+"',
)
"""What sqlglot takes whole, since it does not know it; https://docs.snowflake.com/en/sql-reference/sql/create-clone does,
as do alter-schema, show-grants."""


def test_every_statement_parses_as_snowflakes(log: Sequence[Statement]) -> None:
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    for text in {statement.text for statement in log}:
        parsed = sqlglot.parse(text, read="snowflake")
        assert len(parsed) == 1, text
        if isinstance(parsed[0], exp.Command):
            assert any(re.fullmatch(shape, text, re.DOTALL) for shape in UNPARSED), text
