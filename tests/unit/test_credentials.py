"""Credentials come from the environment once; a password is refused, and nothing secret is ever shown."""

import traceback
from pathlib import Path

import pytest

from history_assets.credentials import FivetranCredentials, SnowflakeCredentials
from history_assets.errors import SettingsError

WHO = {
    "SNOWFLAKE_ACCOUNT": "myorg-account",
    "SNOWFLAKE_USER": "LOADER",
    "SNOWFLAKE_ROLE": "HISTORIAN",
    "SNOWFLAKE_WAREHOUSE": "NIGHTLY",
}
PEM = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
KEY = {"SNOWFLAKE_PRIVATE_KEY": PEM}
TOKEN = {"SNOWFLAKE_TOKEN": "c2VjcmV0", "SNOWFLAKE_AUTHENTICATOR": "programmatic_access_token"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def given(environment: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        environment.setenv(name, value)


def test_a_key_is_the_default(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "key.p8"
    path.write_text(PEM)
    given(environment, WHO | {"SNOWFLAKE_PRIVATE_KEY_PATH": str(path), "SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": "x"})

    found = SnowflakeCredentials.from_env()

    assert (found.account, found.user, found.role, found.warehouse) == tuple(WHO.values())
    assert (found.private_key_path, found.authenticator) == (path, "snowflake_jwt")
    assert (found.host, found.port, found.protocol) == (None, None, "https")


@pytest.mark.parametrize("written", [PEM, PEM.replace("\n", "\\n"), f"\n{PEM}\n\n"])
def test_a_key_may_be_written_on_one_line(environment: pytest.MonkeyPatch, written: str) -> None:
    given(environment, WHO | {"SNOWFLAKE_PRIVATE_KEY": written})

    found = SnowflakeCredentials.from_env().private_key

    assert found is not None
    assert found.get_secret_value() == PEM + "\n"


def test_a_private_endpoint_is_named(environment: pytest.MonkeyPatch) -> None:
    given(environment, WHO | TOKEN | {"SNOWFLAKE_HOST": "localhost", "SNOWFLAKE_PORT": "8080", "SNOWFLAKE_PROTOCOL": "http"})

    found = SnowflakeCredentials.from_env()

    assert (found.host, found.port, found.protocol) == ("localhost", 8080, "http")


def test_all_that_is_missing_is_named_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        SnowflakeCredentials.from_env()

    assert str(refused.value) == "; ".join(f"found no {name}, which the Snowflake engine needs: set it" for name in WHO)


@pytest.mark.parametrize("name", ["SNOWFLAKE_PASSWORD", "SNOWFLAKE_PWD"])
def test_a_password_is_refused_by_name(environment: pytest.MonkeyPatch, name: str) -> None:
    given(environment, WHO | KEY | {name: "c2VjcmV0"})

    with pytest.raises(SettingsError, match=f"found {name}: Snowflake is ending logins by password alone") as refused:
        SnowflakeCredentials.from_env()

    assert "c2VjcmV0" not in str(refused.value)


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({}, "found no key and no token: set SNOWFLAKE_PRIVATE_KEY_PATH, SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_TOKEN"),
        ({**KEY, **TOKEN}, "found SNOWFLAKE_PRIVATE_KEY and SNOWFLAKE_TOKEN: expected one of them"),
        ({"SNOWFLAKE_TOKEN": "c2VjcmV0"}, "set SNOWFLAKE_AUTHENTICATOR to its kind, oauth or programmatic_access_token"),
        ({**KEY, "SNOWFLAKE_AUTHENTICATOR": "oauth"}, "found SNOWFLAKE_AUTHENTICATOR=oauth without SNOWFLAKE_TOKEN"),
        (
            {"SNOWFLAKE_PRIVATE_KEY_PATH": "/nowhere/key.p8"},
            "SNOWFLAKE_PRIVATE_KEY_PATH=/nowhere/key.p8, which is no file",
        ),
        ({"SNOWFLAKE_PRIVATE_KEY": "c2VjcmV0"}, "found a wrong SNOWFLAKE_PRIVATE_KEY: expected a key in PEM"),
        ({**KEY, "SNOWFLAKE_AUTHENTICATOR": "snowflake"}, "found a wrong SNOWFLAKE_AUTHENTICATOR"),
        ({**KEY, "SNOWFLAKE_PORT": "many"}, "found a wrong SNOWFLAKE_PORT"),
        ({**KEY, "SNOWFLAKE_PROTOCOL": "ftp"}, "found a wrong SNOWFLAKE_PROTOCOL"),
        ({**KEY, "SNOWFLAKE_ROEL": "X"}, "found SNOWFLAKE_ROEL: did you mean SNOWFLAKE_ROLE?"),
        ({**KEY, "SNOWFLAKE_WAREHOUS": "X"}, "found SNOWFLAKE_WAREHOUS: did you mean SNOWFLAKE_WAREHOUSE?"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_a_secret(
    environment: pytest.MonkeyPatch, variables: dict[str, str], says: str
) -> None:
    given(environment, WHO | variables)

    with pytest.raises(SettingsError) as refused:
        SnowflakeCredentials.from_env()

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert "c2VjcmV0" not in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize(
    "name",
    ["HOME", "DATABASE", "SCHEMA", "REGION", "USERNAME", "PRIVATE_KEY_FILE", "PRIVATE_KEY_RAW", "TOKEN_FILE_PATH", "PASSCODE"],
)
def test_variables_of_other_tools_are_left_alone(environment: pytest.MonkeyPatch, name: str) -> None:
    given(environment, WHO | KEY | {f"SNOWFLAKE_{name}": "x"})

    assert SnowflakeCredentials.from_env().account == "myorg-account"


@pytest.mark.parametrize("variables", [KEY | {"SNOWFLAKE_PRIVATE_KEY_PASSPHRASE": "c2VjcmV0"}, TOKEN])
def test_nothing_secret_shows(environment: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    given(environment, WHO | variables)

    found = SnowflakeCredentials.from_env()

    assert "c2VjcmV0" not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"


FIVETRAN = {"FIVETRAN_API_KEY": "key", "FIVETRAN_API_SECRET": "c2VjcmV0", "FIVETRAN_GROUP_ID": "projected_sickle, other"}


def test_fivetrans_are_wanted_by_nobody(environment: pytest.MonkeyPatch) -> None:
    given(environment, {"FIVETRAN_GROUP_ID": "", "FIVETRAN_WEBHOOK": "of another tool"})

    assert FivetranCredentials.from_env() is None


def test_fivetrans_may_name_several_groups(environment: pytest.MonkeyPatch) -> None:
    given(environment, FIVETRAN)

    found = FivetranCredentials.from_env()

    assert found is not None
    assert (found.api_key.get_secret_value(), found.api_secret.get_secret_value()) == ("key", "c2VjcmV0")
    assert (found.group_id, found.api_url) == (("projected_sickle", "other"), "https://api.fivetran.com/v1")
    assert "c2VjcmV0" not in repr(found) + str(found)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"FIVETRAN_API_SECRET": ""}, "found no FIVETRAN_API_SECRET, which Fivetran's API needs: set it"),
        ({"FIVETRAN_GROUP_ID": ""}, "found no FIVETRAN_GROUP_ID, which Fivetran's API needs: set it"),
        ({"FIVETRAN_GROUP_ID": "a/b"}, "found a wrong FIVETRAN_GROUP_ID: expected the ids of groups"),
        ({"FIVETRAN_GROUP_ID": ","}, "found a wrong FIVETRAN_GROUP_ID: expected the ids of groups"),
        (
            {"FIVETRAN_API_URL": "http://api.fivetran.com"},
            "found a wrong FIVETRAN_API_URL: expected an address",
        ),
        ({"FIVETRAN_GROUPS_ID": "x"}, "found FIVETRAN_GROUPS_ID: did you mean FIVETRAN_GROUP_ID?"),
    ],
)
def test_a_part_or_a_wrong_one_of_fivetrans_is_refused(
    wrong: dict[str, str], says: str, environment: pytest.MonkeyPatch
) -> None:
    given(environment, FIVETRAN | wrong)

    with pytest.raises(SettingsError) as refused:
        FivetranCredentials.from_env()

    assert says in str(refused.value)
    assert "c2VjcmV0" not in "".join(traceback.format_exception(refused.value))
