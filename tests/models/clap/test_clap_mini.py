"""models/clap/mini.py, mini_features.py, mini_words.py, mini_network.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from builders import music
from hypothesis import given
from hypothesis import strategies as st

from qamdt.audio.sound import Sound
from qamdt.models.clap import mini_words
from qamdt.models.clap.kinds import MATCHERS
from qamdt.models.clap.mini import ClapMiniMatch
from qamdt.models.clap.mini_features import measure
from qamdt.models.clap.mini_network import ClapNet, KeyNet, Sizes
from qamdt.models.fetch import registry
from qamdt.models.ref import resolve
from qamdt.models.tags.tempo_key import KEYS
from qamdt.schemas.errors import EndOfAudio, ModelError, WeightsMissing

RATE_HZ = 44100
CAPTIONS = (
    "A slow, calm piano piece in C major.",
    "Aggressive death metal with distorted guitars and pounding drums.",
    "Driving techno at 130 BPM with synthesizers and a drum machine.",
    "An a cappella choir sings a solemn hymn in A minor.",
)


@pytest.fixture(scope="module")
def matcher() -> ClapMiniMatch:
    torch.set_num_threads(1)
    model: ClapMiniMatch = resolve("embedded", MATCHERS)
    return model


def some_music(seed: int, duration_s: float = 3.2) -> Sound:
    return Sound(music(duration_s, seed=seed), RATE_HZ)


def chords(minor: bool, up: int = 0, seconds: float = 6.0) -> Sound:
    """Tonic, subdominant, dominant, tonic, with harmonics."""
    rate = 22050
    third = 3 if minor else 4
    parts = []
    for root in (0, 5, 7, 0):
        t = np.arange(int(seconds / 4 * rate)) / rate
        chord = np.zeros(len(t))
        for semitone in (0, third if root != 7 else 4, 7):
            hz = 440 * 2 ** ((48 + root + semitone + up - 69) / 12)
            chord += sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 5))
        parts.append(chord * np.exp(-t))
    return Sound((0.05 * np.concatenate(parts))[None].astype(np.float32), rate)


def clicks(bpm: float, seconds: float = 10.24) -> Sound:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(0).standard_normal(len(t))
    return Sound((0.3 * noise * np.exp(-40 * (t % (60 / bpm))))[None].astype(np.float32), RATE_HZ)


# --- the space ---------------------------------------------------------------------------------


def test_vectors_are_of_length_one(matcher: ClapMiniMatch) -> None:
    sounds, texts = matcher.embed_audio([some_music(0)]), matcher.embed_text(CAPTIONS)
    assert sounds.shape == (1, matcher.dim) and texts.shape == (4, matcher.dim)
    assert sounds.dtype == texts.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(np.vstack([sounds, texts]), axis=1), 1, atol=1e-5)


def test_a_row_depends_on_its_own_sound_alone(matcher: ClapMiniMatch) -> None:
    """Alone or among others, also among one that is broken: the same."""
    broken = Sound(np.full((1, RATE_HZ), np.nan, np.float32), RATE_HZ)
    together = matcher.embed_audio([some_music(1), broken, some_music(0), some_music(2, 0.4)])
    alone = [matcher.embed_audio([some_music(1)])[0], matcher.embed_audio([some_music(0)])[0],
             matcher.embed_audio([some_music(2, 0.4)])[0]]  # fmt: skip
    np.testing.assert_allclose(together[[0, 2, 3]], alone, atol=1e-5)
    assert np.isnan(together[1]).all()
    assert matcher.embed_audio([]).shape == (0, matcher.dim)


def test_silence_is_finite_and_nothing_is_refused(matcher: ClapMiniMatch) -> None:
    silent = Sound(np.zeros((2, 2 * RATE_HZ), np.float32), RATE_HZ)
    assert np.isfinite(matcher.embed_audio([silent])).all()
    with pytest.raises(EndOfAudio):
        matcher.embed_audio([Sound(np.zeros((1, 0), np.float32), RATE_HZ, "empty.wav")])


def test_a_blank_text_says_nothing(matcher: ClapMiniMatch) -> None:
    blank = matcher.embed_text(["", CAPTIONS[0], " \n", "..."])
    assert not blank[[0, 2]].any()
    np.testing.assert_allclose(blank[1], matcher.embed_text([CAPTIONS[0]])[0], atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(blank[3]), 1, atol=1e-5)
    assert matcher.embed_text([]).shape == (0, matcher.dim)


def test_mode_and_tempo_are_heard(matcher: ClapMiniMatch) -> None:
    major, minor, slow, fast = matcher.embed_audio(
        [chords(False), chords(True), clicks(70), clicks(165)]
    )
    in_major, in_minor, at_70, at_165 = matcher.embed_text(
        ["piece in a major key", "piece in a minor key", "drums at 70 BPM", "drums at 165 BPM"]
    )
    assert (major - minor) @ (in_major - in_minor) > 0
    assert (slow - fast) @ (at_70 - at_165) > 0


def test_the_digest_names_all_that_takes_part(matcher: ClapMiniMatch) -> None:
    assert len(matcher.digest) == 16 and matcher.model_id == "clap-mini-1"
    assert matcher.digest != registry.entry("clap-mini").digest


def test_what_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="models fetch"):
        resolve("embedded", MATCHERS, cache=tmp_path)
    (tmp_path / "x.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="cannot be read"):
        ClapMiniMatch(weights=tmp_path / "x.safetensors")
    with pytest.raises(ModelError, match="no clap-mini"):
        ClapMiniMatch(weights=registry.path("pmos-mini"))


# --- what is measured --------------------------------------------------------------------------


def test_pitch_turns_with_the_key() -> None:
    """A semitone up is the same pitch classes, one place on; the tuning does not matter."""
    low, high = measure(chords(True)).pitch.sum(0), measure(chords(True, up=1)).pitch.sum(0)
    assert np.corrcoef(np.roll(low, 1), high)[0, 1] > 0.9


def test_key_logits_turn_with_the_key() -> None:
    net = KeyNet().eval()
    pitch = torch.rand(2, 4, 12, generator=torch.manual_seed(0))
    with torch.inference_mode():
        here, there = net(pitch).view(2, 2, 12), net(pitch.roll(3, 2)).view(2, 2, 12)
    torch.testing.assert_close(here.roll(3, 2), there)


def test_sizes_are_as_promised() -> None:
    found = measure(some_music(0))
    assert found.plain().shape == (466,) and found.pitch.shape == (4, 12)
    assert found.plain().dtype == found.pitch.dtype == np.float32
    assert np.isfinite(measure(Sound(np.zeros((1, 100), np.float32), RATE_HZ)).plain()).all()


# --- words -------------------------------------------------------------------------------------


def tempo_of(rows: np.ndarray) -> np.ndarray:
    return rows[:, : mini_words.TEMPI]


def key_of(rows: np.ndarray) -> np.ndarray:
    return rows[:, mini_words.TEMPI : -mini_words.FLAGS]


def mode_of(rows: np.ndarray) -> np.ndarray:
    """[n, 1]: 1 major, -1 minor, 0 not said."""
    flags = rows[:, -mini_words.FLAGS :]
    return flags[:, 7:8] - flags[:, 8:9]


def drums_of(rows: np.ndarray) -> np.ndarray:
    """[n, 1]: 1 with drums, -1 without, 0 not said."""
    flags = rows[:, -mini_words.FLAGS :]
    return flags[:, 10:11] - flags[:, 9:10]


@given(st.integers(45, 200))
def test_a_number_of_beats_is_read(bpm: int) -> None:
    """The stated tempo has the most weight, whatever the wording."""
    rows = mini_words.read([f"techno at {bpm} BPM", f"a {bpm} beats per minute groove"])
    nearest = np.abs(np.log2(mini_words.TEMPO_BPM / bpm)).argmin()
    assert (tempo_of(rows).argmax(1) == nearest).all()
    np.testing.assert_allclose(tempo_of(rows).sum(1), 1, atol=1e-5)


@given(st.sampled_from(KEYS))
def test_every_key_is_read_as_it_is_named(key: str) -> None:
    row = mini_words.read([f"Piano music in {key}, slow."])
    assert key_of(row)[0].argmax() == KEYS.index(key)
    assert mode_of(row)[0, 0] == (1 if key.endswith("major") else -1)


def test_what_is_not_said_is_zero() -> None:
    row = mini_words.read(["a piano and a violin", "a minor key", "with drums", "no drums at all"])
    assert not tempo_of(row).any() and not key_of(row).any()
    assert mode_of(row)[:, 0].tolist() == [0, -1, 0, 0]
    assert drums_of(row)[:, 0].tolist() == [0, 0, 1, -1]
    assert mini_words.read([]).shape == (0, mini_words.SIZE)


def test_a_caption_is_cut_into_facts() -> None:
    assert mini_words.pieces("A Flute plays over soft drums, in D minor.") == [
        "flute", "soft drums", "d minor",
    ]  # fmt: skip
    assert mini_words.pieces("...") == ["..."]


def test_a_text_is_read_alike_in_any_company() -> None:
    net = ClapNet(Sizes(learned=8, hidden=16)).eval()
    rows = torch.rand(5, 384, generator=torch.manual_seed(0))
    words = torch.from_numpy(mini_words.read(["slow", "in C major"]))
    with torch.inference_mode():
        both = net.texts(rows, torch.tensor([0, 0, 1, 1, 1]), words)
        last = net.texts(rows[2:], torch.tensor([0, 0, 0]), words[1:])
    torch.testing.assert_close(both[1:], last)
