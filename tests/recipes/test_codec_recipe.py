"""How codec-mini is made: the same material each time, a known loss, a training that goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_degrade import RATE_HZ, music

from qamdt.audio import mel
from qamdt.recipes.codec.data import KEPT, Mels, mels_of, waves_of
from qamdt.recipes.codec.train import PEAK_RATE, WARMUP, Training, edges, losses
from qamdt.recipes.common.checkpointed import cosine_rate
from qamdt.recipes.pmos import labels
from qamdt.recipes.pmos.references import Clip, Source
from qamdt.schemas.errors import ConfigError
from qamdt.train.codec.mini_network import MiniConfig, build, header, write_weights

torch.set_num_threads(1)
SMALL = MiniConfig(widths=(8, 8, 8), groups=4)


def _folder(tmp_path: Path, clips: int = 3) -> Path:
    """Mels of tones, every KEPT-th one clean, the others noisier."""
    rng, made = np.random.default_rng(0), []
    t = np.arange(48_000) / 48_000
    for k in range(clips):
        tone = np.sin(2 * np.pi * (200 + 150 * k) * t) * (t % 0.25 < 0.15)
        for version in range(KEPT):
            made.append((tone + rng.normal(0, 0.02 * version, len(t))) * 9000)
    for split in ("train", "dev"):
        np.save(tmp_path / f"{split}-00000.npy", mels_of(np.stack(made).astype(np.int16)))
    return tmp_path


def test_versions_of_a_clip_are_those_of_the_labels() -> None:
    """The material is the same whether waves are read from the cache or made alike."""
    clip = Clip("train", 5, Source("piece", "album", "train"), music(2, 5.0), RATE_HZ, "")
    first, second = labels.versions(clip), labels.versions(clip)
    assert [role for role, _ in first[0]] == ["clean", *["drawn"] * 6]
    assert all(np.array_equal(a, b) for a, b in zip(first[1], second[1], strict=True))
    assert not np.array_equal(first[1][0], first[1][1])


def test_waves_come_from_the_cache_where_they_lie_there(tmp_path: Path) -> None:
    """The first KEPT versions of each clip, clean ones first."""
    import pandas as pd

    folder = labels.folder_of(tmp_path)
    folder.mkdir(parents=True)
    waves = np.arange(14, dtype=np.int16)[:, None].repeat(8, 1)
    np.save(folder / "train-00002.npy", waves)
    pd.DataFrame({"version": [*range(7), *range(7)]}).to_parquet(folder / "train-00002.parquet")
    found = waves_of(tmp_path, "train", 2)
    assert found[:, 0].tolist() == [0, 1, 2, 3, 7, 8, 9, 10]


def test_mels_are_those_that_the_codec_hears() -> None:
    """Peak 0.5 whatever the level, float16; at 16 kHz."""
    t = np.arange(48_000) / 48_000
    wave = (np.sin(2 * np.pi * 440 * t) * 9000).astype(np.int16)
    loud, soft = mels_of(np.stack([wave, wave // 3]))
    assert loud.shape == (100, 64) and loud.dtype == np.float16
    given = torch.from_numpy(np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000))[None]
    wanted = mel.log_mel(mel.normalised(given))[0, 2:-2].numpy()  # ends: the resampler's
    strong = wanted > -4
    for made in (loud, soft):
        assert np.abs(made[2:-2].astype(float) - wanted)[strong].max() < 0.02


def test_crops_stay_a_mel(tmp_path: Path) -> None:
    """Shape, floor and levels; the same seed the same crops; clean ones are drawn more often."""
    mels = Mels(_folder(tmp_path), "train")
    assert len(mels) == 3 * KEPT
    batch = mels.batch(64, 40, np.random.default_rng(1))
    assert batch.shape == (64, 1, 40, 64)
    assert float(batch.min()) == pytest.approx(mel.SILENCE, abs=1e-5)
    assert float(batch.max()) <= float(mels.mels.max())
    assert torch.equal(batch, mels.batch(64, 40, np.random.default_rng(1)))
    silent = (batch[:, 0, -1] <= mel.SILENCE + 1e-5).all(1).float().mean()
    assert float(silent) > 0
    with pytest.raises(ConfigError, match="holds no mels"):
        Mels(tmp_path, "test")


def test_the_loss_is_zero_for_equal_mels_and_sees_edges() -> None:
    x = torch.randn(2, 1, 16, 16)
    assert float(edges(x, x)) == 0
    shifted, smooth = x + 0.5, torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    fine = edges(x, shifted) * 3  # a constant offset has no steps: only the two coarse terms see it
    assert float(fine) == pytest.approx(1.0, abs=1e-5)
    assert float(edges(x, smooth)) > float(edges(x, x + 0.01 * torch.randn_like(x)))


def test_the_terms_add_up_and_reach_every_weight() -> None:
    torch.manual_seed(0)
    network = build(SMALL)
    found = losses(network, torch.randn(2, 1, 16, 64))
    assert found["kl"].detach() > 0
    assert found["loss"] > found["l1"]
    found["loss"].backward()
    assert all(w.grad is not None and float(w.grad.abs().sum()) > 0 for w in network.parameters())


@torch.no_grad()
def _l1(training: Training, mel: torch.Tensor) -> float:
    return float(losses(training.net.eval(), (mel - SMALL.centre) / SMALL.spread)["l1"])


def test_training_learns_and_goes_on_exactly(tmp_path: Path) -> None:
    """150 steps lower the error; 6 = 3 + save + load + 3, to the bit."""
    folder = _folder(tmp_path)
    mels = Mels(folder, "train")
    whole, batch = Training(mels, SMALL, 150, seed=0), mels.batch(4, 32, np.random.default_rng(5))
    before = _l1(whole, batch)
    for _ in range(150):
        whole.step(2, 32)
    assert _l1(whole, batch) < 0.7 * before
    straight, first = Training(mels, SMALL, 6, seed=1), Training(mels, SMALL, 6, seed=1)
    for _ in range(6):
        straight.step(2, 32)
    for _ in range(3):
        first.step(2, 32)
    first.save(tmp_path / "half.pt")
    second = Training(mels, SMALL, 6, seed=9)
    second.load(tmp_path / "half.pt")
    for _ in range(3):
        second.step(2, 32)
    for a, b in zip(straight.ema.parameters(), second.ema.parameters(), strict=True):
        assert torch.equal(a, b)
    assert np.isfinite(second.dev_l1(Mels(folder, "dev")))


def test_the_rate_rises_and_falls() -> None:
    rates = [cosine_rate(step, 1000, PEAK_RATE, WARMUP) for step in range(1001)]
    assert rates[0] < rates[50] < rates[99]
    assert rates[500] > rates[900] > rates[1000] == pytest.approx(0, abs=1e-9)


def test_weights_say_what_made_them(tmp_path: Path) -> None:
    write_weights(build(SMALL), SMALL, tmp_path / "x.safetensors", {"steps": "3"})
    read = header(tmp_path / "x.safetensors")
    assert read.config == SMALL and read.about == {"steps": "3"}
