"""A dataset folder whose latents are known functions of level and text: for tests and figures.

    latent of (caption k, level q):  channel 1   a constant, (q - 3) times STEP
                                     others      a sine of random phase over time, in band k
                                     everywhere  noise
so that anyone can read off a latent which caption and level it was made for: `classify_level` and
`classify_caption` are those classifiers. The text states are a random vector for each word, by a hash of
the word; they stand for a text encoder where none is wanted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...pipeline.dataset import Dataset, fingerprint
from ...schemas.prompt import prompt_of
from ...schemas.tables import Caption, Clip, Decision, File, Latent, Level, Pmos, TextStates
from ...train.data.latent_store import latent_row, scale_of, text_row
from ...train.data.text_states import NULL_TEXT

CAPTIONS = ("solo piano", "solo guitar", "solo drums", "solo violin", "solo flute", "solo voice")
PREFIXES = (None, "low quality", None, "medium quality", None, "high quality")  # 1..5 by index
STEP, SINE, NOISE = 0.8, 2.0, 0.3
MU, SIGMA = 3.8, 0.2
ENCODER, CODEC = "synthetic words", "synthetic"
PART_ROWS = 256


@dataclass(frozen=True)
class SyntheticClip:
    """One synthetic clip and the truth about it. latent: float32 [C, T, F], before scaling."""

    clip_id: str
    caption: str
    level: int
    latent: np.ndarray


def make_latent(
    caption: str, level: int, shape: tuple[int, int, int], rng: np.random.Generator
) -> np.ndarray:
    """float32 [C, T, F] for a caption and a level; C >= 2 and F >= the number of captions."""
    _, frames, _ = shape
    latent = rng.normal(0, NOISE, shape).astype(np.float32)
    phase = 2 * np.arange(frames) / frames + rng.random()
    sine = SINE * np.sin(2 * np.pi * phase).astype(np.float32)
    latent[_others(shape[0]), :, CAPTIONS.index(caption)] += sine
    latent[1] += (level - 3) * STEP
    return latent


def classify_level(latents: np.ndarray) -> np.ndarray:
    """The level 1..5 that each latent [n, C, T, F] (before scaling) is nearest to."""
    means = latents[:, 1].mean(axis=(1, 2))
    return np.clip(np.rint(means / STEP + 3), 1, 5).astype(np.int64)


def classify_caption(latents: np.ndarray) -> np.ndarray:
    """The number in CAPTIONS of the band with most energy outside of channel 1, of each latent."""
    others = latents[:, _others(latents.shape[1])]
    energy = np.square(others).sum(axis=(1, 2))[:, : len(CAPTIONS)]
    return energy.argmax(axis=1)


def word_states(text: str, width: int) -> np.ndarray:
    """float32 [S, width]: a vector of mean square 1 for each word, and one for the end."""
    words = [*text.replace(",", " ,").split(), "</s>"]
    return np.stack([_vector(word, width) for word in words])


def make_synthetic(
    dataset: Dataset,
    clips: int = 240,
    shape: tuple[int, int, int] = (4, 32, 8),
    text_width: int = 64,
    seed: int = 0,
    clips_a_file: int = 4,
) -> list[SyntheticClip]:
    """Write the folder, everything that the trainer reads; returns the clips, in order."""
    rng = np.random.default_rng(seed)
    synthetic = []
    for k in range(clips):
        caption = CAPTIONS[int(rng.integers(len(CAPTIONS)))]
        level = int(rng.integers(1, 6))
        clip_id = hashlib.sha256(f"{seed}/{k}".encode()).hexdigest()[:20]
        synthetic.append(
            SyntheticClip(clip_id, caption, level, make_latent(caption, level, shape, rng))
        )
    _write_clips(dataset, synthetic, seed, clips_a_file)
    _write_judgements(dataset, synthetic, seed)
    scale = scale_of([m.latent for m in synthetic])
    rows = [latent_row(m.clip_id, m.latent, scale, CODEC) for m in synthetic]
    _commit(dataset, Latent, rows, seed, "clips")
    texts = {NULL_TEXT, *CAPTIONS}
    texts |= {prompt_of(prefix, c) or "" for prefix in PREFIXES for c in CAPTIONS}
    states = [text_row(text, word_states(text, text_width), ENCODER) for text in sorted(texts)]
    _commit(dataset, TextStates, states, seed)  # by content: no clip or level can make them wrong
    return synthetic


def _write_clips(
    dataset: Dataset, synthetic: Sequence[SyntheticClip], seed: int, per_file: int
) -> None:
    files, clips = [], []
    for k, m in enumerate(synthetic):
        number, window = divmod(k, per_file)
        path = f"/synthetic/{number:06d}.wav"
        sha = hashlib.sha256(f"{seed}{path}".encode()).hexdigest()
        if window == 0:
            files.append(File(path=path, root="/synthetic", scan=1, sha256=sha))
        clip = Clip(
            clip_id=m.clip_id, path=path, scan=1, file_sha256=sha, window_index=window,
            start_s=window * 10.24, duration_s=10.24, caption=m.caption, source="synthetic",
        )  # fmt: skip
        clips.append(clip)
    _commit(dataset, File, files, seed)
    _commit(dataset, Clip, clips, seed)


def _write_judgements(dataset: Dataset, synthetic: Sequence[SyntheticClip], seed: int) -> None:
    pmos = [
        Pmos(clip_id=m.clip_id, pmos=MU + SIGMA * (m.level - 3) * 1.2, model_id="synthetic")
        for m in synthetic
    ]
    levels = [
        Level(clip_id=m.clip_id, quality_level=m.level, quality_prefix=PREFIXES[m.level])
        for m in synthetic
    ]
    captions = [
        Caption(clip_id=m.clip_id, refined_caption=m.caption, sim_final=0.5) for m in synthetic
    ]
    _commit(dataset, Pmos, pmos, seed, "clips")
    _commit(dataset, Level, levels, seed, "pmos")
    _commit(dataset, Caption, captions, seed, "clips")
    _commit(dataset, Decision, [Decision(clip_id=m.clip_id, kept=True) for m in synthetic], seed)


def _commit(dataset: Dataset, cls: type, rows: Sequence[object], seed: int, *reads: str) -> None:
    """Rows as parts of a table, which becomes current."""
    from ...schemas.arrow import name_of

    parents = {t: state.fingerprint for t in reads if (state := dataset.current(t))}
    params = {"seed": seed, "rows": len(rows)}
    digest, about = fingerprint(f"synthetic {name_of(cls)}", 1, params, parents)
    for at in range(0, len(rows), PART_ROWS):
        dataset.commit(cls, digest, rows[at : at + PART_ROWS])
    dataset.adopt(name_of(cls), digest, about)


def _others(channels: int) -> list[int]:
    """The channels that say which caption it is."""
    return [k for k in range(channels) if k != 1]


def _vector(word: str, width: int) -> np.ndarray:
    number = int(hashlib.sha256(word.encode()).hexdigest()[:12], 16)
    vector = np.random.default_rng(number).normal(size=width)
    return (vector / np.linalg.norm(vector) * width**0.5).astype(np.float32)
