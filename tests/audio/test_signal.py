"""Signal measurements against closed forms: each number has a sound whose answer is known."""

from __future__ import annotations

import dataclasses
import math
import time

import numpy as np
import pytest
import soxr
import torch
import torchaudio
from builders import music, noise, silence, sine, write
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.signal import butter, sosfilt

from qamdt.audio.decode import decode_window
from qamdt.audio.loudness import integrated_loudness
from qamdt.audio.signal import Measurements, measure
from qamdt.audio.sound import Sound

RATE = 44_100


def of(samples: np.ndarray, rate_hz: int = RATE) -> Measurements:
    return measure(Sound(samples.astype(np.float32), rate_hz))


def test_levels_of_a_sine():
    """A sine of peak 0.5: RMS 3.01 dB below its peak of -6.02 dBFS."""
    found = of(sine(2.0, 997.0, peak=0.5))
    assert found.peak_dbfs == pytest.approx(-6.02, abs=0.01)
    assert found.rms_dbfs == pytest.approx(-9.03, abs=0.01)


def test_true_peak_of_a_quarter_rate_sine():
    """At fs/4 and 45 degrees every sample is 3.01 dB below the crest between them."""
    t = np.arange(RATE)
    tone = np.tile(0.5 * np.sin(np.pi / 2 * t + np.pi / 4), (2, 1))
    tone *= np.minimum(1, np.minimum(t, t[::-1]) / 1000)  # no step at the ends
    found = of(tone)
    assert found.peak_dbfs == pytest.approx(-9.03, abs=0.02)
    assert found.true_peak_dbtp == pytest.approx(-6.02, abs=0.05)


@pytest.mark.parametrize("seed", range(4))
def test_true_peak_agrees_with_a_resampler(seed):
    """Within 0.1 dB of the best resampler's 4x oversampling, and never below the sample peak."""
    tone = noise(2.0, seed=seed) if seed < 2 else music(2.0, seed=seed)
    oversampled = soxr.resample(tone.T, RATE, 4 * RATE, "VHQ")
    found = of(tone)
    assert found.true_peak_dbtp == pytest.approx(20 * np.log10(np.abs(oversampled).max()), abs=0.1)
    assert found.true_peak_dbtp >= found.peak_dbfs


def test_silence_ratio():
    """Half silence, half tone; noise at -70 dBFS is silence too, at -50 dBFS it is not."""
    half = np.concatenate([silence(1.0), sine(1.0)], axis=1)
    assert of(half).silence_ratio == pytest.approx(0.5, abs=0.01)
    assert of(noise(1.0, rms=10 ** (-70 / 20))).silence_ratio == 1.0
    assert of(noise(1.0, rms=10 ** (-50 / 20))).silence_ratio == 0.0


def test_digital_silence_has_no_level():
    found = of(silence(1.0))
    assert found.silence_ratio == 1.0
    assert found.clipping_ratio == 0.0
    for name in ("rms_dbfs", "peak_dbfs", "true_peak_dbtp", "loudness_lufs", "bandwidth_hz"):
        assert getattr(found, name) is None, name
    assert found.stereo_correlation is None


@pytest.mark.parametrize("gain", [1.0, 0.3, 0.05])
def test_clipping_is_found_at_any_level(gain):
    """A sine driven 6 dB into a limit of 1: two thirds of its samples are flat, also attenuated."""
    driven = np.clip(sine(1.0, 441.0, peak=2.0), -1, 1) * gain
    assert of(driven).clipping_ratio == pytest.approx(2 / 3, abs=0.03)
    rounded = np.rint(driven * 32767) / 32768  # as a 16-bit file holds it
    assert of(rounded).clipping_ratio == pytest.approx(2 / 3, abs=0.03)


@pytest.mark.parametrize("freq_hz", [20.0, 50.0, 100.0, 441.0, 5000.0])
@pytest.mark.parametrize("peak", [1.0, 0.5, 0.02])
def test_a_clean_tone_is_not_clipped(freq_hz, peak):
    """Not even a slow one, whose top is nearly flat, as 16 bit round it."""
    tone = np.rint(sine(1.0, freq_hz, peak=peak) * 32767) / 32768
    assert of(tone).clipping_ratio == 0.0


def test_clean_music_is_not_clipped_and_driven_music_is():
    clean = music(5.0, seed=1)
    assert of(clean).clipping_ratio == 0.0
    driven = [of(np.clip(clean * 10 ** (db / 20) / 0.7, -1, 1)).clipping_ratio for db in (3, 6, 12)]
    assert 0 < driven[0] < driven[1] < driven[2]
    assert driven[2] > 0.02


@pytest.mark.parametrize(("channels", "lufs"), [(1, -23.01), (2, -20.0)])
def test_loudness_of_a_997_hz_sine(channels, lufs):
    """BS.1770: a full-scale 997 Hz sine in one channel has -3.01 LUFS; here 20 dB less."""
    for rate_hz in (16_000, 44_100, 48_000, 96_000):
        found = of(sine(5.0, 997.0, rate_hz, channels, peak=0.1), rate_hz)
        assert found.loudness_lufs == pytest.approx(lufs, abs=0.05)


def test_loudness_gates():
    """Silence around a tone does not lower its loudness; 0.3 s are too short to have one."""
    tone = sine(4.0, 997.0, peak=0.1)
    padded = np.concatenate([silence(4.0), tone, silence(4.0)], axis=1)
    assert of(padded).loudness_lufs == pytest.approx(of(tone).loudness_lufs, abs=0.4)
    assert of(tone[:, : int(0.3 * RATE)]).loudness_lufs is None


@pytest.mark.parametrize("kind", ["noise", "music", "mono"])
def test_loudness_agrees_with_torchaudio(kind):
    """Within 0.05 LU of another implementation, where that one does not clamp at full scale."""
    sound = {
        "noise": noise(3.0, rms=0.05),
        "music": 0.5 * music(5.0, seed=2),
        "mono": 0.5 * music(5.0, seed=3, channels=1),
    }[kind]
    theirs = float(torchaudio.functional.loudness(torch.from_numpy(sound), RATE))
    assert integrated_loudness(sound, RATE) == pytest.approx(theirs, abs=0.05)


def test_loudness_does_not_depend_on_the_rate():
    """The filters are the standard's at every rate: the same music, resampled, is as loud."""
    low = 0.5 * music(5.0, rate_hz=16_000, seed=4)
    high = soxr.resample(low.T, 16_000, 48_000, "VHQ").T
    assert integrated_loudness(low, 16_000) == pytest.approx(
        integrated_loudness(high, 48_000), abs=0.1
    )


@pytest.mark.parametrize("cut_hz", [1000.0, 3500.0, 8000.0, 16_000.0])
def test_bandwidth_of_low_passed_noise(cut_hz):
    """A steep and a gentle low-pass are told to a third; white noise is full band."""
    white = noise(4.0, rms=0.1)
    for order, tolerance in ((16, 0.12), (6, 0.35)):
        cut = sosfilt(butter(order, cut_hz, fs=RATE, output="sos"), white, axis=1)
        assert of(cut).bandwidth_hz == pytest.approx(cut_hz, rel=tolerance)
    assert of(white).bandwidth_hz > 0.49 * RATE


def test_bandwidth_of_resampled_and_mp3_music(tmp_path):
    """Upsampled 8 kHz music ends at 4 kHz, in 16 bit too; an MP3 of low rate ends below 17 kHz."""
    bright = music(6.0, seed=1) + 0.02 * noise(6.0)
    up = soxr.resample(soxr.resample(bright.T, RATE, 8000), 8000, RATE).T
    assert of(np.rint(up * 32768) / 32768).bandwidth_hz == pytest.approx(3800, abs=300)
    coded = decode_window(write(tmp_path / "a.mp3", bright), 0, 6)
    assert measure(coded).bandwidth_hz < 18_500 < of(bright).bandwidth_hz


def test_dc_offset():
    """The channel farthest from zero counts, with its sign: opposite offsets do not cancel."""
    tone = sine(1.0, 441.0, peak=0.1)
    tone[0] += 0.02
    tone[1] -= 0.05
    assert of(tone).dc_offset == pytest.approx(-0.05, abs=1e-4)
    assert abs(of(sine(1.0)).dc_offset) < 1e-4


def test_stereo_correlation():
    one = noise(1.0, channels=1, seed=1)
    other = noise(1.0, channels=1, seed=2)
    assert of(one).stereo_correlation is None
    assert of(np.concatenate([one, one])).stereo_correlation == pytest.approx(1.0, abs=1e-6)
    assert of(np.concatenate([one, -one])).stereo_correlation == pytest.approx(-1.0, abs=1e-6)
    assert abs(of(np.concatenate([one, other])).stereo_correlation) < 0.02
    assert of(np.concatenate([one, 0 * one])).stereo_correlation is None


def test_the_hash_is_of_the_audio(tmp_path):
    """Equal in wav, flac, aiff and float wav; another at another rate, channel or sample."""
    steps = (np.rint(music(1.0) * 32768) / 32768).astype(np.float32)
    paths = [write(tmp_path / f"a.{kind}", steps) for kind in ("wav", "flac", "aiff")]
    paths.append(write(tmp_path / "float.wav", steps, subtype="FLOAT"))
    hashes = {measure(decode_window(path, 0, 1)).pcm_sha256 for path in paths}
    assert len(hashes) == 1
    changed = steps.copy()
    changed[1, 100] += 1 / 32768
    others = [of(steps, 48_000), of(changed), of(steps[:1]), of(steps[::-1])]
    assert len(hashes | {other.pcm_sha256 for other in others}) == 5


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=40),
        elements=st.floats(-4, 4, width=32),
    ),
    st.sampled_from([1, 100, 4000, 44_100]),
)
def test_no_nan_ever_leaves(samples, rate_hz):
    """Any finite samples, any length from one frame, any rate: numbers or None."""
    for name, value in dataclasses.asdict(of(samples, rate_hz)).items():
        assert value is None or isinstance(value, str) or math.isfinite(value), name


def test_speed():
    """10 s of stereo take a small part of a second (loose: the machine may be busy)."""
    sound = Sound(music(10.0), RATE)
    measure(sound)
    start = time.thread_time()
    measure(sound)
    assert time.thread_time() - start < 0.2
