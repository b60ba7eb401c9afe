"""A folder of scripts, and a channel that is told of them."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from history_assets.scripts import assets
from tests.fakes.channel import Channel
from tests.stories.scripts.folder import Folder


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def channel() -> Iterator[Channel]:
    channel = Channel()
    yield channel
    channel.close()


@pytest.fixture
def folder(tmp_path: Path, instance: dg.DagsterInstance, channel: Channel, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.setattr(assets, "RETRY_DELAY", 0.01)
    return Folder(tmp_path / "home", instance, channel)
