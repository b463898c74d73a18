"""The mel: equal to a plain statement of its recipe, and invertible as far as 64 bands allow."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qamdt.audio import mel
from qamdt.schemas.errors import AudioError

SAMPLES = 163_840


def _recipe(wave: np.ndarray) -> np.ndarray:
    """The recipe in plain numpy, with librosa's filters: [T, 64]."""
    import librosa

    bank = librosa.filters.mel(
        sr=16000,
        n_fft=1024,
        n_mels=64,
        fmin=0,
        fmax=8000,
        htk=False,
        norm="slaney",
        dtype=np.float64,
    )
    padded = np.pad(wave.astype(np.float64), 432, mode="reflect")
    frames = [padded[i : i + 1024] for i in range(0, len(padded) - 1023, 160)]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(1024) / 1024)
    magnitude = np.abs(np.fft.rfft(np.stack(frames) * hann))
    return np.log(np.maximum(magnitude @ bank.T, 1e-5))


def _waves(samples: int = SAMPLES) -> dict[str, np.ndarray]:
    t = np.arange(samples) / 16000
    noise = np.random.default_rng(0).normal(0, 0.1, samples)
    return {
        "sine": (0.5 * np.sin(2 * np.pi * 440 * t)).astype(np.float32),
        "chirp": (0.5 * np.sin(2 * np.pi * (50 * t + 380 * t * t))).astype(np.float32),
        "noise": noise.astype(np.float32),
    }


@pytest.mark.parametrize("name", ["sine", "chirp", "noise"])
def test_equals_the_recipe(name: str) -> None:
    """To 1e-5, under loud tones too."""
    wave = _waves()[name]
    made = mel.log_mel(torch.from_numpy(wave)[None])[0].numpy()
    assert made.shape == (1024, 64)
    assert np.abs(made - _recipe(wave)).max() < 1e-5


def test_silence_is_the_floor() -> None:
    made = mel.log_mel(torch.zeros(1, SAMPLES))
    assert torch.equal(made, torch.full((1, 1024, 64), float(np.float32(np.log(1e-5)))))
    assert pytest.approx(-11.513, abs=1e-3) == mel.SILENCE


@given(st.integers(1024, 9000))
def test_frames_are_samples_by_hop(samples: int) -> None:
    assert mel.log_mel(torch.zeros(1, samples)).shape == (1, samples // 160, 64)


def test_normalised_has_no_mean_and_peak_half() -> None:
    wave = torch.from_numpy(_waves(16000)["noise"])[None] * 3 + 1
    out = mel.normalised(wave)
    assert float(out.mean()) == pytest.approx(0, abs=1e-6)
    assert float(out.abs().max()) == pytest.approx(0.5, abs=1e-6)
    assert torch.equal(mel.normalised(torch.zeros(1, 2000)), torch.zeros(1, 2000))


def test_a_short_wave_is_filled_as_a_wave() -> None:
    """Its last frames are those of a fade into silence, not a jump that a padded mel would have."""
    wave = torch.from_numpy(_waves(16000)["sine"])[None]
    filled = mel.log_mel(mel.fitted(wave, 32000))
    assert filled.shape == (1, 200, 64)
    assert torch.equal(filled[0, 110:], torch.full((90, 64), mel.SILENCE))
    assert torch.equal(filled[0, :96], mel.log_mel(wave)[0, :96])
    assert float(filled[0, 100].max()) > mel.SILENCE + 5  # the window still reaches the sound
    with pytest.raises(AudioError, match="does not fit"):
        mel.fitted(wave, 8000)


@pytest.mark.parametrize("shape", [(16000,), (1, 1023), (2, 1, 16000)])
def test_what_has_no_mel_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(AudioError, match="expected"):
        mel.log_mel(torch.zeros(shape))


def test_rows_do_not_depend_on_their_batch() -> None:
    waves = torch.from_numpy(np.stack(list(_waves(16000).values())))
    together = mel.inverted(mel.log_mel(waves))
    alone = torch.cat([mel.inverted(mel.log_mel(w[None])) for w in waves])
    assert torch.equal(together, alone)


def test_the_inverse_has_about_the_same_mel() -> None:
    """Music of few partials and noise come back; every frame in its own place."""
    t = np.arange(32000) / 16000
    tones = sum(np.sin(2 * np.pi * f * t) / k for k, f in enumerate((220, 440, 660, 1320), 1))
    noise = np.random.default_rng(1).normal(0, 0.05, 32000)
    wave = (tones * (0.2 + 0.8 * (t % 0.5 < 0.25)) * 0.2 + noise).astype(np.float32)
    first = mel.log_mel(torch.from_numpy(wave)[None])
    second = mel.log_mel(mel.inverted(first))
    assert second.shape == first.shape
    error = float((first - second).abs().mean())
    shifted = float((first[:, 1:] - second[:, :-1]).abs().mean())
    assert error < 0.2
    assert error < shifted


def test_least_squares_magnitudes_have_the_mel_they_were_made_for() -> None:
    wave = torch.from_numpy(_waves(16000)["noise"])[None]
    found = mel.magnitude_of_mel(mel.log_mel(wave))
    again = (mel.filterbank().float() @ found).clamp_min(mel.FLOOR).log().transpose(1, 2)
    assert float((again - mel.log_mel(wave)).abs().mean()) < 0.02
