"""models/tags/tempo_key.py: clicks have a tempo, scales have a key, silence has neither."""

from __future__ import annotations

import numpy as np
import pytest

from qamdt.audio.sound import Sound
from qamdt.models.tags.tempo_key import KEYS, NAMES, Tonal, estimate_tempo_key

RATE_HZ = 44100
MAJOR = (0, 4, 7, 0, 5, 9, 7, 11, 2, 0, 4, 7)  # degrees that state the key
MINOR = (0, 3, 7, 0, 5, 8, 7, 11, 2, 0, 3, 7)


def clicks(bpm: float, duration_s: float = 10.0) -> Sound:
    """A short noise burst on every beat."""
    rng = np.random.default_rng(0)
    out = 1e-3 * rng.standard_normal(round(duration_s * RATE_HZ))
    for beat in np.arange(0.1, duration_s - 0.1, 60 / bpm):
        at = round(beat * RATE_HZ)
        out[at : at + 800] += rng.standard_normal(800) * np.exp(-np.arange(800) / 150)
    return Sound(0.3 * out[None].astype(np.float32), RATE_HZ)


def melody(tonic: int, degrees: tuple[int, ...], gain: float = 0.2) -> Sound:
    """Plain tones, half a second each, over a held tonic."""
    t = np.arange(RATE_HZ // 2) / RATE_HZ
    envelope = np.minimum(1, np.minimum(t, t[::-1]) * 50)

    def tone(semitones: int, octave: int = 4) -> np.ndarray:
        hz = 440 * 2 ** ((tonic + semitones - 9) / 12 + octave - 4)
        return envelope * (np.sin(2 * np.pi * hz * t) + 0.4 * np.sin(4 * np.pi * hz * t))

    notes = [tone(degree) + 0.7 * tone(0, 3) for degree in degrees]
    return Sound((gain * np.concatenate(notes))[None].astype(np.float32), RATE_HZ)


@pytest.mark.parametrize("bpm", [60, 120, 176])
def test_clicks_have_their_tempo(bpm: float) -> None:
    """To 2%, up to a factor of two."""
    heard = estimate_tempo_key(clicks(bpm))
    assert heard.tempo_bpm is not None and heard.tempo_confidence is not None
    octaves = np.log2(heard.tempo_bpm / bpm)
    assert abs(octaves - round(octaves)) < np.log2(1.02) and abs(octaves) < 1.1
    assert 0.3 < heard.tempo_confidence <= 1


@pytest.mark.parametrize("tonic", range(0, 12, 3))
def test_melodies_have_their_key(tonic: int) -> None:
    assert estimate_tempo_key(melody(tonic, MAJOR)).key == f"{NAMES[tonic]} major"
    assert estimate_tempo_key(melody(tonic, MINOR)).key == f"{NAMES[tonic]} minor"


def test_a_key_is_surer_of_a_scale_than_of_noise() -> None:
    rng = np.random.default_rng(1)
    noise = Sound(0.1 * rng.standard_normal((2, 10 * RATE_HZ)).astype(np.float32), RATE_HZ)
    assert (estimate_tempo_key(noise).key_confidence or 0) < 0.5
    assert (estimate_tempo_key(melody(0, MAJOR)).key_confidence or 0) > 0.5


def test_loudness_changes_nothing() -> None:
    soft, loud = (
        estimate_tempo_key(melody(2, MAJOR, 0.02)),
        estimate_tempo_key(melody(2, MAJOR, 0.4)),
    )
    assert soft.key == loud.key
    assert soft.key_confidence == pytest.approx(loud.key_confidence, abs=1e-3)


@pytest.mark.parametrize(
    "samples", [np.zeros((2, 5 * RATE_HZ)), np.full((1, 5 * RATE_HZ), np.nan), np.zeros((1, 100))]
)
def test_nothing_heard_is_none(samples: np.ndarray) -> None:
    assert estimate_tempo_key(Sound(samples.astype(np.float32), RATE_HZ)) == Tonal()


def test_the_answer_is_the_same_again() -> None:
    assert estimate_tempo_key(clicks(100)) == estimate_tempo_key(clicks(100))
    assert len(set(KEYS)) == 24
