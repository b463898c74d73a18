"""Tagger: how probable each of a fixed list of words is for a sound.

The embedded tagger is musicnn: its two networks hear the same patches; a word that both know (rock,
guitar, metal ...) gets the mean of their two probabilities, so that every name stands once in
`names`. Names are lower case. A probability is an independent yes/no score of one word ("multi
label"): they do not sum to one, and rare words score low even where they fit.

Measured on music: a score ranks sounds well for one word; two words cannot be compared by their
scores. From which probability on a word may be said is a matter of the word: `thresholds`, made by
`recipes/tags/calibrate.py`. Card: weights/tags-mini.md.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ...audio.sound import Sound
from ...schemas.errors import EndOfAudio, ModelError
from ..fetch import registry
from .musicnn_tags import MSD_TAGS, MTT_TAGS

if TYPE_CHECKING:
    import torch


class Tagger(Protocol):
    """Hears sounds, knows words."""

    model_id: str
    digest: str
    names: tuple[str, ...]

    @property
    def thresholds(self) -> Mapping[str, float]:
        """name -> probability from which it may be said; a name without one is never to be."""
        ...

    @property
    def sigmoids(self) -> Mapping[str, tuple[float, float]]:
        """name -> (slope, offset) of its calibrated probability, of names that were calibrated."""
        ...

    def load(self) -> None:
        """Make ready, so that a damaged checkpoint is found before the work begins."""

    def probabilities(self, sounds: Sequence[Sound]) -> np.ndarray:
        """float32 [n, len(names)], 0..1: how well each name fits each sound, in order.

        Each row depends on its own sound alone. A sound that holds NaN gets a row of NaN.
        """
        ...


@dataclass(frozen=True, eq=False)
class TaggerOutput:
    """What musicnn heard in one sound, averaged over its patches; MSD's 50 words, then MTT's 50.

    probabilities: float32 [100], 0..1. logits: float32 [100].
    penultimate: float32 [400], 200 of each network.
    """

    probabilities: np.ndarray
    logits: np.ndarray
    penultimate: np.ndarray


class MusicnnTagger:
    """The embedded tagger: MSD_musicnn and MTT_musicnn of musicnn 0.1.0.

    What it heard is kept in the sound's memo, so the match model pays nothing for it. A sound is
    heard in patches of 2.99 s; one shorter than that is repeated to fill a patch, and a tail
    shorter than a patch is not heard (see `musicnn.patches_of`).

    Cost: 0.28 CPU s for 10.24 s of sound, both networks, one thread of a 2020s server core.
    """

    model_id = "musicnn-0.1.0"

    def __init__(self, cache: Path | None = None, device: str = "cpu") -> None:
        """Find the weights; they are loaded at first use. Raises WeightsMissing."""
        self._folder = registry.path("musicnn", cache)
        self.digest = registry.entry("musicnn").digest
        self.labels = MSD_TAGS + MTT_TAGS  # 100, eight words twice
        self.names = tuple(dict.fromkeys(self.labels))
        self._mean = _mean_by_name(self.labels, self.names)
        self._device = device

    @cached_property
    def thresholds(self) -> Mapping[str, float]:
        """tags-mini: name -> probability from which it may be said. Raises ModelError."""
        return read_thresholds(registry.path("tags-mini"), self.names)

    @cached_property
    def sigmoids(self) -> Mapping[str, tuple[float, float]]:
        """tags-mini: name -> (slope, offset) of the logit of its calibrated probability. Raises
        ModelError."""
        return read_sigmoids(registry.path("tags-mini"))

    def load(self) -> None:
        """Load both networks."""
        _ = self._networks, self._bank

    @cached_property
    def _networks(self) -> list[Any]:
        return _networks(self._folder, self._device)

    @cached_property
    def _bank(self) -> Any:
        from . import musicnn

        return musicnn.mel_bank()

    def probabilities(self, sounds: Sequence[Sound]) -> np.ndarray:
        if not sounds:
            return np.zeros((0, len(self.names)), np.float32)
        return self.by_name(np.stack([output.probabilities for output in self.extract(sounds)]))

    def by_name(self, by_label: np.ndarray) -> np.ndarray:
        """float32 [..., names] from [..., 100 labels]: a word known twice gets the mean."""
        return np.asarray(by_label @ self._mean)

    def extract(self, sounds: Sequence[Sound]) -> list[TaggerOutput]:
        """What the networks heard in each sound; computed once a sound, by whoever asks first."""
        key = ("musicnn", self.digest, self._device)
        if self._device == "cpu":  # nothing is gained there by batching
            return [sound.once(key, partial(self._alone, sound)) for sound in sounds]
        new = [sound for sound in sounds if key not in sound.memo]
        for start in range(0, len(new), 32):
            batch = new[start : start + 32]
            for sound, output in zip(batch, self._run(batch), strict=True):
                sound.memo[key] = output
        return [sound.memo[key] for sound in sounds]

    def _alone(self, sound: Sound) -> TaggerOutput:
        return self._run([sound])[0]

    def _run(self, sounds: Sequence[Sound]) -> list[TaggerOutput]:
        import torch

        with torch.inference_mode():
            patches = [self._patches(sound) for sound in sounds]
            together = torch.cat(patches).to(self._device)
            outputs = [network(together) for network in self._networks]
            logits = torch.cat([out for out, _ in outputs], 1).float().cpu()
            hidden = torch.cat([dense for _, dense in outputs], 1).float().cpu()
            counts = [len(p) for p in patches]
            return [
                TaggerOutput(*(v.mean(0).numpy() for v in (out.sigmoid(), out, dense)))
                for out, dense in zip(logits.split(counts), hidden.split(counts), strict=True)
            ]

    def _patches(self, sound: Sound) -> torch.Tensor:
        from . import musicnn

        samples = sound.mono_at(musicnn.RATE_HZ)
        if len(samples) == 0:
            raise EndOfAudio(f"{sound.name or 'a sound'} holds no samples to tag")
        return musicnn.patches_of(samples, self._bank)


def read_thresholds(file: Path, names: Sequence[str]) -> dict[str, float]:
    """name -> probability from which it may be said, of those that may be said at all.

    Raises ModelError when the file is not what it should be or speaks of other names.
    """
    try:
        words = json.loads(file.read_text(encoding="utf-8"))["words"]
        found = {name: word["threshold"] for name, word in words.items()}
        limits = {name: float(p) for name, p in found.items() if p is not None}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} holds no thresholds of tags ({error!r})") from error
    if set(found) != set(names) or not all(0 < p <= 1 for p in limits.values()):
        raise ModelError(
            f"{file}: expected a threshold in 0..1, or null, of each of the tagger's names"
        )
    return limits


def read_sigmoids(file: Path) -> dict[str, tuple[float, float]]:
    """name -> (slope, offset): p is calibrated to sigmoid(slope * logit(p) + offset).

    Of the names that were calibrated alone. Raises ModelError when the file is not what it should be.
    """
    try:
        words = json.loads(file.read_text(encoding="utf-8"))["words"]
        found = {name: word["sigmoid"] for name, word in words.items() if word["sigmoid"]}
        return {name: (float(slope), float(offset)) for name, (slope, offset) in found.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file} holds no sigmoids of tags ({error!r})") from error


@cache
def _networks(folder: Path, device: str) -> list[Any]:
    """Both networks, loaded once a process: the tagger and the match model share them."""
    from . import musicnn

    names = ("MSD_musicnn", "MTT_musicnn")
    return [musicnn.load(folder / f"{name}.safetensors").to(device) for name in names]


def _mean_by_name(labels: tuple[str, ...], names: tuple[str, ...]) -> np.ndarray:
    """float32 [labels, names]: times label scores gives the mean over equal labels."""
    same = np.array([[label == name for name in names] for label in labels], np.float32)
    return same / same.sum(0)
