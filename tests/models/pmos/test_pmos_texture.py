"""Textures tell torn spectra from full ones, and networks of fewer cues hear what they heard before."""

import numpy as np
import pytest
import torch

from qamdt.models.pmos.mini_features import BASIC_CUES, CUES, MELS, RATE_HZ, features
from qamdt.models.pmos.mini_network import NetConfig, PmosNet
from qamdt.models.pmos.mini_texture import LONG, SHORT, TEXTURES

SEED = 3


def noise(seconds: float = 2.0) -> np.ndarray:
    """White noise float32 [frames]: a spectrum without holes."""
    return np.random.default_rng(SEED).standard_normal(int(seconds * RATE_HZ)).astype(np.float32)


def masked(wave: np.ndarray, keep: float, size: int = 1024) -> np.ndarray:
    """`wave` with each bin of each window kept with the probability `keep`, else silent."""
    hop, window = size // 4, np.hanning(size + 1)[:-1]
    spectrum = np.fft.rfft(np.lib.stride_tricks.sliding_window_view(wave, size)[::hop] * window)
    patches = np.random.default_rng(SEED).random(
        (len(spectrum) // 4 + 1, spectrum.shape[1] // 4 + 1)
    )
    mask = np.kron(patches < keep, np.ones((4, 4)))[: len(spectrum), : spectrum.shape[1]]
    out = np.zeros(len(wave))
    for k, piece in enumerate(np.fft.irfft(spectrum * mask, size) * window / 1.5):
        out[k * hop : k * hop + size] += piece
    return out.astype(np.float32)


def heard(wave: np.ndarray) -> dict[str, float]:
    """The mean of each texture over bands and time."""
    cues = features(torch.from_numpy(wave)[None])[0, MELS + BASIC_CUES :][:TEXTURES].mean(1)
    sizes = {"depth": LONG, "dead": LONG, "unrest": LONG,
             "flat": SHORT, "short_dead": SHORT, "gaps": SHORT, "islands": SHORT}  # fmt: skip
    parts = cues.split(list(sizes.values()))
    return {name: float(part.mean()) for name, part in zip(sizes, parts, strict=True)}


def test_more_holes_are_heard_as_more_holes() -> None:
    """Every texture moves one way as more of the spectrum is torn out."""
    full, torn, rags = (heard(w) for w in (noise(), masked(noise(), 0.8), masked(noise(), 0.5)))
    for name in ("depth", "dead", "unrest", "short_dead", "gaps"):
        assert full[name] < torn[name] < rags[name], name
    assert full["flat"] > torn["flat"] > rags["flat"]
    assert heard(masked(noise(), 0.08))["islands"] > full["islands"] + 0.2


def test_a_short_silence_is_a_gap_and_a_short_burst_an_island() -> None:
    """30 ms of silence in noise, and 30 ms of noise in silence, eight times a second."""
    beat = (np.arange(2 * RATE_HZ) % (RATE_HZ // 8)) < 3 * RATE_HZ // 100
    gaps, bursts = heard(noise() * ~beat), heard(noise() * (beat + 1e-3).astype(np.float32))
    assert gaps["gaps"] > heard(noise())["gaps"] + 0.05
    assert bursts["islands"] > heard(noise())["islands"] + 0.1


@pytest.mark.parametrize("seconds", [1.0, 1.5])
def test_basic_cues_are_the_first_of_all_cues(seconds: float) -> None:
    """A network of the basic cues gives one score for both kinds of features."""
    wave = torch.from_numpy(noise(seconds))[None]
    every, basic = features(wave), features(wave, BASIC_CUES)
    assert every.shape[1] == MELS + CUES
    assert basic.shape[1] == MELS + BASIC_CUES
    torch.testing.assert_close(every[:, : MELS + BASIC_CUES], basic)
    torch.manual_seed(SEED)
    net = PmosNet(NetConfig(kinds=("white", "nothing"), width=32, layers=1, inner=64)).eval()
    torch.testing.assert_close(net(every).mos, net(basic).mos)
