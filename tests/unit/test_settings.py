"""Settings come from the environment once; what is unknown or malformed is refused by name."""

import datetime as dt
from pathlib import Path

import pytest

from history_assets.errors import SettingsError
from history_assets.gates import Gate
from history_assets.settings import OF_ONE_ENGINE, Settings


def test_without_variables_there_are_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    settings = Settings.from_env()

    assert settings.home == tmp_path / ".history"
    assert (settings.engine, settings.timezone.key, settings.cutoff) == ("duckdb", "UTC", dt.time(0))
    assert settings.selects("anything")


def test_every_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HOME": "/data",
        "TIMEZONE": "Europe/Zurich",
        "CUTOFF": "04:30",
        "INCLUDE": "salesforce*, Zendesk",
        "EXCLUDE": "*_test",
        "KEYS": '{"s.t": ["a", "b"]}',
        "GATES": "empty,absent",
        "SHRUNKEN_SHARE": "0.25",
        "SHRUNKEN_ROWS": "10",
        "THREADS": "2",
        "LOCK_TIMEOUT": "1.5",
        "MEMORY_LIMIT": "2GB",
        "WEBSERVER": "127.0.0.1:3000",
        "OWNERS": "team:data, ann.b@example.com",
        "PREVIEW_ROWS": "3",
    }.items():
        monkeypatch.setenv(f"HISTORY_{name}", value)

    settings = Settings.from_env()

    given = {
        "home": Path("/data"),
        "timezone": settings.timezone,
        "cutoff": dt.time(4, 30),
        "include": ("salesforce*", "Zendesk"),
        "exclude": ("*_test",),
        "keys": {"s.t": ("a", "b")},
        "gates": (Gate.EMPTY, Gate.ABSENT),
        "shrunken_share": 0.25,
        "shrunken_rows": 10,
        "threads": 2,
        "lock_timeout": 1.5,
        "memory_limit": 2_000_000_000,
        "webserver": "127.0.0.1:3000",
        "owners": ("team:data", "ann.b@example.com"),
        "preview_rows": 3,
    }
    assert settings.model_dump(include=set(given)) == given
    assert settings.timezone.key == "Europe/Zurich"


LOGIN = {
    "SNOWFLAKE_ACCOUNT": "myorg-account",
    "SNOWFLAKE_USER": "LOADER",
    "SNOWFLAKE_ROLE": "HISTORIAN",
    "SNOWFLAKE_WAREHOUSE": "NIGHTLY",
    "SNOWFLAKE_TOKEN": "secret",
    "SNOWFLAKE_AUTHENTICATOR": "oauth",
}


def test_every_variable_of_snowflake_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    databases = {"HISTORY_RAW_DATABASE": "raw", "HISTORY_CLONE_DATABASE": "my clones", "HISTORY_DATABASE": "H"}
    roles = {"HISTORY_CLONE_READERS": "ANALYST, data science", "HISTORY_TRANSIENT_CLONES": "false"}
    for name, value in (LOGIN | databases | roles | {"HISTORY_ENGINE": "snowflake"}).items():
        monkeypatch.setenv(name, value)

    settings = Settings.from_env()

    assert (settings.raw_database, settings.clone_database, settings.database) == ("raw", "my clones", "H")
    assert (settings.clone_readers, settings.transient_clones) == (("ANALYST", "data science"), False)
    assert settings.snowflake is not None
    assert (settings.snowflake.account, settings.snowflake.role) == ("myorg-account", "HISTORIAN")
    assert "secret" not in repr(settings)


def test_snowflakes_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (LOGIN | {"HISTORY_ENGINE": "snowflake"}).items():
        monkeypatch.setenv(name, value)

    settings = Settings.from_env()

    assert (settings.raw_database, settings.clone_database, settings.database) == ("RAW", "CLONES", "HISTORY")
    assert (settings.clone_readers, settings.transient_clones) == ((), True)


@pytest.mark.parametrize(("name", "owner"), sorted(OF_ONE_ENGINE.items()))
def test_a_setting_of_the_other_engine_is_refused(name: str, owner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "snowflake" if owner == "duckdb" else "duckdb"
    variable, value = (
        f"HISTORY_{name.upper()}",
        {"lock_timeout": "5", "memory_limit": "1GB", "unchanged_hours": "5", "transient_clones": "true"}.get(name, "X"),
    )
    for each, given in (LOGIN | {"HISTORY_ENGINE": other, variable: value}).items():
        monkeypatch.setenv(each, given)

    says = f"found {variable}, which means nothing to HISTORY_ENGINE={other}: unset it, or set HISTORY_ENGINE={owner}"
    with pytest.raises(SettingsError, match=says):
        Settings.from_env()


def test_the_credentials_come_from_their_own_variables_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_SNOWFLAKE", "{}")

    with pytest.raises(SettingsError, match="found the unknown setting HISTORY_SNOWFLAKE"):
        Settings.from_env()


def test_duckdb_wants_nothing_of_snowflake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNOWFLAKE_PASSWORD", "of another tool")

    assert Settings.from_env().snowflake is None


KEYS = 'expected the columns of each table\'s key, such as {"schema.table": ["column"]}'


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("HISTORY_TIMZONE", "UTC", "did you mean HISTORY_TIMEZONE?"),
        ("HISTORY_QQQQQQ", "x", "expected one of HISTORY_ALERT_URLS, "),
        ("HISTORY_ENGINE", "oracle", "found HISTORY_ENGINE='oracle'"),
        ("HISTORY_TIMEZONE", "Mars/Olympus", "found HISTORY_TIMEZONE='Mars/Olympus': no such time zone"),
        ("HISTORY_TIMEZONE", "../etc", "no such time zone"),
        ("HISTORY_GATES", "empty,wide", "found HISTORY_GATES='empty,wide'"),
        ("HISTORY_CUTOFF", "25:00", "found HISTORY_CUTOFF='25:00': expected HH:MM, from 00:00 to 23:59"),
        ("HISTORY_THREADS", "many", "found HISTORY_THREADS='many'"),
        ("HISTORY_THREADS", "0", "found HISTORY_THREADS='0'"),
        ("HISTORY_CLONE_RETENTION_DAYS", "0", "found HISTORY_CLONE_RETENTION_DAYS='0'"),
        ("HISTORY_CLONE_RETENTION_MONTHS", "-1", "found HISTORY_CLONE_RETENTION_MONTHS='-1'"),
        ("HISTORY_KEYS", "foo", f"found HISTORY_KEYS='foo', which is no JSON of keys: {KEYS}"),
        ("HISTORY_KEYS", '{"a.b":"c"}', f'found HISTORY_KEYS=\'{{"a.b":"c"}}\': {KEYS}'),
        ("HISTORY_KEYS", '["a.b"]', f"found HISTORY_KEYS='[\"a.b\"]': {KEYS}"),
        ("HISTORY_WEBSERVER", "http://x", "found HISTORY_WEBSERVER='http://x': expected host:port, such as 127.0.0.1:3000"),
        ("HISTORY_ALERT_URLS", "token", "found a wrong HISTORY_ALERT_URLS: expected addresses"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as refused:
        Settings.from_env()

    assert says in str(refused.value)
    assert "\n" not in str(refused.value)


def test_clones_are_kept_for_ever_unless_it_is_said_for_how_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings.from_env().clone_retention_days, Settings.from_env().clone_retention_months) == (None, 0)

    monkeypatch.setenv("HISTORY_CLONE_RETENTION_DAYS", "30")
    monkeypatch.setenv("HISTORY_CLONE_RETENTION_MONTHS", "12")

    assert (Settings.from_env().clone_retention_days, Settings.from_env().clone_retention_months) == (30, 12)


def test_months_without_days_mean_nothing_and_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_CLONE_RETENTION_MONTHS", "12")

    with pytest.raises(SettingsError, match="found HISTORY_CLONE_RETENTION_MONTHS without HISTORY_CLONE_RETENTION_DAYS"):
        Settings.from_env()


@pytest.mark.parametrize(
    ("include", "exclude", "schema", "selected"),
    [
        (("*",), (), "salesforce", True),
        (("sales*",), (), "SalesForce", True),
        (("sales*",), (), "zendesk", False),
        (("*",), ("*_test",), "shop_test", False),
        (("shop_test",), ("*_test",), "shop_test", False),
    ],
)
def test_exclude_wins_over_include_in_any_case(
    include: tuple[str, ...], exclude: tuple[str, ...], schema: str, selected: bool
) -> None:
    assert Settings(include=include, exclude=exclude).selects(schema) is selected


def test_channels_are_kept_secret_and_may_have_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    urls = ("slack://token/#data,#ops", "mailto://user:word@example.com")
    monkeypatch.setenv("HISTORY_ALERT_URLS", ", ".join(urls))

    settings = Settings.from_env()

    assert tuple(url.get_secret_value() for url in settings.alert_urls) == urls
    assert "token" not in repr(settings)


def test_fivetran_is_asked_whatever_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"API_KEY": "key", "API_SECRET": "secret", "GROUP_ID": "projected_sickle"}.items():
        monkeypatch.setenv(f"FIVETRAN_{name}", value)

    settings = Settings.from_env()

    assert settings.fivetran is not None
    assert settings.fivetran.group_id == ("projected_sickle",)
    assert "secret=SecretStr('***" in repr(settings)


def test_the_date_of_a_process_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings.date_from_env() is None
    monkeypatch.setenv("HISTORY_DATE", "2026-11-22")

    assert Settings.from_env().home
    assert Settings.date_from_env() == dt.date(2026, 11, 22)
    monkeypatch.setenv("HISTORY_DATE", "today")
    with pytest.raises(SettingsError, match="found a wrong HISTORY_DATE: found 'today' where a clone date was expected"):
        Settings.date_from_env()


def test_the_channel_of_owners_names_where_the_owner_goes_and_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HISTORY_OWNER_ALERT_URL", "mailto://me:s3cret@example.com?to={owner}")
    owner_url = Settings.from_env().owner_alert_url
    assert owner_url
    assert owner_url.get_secret_value() == "mailto://me:s3cret@example.com?to={owner}"

    monkeypatch.setenv("HISTORY_OWNER_ALERT_URL", "mailto://me:s3cret@example.com")
    with pytest.raises(SettingsError) as raised:
        Settings.from_env()
    assert str(raised.value) == (
        "found a wrong HISTORY_OWNER_ALERT_URL: expected an address with {owner} in it, such as mailto://…?to={owner}"
    )
