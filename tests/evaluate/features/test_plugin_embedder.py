"""An embedder from a file outside the package: measured with, cached, the same on Ray."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from builders import music, write

from qamdt.evaluate.api import evaluate
from qamdt.evaluate.features.embedders import embedder_kinds, open_embedder, table_of
from qamdt.pipeline.dataset import Dataset
from qamdt.schemas import plugins
from qamdt.schemas.errors import ConfigError

EMBEDDER = """
import numpy as np
from qamdt.curate.plugin import embedder
from qamdt.evaluate.features.windows import Embedding

@embedder("moments")
class Moments:
    model_id, digest, classes = "moments", "1", ()
    front_end = {"rate_hz": 8000, "pooling": "one row a clip"}

    def __init__(self, where, device):
        pass

    def load(self):
        pass

    def embed(self, sounds):
        waves = [s.mono_at(8000) for s in sounds]
        return [Embedding(np.array([[w.std(), np.abs(w).mean()]], "float32"), None) for w in waves]
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "moments.py"
    path.write_text(EMBEDDER)
    yield path
    plugins._forget(str(path))


def test_a_plug_in_embedder_measures(tmp_path: Path, plugin: Path) -> None:
    for k in range(4):
        write(tmp_path / "a" / f"{k}.wav", music(1.0, seed=k))
        write(tmp_path / "b" / f"{k}.wav", music(1.0, seed=9 + k) / 2)
    values = {}
    for workers in (0, 2):
        cache = tmp_path / f"cache{workers}"
        ours = evaluate(
            tmp_path / "a", tmp_path / "b", plugins=[plugin], metrics=("fad", "kad"),
            embedder=("moments",), cache=str(cache), workers=workers,
        )  # fmt: skip
        values[workers] = (ours["fad"], ours["kad"])
        assert Dataset(cache).tables() == ["embedder", "signal"]
    assert values[0] == values[2] and values[0][0] > 0
    assert table_of("moments").__name__ == "PluginFeatures"
    assert "moments" in embedder_kinds()


def test_an_embedder_that_lacks_a_member_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "half.py"
    path.write_text(EMBEDDER.replace("moments", "half").replace("def embed(", "def other("))
    plugins.load([path])
    try:
        with pytest.raises(ConfigError, match="without embed"):
            open_embedder("half", "cpu", "native")
    finally:
        plugins._forget(str(path))
