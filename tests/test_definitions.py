"""What Dagster loads, from nothing and from a refreshed home."""

import collections
import datetime as dt
import json
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from history_assets import descriptions
from history_assets.location import build_definitions, night_definitions
from history_assets.naming import quote
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.landing import Landing
from tests.unit.test_markdown import HOSTILE, read


def test_without_a_refresh_there_is_what_leads_to_one_alone(settings: Settings, home: Path) -> None:
    before = sorted(home.rglob("*"))

    definitions = build_definitions(settings)

    dg.Definitions.validate_loadable(definitions)
    assert [job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")] == ["refresh"]
    assert [(sensor.name, sensor.default_status) for sensor in definitions.sensors or ()] == [
        ("drift", dg.DefaultSensorStatus.RUNNING),
        ("killed", dg.DefaultSensorStatus.RUNNING),
    ]
    assert definitions.resolve_all_asset_keys() == []
    assert sorted(home.rglob("*")) == before


def test_a_refreshed_home_has_every_asset(landing: Landing, settings: Settings) -> None:
    synced = "_fivetran_synced timestamptz"
    landing.execute("crm", "2026-11-19T22:00", f"create table account (id int primary key, {synced})")
    landing.execute(
        "my shop", "2026-11-19T22:00", f'create table "Order Item" (id int, {synced})', f"create table t ({synced})"
    )
    refresh(settings, DuckDBWarehouse(settings))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        definitions = build_definitions(settings)
        dg.Definitions.validate_loadable(definitions)
        graph = definitions.resolve_asset_graph()

    ours = [str(each.message) for each in caught if "history_assets" in each.filename or "dagster" in str(each.message).lower()]
    assert ours == []
    parents = {
        key.to_user_string(): sorted(p.to_user_string() for p in graph.get(key).parent_keys)
        for key in graph.get_all_asset_keys()
    }
    assert parents == {
        "fivetran/crm": [],
        "fivetran/my_x20_shop": [],
        "clones/crm": ["fivetran/crm"],
        "clones/my_x20_shop": ["fivetran/my_x20_shop"],
        "history/crm/account": ["clones/crm"],
        "history/my_x20_shop/Order_x20_Item": ["clones/my_x20_shop"],
        "history/my_x20_shop/t": ["clones/my_x20_shop"],
    }
    materializable = [key for key in graph.get_all_asset_keys() if graph.get(key).is_materializable]
    assert {graph.get(key).partitions_def for key in materializable} == {dg.DynamicPartitionsDefinition(name="clone_date")}
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"crm", "my_x20_shop"}
    assert all(graph.get(key).description for key in graph.get_all_asset_keys())
    assert sorted(job.name for job in definitions.resolve_all_job_defs() if not job.name.startswith("__")) == [
        "checks",
        "clones",
        "refresh",
        "snapshots",
    ]
    checks = collections.defaultdict[str, list[str]](list)
    for check in sorted(graph.asset_check_keys):
        checks[check.asset_key.to_user_string()].append(check.name)
    assert checks == {
        "clones/crm": ["newest_exact", "no_large_drop", "no_lost_night"],
        "clones/my_x20_shop": ["newest_exact", "no_large_drop", "no_lost_night"],
        "history/crm/account": ["exact"],
        "history/my_x20_shop/Order_x20_Item": ["exact"],
        "history/my_x20_shop/t": ["exact"],
    }


def test_every_asset_says_whose_it_is_what_it_holds_and_what_it_is_of(
    landing: Landing, make_settings: Callable[..., Settings], home: Path
) -> None:
    landing.execute(
        "crm", "2026-11-19T22:00", "create table account (id int primary key, name varchar, _fivetran_synced timestamptz)",
        "create table note (text varchar, _fivetran_synced timestamptz)",
    )  # fmt: skip
    scripts = home / "scripts"
    scripts.mkdir()
    (scripts / "forecast.py").write_text('# /// script\n# [tool.history-assets]\n# after = ["crm.*"]\n# ///\n')
    settings = make_settings(owners=("team:data", "ann@example.com"), scripts=scripts)
    refresh(settings, DuckDBWarehouse(settings))

    graph = build_definitions(settings).resolve_asset_graph()

    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    assert {tuple(node.owners) for node in nodes.values()} == {("team:data", "ann@example.com")}
    assert {name: node.kinds for name, node in nodes.items()} == {
        "fivetran/crm": {"fivetran"},
        "clones/crm": {"duckdb"},
        "history/crm/account": {"dbt", "duckdb"},
        "history/crm/note": {"dbt", "duckdb"},
        "scripts/forecast": {"python"},
    }
    links = {name: {key: each.value for key, each in _links(node.metadata)} for name, node in nodes.items()}
    assert links == {
        "fivetran/crm": {"clones": dg.AssetKey(["clones", "crm"])},
        "clones/crm": {"raw": dg.AssetKey(["fivetran", "crm"])},
        "history/crm/account": {"clones": dg.AssetKey(["clones", "crm"])},
        "history/crm/note": {"clones": dg.AssetKey(["clones", "crm"])},
        "scripts/forecast": {f"after crm.{table}": dg.AssetKey(["history", "crm", table]) for table in ("account", "note")},
    }
    contents = [
        {"table": "account", "columns": 3, "key": "id"},
        {"table": "note", "columns": 2, "key": None},
    ]
    for name in ("fivetran/crm", "clones/crm"):
        assert [record.data for record in nodes[name].metadata["contents"].records] == contents
    columns = nodes["history/crm/account"].metadata["dagster/column_schema"].schema.columns
    assert [(column.name, column.type, column.description) for column in columns[:3]] == [
        ("id", "INTEGER", "The key."),
        ("name", "VARCHAR", None),
        ("_fivetran_synced", "TIMESTAMP WITH TIME ZONE", None),
    ]
    assert [column.name for column in columns[3:]] == ["dbt_valid_from", "dbt_valid_to"]


def test_names_in_what_is_said_of_assets_do_nothing(
    landing: Landing, make_settings: Callable[..., Settings], home: Path
) -> None:
    """Dagster's pages show it as Markdown, which may fetch an image from wherever it likes."""
    schema, table = "`![s](x.png)", "`![t](http://evil.example/p.png)"
    created = f"create table {quote(table)} ({quote('`<b>')} int primary key, _fivetran_synced timestamptz)"
    landing.execute(schema, "2026-11-19T22:00", created)
    scripts = home / "scripts"
    scripts.mkdir()
    for name, after in (("`*a*", [HOSTILE]), ("`*b*", HOSTILE)):
        (scripts / f"{name}.py").write_text(f"# /// script\n# [tool.history-assets]\n# after = {json.dumps(after)}\n# ///\n")
    settings = make_settings(scripts=scripts)
    refresh(settings, DuckDBWarehouse(settings))

    graph = build_definitions(settings).resolve_asset_graph()

    said = [str(graph.get(key).description) for key in sorted(graph.get_all_asset_keys())]
    paragraphs = [read(re.sub(r"^\*\*(\w+)\*\*", r"\1", each)) for one in said for each in one.split("\n\n")]
    assert paragraphs == [
        f"The schema {schema} as it was at the cutoff of each date: a zero-copy clone of its 1 tables, frozen.",
        f"The schema {schema} as Fivetran lands it: 1 tables, overwritten.",
        f"Every version of each row of {schema}.{table}; key `<b>, as Fivetran declares it.",
        "The script `*a*.py.",
        f"Waits for histories that there are none of yet: {HOSTILE}.",
        f'Broken: `*b*.py, line 3: found after = {HOSTILE!r}, which is no list: write it as ["…", "…"]',
    ]


def _links(metadata: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(key, each) for key, each in metadata.items() if isinstance(each, dg.DagsterAssetMetadataValue)]


def test_columns_are_left_out_where_there_are_too_many_to_hand_on(
    landing: Landing, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table account (id int, _fivetran_synced timestamptz)")
    refresh(settings, DuckDBWarehouse(settings))
    key = dg.AssetKey(["history", "crm", "account"])

    def shows_columns(most: int) -> bool:
        monkeypatch.setattr(descriptions, "MOST_COLUMNS", most)
        return "dagster/column_schema" in build_definitions(settings).resolve_asset_graph().get(key).metadata

    assert [shows_columns(most) for most in (2, 1)] == [True, False]


def test_clones_and_histories_are_stale_hours_after_a_cutoff_that_left_nothing(
    landing: Landing, make_settings: Callable[..., Settings]
) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table account (id int, _fivetran_synced timestamptz)")
    settings = make_settings(timezone="Europe/Zurich", cutoff=dt.time(22, 30))
    refresh(settings, DuckDBWarehouse(settings))

    graph = build_definitions(settings).resolve_asset_graph()

    daily = dg.FreshnessPolicy.cron("30 4 * * *", dt.timedelta(hours=7), "Europe/Zurich")
    assert {key.to_user_string(): graph.get(key).freshness_policy for key in graph.get_all_asset_keys()} == {
        "fivetran/crm": None,
        "clones/crm": daily,
        "history/crm/account": daily,
    }


def test_clones_are_dropped_by_a_schedule_only_where_they_are_not_kept_for_ever(
    landing: Landing, make_settings: Callable[..., Settings]
) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table account (id int, _fivetran_synced timestamptz)")
    settings = make_settings(timezone="Europe/Zurich")
    refresh(settings, DuckDBWarehouse(settings))

    kept = build_definitions(settings)
    dropped = build_definitions(make_settings(timezone="Europe/Zurich", clone_retention_days=30))

    assert [schedule.name for schedule in kept.schedules or ()] == ["nightly"]
    assert "retention" not in {job.name for job in kept.resolve_all_job_defs()}
    schedule = dropped.resolve_schedule_def("daily_retention")
    assert (schedule.job_name, schedule.cron_schedule, schedule.execution_timezone, schedule.default_status) == (
        "retention",
        "0 6 * * *",
        "Europe/Zurich",
        dg.DefaultScheduleStatus.RUNNING,
    )


def test_a_night_by_command_has_the_servers_assets_and_nothing_else(landing: Landing, settings: Settings) -> None:
    landing.execute("crm", "2026-11-19T22:00", "create table account (id int primary key, _fivetran_synced timestamptz)")
    warehouse = DuckDBWarehouse(settings)
    project = refresh(settings, warehouse).project
    server, night = build_definitions(settings), night_definitions(project, warehouse)

    assert {spec.key: spec for spec in night.resolve_all_asset_specs() if "dagster_dbt/manifest" not in spec.metadata} == {
        spec.key: spec for spec in server.resolve_all_asset_specs() if "dagster_dbt/manifest" not in spec.metadata
    }
    assert set(night.resolve_all_asset_keys()) == set(server.resolve_all_asset_keys())
    assert night.resolve_asset_graph().asset_check_keys == set()
    assert sorted(job.name for job in night.resolve_all_job_defs() if not job.name.startswith("__")) == ["clones", "snapshots"]
    assert list(night.sensors or ()) == []
