"""Masks over the short-time spectrum: what they keep, what they tear, and guitars that stay clean."""

import numpy as np
import pytest
from test_degrade import RATE_HZ, error_db, music

from qamdt.audio.damage import torn
from qamdt.recipes.pmos.guitars import amplified


@pytest.mark.parametrize("size_s", [0.0116, 0.023, 0.0464, 0.0928])
@pytest.mark.parametrize("rate_hz", [16000, 44100, 48000])
def test_a_mask_of_ones_is_the_sound(size_s: float, rate_hz: int) -> None:
    """Windows and their overlap sum to one at every size and rate."""
    wave = np.random.default_rng(0).standard_normal(rate_hz + 7)
    again = torn._masked(wave, rate_hz, np.ones_like, size_s)
    np.testing.assert_allclose(again, wave, atol=1e-12)


def test_a_faint_neighbour_leaves_the_sound_alone() -> None:
    """Separation from a sound 120 dB down changes nothing; the louder it is, the more is torn."""
    clean = music()
    hurt = [torn.separation(clean, RATE_HZ, db, np.random.default_rng(4)) for db in (-120, -20, 10)]
    assert np.abs(hurt[0] - clean).max() < 1e-4
    assert error_db(clean, hurt[0]) < error_db(clean, hurt[1]) < error_db(clean, hurt[2])


def test_sparse_keeps_the_strongest_partials() -> None:
    """Only less energy, and less of it the shallower; a lone tone stays as it is."""
    clean = music()
    energy = [
        float((torn.sparse(clean, RATE_HZ, depth, np.random.default_rng(4)) ** 2).sum())
        for depth in (60, 20, 1)
    ]
    assert (clean**2).sum() * 1.01 > energy[0] > energy[1] > energy[2] > 0
    tone = np.sin(2 * np.pi * 1000 / RATE_HZ * np.arange(RATE_HZ))[None]
    kept = torn.sparse(tone, RATE_HZ, 20, np.random.default_rng(4))
    assert error_db(tone, kept) < -15


def test_an_amplifier_adds_overtones_and_no_treble() -> None:
    """A driven tone has a third harmonic that a clean one lacks, and nothing above the cabinet."""
    tone = np.tile(np.sin(2 * np.pi * 500 / RATE_HZ * np.arange(RATE_HZ)), (2, 1)) * 0.1

    def level_db(wave: np.ndarray, hz: int) -> float:
        spectrum = np.abs(np.fft.rfft(wave[0])) ** 2
        return float(10 * np.log10(spectrum[hz] / spectrum[500]))

    mild, hot = (amplified(tone, RATE_HZ, db, np.random.default_rng(1)) for db in (0.0, 40.0))
    assert mild.shape == hot.shape == tone.shape and np.abs(hot).max() <= 1.0
    assert level_db(hot, 1500) > -20 > level_db(mild, 1500)
    assert level_db(hot, 15500) < -60
    assert np.isfinite(
        amplified(np.zeros((2, 4800)), RATE_HZ, 30.0, np.random.default_rng(1))
    ).all()
