"""tagtext-mini: musicnn for sounds, MiniLM for texts, words between. A part of clap-mini.

It is no trained joint space: it has one axis for each of the 100 words that musicnn was taught. A
sound's coordinate on a word is the z-score of the word's logit against reference music. A text's
coordinate is how near MiniLM finds the text, and each phrase of it, to the word, as a softmax over
the words. It knows genre, instrument and mood; of tempo only slow and fast; of key, melody and
structure nothing; and it reads "without drums" as drums. Card: models/weights/tagtext-mini.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ...audio.sound import Sound
from ...schemas.errors import ModelError
from ..fetch import registry
from ..tags.tagger import MusicnnTagger, TaggerOutput
from .sentence_embedder import SentenceEmbedder
from .vectors import unit_rows

_BETWEEN = re.compile(r"[,;.:]|\b(?:and|with|for)\b")


@dataclass(frozen=True)
class Reference:
    """Reference statistics of tagtext-mini, as in weights/tagtext-mini.json.

    words: the axes. mean, deviation: of each word's logit over reference music. prompts: sentences
    that a word is put into for the text side. temperature: of the softmax over words.
    limit: z-scores are cut at plus and minus this.
    """

    words: tuple[str, ...]
    mean: np.ndarray
    deviation: np.ndarray
    prompts: tuple[str, ...]
    temperature: float
    limit: float

    @classmethod
    def load(cls, file: Path) -> Reference:
        """Raises ModelError when the file is not what it should be."""
        try:
            raw = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                tuple(raw["words"]),
                np.array(raw["mean"], np.float32),
                np.array(raw["deviation"], np.float32),
                tuple(raw["prompts"]),
                float(raw["temperature"]),
                float(raw["limit"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{file} is not a tagtext reference ({error!r})") from error


@dataclass(frozen=True, eq=False)
class Read:
    """Texts as MiniLM reads them: whole [n, 384], phrases [N, 384], owner int [N]: whose phrase."""

    sentence: np.ndarray
    phrases: np.ndarray
    owner: np.ndarray


class TagTextMatch:
    """tagtext-mini: musicnn for sounds, MiniLM for texts, words between.

    The sound side costs nothing beyond the tagger's own pass over the same sound; a text 25 ms.
    """

    model_id = "tagtext-mini-1"

    def __init__(self, cache: Path | None = None, device: str = "cpu") -> None:
        """Find the weights; networks are loaded at first use. Raises WeightsMissing."""
        self._reference = Reference.load(registry.path("tagtext-mini"))
        self._tagger = MusicnnTagger(cache, device)
        if self._reference.words != self._tagger.labels:
            raise ModelError("the reference of tagtext-mini does not list musicnn's words")
        registry.path("minilm-l6-v2", cache)  # if it is missing, say so now
        self._cache = cache
        self.dim = len(self._reference.words)
        parts = [registry.entry(n).digest for n in ("tagtext-mini", "musicnn", "minilm-l6-v2")]
        self.digest = hashlib.sha256("/".join(parts).encode()).hexdigest()[:16]

    def load(self) -> None:
        """Load musicnn; MiniLM waits for the first text."""
        self._tagger.load()

    def embed_audio(self, sounds: Sequence[Sound]) -> np.ndarray:
        if not sounds:
            return np.zeros((0, self.dim), np.float32)
        return self.z_scores(np.stack([output.logits for output in self.extract(sounds)]))

    def embed_text(self, texts: Sequence[str]) -> np.ndarray:
        out = np.zeros((len(texts), self.dim), np.float32)
        said = [i for i, text in enumerate(texts) if text.strip()]
        if said:
            out[said] = self.near(self.read([texts[i] for i in said]))
        return out

    def read(self, texts: Sequence[str]) -> Read:
        """Texts, none blank, as sentence embeddings: each as a whole, and each phrase of it."""
        parts = [phrases(text.lower()) for text in texts]
        different = sorted({*(text.lower() for text in texts), *(p for own in parts for p in own)})
        place = {text: i for i, text in enumerate(different)}
        vectors = self.sentences.embed(different)
        owner = np.repeat(np.arange(len(texts)), [len(own) for own in parts])
        return Read(
            vectors[[place[text.lower()] for text in texts]],
            vectors[[place[phrase] for own in parts for phrase in own]],
            owner,
        )

    def near(self, read: Read) -> np.ndarray:
        """float32 [n, 100], rows of length 1: where texts that were read stand among the words."""
        sentence, each = unit_rows(self._softmax(read.sentence)), self._softmax(read.phrases)
        ends = np.flatnonzero(np.diff(read.owner)) + 1
        mean = np.array([of_one.mean(0) for of_one in np.split(each, ends)])
        return unit_rows(sentence + unit_rows(mean))

    def _softmax(self, vectors: np.ndarray) -> np.ndarray:
        """float32 [n, 100]: how near each vector is to each word; a row sums to 1."""
        near = vectors @ self._words.T
        near = np.exp((near - near.max(1, keepdims=True)) / self._reference.temperature)
        return np.asarray(near / near.sum(1, keepdims=True))

    def z_scores(self, logits: np.ndarray) -> np.ndarray:
        """Rows of length 1 for musicnn's logits, float32 [n, 100]."""
        z = (logits - self._reference.mean) / self._reference.deviation
        return unit_rows(z.clip(-self._reference.limit, self._reference.limit))

    def extract(self, sounds: Sequence[Sound]) -> list[TaggerOutput]:
        """What musicnn heard in each sound."""
        return self._tagger.extract(sounds)

    @cached_property
    def sentences(self) -> SentenceEmbedder:
        """MiniLM, loaded at first use."""
        return SentenceEmbedder(self._cache)

    @cached_property
    def _words(self) -> np.ndarray:
        """float32 [100, 384]: each word, the mean over the sentences it is put into."""
        together = np.zeros((self.dim, SentenceEmbedder.dim), np.float32)
        for prompt in self._reference.prompts:
            together += self.sentences.embed([prompt.format(w) for w in self._reference.words])
        return unit_rows(together)


def phrases(text: str) -> list[str]:
    """The parts of a caption between its commas, stops and small words; at least one.

    A long caption as a whole is near to no word; "harpsichord" in it is.
    """
    found = [part.strip() for part in _BETWEEN.split(text)]
    return [part for part in found if len(part) > 2] or [text]
