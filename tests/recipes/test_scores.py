"""Rendered pieces: the same events give the same bits, whatever was played before."""

import numpy as np
import pytest

pytest.importorskip("tinysoundfont")
pytest.importorskip("pretty_midi")

from qamdt.recipes.common.scores import Events, play, soundfont

RATE_HZ = 22050


def piece(program: int, pitches: list[int]) -> np.ndarray:
    """Half a second of a chord of one GM program, still sounding at the end."""
    events: Events = [(0.05, 0, pitch, 100) for pitch in pitches]
    return play(events, [program], [64], 0.5, RATE_HZ, soundfont())


def test_a_piece_sounds_the_same_whatever_was_played_before() -> None:
    organ = piece(19, [60, 64, 67])
    strings = piece(48, [40, 52])
    assert np.abs(organ).max() > 0
    assert not np.array_equal(organ, strings)
    np.testing.assert_array_equal(piece(19, [60, 64, 67]), organ)
    np.testing.assert_array_equal(piece(48, [40, 52]), strings)
