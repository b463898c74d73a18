"""recipes/clap: true captions, arrangements that are what they say, honest figures."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_clap_mini import mode_of, tempo_of

from qamdt.models.clap import mini_words
from qamdt.models.tags import musicnn
from qamdt.models.tags.tempo_key import KEYS
from qamdt.recipes.clap.arrange import arrange, passage
from qamdt.recipes.clap.captions import ATTRIBUTES, Facts, swap, write
from qamdt.recipes.clap.evaluate import FROZEN
from qamdt.recipes.clap.exam import auc, real_pairs
from qamdt.recipes.clap.styles import INSTRUMENTS, PATTERNS, STYLES
from qamdt.recipes.common.scores import Score

FULL = Facts(
    lead="oboe", backing=("piano", "double bass"), genre="jazz", mood="calm", bpm=96.0,
    key="F-sharp minor", drums="swing", levels={"rms_db": 3}, genre_words=STYLES["jazz"].words,
)  # fmt: skip


def invented(seed: int, genre: str) -> tuple[list, list[int], Facts]:  # type: ignore[type-arg]
    return arrange(None, genre, np.random.default_rng(seed))


# --- styles and arrangements -------------------------------------------------------------------


def test_styles_name_what_there_is() -> None:
    for style in STYLES.values():
        assert {*style.lead, *style.backing, *style.bass} <= INSTRUMENTS.keys()
        assert set(style.drums) <= PATTERNS.keys() and style.bpm[0] < style.bpm[1]


@pytest.mark.parametrize("genre", STYLES)
def test_facts_are_what_is_played(genre: str) -> None:
    """Programs are those of the named instruments, drums sound where they are said to."""
    events, programs, facts = invented(3, genre)
    style = STYLES[genre]
    assert programs[0] in INSTRUMENTS[facts.lead] and facts.lead in style.lead
    channels = {channel for _, channel, _, velocity in events if velocity}
    assert (9 in channels) == bool(facts.drums)
    named = {p for name in (facts.lead, *facts.backing) for p in INSTRUMENTS[name]}
    assert {programs[c] for c in channels if c != 9} <= named
    assert style.bpm[0] - 1 <= (facts.bpm or 0) <= style.bpm[1] + 1 and facts.key in KEYS
    assert events == sorted(events) and events == invented(3, genre)[0]


def test_the_key_of_a_score_is_found_and_transposed_with_it() -> None:
    scale = [60, 62, 64, 65, 67, 69, 71, 72, 67, 64, 60, 60, 67, 60]
    notes = [(i, 1, pitch, 0) for i, pitch in enumerate(scale * 6)]
    score = Score("x", "bach", np.array(notes, np.float32))
    tune = passage(score, 4, 24, np.random.default_rng(1))
    up = int(tune.notes[:, 2].min()) - 60
    assert tune.key == KEYS[up % 12] and len(tune.chords) == 6


# --- captions ----------------------------------------------------------------------------------


@given(st.integers(0, 2**31), st.integers(0, 7))
def test_a_caption_says_the_facts(seed: int, wording: int) -> None:
    text = write(FULL, wording, np.random.default_rng(seed))
    row = mini_words.read([text])
    assert "oboe" in text.lower() and "piano" in text and "double bass" in text
    assert mode_of(row)[0, 0] == -1 and tempo_of(row).any()


@given(st.integers(0, 2**31), st.sampled_from(ATTRIBUTES))
def test_one_fact_is_exchanged_and_no_other(seed: int, attribute: str) -> None:
    other = swap(FULL, attribute, np.random.default_rng(seed))
    assert other is not None and other != FULL
    changed = {
        f.name for f in dataclasses.fields(FULL) if getattr(FULL, f.name) != getattr(other, f.name)
    }
    own = {"tempo": {"bpm"}, "mode": {"key"}, "genre": {"genre", "genre_words"}}
    assert changed == own.get(attribute, {attribute})
    if attribute == "tempo":
        assert abs(np.log2((other.bpm or 1) / 96.0)) > 0.45


def test_what_is_unknown_is_not_exchanged_nor_said() -> None:
    rng = np.random.default_rng(0)
    few = Facts(genre_words=("folk",))
    assert all(swap(few, attribute, rng) is None for attribute in ATTRIBUTES)
    for wording in range(8):
        assert "folk" in write(few, wording, rng).lower()


def test_the_frozen_captions_are_of_held_out_music_alone() -> None:
    rows = json.loads(FROZEN.read_text())
    albums = {row["name"].split("/")[0] for row in rows["tracks"]}
    assert albums == {"fretsonfire-songs-sectoid", "hyperrogue-music"}
    composers = {row["work"].split("/")[0] for row in rows["pieces"]}
    assert composers <= {"trecento", "josquin", "cpebach", "nottingham-dataset"}
    assert all(len(row["captions"]) == 4 for part in rows.values() for row in part)


# --- figures -----------------------------------------------------------------------------------


def test_auc_is_the_share_of_pairs_in_order() -> None:
    rng = np.random.default_rng(0)
    right, wrong = rng.integers(0, 5, 30).astype(float), rng.integers(0, 5, 40).astype(float)
    pairs = (right[:, None] > wrong).mean() + 0.5 * (right[:, None] == wrong).mean()
    assert auc(right, wrong, np.ones(30), np.ones(40)) == pytest.approx(pairs)
    doubled = auc(right, wrong, np.full(30, 2.0), np.ones(40))
    assert doubled == pytest.approx(pairs)


def test_a_perfect_space_gets_one_and_a_random_one_a_half() -> None:
    track, album = np.repeat(np.arange(6), 5), np.repeat([0, 1], 15)
    captions = np.array([0, 0, 0, 1, 1, 1])
    own = (track[:, None] == np.arange(6)).astype(float)
    rng = np.random.default_rng(0)
    for same in (False, True):
        perfect = real_pairs(own[None], track, album, captions, same).estimate()
        assert perfect.value == perfect.low == 1 and perfect.n == 6
        noise = rng.random((4, *own.shape))
        chance = real_pairs(noise, track, album, captions, same).estimate()
        assert chance.low < 0.5 < chance.high


# --- musicnn -----------------------------------------------------------------------------------


def test_the_fast_front_is_the_plain_one() -> None:
    """Filters through the frequency domain, or as one product of matrices: equal to rounding."""
    generator = torch.manual_seed(0)
    for kind, size in ((musicnn.WideBlock, (20, 7, 38)), (musicnn.WideBlock, (20, 7, 67)),
                       (musicnn.LongBlock, (10, 64, 1))):  # fmt: skip
        block = kind(*size)
        block.weight.copy_(torch.randn(block.weight.shape, generator=generator) / 16)
        padded = torch.rand(2, 1, 187 + size[1] - 1, 96, generator=generator)
        with torch.inference_mode():
            plain = musicnn.FrontBlock.peak(block, padded)
            torch.testing.assert_close(block.peak(padded), plain, atol=1e-5, rtol=1e-5)
