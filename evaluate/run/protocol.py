"""Protocols: whose front end and definitions an evaluation follows, and the id that every number carries.

A metric is a family: embedder, window, direction and pooling change the number. A protocol fixes
what its authors fixed; what it cannot follow stands in `deviates` and goes into every result. The
id of a number is a hash of all that went into it but the clips: only equal ids may stand in one
column of a table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...models.ref import ModelRef
from ..features.embedders import RESAMPLER, Embedder
from ..metrics.inception import ALE_EPS


@dataclass(frozen=True)
class Protocol:
    """One protocol.

    embedders, classifiers, matchers: kinds of model that its authors used; another one is allowed
    and reported. kl_direction, kl_eps, is_splits, is_shuffle: see `metrics/inception.py`.
    deviates: what differs from the authors' tool even so.
    """

    name: str
    about: str
    embedders: tuple[str, ...]
    classifiers: tuple[str, ...]
    matchers: tuple[str, ...]
    kl_direction: str = "ref-gen"
    kl_eps: float = 0.0
    is_splits: int = 1
    is_shuffle: bool = False
    deviates: tuple[str, ...] = ()

    def departures(self, embedders: tuple[str, ...], classifier: str, matcher: str) -> list[str]:
        """Sentences on models that are not the authors'."""
        used = [("FAD and KAD", e, self.embedders) for e in embedders]
        used += [("KL and IS", classifier, self.classifiers), ("CLAP", matcher, self.matchers)]
        return [
            f"{what} by {ref}, where {self.name} has {' or '.join(kinds)}"
            for what, ref, kinds in used
            if kinds and ModelRef.parse(ref).kind not in kinds
        ]


_RESAMPLED = f"resampling by {RESAMPLER}; the authors' resampler moves FD and KL a little"
_WINDOWS = "CLAP hears all of a clip in even windows, never a random crop"

PROTOCOLS: dict[str, Protocol] = {
    p.name: p
    for p in (
        Protocol(
            name="native",
            about="whole clips, definitions without epsilon, intervals",
            embedders=(),
            classifiers=(),
            matchers=(),
        ),
        Protocol(
            name="audioldm",
            about="audioldm_eval: VGGish FAD, PANNs KL and IS, first channel less its mean",
            embedders=("vggish", "panns"),
            classifiers=("panns",),
            matchers=("laion", "clap"),
            kl_eps=ALE_EPS,
            is_splits=10,
            is_shuffle=True,
            deviates=(
                _RESAMPLED,
                "unreadable files are left out, not replaced by the next",
                _WINDOWS,
            ),
        ),
        Protocol(
            name="musicgen",
            about="audiocraft: Google's VGGish FAD, 1 s every .5 s, each file brought to its peak",
            embedders=("vggish",),
            classifiers=("passt",),
            matchers=("laion",),
            deviates=(
                _RESAMPLED,
                "statistics in float64, not float32; VGGish's last ReLU is left out",
                "KL by PaSST is not to be had here",
                _WINDOWS,
            ),
        ),
        Protocol(
            name="fadtk",
            about="fadtk: CLAP by the second, VGGish without a gain",
            embedders=("laion", "clap", "vggish", "wav2vec2"),
            classifiers=(),
            matchers=(),
            deviates=(_RESAMPLED, "no trip through 16-bit integers, embeddings in float32, not 16"),
        ),
    )
}


def front_end_of(embedder: Embedder) -> dict[str, Any]:
    """What of an embedder goes into a protocol id."""
    return {
        "embedder": embedder.model_id,
        "digest": embedder.digest,
        "resampler": RESAMPLER,
        **embedder.front_end,
    }


def protocol_id(protocol: Mapping[str, Any]) -> str:
    """12 hex digits that name a way of measuring."""
    canonical = json.dumps(protocol, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]
