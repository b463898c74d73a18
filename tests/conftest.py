"""Fixtures that more than one test file uses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["PYTHONPATH"] = os.pathsep.join(  # Ray workers import `listeners` too
    [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
)

from builders import file_set

from qamdt.curate import stations
from qamdt.curate.config import Config
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.stage import Call

settings.register_profile(  # a loaded machine is no failure; the same examples everywhere
    "qamdt", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("qamdt")
QUIET = Call(quiet=True, log=lambda line: None)


@pytest.fixture(scope="session")
def music_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four short pieces, one of each common format, 5 s each."""
    folder = tmp_path_factory.mktemp("music")
    file_set(folder, count=4, duration_s=5)
    return folder


@pytest.fixture
def ingested(tmp_path: Path, music_folder: Path) -> Dataset:
    """A dataset folder with the clips (2 s windows) of `music_folder`."""
    return ingest_into(tmp_path / "data", music_folder)


def ingest_into(root: Path, source: Path, window_s: float = 2.0) -> Dataset:
    """A dataset folder with the clips of `source`."""
    dataset = Dataset(root)
    config = Config().override("ingest", {"window_s": window_s})
    with dataset.lock():
        stations.ingest(dataset, source, config, QUIET)
    return dataset


@pytest.fixture
def plugin_registry() -> Iterator[None]:
    """Plug-ins that a test loads are forgotten after it."""
    from qamdt.schemas import plugins

    entries = {role: dict(known) for role, known in plugins._entries.items()}
    files, read = dict(plugins._files), set(plugins._read)
    modules = set(sys.modules)
    yield
    for name in set(sys.modules) - modules:
        if name.startswith(("qamdt_plugin_", "ours_")):
            del sys.modules[name]
    for role, known in plugins._entries.items():
        known.clear()
        known.update(entries[role])
    plugins._files.clear()
    plugins._files.update(files)
    plugins._read.clear()
    plugins._read.update(read)


@pytest.fixture
def quiet() -> Call:
    return QUIET


@pytest.fixture
def lines() -> tuple[Call, Callable[[], str]]:
    """A Call that remembers what was said, and a function that gives it."""
    said: list[str] = []
    return Call(quiet=True, log=said.append), lambda: "\n".join(said)
