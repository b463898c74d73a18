"""How pmos-mini is made: plans of damage, labels, features, batches, a training that goes on."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from pmos_builders import part
from test_degrade import RATE_HZ, music

from qamdt.audio.damage.degrade import KINDS
from qamdt.models.pmos.mini_features import CUES, MELS, features
from qamdt.recipes.pmos import train as train_module
from qamdt.recipes.pmos.data import DAMAGES, Examples, extract_all
from qamdt.recipes.pmos.evaluate import half_clean, in_order, ladder_steps
from qamdt.recipes.pmos.labels import (
    PENALTIES,
    TOP,
    UNSEEN,
    WEIGHTS,
    WEIGHTS_TEST,
    damaged,
    label,
    mended,
    plans,
)  # fmt: skip
from qamdt.recipes.pmos.references import SPLITS, Clip, Source
from qamdt.recipes.pmos.train import Stage, Training
from qamdt.recipes.pmos.train_16k import narrowed
from qamdt.recipes.pmos.visqol_fast import FastVisqol
from qamdt.schemas.errors import ConfigError

torch.set_num_threads(1)


def clip(split: str = "train", number: int = 2) -> Clip:
    return Clip(split, number, Source("piece", "album", split), music(2, 2.0), RATE_HZ, "")


@pytest.mark.parametrize("split", SPLITS)
def test_plans(split: str) -> None:
    """The clean version first; severities in range; unseen families in the test and nowhere else."""
    kinds: set[str] = set()
    for seed in range(200):
        found = plans(split, np.random.default_rng(seed))
        assert found[0] == ("clean", ([], []))
        for _, (names, severities) in found[1:]:
            assert names and len(names) == len(severities)
            assert all(0 <= s <= 1 for s in severities)
            kinds |= set(names)
    wanted = set(WEIGHTS_TEST) | set(UNSEEN) if split == "test" else set(WEIGHTS)
    assert kinds - {"nothing"} == wanted
    assert not set(UNSEEN) & (set(WEIGHTS) | set(DAMAGES))
    assert set(WEIGHTS) | set(UNSEEN) == set(KINDS)


def test_a_version_of_which_nothing_is_left_is_labelled_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ViSQOL has no answer for silence: the label is 1."""
    pytest.importorskip("visqol")
    wave = music(1, 5.0, 48000)[0]
    made = [("clean", ([], [])), ("drawn", (["gate"], [1.0]))]
    monkeypatch.setattr("qamdt.recipes.pmos.labels.versions", lambda _: (made, [wave, 0 * wave]))
    examples, _ = label(clip(), FastVisqol(quick=True))
    assert [e.visqol for e in examples] == [TOP, 1.0]


def test_a_version_is_the_same_each_time() -> None:
    """The same plan and seed give the same wave, 48 kHz mono; the clean version is the mix."""
    made = [damaged(clip(), (["white", "mp3"], [0.4, 0.5]), np.random.default_rng(3)) for _ in "ab"]
    np.testing.assert_array_equal(made[0], made[1])
    plain = damaged(clip(), ([], []), np.random.default_rng(3))
    assert plain.dtype == np.float32 and plain.shape == made[0].shape
    assert not np.array_equal(plain, made[0])


def test_labels_are_mended_where_the_teacher_is_deaf() -> None:
    """Penalties grow with severity, others cost nothing, the scale is kept, nothing is 1."""
    for kind in PENALTIES:
        assert mended(TOP, [kind], [1.0]) < mended(TOP, [kind], [0.5]) < TOP
    assert mended(3.2, ["white"], [1.0]) == 3.2
    assert mended(1.1, list(PENALTIES), [1.0] * 3) == 1.0
    assert mended(TOP, ["nothing"], [1.0]) == 1.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("labels")
    for split, first in (("train", 0), ("train", 2), ("dev", 0)):
        part(made, split, first)
    extract_all(made)
    return made


def test_examples_keep_rows_and_features_together(folder: Path, tmp_path: Path) -> None:
    """The features of a row are those of its own wave; a second hearing makes nothing new."""
    examples = Examples(folder, "train")
    assert len(examples) == 16
    assert examples.features([0, 15]).shape == (2, MELS + CUES, 75)
    waves = np.load(folder / "train-00002.npy")
    own = features(torch.from_numpy(waves[3:4].astype(np.float32) / 32768))
    torch.testing.assert_close(examples.features([11]), own, atol=5e-3, rtol=2e-3)
    before = {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    extract_all(folder)
    assert before == {p: p.stat().st_mtime_ns for p in folder.iterdir()}
    (tmp_path / "train-00000.parquet").write_bytes((folder / "train-00000.parquet").read_bytes())
    with pytest.raises(ConfigError, match="labelled again"):
        extract_all(tmp_path)
    batch = examples.batch(2, 3, np.random.default_rng(0))
    assert batch.features.shape[0] == len(batch.mos) == 2 * 3 + 1
    assert (batch.mos == TOP).sum() >= 3  # every clip brings its clean version


def test_training_goes_on_where_it_stopped(folder: Path, tmp_path: Path) -> None:
    """Six steps at once, and three, a checkpoint and three more in a new process's state: same bits."""
    examples = Examples(folder, "train")
    whole = Training(examples, Stage(6, 1e-3), seed=1)
    for _ in range(6):
        whole.step()
    first = Training(examples, Stage(6, 1e-3), seed=1)
    for _ in range(3):
        first.step()
    first.save(tmp_path / "checkpoint.pt")
    second = Training(examples, Stage(6, 1e-3), seed=99)
    second.load(tmp_path / "checkpoint.pt")
    for _ in range(3):
        second.step()
    for name, tensor in whole.trained().state_dict().items():
        assert torch.equal(tensor, second.trained().state_dict()[name]), name


def test_a_network_is_trained_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkpoint is the whole training: asked again, it gives the same weights at once."""
    monkeypatch.setattr(train_module, "STAGE", Stage(2, 1e-3))
    copied = Path(shutil.copytree(folder, tmp_path / "labels"))
    first = train_module.train_all(copied, seed=0)
    monkeypatch.setattr(Training, "step", lambda _: pytest.fail("trained again"))
    again = train_module.train_all(copied, seed=0)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name]), name


def scores(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_half_clean_pairs_each_version_with_its_clean_one() -> None:
    """As many clean rows as damaged ones, of the same clips; unlabelled ones are left out."""
    t = scores(
        clip=[0, 0, 0, 1, 1], version=[0, 1, 2, 0, 1], mos=[4.73, 2.0, np.nan, 4.73, 3.0],
        role=["clean", "fresh", "fresh", "clean", "fresh"],
    )  # fmt: skip
    half = half_clean(t)
    assert sorted(half["clip"]) == [0, 0, 1, 1]
    assert (half["version"] == 0).sum() == 2


def test_order_counts_only_clear_steps() -> None:
    """Pairs of one clip whose labels differ by over .1; right when both differ the same way."""
    t = scores(
        clip=[0, 0, 1, 1, 2, 2], role=["ladder"] * 6, track=list("aabbcc"),
        mos=[4.0, 3.0, 4.0, 3.95, 2.0, 3.0], score=[3.5, 3.0, 1.0, 2.0, 3.0, 2.5],
    )  # fmt: skip
    steps = ladder_steps(t)
    assert len(steps) == 2
    assert in_order(steps) == 0.5


def test_a_narrowed_wave_keeps_its_place_and_loses_its_treble() -> None:
    """The same length; a tone of 3 kHz stays where it is, one of 12 kHz is gone."""
    t = np.arange(RATE_HZ) / RATE_HZ
    low, high = (np.sin(2 * np.pi * hz * t).astype(np.float32) for hz in (3000, 12000))
    narrow = narrowed(low + high)
    assert narrow.shape == low.shape and narrow.dtype == np.float32
    assert np.abs(narrow - low)[2000:-2000].max() < 1e-3
