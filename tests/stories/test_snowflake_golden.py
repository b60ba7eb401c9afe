"""Every statement that the macros send to Snowflake for a small table, word for word.

Written anew, to be read before it is committed, by

    python -m tests.stories.test_snowflake_golden
"""

import contextlib
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.snowflake.emulator import Emulator
from tests.stories.account import Account
from tests.stories.test_snowflake_together import DONE, ITEMS, ORDERS, Shop

GOLDEN = Path(__file__).with_name("golden")
STEPS = {
    "first night, with a key": (0, ORDERS),
    "newest night, with a key": (2, ORDERS),
    "late night, with a key": (1, ORDERS),
    "folded already": (1, ORDERS),
    "first night, without a key": (0, ITEMS),
    "newest night, without a key": (1, ITEMS),
}
"""What is folded, one after the other, in one account."""


@contextlib.contextmanager
def played(home: Path) -> Iterator[dict[str, str]]:
    """Fold every step; the statements of each, one to a paragraph."""
    with Emulator() as emulator:
        shop = Shop(Account(emulator, home))
        clone_ids = {clone.clone_id: f"clone of {clone.date}" for clone in shop.clones}
        found = {}
        for step, (number, table) in STEPS.items():
            asked = shop.night(number, table)
            emulator.log.clear()
            assert shop.fold(asked) == [DONE]
            texts = [statement.text for statement in emulator.log]
            start = next(place for place, text in enumerate(texts) if text.startswith("alter session"))
            found[step] = "\n\n".join(written(text, clone_ids) for text in texts[start:]) + "\n"
        yield found


def written(text: str, clone_ids: dict[str, str]) -> str:
    """Return a statement with its white space made one, a line per clause, and clones named by their dates."""
    for clone_id, name in clone_ids.items():
        text = text.replace(clone_id, name)
    words = " ".join(text.split())
    return (
        re.sub(r"(?<!distinct) (from|where|union all|having|full join|values|when matched|when not matched) ", r"\n\1 ", words)
        + ";"
    )


def file_of(step: str) -> Path:
    return GOLDEN / f"{step.replace(',', '').replace(' ', '_')}.sql"


@pytest.fixture(scope="module")
def statements(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with played(tmp_path_factory.mktemp("golden") / "home") as found:
        yield found


@pytest.mark.parametrize("step", STEPS)
def test_the_macros_send_these_statements_and_no_others(step: str, statements: dict[str, str]) -> None:
    assert statements[step] == file_of(step).read_text()


def test_no_file_stands_for_nothing() -> None:
    assert sorted(GOLDEN.iterdir()) == sorted(file_of(step) for step in STEPS)


def main() -> None:
    """Write the files anew."""
    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, played(Path(folder) / "home") as found:
        for step, text in found.items():
            file_of(step).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
