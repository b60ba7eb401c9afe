"""How this project logs in: ``SNOWFLAKE_*`` and ``FIVETRAN_*`` variables in, frozen ``…Credentials`` out.

Belongs here: which of them there are, which must be there, and that none is a password. Does not belong here: connecting
(``warehouse/snowflake_session``, ``fivetran/api``). Other tools read variables of the same prefixes, so one that is unknown is
left alone, unless it is so near to one of these that it must be meant.
"""

import difflib
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from history_assets.errors import SettingsError

SNOWFLAKE = "SNOWFLAKE_"
FIVETRAN = "FIVETRAN_"

_PASSWORDS = ("SNOWFLAKE_PASSWORD", "SNOWFLAKE_PWD")
_KEYS = ("private_key_path", "private_key", "token")
_FIRST = "HISTORY_ASSETS"
_NEAR = 0.92
"""So alike are a name and its slip of the finger; SNOWFLAKE_USERNAME and SNOWFLAKE_PRIVATE_KEY_RAW, of other tools, are not."""


class SnowflakeCredentials(BaseSettings):
    """An account, a user, and the key or token by which it is believed; nothing secret shows in its text."""

    model_config = SettingsConfigDict(
        env_prefix=SNOWFLAKE, frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    account: str = Field(min_length=1, description="Account identifier, such as myorg-myaccount.")
    user: str = Field(min_length=1, description="Login name of the user.")
    role: str = Field(min_length=1, description="Role that clones, folds and reads.")
    warehouse: str = Field(min_length=1, description="Warehouse that folds and reads histories; nothing else needs one.")
    private_key_path: Path | None = Field(None, description="File of the private key, in PEM.")
    private_key: SecretStr | None = Field(None, description="The private key itself, in PEM.")
    private_key_passphrase: SecretStr | None = Field(None, description="What the private key is encrypted with.")
    token: SecretStr | None = Field(None, description="OAuth token, or programmatic access token.")
    authenticator: Literal["snowflake_jwt", "oauth", "programmatic_access_token"] = Field(
        "snowflake_jwt", description="How to log in: by key pair, or with the token of one of the other two kinds."
    )
    host: str | None = Field(None, description="Host of a private endpoint.")
    port: int | None = Field(None, ge=1, le=65535, description="Its port.")
    protocol: Literal["https", "http"] = Field("https", description="Its protocol.")

    @field_validator("private_key")
    @classmethod
    def _pem(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        # Many places that keep variables keep them on one line.
        text = value.get_secret_value().replace("\\n", "\n").strip()
        if not text.startswith("-----BEGIN "):
            raise ValueError("expected a key in PEM, which begins with -----BEGIN")
        return SecretStr(text + "\n")

    @classmethod
    def from_env(cls) -> Self:
        """Return the credentials of the environment; raises SettingsError naming all that is missing, malformed or refused."""
        known = {SNOWFLAKE + name.upper() for name in cls.model_fields}
        problems = [_password(name) for name in _PASSWORDS if os.environ.get(name)]
        problems += _near_misses(SNOWFLAKE, known)
        try:
            found = cls()
        except ValidationError as error:
            wrong = (_malformed(SNOWFLAKE, detail, "the Snowflake engine") for detail in error.errors())
            raise SettingsError("; ".join([*problems, *wrong])) from None
        problems += found._contradictions()
        if problems:
            raise SettingsError("; ".join(problems))
        return found

    @classmethod
    def names_from_env(cls) -> tuple[str, str, str]:
        """Return the exact names of user, role and warehouse that the environment has, or names to begin with."""
        given = (os.environ.get(f"{SNOWFLAKE}{name}") or _FIRST for name in ("USER", "ROLE", "WAREHOUSE"))
        user, role, warehouse = (exact_name(name) for name in given)
        return user, role, warehouse

    def _contradictions(self) -> list[str]:
        given = [SNOWFLAKE + name.upper() for name in _KEYS if getattr(self, name)]
        if len(given) > 1:
            return [f"found {' and '.join(given)}: expected one of them"]
        if not given:
            return ["found no key and no token: set SNOWFLAKE_PRIVATE_KEY_PATH, SNOWFLAKE_PRIVATE_KEY or SNOWFLAKE_TOKEN"]
        if self.token and self.authenticator == "snowflake_jwt":
            return ["found SNOWFLAKE_TOKEN: set SNOWFLAKE_AUTHENTICATOR to its kind, oauth or programmatic_access_token"]
        if not self.token and self.authenticator != "snowflake_jwt":
            return [f"found SNOWFLAKE_AUTHENTICATOR={self.authenticator} without SNOWFLAKE_TOKEN: set it"]
        if self.private_key_path and not self.private_key_path.expanduser().is_file():
            return [f"found SNOWFLAKE_PRIVATE_KEY_PATH={self.private_key_path}, which is no file"]
        return []


class FivetranCredentials(BaseSettings):
    """A key to Fivetran's REST API, and the groups whose connections matter; nothing secret shows in its text."""

    model_config = SettingsConfigDict(
        env_prefix=FIVETRAN, frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    api_key: SecretStr = Field(description="Key of a scoped API key.")
    api_secret: SecretStr = Field(description="Its secret.")
    group_id: Annotated[tuple[str, ...], NoDecode] = Field(
        description="Groups of the connections that load into raw, comma-separated."
    )
    api_url: str = Field("https://api.fivetran.com/v1", description="Address of the API.")

    @field_validator("group_id", mode="before")
    @classmethod
    def _groups(cls, value: Any) -> Any:
        found = tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
        if not found or not all(re.fullmatch(r"[A-Za-z0-9_-]+", group) for group in found):
            raise ValueError("expected the ids of groups, such as projected_sickle, comma-separated")
        return found

    @field_validator("api_url")
    @classmethod
    def _address(cls, value: str) -> str:
        # The secret goes with every request.
        if not re.fullmatch(r"https://[^/?#@]+(/[^?#]*)?|http://(127\.0\.0\.1|localhost)(:\d+)?(/[^?#]*)?", value):
            raise ValueError("expected an address that begins with https://")
        return value.rstrip("/")

    @classmethod
    def from_env(cls) -> Self | None:
        """Return the credentials of the environment, nothing where it has none; raises SettingsError for a part of them."""
        known = {FIVETRAN + name.upper() for name in cls.model_fields}
        problems = _near_misses(FIVETRAN, known)
        if not problems and not any(os.environ.get(name) for name in known):
            return None
        try:
            found = cls()
        except ValidationError as error:
            problems += [_malformed(FIVETRAN, detail, "Fivetran's API") for detail in error.errors()]
            raise SettingsError("; ".join(problems)) from None
        if problems:
            raise SettingsError("; ".join(problems))
        return found


def exact_name(typed: str) -> str:
    """Return a name as Snowflake keeps it, given as a login takes it: in capitals, unless it is quoted or no plain word."""
    if len(typed) > 1 and typed[0] == typed[-1] == '"':
        return typed[1:-1].replace('""', '"')
    return typed.upper() if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_$]*", typed) else typed


def _password(name: str) -> str:
    return (
        f"found {name}: Snowflake is ending logins by password alone, so there is no setting for one: unset it, "
        "and log in by key pair (SNOWFLAKE_PRIVATE_KEY_PATH)"
    )


def _near_misses(prefix: str, known: set[str]) -> list[str]:
    given = [name for name in sorted(os.environ) if name.startswith(prefix) and name not in known]
    near = {name: difflib.get_close_matches(name, known, 1, _NEAR) for name in given}
    return [f"found {name}: did you mean {meant[0]}?" for name, meant in near.items() if meant]


def _malformed(prefix: str, detail: Any, who: str) -> str:
    name = prefix + str(detail["loc"][0]).upper()
    if detail["type"] == "missing":
        return f"found no {name}, which {who} needs: set it"
    return f"found a wrong {name}: {detail['msg'].removeprefix('Value error, ')}"  # never its value, which may be secret
