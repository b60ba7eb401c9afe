"""Who may log in: key pairs, OAuth tokens, programmatic access tokens; never passwords.

https://docs.snowflake.com/en/user-guide/key-pair-auth
"""

import base64
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fakes.snowflake.errors import SnowflakeError

_REFUSED = "08001"


@dataclass
class User:
    """A user, and what it can prove itself by."""

    name: str
    role: str
    keys: list[RSAPublicKey] = field(default_factory=list)
    oauth_tokens: set[str] = field(default_factory=set)
    access_tokens: set[str] = field(default_factory=set)


def authenticate(users: dict[str, User], login: dict[str, Any]) -> User:
    """Return who logs in, or refuse it with the code that a client sees."""
    kind = str(login.get("AUTHENTICATOR", "SNOWFLAKE")).upper()
    token = str(login.get("TOKEN", ""))
    if kind == "SNOWFLAKE_JWT":
        return _by_key(users, token)
    if kind == "OAUTH":
        return _by_token(users, token, "oauth_tokens", "390303", "Invalid OAuth access token.")
    if kind == "PROGRAMMATIC_ACCESS_TOKEN":
        return _by_token(users, token, "access_tokens", "394400", "Programmatic access token is invalid.")
    raise SnowflakeError("390100", _REFUSED, "Incorrect username or password was specified.")


def _by_token(users: dict[str, User], token: str, held: str, code: str, message: str) -> User:
    for user in users.values():
        if token in getattr(user, held):
            return user
    raise SnowflakeError(code, _REFUSED, message)


def _by_key(users: dict[str, User], token: str) -> User:
    """Check a JWT's signature against the public keys of the user that it names, and the fingerprint that it names them by."""
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        raise SnowflakeError("394306", _REFUSED, "JWT token is invalid.") from None
    user = users.get(str(claims.get("sub", "")).rsplit(".", 1)[-1])
    for key in user.keys if user else []:
        try:
            jwt.decode(token, key, algorithms=["RS256"])
        except jwt.InvalidTokenError:
            continue
        if str(claims.get("iss", "")).endswith(fingerprint(key)):
            assert user is not None
            return user
    raise SnowflakeError("394304", _REFUSED, f"JWT token is invalid. [{uuid.uuid4()}]")


def fingerprint(key: RSAPublicKey) -> str:
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return "SHA256:" + base64.b64encode(hashlib.sha256(der).digest()).decode()
