"""The MDCT is its own inverse and keeps energy; a coarser step loses more and leaves holes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_degrade import RATE_HZ, music

from qamdt.audio.damage.coarse_coder import coarse_coder, imdct, mdct


@given(st.integers(1, 3000), st.sampled_from([64, 256, 1024]), st.integers(0, 99))
def test_there_and_back(frames: int, hop: int, seed: int) -> None:
    """imdct(mdct(x)) is x for any length; the transform is orthonormal: energy is kept."""
    x = np.random.default_rng(seed).standard_normal(frames)
    spectrum = mdct(x, hop)
    np.testing.assert_allclose(imdct(spectrum, frames), x, atol=1e-9)
    assert (spectrum**2).sum() == pytest.approx((x**2).sum())


def test_a_tone_falls_into_its_bin() -> None:
    """The most energy of a sine lies within a bin of its frequency."""
    hop, bin_ = 512, 100
    x = np.sin(np.pi * (bin_ + 0.5) / hop * np.arange(8 * hop))
    energy = (mdct(x, hop)[2:-2] ** 2).sum(0)
    assert abs(int(energy.argmax()) - bin_) <= 1


def test_a_coarse_step_leaves_holes() -> None:
    """At 12 dB above the level most coefficients of a band are lost, at -14 dB few."""
    clean = music(1)
    lost = []
    for step_db in (-14.0, 12.0):
        heard = coarse_coder(clean, RATE_HZ, step_db, np.random.default_rng(1))
        spectrum = np.abs(mdct(heard[0], 512)[4:-4])
        lost.append(float((spectrum < 0.01 * np.abs(mdct(clean[0], 512)[4:-4]).mean()).mean()))
    assert lost[1] > lost[0] + 0.1
