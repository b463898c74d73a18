"""Embedders: what turns a sound into the rows that FAD and KAD are made of; one class each.

An embedder describes its front end in `front_end` (rate, mono rule, window, pooling, gain): that,
its id and the digest of its weights name every number made with it. One that classifies too gives
logits, from which KL and IS are made. `style` is the name of the protocol whose front end it follows.

    embedded, tagger   musicnn's penultimate layers, 400 dimensions, a row a clip; logits of its words
    clap-mini          the embedded audio-text model, a row a clip      tagtext   its untrained part
    clap@FOLDER        CLAP in Hugging Face's layout     laion@FILE   CLAP as LAION published it
    vggish@FILE        VGGish      panns@FILE   CNN14, with logits        (see their modules)
    wav2vec2@FOLDER    the mean over time of the last hidden layer (wav2vec 2.0, HuBERT, WavLM)

Another kind comes from a plug-in of the role `embedder`; its class has the members of `Embedder`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ...audio.sound import Sound
from ...models.ref import ModelRef, require_no_path, resolve
from ...schemas.plugins import kinds
from .cache import (
    MatchFeatures,
    PannsFeatures,
    PluginFeatures,
    TaggerFeatures,
    VggishFeatures,
    Wav2Vec2Features,
)
from .panns import PannsEmbedder
from .vggish import VggishEmbedder
from .wav2vec2 import Wav2Vec2Embedder
from .windows import Embedding, one_row

RESAMPLER = "soxr HQ"
MATCHER_KINDS = ("embedded", "tagtext", "clap", "laion")  # whose front ends are known here


class Embedder(Protocol):
    """Turns sounds into rows.

    classes: names of the logits, () where there are none. front_end: what is done to a sound before
    the network (JSON values); it is part of the cache's state and of protocol ids.
    """

    model_id: str
    digest: str
    classes: tuple[str, ...]
    front_end: dict[str, Any]

    def load(self) -> None:
        """Make ready, so that a damaged checkpoint is found before the work begins."""

    def embed(self, sounds: Sequence[Sound]) -> list[Embedding]:
        """One embedding a sound, in order; raises AudioError for a sound that cannot be embedded."""
        ...


class TaggerEmbedder:
    """The embedded tagger: 2 x 200 penultimate units and the logits of its words, means over 3 s.

    A word that both networks know has the mean of their two logits.
    """

    def __init__(self, where: str = "", device: str = "cpu", style: str = "native") -> None:
        from ...models.tags.tagger import MusicnnTagger

        require_no_path("embedded", where)
        self._tagger = MusicnnTagger(device=device)
        self.model_id = f"{self._tagger.model_id}:penultimate"
        self.digest = self._tagger.digest
        self.classes = self._tagger.names
        self.front_end = {
            "rate_hz": 16000, "mono": "mean of channels", "window": "2.99 s, no overlap",
            "tail": "dropped; a sound under 2.99 s is repeated", "pooling": "mean, one row a clip",
            "gain": "none",
        }  # fmt: skip

    def load(self) -> None:
        self._tagger.load()

    def embed(self, sounds: Sequence[Sound]) -> list[Embedding]:
        return [
            Embedding(
                one_row(r.penultimate), np.asarray(self._tagger.by_name(r.logits), np.float32)
            )
            for r in self._tagger.extract(sounds)
        ]


class MatchEmbedder:
    """The audio side of an audio-text model: its unit vector, a row a clip.

    In the style of fadtk a CLAP checkpoint gives a row for each second: the ten seconds from there,
    filled up with zeros.
    """

    classes: tuple[str, ...] = ()

    def __init__(self, where: str, device: str = "cpu", style: str = "native") -> None:
        """where: the whole reference of the model, such as `clap@/ckpt/music`."""
        matchers = matcher_kinds()
        kind = ModelRef.parse(where, matchers).kind
        self._model: Any = resolve(where, matchers, device=device)
        self.model_id, self.digest = self._model.model_id, self._model.digest
        self._by_second = style == "fadtk" and kind in ("clap", "laion")
        small = kind in ("embedded", "tagtext")
        self.front_end: dict[str, Any] = {
            "rate_hz": 16000 if small else 48000,
            "mono": "mean of channels",
            "window": "whole clip" if small else "10 s, evenly spread, a short clip is repeated",
            "pooling": "unit vector, one row a clip",
            "gain": "none",
        }
        if kind not in MATCHER_KINDS:
            self.front_end = {"window": "the model's own", "pooling": "unit vector, one row a clip"}
        elif self._by_second:
            self.front_end |= {
                "window": "10 s from each second on, zeros at the end",
                "pooling": "unit vectors, one row a second",
            }

    def load(self) -> None:
        self._model.load()

    def embed(self, sounds: Sequence[Sound]) -> list[Embedding]:
        if self._by_second:
            return [Embedding(self._seconds(sound), None) for sound in sounds]
        return [Embedding(one_row(v), None) for v in self._model.embed_audio(sounds)]

    def _seconds(self, sound: Sound) -> np.ndarray:
        rate_hz = int(self._model.rate_hz)
        wave = sound.mono_at(rate_hz)
        starts = range(0, max(1, len(wave)), rate_hz)
        windows = [wave[start : start + 10 * rate_hz] for start in starts]
        full = [np.pad(w, (0, 10 * rate_hz - len(w))) for w in windows]
        rows: np.ndarray = self._model.embed_windows(full)
        return rows


def _matcher(kind: str) -> Callable[..., Embedder]:
    """The kind of embedder that is the audio side of this kind of audio-text model."""
    return lambda where, **options: MatchEmbedder(str(ModelRef(kind, where)), **options)


def _clap_mini(where: str, **options: Any) -> Embedder:
    require_no_path("clap-mini", where)
    return MatchEmbedder("embedded", **options)


EMBEDDERS: dict[str, Callable[..., Embedder]] = {
    "embedded": TaggerEmbedder,
    "tagger": TaggerEmbedder,
    "clap-mini": _clap_mini,
    "tagtext": _matcher("tagtext"),
    "clap": _matcher("clap"),
    "laion": _matcher("laion"),
    "vggish": VggishEmbedder,
    "panns": PannsEmbedder,
    "wav2vec2": Wav2Vec2Embedder,
}

# The table of the feature cache that a kind fills; any other kind fills PluginFeatures.
TABLES: dict[str, type] = {
    "embedded": TaggerFeatures,
    "tagger": TaggerFeatures,
    "clap-mini": MatchFeatures,
    "tagtext": MatchFeatures,
    "clap": MatchFeatures,
    "laion": MatchFeatures,
    "vggish": VggishFeatures,
    "panns": PannsFeatures,
    "wav2vec2": Wav2Vec2Features,
}


def embedder_kinds() -> Mapping[str, Callable[..., Embedder]]:
    """The kinds of the role `embedder`: each is called with (where, device=, style=).

    Plug-ins of the role, and of the role `match`, whose audio side is an embedder, are among them.
    """
    known = kinds("embedder", EMBEDDERS)
    return {kind: _matcher(kind) for kind in matcher_kinds() if kind not in known} | known


def matcher_kinds() -> Mapping[str, Callable[..., Any]]:
    """The kinds of the role `match`."""
    from ...models.clap.kinds import MATCHERS

    return kinds("match", MATCHERS)


def open_embedder(ref: str, device: str, style: str) -> Embedder:
    """The embedder that `ref` names. Raises ConfigError, WeightsMissing, ModelError."""
    return resolve(ref, embedder_kinds(), device=device, style=style)


def table_of(ref: str) -> type:
    """The row class of the feature cache that an embedder's rows go to."""
    return TABLES.get(ModelRef.parse(ref, embedder_kinds()).kind, PluginFeatures)
