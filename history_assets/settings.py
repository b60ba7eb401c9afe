"""The one place that reads the environment: variables in, one frozen ``Settings`` out.

Belongs here: which settings there are, what they mean, and the refusal of every unknown or malformed one by name. Does not
belong here: anything that acts on a setting, or touches a disk, a network or Dagster.
"""

import datetime as dt
import difflib
import fnmatch
import os
import re
import zoneinfo
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic_settings
from pydantic import ByteSize, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from history_assets.credentials import FivetranCredentials, SnowflakeCredentials
from history_assets.dates import Cutoff, parse_date
from history_assets.errors import SettingsError, UsageError, shortened
from history_assets.gates import Gate

PREFIX = "HISTORY_"
RUN_VARIABLE = "HISTORY_RUN"
"""Carries a run's clones to the macros of a dbt process; set by this project, never by a person."""

DATE_VARIABLE = "HISTORY_DATE"
"""The date that ``History.from_env()`` reads as of where none is said; set for scripts, or by a person."""

OF_A_PROCESS = (RUN_VARIABLE, DATE_VARIABLE)
"""Variables that are no settings."""

CREDENTIALS = ("snowflake", "fivetran")
"""Fields that are filled from variables of their own prefix."""

SECRET = ("alert_urls", "owner_alert_url")
"""Fields whose values no error repeats."""

_SHOWN = 200
"""Characters of a wrong value that are repeated."""

_EXPECTED_KEYS = 'expected the columns of each table\'s key, such as {"schema.table": ["column"]}'

OF_ONE_ENGINE = {
    "lock_timeout": "duckdb",
    "memory_limit": "duckdb",
    "raw_database": "snowflake",
    "clone_database": "snowflake",
    "database": "snowflake",
    "clone_readers": "snowflake",
    "script_role": "snowflake",
    "transient_clones": "snowflake",
    "unchanged_hours": "snowflake",
}
"""Settings that mean nothing to the other engine: refused there, for the same reason."""


class Settings(BaseSettings):
    """Everything that can be configured, each from the environment variable ``HISTORY_`` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    engine: Literal["duckdb", "snowflake"] = Field("duckdb", description="The warehouse: duckdb (embedded), or snowflake.")
    home: Path = Field(Path(".history"), description="Folder of everything that is kept: raw, clones, history, generated dbt.")
    timezone: zoneinfo.ZoneInfo = Field(
        zoneinfo.ZoneInfo("UTC"),
        description="Zone in which a clone date begins, an IANA name such as Europe/Zurich; fixed by the first night.",
    )
    cutoff: dt.time = Field(
        dt.time(0, 0), description="Local time of day, HH:MM, at which a clone date is cut off; fixed by the first night."
    )
    include: Annotated[tuple[str, ...], NoDecode] = Field(
        ("*",), description="Schemas to take, as comma-separated shell patterns."
    )
    exclude: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Schemas to leave out, as comma-separated shell patterns; wins over HISTORY_INCLUDE."
    )
    keys: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description='Keys of tables that declare none, as JSON: {"schema.table": ["column", ...]}.',
    )
    gates: Annotated[tuple[Gate, ...], NoDecode] = Field(
        tuple(Gate), description="Gates that hold a copy back, comma-separated; by default every one."
    )
    shrunken_share: float = Field(0.5, ge=0, le=1, description="Share of rows gone since the night before that is held back.")
    shrunken_rows: int = Field(100, ge=1, description="Rows that a table must have had for HISTORY_SHRUNKEN_SHARE to count.")
    clone_retention_days: int | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days after which a clone that is wholly in the histories is dropped; by default never.",
    )
    clone_retention_months: int = Field(
        0, ge=0, description="Months for which a schema's first clone of each month is kept all the same; 0 keeps none."
    )
    threads: int = Field(4, ge=1, le=64, description="Schemas cloned, and tables folded, at the same time.")
    skip_unchanged: bool = Field(True, description="Fold no table that cannot have changed since the night before.")
    unchanged_hours: float = Field(
        6, ge=0, le=720, description="Snowflake: hours before a quiet point in which what was altered may have changed."
    )
    healing_days: int = Field(
        30, ge=1, le=366, description="Dates back, the newest included, of which missed nights are made up for by themselves."
    )
    lock_timeout: float = Field(
        60, gt=0, le=3600, description="Seconds to wait for a DuckDB file that another process is writing."
    )
    memory_limit: ByteSize | None = Field(
        None,
        ge=100_000_000,
        description="DuckDB: memory for data that each process may take, such as 2GB; by default 80 % of the machine's.",
    )
    raw_database: str = Field("RAW", min_length=1, description="Snowflake database that Fivetran loads into.")
    clone_database: str = Field("CLONES", min_length=1, description="Snowflake database that clones are made in.")
    database: str = Field("HISTORY", min_length=1, description="Snowflake database of the histories.")
    clone_readers: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Snowflake roles that are let into each new clone, comma-separated."
    )
    transient_clones: bool = Field(
        True, description="Transient clones, without Fail-safe; false for sources that cannot be cloned to transient ones."
    )
    webserver: str | None = Field(
        None,
        description="host:port of the Dagster webserver that is told to reload after a refresh.",
    )

    alert_urls: Annotated[tuple[SecretStr, ...], NoDecode] = Field(
        (), description="Channels that are told of failures, as addresses of the apprise library, comma-separated."
    )

    owner_alert_url: SecretStr | None = Field(
        None, description="Channel that tells a script's owner, such as mailto://…?to={owner}; {owner} is the e-mail address."
    )
    scripts: Path = Field(Path("scripts"), description="Folder of scripts; where there is none, there are no scripts.")
    script_role: str | None = Field(
        None, min_length=1, description="Snowflake role that scripts take, which may only read; by default SNOWFLAKE_ROLE."
    )

    owners: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Whose schemas, clones and histories are, as Dagster shows it: e-mail addresses or team:name."
    )
    preview_rows: int | None = Field(
        None,
        ge=0,
        le=50,
        description="Changed rows of a table that Dagster shows of a night, of 20 tables a run; by default 5 on DuckDB, 0 on "
        "Snowflake, where each table takes a statement and its rows leave the warehouse.",
    )

    snowflake: SnowflakeCredentials | None = Field(None, description="How to log in to Snowflake, from SNOWFLAKE_*.")
    fivetran: FivetranCredentials | None = Field(None, description="How to ask Fivetran's API, from FIVETRAN_*.")

    @field_validator("cutoff", mode="before")
    @classmethod
    def _minutes(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return dt.datetime.strptime(value, "%H:%M").time()  # noqa: DTZ007 - a time of day has no zone of its own
            except ValueError:
                raise ValueError("expected HH:MM, from 00:00 to 23:59") from None
        return value

    @field_validator("timezone", mode="before")
    @classmethod
    def _zone(cls, value: Any) -> Any:
        if isinstance(value, str):
            try:
                return zoneinfo.ZoneInfo(value)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError("no such time zone; expected an IANA name such as Europe/Zurich") from error
        return value

    @field_validator("include", "exclude", "gates", "clone_readers", "owners", mode="before")
    @classmethod
    def _patterns(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("alert_urls", mode="before")
    @classmethod
    def _channels(cls, value: Any) -> Any:
        if isinstance(value, str):
            # An address may have commas of its own.
            value = tuple(part for part in re.split(r"[\s,]+(?=[A-Za-z][\w.+-]*://)", value.strip(" ,")) if part)
            if not all(re.fullmatch(r"[A-Za-z][\w.+-]*://\S+", part) for part in value):
                raise ValueError("expected addresses such as slack://… or mailto://…, comma-separated")
        return value

    @field_validator("webserver")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[^\s:/?#@]+:[0-9]{1,5}", value):
            raise ValueError("expected host:port, such as 127.0.0.1:3000")
        return value

    @field_validator("owner_alert_url")
    @classmethod
    def _template(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not re.fullmatch(r"[A-Za-z][\w.+-]*://\S*\{owner\}\S*", value.get_secret_value()):
            raise ValueError("expected an address with {owner} in it, such as mailto://…?to={owner}")
        return value

    @field_validator("owners")
    @classmethod
    def _people_or_teams(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(re.fullmatch(r"team:[\w.-]+|[\w.%+-]+@[\w.-]+\.[A-Za-z]{2,7}", owner, re.ASCII) for owner in value):
            raise ValueError("expected e-mail addresses or team:name, comma-separated")
        return value

    @field_validator("home", "scripts")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        # Child processes run in other folders.
        return value.expanduser().absolute()

    @classmethod
    def from_env(cls) -> Self:
        """Return the settings of the environment; raises SettingsError naming each variable that is unknown or malformed."""
        settings = cls.without_credentials()
        snowflake = SnowflakeCredentials.from_env() if settings.engine == "snowflake" else None
        return settings.model_copy(update={"snowflake": snowflake, "fivetran": FivetranCredentials.from_env()})

    @classmethod
    def without_credentials(cls) -> Self:
        """Return the settings of the environment, with no credentials, whatever the engine; otherwise as ``from_env``."""
        known = {PREFIX + name.upper() for name in cls.model_fields if name not in CREDENTIALS}
        given = {name for name in os.environ if name.startswith(PREFIX) and name not in OF_A_PROCESS}
        if unknown := sorted(given - known):
            raise SettingsError("; ".join(_unknown(name, sorted(known)) for name in unknown))
        try:
            settings = cls()
        except ValidationError as error:
            raise SettingsError("; ".join(_malformed(detail) for detail in error.errors())) from None
        except (pydantic_settings.SettingsError, RecursionError):  # of the one setting that is JSON
            raise SettingsError(f"{_found('HISTORY_KEYS')}, which is no JSON of keys: {_EXPECTED_KEYS}") from None
        foreign = {name: engine for name, engine in OF_ONE_ENGINE.items() if engine != settings.engine}
        if refused := sorted(foreign.keys() & settings.model_fields_set):
            raise SettingsError(
                "; ".join(
                    f"found {PREFIX}{name.upper()}, which means nothing to HISTORY_ENGINE={settings.engine}: unset it, "
                    f"or set HISTORY_ENGINE={foreign[name]}"
                    for name in refused
                )
            )
        if settings.clone_retention_months and settings.clone_retention_days is None:
            raise SettingsError(
                "found HISTORY_CLONE_RETENTION_MONTHS without HISTORY_CLONE_RETENTION_DAYS, so that every clone is kept "
                "anyway: set both, or neither"
            )
        return settings

    @staticmethod
    def date_from_env() -> dt.date | None:
        """Return the date of HISTORY_DATE; raises SettingsError for what is none."""
        try:
            return parse_date(text) if (text := os.environ.get(DATE_VARIABLE)) else None
        except UsageError as error:
            raise SettingsError(f"found a wrong {DATE_VARIABLE}: {error}") from None

    def cutoffs(self) -> Cutoff:
        """Return the rule that turns a clone date into its instant."""
        return Cutoff(self.timezone, self.cutoff)

    def rows_shown(self) -> int:
        """Return how many changed rows of a table Dagster is shown of a night."""
        return self.preview_rows if self.preview_rows is not None else 5 if self.engine == "duckdb" else 0

    def gates_in_force(self) -> str:
        """Return what stands for the gates and what they count as too few: the same for the same."""
        gates = ", ".join(sorted(gate.value for gate in self.gates))
        return f"{gates}; {self.shrunken_share:g} of {self.shrunken_rows}"

    def selects(self, schema: str) -> bool:
        """Say whether the include and exclude patterns let a schema in."""
        return _matches(schema, self.include) and not _matches(schema, self.exclude)


def _matches(schema: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(schema.lower(), pattern.lower()) for pattern in patterns)


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
    return f"found the unknown setting {name}: " + (
        f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    )


def _malformed(detail: Any) -> str:
    field = str(detail["loc"][0])
    name, said = PREFIX + field.upper(), detail["msg"].removeprefix("Value error, ")
    if field in SECRET:
        return f"found a wrong {name}: {said}"
    return f"{_found(name)}: {_EXPECTED_KEYS if field == 'keys' else said}"


def _found(name: str) -> str:
    return f"found {name}={shortened(os.environ.get(name, ''), _SHOWN)!r}"
