"""Figures of the codec and of the proof: honest means, pairs and intervals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from builders import music
from codec_builders import judge, tiny_diffusers
from pmos_builders import part
from test_degrade import RATE_HZ

from qamdt.audio import mel
from qamdt.benchmarks.training.codec import by_track, codec_figures, deviation
from qamdt.benchmarks.training.planted_levels import SEVERITIES, caption_of, versions
from qamdt.benchmarks.training.quality_proof import (
    PAIRS,
    SecondJudge,
    agreement,
    differences,
    labelled,
    proof_figures,
    statistics,
    wave_statistics,
    write_prompts,
)
from qamdt.models.pmos.base import EmbeddedPmos
from qamdt.pipeline.dataset import Dataset
from qamdt.recipes.common.figures import mean_figure
from qamdt.recipes.pmos.data import extract_all
from qamdt.recipes.pmos.references import Clip, Source
from qamdt.schemas.errors import ConfigError, StoreError
from qamdt.train.codec.center_crop import middles
from qamdt.train.codec.evaluate import (
    RoundTrip,
    round_trip,
    stft_distance,
    summary,
    times_real_time,
)
from qamdt.train.codec.kinds import CODECS
from qamdt.train.generate.page import ScoredSound

torch.set_num_threads(1)


def trip(name: str, **values: float) -> RoundTrip:
    plain = dict.fromkeys(RoundTrip.__dataclass_fields__, 1.0) | values
    return RoundTrip(**plain | {"name": name})  # type: ignore[arg-type]


def test_the_distance_is_zero_for_equals_and_grows_with_noise() -> None:
    wave = torch.from_numpy(music(1.0, seed=1, rate_hz=16000).mean(0))[None]
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 1, wave.shape[1]))[None]
    assert stft_distance(wave, wave) == 0
    assert 0 < stft_distance(wave + 0.003 * noise, wave) < stft_distance(wave + 0.1 * noise, wave)


def test_a_round_trip_is_measured_beside_the_true_mel(tmp_path: Path) -> None:
    """`_mel` figures are of Griffin-Lim on the sound's own mel and do not know the codec."""
    codec = CODECS["diffusers"](str(tiny_diffusers(tmp_path)))
    wave, pmos = music(2.05, seed=3, rate_hz=16000).mean(0), EmbeddedPmos()
    found = round_trip(codec, wave, "x", pmos)
    samples = len(wave) // 640 * 640
    given = mel.normalised(torch.from_numpy(wave[:samples])[None])
    plain = mel.inverted(mel.log_mel(given))
    assert found.stft_mel == pytest.approx(stft_distance(plain, given), rel=1e-5)
    assert found.mel_l1 > 1  # random weights lose everything
    assert found.stft > found.stft_mel
    assert all(1 <= s <= 5 for s in (found.pmos, found.pmos_mel, found.pmos_wave))
    assert summary([found, found])["mel_l1"] == pytest.approx(found.mel_l1)
    assert times_real_time(codec, 0.64, 1) > 0


def test_tracks_count_once_whatever_their_windows() -> None:
    names, values = ["a", "a", "a", "b"], [1.0, 2.0, 3.0, 10.0]
    assert by_track(names, values).tolist() == [2.0, 10.0]
    told = codec_figures([trip(n, mel_l1=v) for n, v in zip(names, values, strict=True)])
    assert told["roundtrip_mel_l1"]["value"] == 6.0
    assert told["roundtrip_mel_l1"]["n"] == 2
    assert told["roundtrip_pmos_gap"]["value"] == 0.0


def test_intervals_hold_their_mean_and_narrow_with_n() -> None:
    rng = np.random.default_rng(0)
    few, many = (mean_figure(rng.normal(3, 1, n), "x", "test") for n in (10, 1000))
    for f in (few, many):
        assert f["low"] < f["value"] < f["high"]
    assert many["high"] - many["low"] < 0.3 * (few["high"] - few["low"])


def test_the_deviation_is_that_of_all_numbers() -> None:
    """Means of windows that differ count too."""
    rng = np.random.default_rng(0)
    blocks = [rng.normal(k, 1 + k, 5000) for k in range(4)]
    trips = [
        trip(str(k), latent_mean=float(b.mean()), latent_std=float(b.std()))
        for k, b in enumerate(blocks)
    ]
    assert deviation(trips) == pytest.approx(np.concatenate(blocks).std(), rel=1e-6)


def test_middles_are_middles(tmp_path: Path) -> None:
    ramp = np.linspace(-0.5, 0.5, 64000).astype(np.float32)
    sf.write(tmp_path / "a.wav", ramp, 16000, subtype="FLOAT")
    sf.write(tmp_path / "short.wav", ramp[:8000], 16000)
    (tmp_path / "bad.wav").write_bytes(b"no audio")
    ((name, wave),) = middles(tmp_path, 1.0, 5)
    assert name.endswith("a.wav")
    np.testing.assert_allclose(wave, ramp[24000:40000], atol=1e-6)
    with pytest.raises(ConfigError, match="no such"):
        list(middles(tmp_path / "none", 1.0, 5))


# --- the proof -------------------------------------------------------------------------------------


def sound(prompt: str, level: float, seed: int, score: float) -> ScoredSound:
    rng = np.random.default_rng(seed)
    wave = rng.normal(0, 0.1 * level, 24000).astype(np.float32)
    return ScoredSound({"prompt": prompt, "quality": level, "seed": seed}, wave, 16000, score)


def test_pairs_are_of_one_prompt_and_seed() -> None:
    """By what they are, not by order; what has no partner is left out."""
    sounds = [sound("a", 5, 0, 3.0), sound("b", 1, 1, 1.0), sound("a", 1, 0, 2.5), sound("b", 5, 1, 4.0),
              sound("c", 5, 2, 9.0)]  # fmt: skip
    scores = np.array([s.pmos for s in sounds])
    assert differences(sounds, scores).tolist() == [0.5, 3.0]
    with pytest.raises(StoreError, match="no prompt"):
        differences(sounds[:1], scores[:1])


def test_the_judges_judge_apart() -> None:
    sounds = [sound("a", level, seed, level / 2) for seed in range(6) for level in (1, 5)]
    found = proof_figures(sounds, lambda given: np.array([-s.line["quality"] for s in given]))
    assert found["quality_gap"]["value"] == pytest.approx(2.0)
    assert found["quality_gap_low"]["value"] == pytest.approx(found["quality_gap"]["low"])
    assert found["quality_gap_second_judge"]["value"] == pytest.approx(-4.0)
    assert found["quality_gap"]["n"] == 6


def test_prompts_come_in_pairs_of_equal_seeds(ingested: Dataset, tmp_path: Path) -> None:
    judge(ingested, ("x",))
    with pytest.raises(StoreError, match="no clip has a caption"):
        write_prompts(ingested.root, tmp_path / "p.jsonl")
    from codec_builders import captioned

    captioned(ingested, ("slow piano", "fast drums"))
    assert write_prompts(ingested.root, tmp_path / "p.jsonl") == 2 * PAIRS
    lines = [json.loads(x) for x in (tmp_path / "p.jsonl").read_text().splitlines()]
    for low, high in zip(lines[::2], lines[1::2], strict=True):
        assert (low["quality"], high["quality"]) == (1.0, 5.0)
        assert (low["prompt"], low["seed"]) == (high["prompt"], high["seed"])
    assert {x["prompt"] for x in lines} == {"slow piano", "fast drums"}


def test_the_second_judge_hears_16_khz() -> None:
    """What lies above 8 kHz does not reach it; a sound at 48 and at 16 kHz is nearly the same."""
    import soxr

    t = np.arange(96_000) / 48_000
    low = (0.3 * np.sin(2 * np.pi * 500 * t)).astype(np.float32)
    high = (low + 0.1 * np.sin(2 * np.pi * 15_000 * t)).astype(np.float32)
    noise = (low + np.random.default_rng(0).normal(0, 0.05, len(t))).astype(np.float32)
    base = wave_statistics(low, 48_000)
    assert base.shape == statistics(np.zeros((1, base.shape[1] // 4, 9))).shape
    assert (
        np.abs(wave_statistics(high, 48_000) - base).mean()
        < 0.05 * np.abs(wave_statistics(noise, 48_000) - base).mean()
    )
    narrow = soxr.resample(low, 48_000, 16_000)
    assert np.abs(wave_statistics(narrow, 16_000) - base).mean() < 0.01


def test_planted_versions_are_two_clean_and_three_damaged() -> None:
    clip = Clip(
        "train", 5, Source("piece", "nexuiz-music", "train"), music(2.0, seed=2), RATE_HZ, ""
    )
    first, again = versions(clip, 1), versions(clip, 1)
    assert [done.split("-")[0] == "clean" for done, _ in first] == [s is None for s in SEVERITIES]
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(first, again, strict=True))
    clean = first[0][1] / np.abs(first[0][1]).max()
    hurt = [np.abs(w / np.abs(w).max() - clean).mean() for _, w in first[2:]]
    assert min(hurt) > 1e-4
    assert all(np.abs(w).max() <= 0.96 for _, w in first)
    assert "electronic" in caption_of(clip) and "noise" not in caption_of(clip)


def test_judges_are_held_against_labels(tmp_path: Path) -> None:
    """A judge that ranks as the labels do agrees, one that guesses does not; the second judge learns."""
    for split, first in (("train", 0), ("train", 2), ("train", 4), ("train", 6), ("dev", 0)):
        part(tmp_path, split, first)
    extract_all(tmp_path)
    rows, mos = labelled(tmp_path, "train", 2)
    assert len(rows) == len(mos) == 16
    rows, mos = labelled(tmp_path, "train", 9)
    assert len(rows) == len(mos) == 32
    good = agreement(mos**3, mos)
    assert good["value"] == pytest.approx(1.0) and good["n"] == 32
    guess = agreement(np.random.default_rng(0).normal(size=32), mos)
    assert guess["low"] < guess["value"] < guess["high"] < 0.9
    judge = SecondJudge(tmp_path)
    assert rows.shape[1] == wave_statistics(np.zeros(48_000, np.float32), 48_000).shape[1]
    assert judge.of(rows).shape == (32,) and np.isfinite(judge.of(rows)).all()
    with pytest.raises(ConfigError, match="holds no labels"):
        labelled(tmp_path, "test", 1)
