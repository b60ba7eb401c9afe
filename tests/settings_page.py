"""The reference of the settings, from the classes that define them: ``python -m tests.settings_page`` writes the page."""

import datetime as dt
import enum
import zoneinfo
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from history_assets.credentials import FIVETRAN, SNOWFLAKE, FivetranCredentials, SnowflakeCredentials
from history_assets.settings import CREDENTIALS, DATE_VARIABLE, PREFIX, Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

_HEAD = f"""# Settings

Environment variables. A `{PREFIX}*` that is unknown, malformed, or means nothing to the engine in use is refused by name.
`{SNOWFLAKE}*` and `{FIVETRAN}*` are other tools' too: one that is malformed or nearly one of these is refused, any other is
left alone, and so are all of `{SNOWFLAKE}*` on DuckDB.

`{DATE_VARIABLE}` is not a setting: it is the date that `History.from_env()` reads as of where none is said, set for scripts.

"""
_SNOWFLAKE = """## Logging in to Snowflake

By a key pair or a token; there is no setting for a password.

"""
_FIVETRAN = """## Asking Fivetran

Optional: without it, the Platform Connector's log tells of syncs.

"""
_PARTS: tuple[tuple[str, type[BaseSettings], str], ...] = (
    (PREFIX, Settings, ""),
    (SNOWFLAKE, SnowflakeCredentials, _SNOWFLAKE),
    (FIVETRAN, FivetranCredentials, _FIVETRAN),
)


def page() -> str:
    """Return the reference."""
    return _HEAD + "\n".join(title + "".join(_rows(prefix, settings)) for prefix, settings, title in _PARTS)


def _rows(prefix: str, settings: type[BaseSettings]) -> Iterator[str]:
    yield "| variable | default | meaning |\n|---|---|---|\n"
    for name, field in settings.model_fields.items():
        if name not in CREDENTIALS:
            meaning = str(field.description).replace("|", "\\|")
            yield f"| `{prefix}{name.upper()}` | {_default(field)} | {meaning} |\n"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value in (None, (), {}):
        return ""
    if isinstance(value, tuple):
        value = ", ".join(str(each.value if isinstance(each, enum.Enum) else each) for each in value)
    elif isinstance(value, bool):
        value = str(value).lower()
    elif isinstance(value, dt.time):
        value = f"{value:%H:%M}"
    elif isinstance(value, zoneinfo.ZoneInfo):
        value = value.key
    return f"`{value}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
