"""Scripts behind their histories, and the commands that make, check and run one."""

import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from history_assets.cli import app
from history_assets.errors import UsageError
from history_assets.history import History
from history_assets.location import build_definitions
from history_assets.refresh import refresh
from history_assets.settings import Settings
from history_assets.warehouse.duckdb import DuckDBWarehouse
from tests.fakes.channel import Channel
from tests.landing import Landing
from tests.stories.daemon import Daemon
from tests.stories.scripts.folder import script

D21 = "2026-11-21"


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(f"2026-11-{text}").replace(tzinfo=dt.UTC)


class Night:
    """A home in which one night is cloned and folded by the daemon, with the scripts that are after it."""

    def __init__(self, home: Path, instance: dg.DagsterInstance) -> None:
        self.landing = Landing(home)
        synced = "_fivetran_synced timestamptz default '2026-11-20 20:00:00+00'"
        for schema in ("crm", "billing"):
            rows = f"create table account (id int primary key, name varchar, {synced})"
            self.landing.execute(schema, "2026-11-20T20:00", rows, "insert into account (id, name) values (1, 'a'), (2, 'b')")
        self.settings = Settings(home=home, scripts=home / "scripts")
        self.settings.scripts.mkdir()
        warehouse = DuckDBWarehouse(self.settings)
        refresh(self.settings, warehouse)
        self.daemon = Daemon(instance, lambda: build_definitions(self.settings, now=lambda: self.daemon.now), at("20 23:50"))

    def ran(self) -> list[tuple[str, str | None, list[str], bool]]:
        """Return the runs of scripts since this was last asked."""
        assert self.daemon.failed == {}
        ran, self.daemon.ran = self.daemon.ran, []
        return [(name, date, keys, well) for name, job, date, keys, well in ran if job == "scripts"]

    def stdout(self, name: str) -> list[tuple[str | None, str]]:
        key = dg.AssetKey(["scripts", name])
        records = self.daemon.instance.fetch_materializations(key, limit=9, ascending=True).records
        found = [(record.partition_key, record.asset_materialization) for record in records]
        return [(date, str(made.metadata["stdout"].value)) for date, made in found if made]


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Night]:
    home = tmp_path_factory.mktemp("night")
    (home / "dagster").mkdir()
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.local_temp(str(home / "dagster")) as instance:
        patch.setenv("DAGSTER_HOME", str(home / "dagster"))
        yield Night(home, instance)


def test_scripts_run_after_their_histories_and_read_them_as_of_the_date(night: Night) -> None:
    """One night: the folds of both schemas end, and each script runs once, then what it feeds."""
    reading = [
        "from history_assets import History",
        "history = History.from_env()",
        "tables = [history.as_of(f'{schema}.account') for schema in ('crm', 'billing')]",
        "print(history.date, [table.num_rows for table in tables])",
    ]
    (night.settings.scripts / "both.py").write_text(script('after = ["*.account"]', 'feeds = ["summary"]', code=reading))
    (night.settings.scripts / "summary.py").write_text(script(code=["print('summed up')"]))
    (night.settings.scripts / "broken.py").write_text("print('of no use')")
    night.daemon.sensor("refresh_scripts")
    night.daemon.now = at("21 00:00")
    night.daemon.schedule("nightly")
    before = hashlib.sha256((night.settings.home / "history.duckdb").read_bytes()).hexdigest()
    assert night.ran() == []

    night.daemon.sensor("refresh_scripts")
    assert night.ran() == [("refresh_scripts", D21, ["scripts/both"], True)]
    night.daemon.sensor("refresh_scripts")
    assert night.ran() == [("refresh_scripts", None, ["scripts/summary"], True)]
    night.daemon.sensor("refresh_scripts")
    assert night.ran() == []

    assert night.stdout("both") == [(D21, f"{D21} [2, 2]\n")]
    assert night.stdout("summary") == [(None, "summed up\n")]
    assert hashlib.sha256((night.settings.home / "history.duckdb").read_bytes()).hexdigest() == before


def test_a_script_is_in_the_graph_behind_its_histories(night: Night) -> None:
    graph = build_definitions(night.settings).resolve_asset_graph()
    both = graph.get(dg.AssetKey(["scripts", "both"]))

    assert {key.to_user_string() for key in both.parent_keys} == {"history/crm/account", "history/billing/account"}
    assert both.partitions_def == dg.DynamicPartitionsDefinition(name="clone_date")
    assert (both.group_name, both.kinds, both.description) == ("scripts", {"python"}, "A script.")
    assert both.freshness_policy == dg.FreshnessPolicy.cron("0 9 * * *", dt.timedelta(hours=10), "UTC")
    assert graph.get(dg.AssetKey(["scripts", "broken"])).kinds == {"python", "broken"}


def test_without_any_date_a_history_says_so(night: Night) -> None:
    with pytest.raises(UsageError) as raised:
        History(DuckDBWarehouse(night.settings)).as_of("crm.account")

    assert str(raised.value) == (
        "found no date to read crm.account as of: give one, or set HISTORY_DATE, as a script's run does"
    )


def test_a_broken_script_is_told_of_as_it_is_found(night: Night, channel: Channel) -> None:
    settings = night.settings.model_copy(update={"alert_urls": (channel.url,)})
    definitions = build_definitions(settings, now=lambda: night.daemon.now)
    sensor = definitions.get_repository_def().get_sensor_def("watch")
    for _ in range(2):
        with dg.build_sensor_context(night.daemon.instance) as context:
            sensor(context)

    assert channel.titles == ["history_assets: script is broken: scripts/broken"]


@pytest.fixture
def command(night: Night, monkeypatch: pytest.MonkeyPatch) -> Iterator[CliRunner]:
    monkeypatch.setenv("HISTORY_HOME", str(night.settings.home))
    monkeypatch.setenv("HISTORY_SCRIPTS", str(night.settings.scripts))
    monkeypatch.setenv("DAGSTER_HOME", str(night.settings.home / "dagster"))
    yield CliRunner()
    for name in ("hand", "new_one"):
        (night.settings.scripts / f"{name}.py").unlink(missing_ok=True)


def test_a_new_script_is_a_template_that_overwrites_nothing(night: Night, command: CliRunner) -> None:
    path = night.settings.scripts / "new_one.py"
    made = command.invoke(app, ["script", "new", "new_one"])
    again = command.invoke(app, ["script", "new", "new_one"])
    checked = command.invoke(app, ["script", "check", "new_one"])
    run = command.invoke(app, ["script", "run", "new_one"])

    assert (made.exit_code, made.output) == (0, f"wrote {path}; when it is written: history-assets script check new_one\n")
    assert str(again.exception) == f"found {path} already, which is left as it is: choose another name"
    assert checked.exit_code == 1
    wrong = "new_one.py, line 5: found after naming 'schema.table', which no history matches"
    assert checked.output.splitlines()[-1] == f"error: {wrong}"
    assert str(run.exception) == wrong
    for name in ("../x", "a b", "", "-x"):
        assert command.invoke(app, ["script", "new", "--", name]).exit_code != 0


def test_a_check_says_what_it_found_and_what_is_wrong(night: Night, command: CliRunner) -> None:
    path = night.settings.scripts / "hand.py"
    path.write_text(script('after = ["CRM.*",', '"billing.acount"]', 'feeds = ["both"]', doc="First.\n\nMore."))
    found = command.invoke(app, ["script", "check", str(path)])

    assert (found.exit_code, found.output.splitlines()) == (
        1,
        [
            "description: First.",
            "dependencies: none",
            "after: crm.account, a partition for each date",
            "schedule: none",
            "retries: 0, timeout: 2:00:00, owner: none",
            "feeds: scripts/both",
            "error: hand.py, line 7: found after naming 'billing.acount', which no history matches: "
            "did you mean 'billing.account'?",
        ],
    )
    path.write_text(script('after = ["crm.*"]'))
    assert command.invoke(app, ["script", "check", "hand"]).exit_code == 0
    assert command.invoke(app, ["script", "check", "nope"]).output.count("error: ") == 1


def test_a_script_is_run_by_hand_as_dagster_would(night: Night, command: CliRunner) -> None:
    path = night.settings.scripts / "hand.py"
    path.write_text(script('after = ["crm.*"]', code=["import os", "print(os.environ['HISTORY_DATE'])"]))
    done = [command.invoke(app, ["script", "run", "hand", *more]) for more in ([], ["--date", D21])]
    wrong = command.invoke(app, ["script", "run", "hand", "--date", "2026-11-19"])
    path.write_text(script('after = ["crm.*"]', code=["raise ValueError('no')"]))
    failed = command.invoke(app, ["script", "run", "hand"])

    assert [each.exit_code for each in done] == [0, 0]
    assert "making the environment" not in done[1].output
    assert night.stdout("hand") == [(D21, f"{D21}\n"), (D21, f"{D21}\n")]
    assert str(wrong.exception) == (
        "found the date 2026-11-19, expected one on which a history that hand.py is after was folded: the newest is 2026-11-21"
    )
    assert failed.exit_code == 1
    assert failed.output.rstrip().endswith("ValueError: no")
