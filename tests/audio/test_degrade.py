"""Degradations keep shape, time and seed, and hurt more at their worst than at their mildest."""

import numpy as np
import pytest

from qamdt.audio.damage.degrade import KINDS, degrade
from qamdt.schemas.errors import AudioError, ConfigError

RATE_HZ = 48000


def music(channels: int = 2, seconds: float = 1.5, rate_hz: int = RATE_HZ) -> np.ndarray:
    """Plucked notes over two octaves with a little air: something that codecs can code."""
    rng = np.random.default_rng(5)
    frames, length = int(seconds * rate_hz), int(0.6 * rate_hz)
    out = np.zeros((channels, frames + length))
    since = np.arange(length) / rate_hz
    fall = np.exp(-6 * since) * np.linspace(1, 0, length)
    for start in np.arange(0, frames, int(0.15 * rate_hz)):
        hz = 220 * 2 ** (rng.integers(0, 24) / 12)
        note = fall * sum(np.sin(2 * np.pi * k * hz * since) / k for k in range(1, 9))
        out[:, start : start + length] += rng.uniform(0.5, 1, (channels, 1)) * note
    out = out[:, :frames]
    return (0.2 * out + 1e-4 * rng.standard_normal(out.shape)).astype(np.float32)


def error_db(clean: np.ndarray, heard: np.ndarray) -> float:
    """How far `heard` is from `clean` after the best common gain, dB below the sound."""
    gain = float((clean * heard).sum() / max((heard * heard).sum(), 1e-12))
    rest = clean - gain * heard
    return float(10 * np.log10((rest**2).mean() / (clean**2).mean() + 1e-12))


@pytest.mark.parametrize("kind", KINDS)
def test_shape_seed_and_order(kind: str) -> None:
    """Same shape and finite; same seed same sound; the worst level is further from the input."""
    clean, effect = music(), KINDS[kind]
    mild = degrade(clean, RATE_HZ, kind, effect.mildest, seed=3)
    worst = degrade(clean, RATE_HZ, kind, effect.worst, seed=3)
    assert mild.shape == worst.shape == clean.shape
    assert mild.dtype == worst.dtype == np.float32
    assert np.isfinite(mild).all() and np.isfinite(worst).all()
    assert np.array_equal(worst, degrade(clean, RATE_HZ, kind, effect.worst, seed=3))
    assert not np.array_equal(worst, clean)
    assert error_db(clean, worst) > error_db(clean, mild)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate_hz", [16000, 44100])
def test_any_rate_one_channel_and_silence(kind: str, rate_hz: int) -> None:
    """Works at other rates and in mono; silence in gives finite near-silence out."""
    effect = KINDS[kind]
    sound = music(1, 0.7, rate_hz)
    assert degrade(sound, rate_hz, kind, effect.at(0.6), seed=1).shape == sound.shape
    still = degrade(np.zeros_like(sound), rate_hz, kind, effect.at(0.6), seed=1)
    assert np.isfinite(still).all() and np.abs(still).max() < 1e-3


@pytest.mark.parametrize("kind", ["mp3", "vorbis", "opus", "aac"])
def test_codecs_are_aligned_to_the_sample(kind: str) -> None:
    """No shift by up to five samples fits the input better than none."""
    clean = music()
    heard = degrade(clean, RATE_HZ, kind, KINDS[kind].mildest, seed=0)
    inside = slice(9, -9)
    errors = {
        lag: error_db(clean[:, inside], np.roll(heard, lag, 1)[:, inside]) for lag in range(-5, 6)
    }
    assert min(errors, key=errors.__getitem__) == 0
    assert errors[0] < -8


@pytest.mark.parametrize("snr_db", [0.0, 10.0, 30.0])
@pytest.mark.parametrize("kind", ["white", "pink", "hiss", "hum"])
def test_noise_lies_where_its_level_says(kind: str, snr_db: float) -> None:
    """What was added is `snr_db` below the sound, within .1 dB."""
    clean = music()
    added = degrade(clean, RATE_HZ, kind, snr_db, seed=2) - clean
    assert 10 * np.log10((clean**2).mean() / (added**2).mean()) == pytest.approx(snr_db, abs=0.1)


def test_lowpass_silences_above_its_cutoff() -> None:
    """An octave above the cutoff at least 40 dB are gone, an octave below nothing."""
    clean = music()
    heard = degrade(clean, RATE_HZ, "lowpass", 2000, seed=0)
    hz = np.fft.rfftfreq(clean.shape[1], 1 / RATE_HZ)
    before, after = (np.abs(np.fft.rfft(x * np.hanning(x.shape[1]))) for x in (clean, heard))
    change = 20 * np.log10(after / (before + 1e-9) + 1e-9)
    assert np.median(change[:, (hz > 4000) & (hz < 6000)]) < -40
    assert abs(np.median(change[:, (hz > 300) & (hz < 1000)])) < 0.5


def test_what_cannot_be_degraded_is_refused() -> None:
    """Unknown kinds, wrong shapes and NaN are named, not passed on."""
    with pytest.raises(ConfigError, match="choose one of"):
        degrade(music(), RATE_HZ, "rust", 1, seed=0)
    with pytest.raises(AudioError, match="channels, frames"):
        degrade(np.zeros(10, np.float32), RATE_HZ, "white", 20, seed=0)
    with pytest.raises(AudioError, match="NaN"):
        degrade(np.full((1, 10), np.nan, np.float32), RATE_HZ, "white", 20, seed=0)
