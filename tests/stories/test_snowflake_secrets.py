"""No secret is written anywhere: not by a night, not by a login that fails, whichever way of logging in is used."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.snowflake.emulator import Emulator
from tests.stories.account import ROLE, USER, Account, Typed

PASSPHRASE = "correct-horse-battery"


class Logins:
    """The ways to log in with one key pair, and all that stands for its secrets."""

    def __init__(self, folder: Path) -> None:
        key = rsa.generate_private_key(65537, 2048)
        self.public = key.public_key()
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        locked = key.private_bytes(pem, pkcs8, serialization.BestAvailableEncryption(PASSPHRASE.encode()))
        inline = key.private_bytes(pem, pkcs8, serialization.NoEncryption()).decode()
        folder.mkdir()
        (folder / "key.p8").write_bytes(locked)
        self.ways = {
            "inline key": {"private_key": inline.replace("\n", "\\n")},
            "key by path": {"private_key_path": str(folder / "key.p8"), "private_key_passphrase": PASSPHRASE},
            "token": {"token": "access-token", "authenticator": "programmatic_access_token"},
        }
        body = "".join(inline.splitlines()[1:-1])
        der = base64.b64decode(body)
        self.secrets = [PASSPHRASE.encode(), b"access-token", b"wrong-token", der]
        self.secrets += [line.encode() for line in inline.splitlines()[1:-1]]


@pytest.fixture(scope="module")
def logins(tmp_path_factory: pytest.TempPathFactory) -> Logins:
    return Logins(tmp_path_factory.mktemp("keys") / "own")


@pytest.fixture
def account(tmp_path: Path, logins: Logins) -> Iterator[Account]:
    with Emulator() as emulator:
        account = Account(emulator, tmp_path / "home")
        emulator.users[USER].keys.append(logins.public)
        emulator.run("create schema RAW.CRM data_retention_time_in_days = 90", at="2026-09-01")
        table = 'create table ACCOUNT (ID number(38,0) primary key, "_FIVETRAN_SYNCED" timestamp_tz)'
        emulator.land("RAW.CRM", "2026-10-01T20:00", table, "insert into ACCOUNT (ID) select 1")
        account.set_up()
        yield account


def leaks(account: Account, typed: list[Typed], secrets: list[bytes]) -> list[str]:
    """Return where a secret stands: in files of the home, in what was printed, in statements."""
    written = {str(path): path.read_bytes() for path in account.home.rglob("*") if path.is_file()}
    written |= {f"output {number}": (each.out + each.err).encode() for number, each in enumerate(typed)}
    written["statements"] = "\n".join(statement.text + statement.tag for statement in account.emulator.log).encode()
    return [name for name, content in written.items() if any(secret in content for secret in secrets)]


@pytest.mark.parametrize(
    "way", ["inline key", *(pytest.param(way, marks=pytest.mark.slow) for way in ("key by path", "token"))]
)
def test_a_night_writes_no_secret(way: str, account: Account, logins: Logins) -> None:
    del account.credentials["token"], account.credentials["authenticator"]
    account.credentials |= logins.ways[way]

    night = account.type("run", "--date", "2026-10-02")

    assert (night.code, night.out) == (0, "2026-10-02: 1 of 1 schemas cloned, 1 of 1 tables folded\n"), night.err
    assert leaks(account, [night], logins.secrets) == []


@pytest.mark.parametrize(
    "way", ["a wrong passphrase", *(pytest.param(f"an unknown {way}", marks=pytest.mark.slow) for way in ("key", "token"))]
)
def test_a_login_that_fails_says_no_secret(way: str, account: Account, logins: Logins, tmp_path: Path) -> None:
    """One line says what is wrong, and what to do."""
    other = Logins(tmp_path / "other")
    del account.credentials["token"], account.credentials["authenticator"]
    account.credentials |= {
        "an unknown key": other.ways["inline key"],
        "a wrong passphrase": logins.ways["key by path"] | {"private_key_passphrase": "wrong-token"},
        "an unknown token": {"token": "wrong-token", "authenticator": "oauth"},
    }[way]

    typed = [account.type("refresh"), account.type("doctor")]

    assert [each.code for each in typed] == [2, 1], [each.err for each in typed]
    assert typed[0].err.startswith("error: ")
    assert typed[0].err.count("\n") == 1
    assert f"as {USER} with the role {ROLE}" in typed[0].err or "a private key that cannot be read" in typed[0].err
    assert leaks(account, typed, logins.secrets + other.secrets) == []
