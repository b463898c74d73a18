"""Captions for the clips of `data.py`, as the numbers that clap-mini's text side works on.

Each clip has three captions to learn from; the first two also have versions with one fact exchanged.
Phrases are embedded by MiniLM once and kept in the cache: they repeat from caption to caption.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...models.clap.mini_words import pieces, read
from ...models.clap.sentence_embedder import SentenceEmbedder
from ...pipeline.progress import Progress
from .captions import ATTRIBUTES, TRAIN_WORDINGS, Facts, real_facts, swap, thin, write

VARIANTS, WITH_SWAPS = 3, 2


class Phrases:
    """piece of a caption -> row of a table of MiniLM embeddings, float16 [n, 384], kept in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place: dict[str, int] = {}
        self.table = np.zeros((0, SentenceEmbedder.dim), np.float16)
        if (folder / "phrases.list").exists():
            names = json.loads((folder / "phrases.list").read_text())
            self.place = {name: i for i, name in enumerate(names)}
            self.table = np.load(folder / "phrases.npy")

    def add(self, texts: Sequence[str]) -> None:
        """Embed what is new among the phrases of `texts`."""

        new = sorted({p for text in texts for p in pieces(text)} - self.place.keys())
        if not new:
            return
        embedder = SentenceEmbedder()
        blocks = [self.table]
        with Progress("phrases", len(new)) as bar:
            for start in range(0, len(new), 2048):
                batch = new[start : start + 2048]
                blocks.append(embedder.embed(batch).astype(np.float16))
                bar.advance(len(batch))
        self.place |= {phrase: len(self.table) + i for i, phrase in enumerate(new)}
        self.table = np.concatenate(blocks)
        np.save(self.folder / "phrases.npy", self.table)
        (self.folder / "phrases.list").write_text(json.dumps(list(self.place)))

    def rows(self, text: str) -> list[int]:
        return [self.place[p] for p in pieces(text)]


@dataclass(frozen=True)
class Texts:
    """Many captions: their phrases (rows of the table) and their `mini_words`, float32 [n, 61]."""

    rows: list[list[int]]
    words: torch.Tensor

    @classmethod
    def of(cls, texts: Sequence[str], table: Phrases) -> Texts:
        table.add(texts)
        return cls([table.rows(text) for text in texts], torch.from_numpy(read(texts)))

    def inputs(self, pick: Sequence[int], table: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What `TextHead` takes for the texts numbered `pick`."""
        rows = [row for i in pick for row in self.rows[i]]
        owner = [k for k, i in enumerate(pick) for _ in self.rows[i]]
        return table[rows].float(), torch.tensor(owner), self.words[list(pick)]


@dataclass(frozen=True)
class Captions:
    """texts: all captions. variants[clip]: places of its captions in `texts`; swaps[place]: places
    of the versions of that caption with one fact exchanged, and which fact (in ATTRIBUTES)."""

    texts: list[str]
    variants: list[list[int]]
    swaps: dict[int, list[tuple[int, int]]]


def captions_of(abouts: Sequence[Mapping[str, Any]], seed: int) -> Captions:
    """Captions for training: of rendered clips by what is known, of real ones by what is measured
    (the first two on the segment that the window lies in, the last on the whole track)."""
    texts: list[str] = []
    variants: list[list[int]] = []
    swaps: dict[int, list[tuple[int, int]]] = {}
    for number, about in enumerate(abouts):
        rng = np.random.default_rng([seed, number])
        own = []
        for variant in range(VARIANTS):
            facts = _facts(about, variant)
            if variant or rng.random() < 0.3:
                facts = thin(facts, rng)
            wording, words_seed = int(rng.choice(TRAIN_WORDINGS)), int(rng.integers(2**31))
            own.append(len(texts))
            texts.append(write(facts, wording, np.random.default_rng(words_seed)))
            if variant < WITH_SWAPS:
                exchanged = []
                for k, attribute in enumerate(ATTRIBUTES):
                    other = swap(facts, attribute, rng)
                    if other is not None:
                        wrong = write(other, wording, np.random.default_rng(words_seed))
                        if wrong != texts[own[-1]]:
                            exchanged.append((len(texts), k))
                            texts.append(wrong)
                swaps[own[-1]] = exchanged
        variants.append(own)
    return Captions(texts, variants, swaps)


def _facts(about: Mapping[str, Any], variant: int) -> Facts:
    if about["kind"] == "rendered":
        return Facts.rendered(about)
    return real_facts(about, about["numbers" if variant < WITH_SWAPS else "track_numbers"])
