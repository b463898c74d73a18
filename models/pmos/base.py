"""p-MOS: how good a sound is technically, as one opinion score, 1 (bad) to 5 (excellent).

The score is about damage (noise, clipping, lost treble, low bitrates, gaps), not about taste.
`embedded` is pmos-mini, our own small network (`weights/pmos-mini.md` says what it was taught and
how well it hears). `embedded-16k` hears everything at 16 kHz, so that missing treble is no damage:
for sets that are all of a low sampling rate, and for what models of 16 kHz make. `wav2vec2@FOLDER`
(`wav2vec2.py`) runs any wav2vec 2.0, HuBERT or WavLM regression checkpoint in the layout of
transformers, such as `qamdt-curate models train-pmos` makes; `qama@FILE_OR_FOLDER` (`qama.py`) is
the authors' scorer, `audiobox@FOLDER` a second opinion.
Scores of two models are on different scales: never mix them in one table.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ...audio.sound import Sound
from ...schemas.errors import WeightsMissing
from ...schemas.hashing import hash_weights
from ..fetch.pretrained import load_safetensors
from ..ref import require_no_path
from .windows import equal_windows, of_equal_length, sane

if TYPE_CHECKING:
    from .mini_network import PmosNet

WEIGHTS = Path(__file__).parents[1] / "weights" / "pmos-mini.safetensors"
WEIGHTS_16K = WEIGHTS.with_stem("pmos-mini-16k")
NARROW_HZ = 16000  # what `embedded-16k` hears
CEILING = 4.73  # the teacher's best score: it cannot tell better sounds apart
WINDOW_S = 6.0  # pmos-mini hears at most this much at once
SILENT_DB = 50.0  # windows this far below the loudest one do not count


class PmosModel(Protocol):
    """Gives sounds an opinion score."""

    model_id: str
    digest: str

    def load(self) -> None:
        """Make ready, so that a damaged checkpoint is found before the work begins."""

    def score(self, sounds: Sequence[Sound]) -> np.ndarray:
        """float32 [n], nominally 1..5, in order; a score depends on its own sound alone.

        NaN where a sound cannot be judged: shorter than 1 s, or not finite. The caller says which.
        """
        ...


class EmbeddedPmos:
    """pmos-mini: 48 kHz mono; longer sounds are cut into equal windows of at most 6 s.

    The score is the mean over windows, those nearly silent beside the loudest left out; it is
    clamped to 1..5. A wholly silent sound scores near 1: there is nothing to hear.
    Raises WeightsMissing where the weights are not where the package keeps them.
    """

    model_id = "pmos-mini"
    made_by = "train-pmos"

    def __init__(self, where: str | None = None, device: str = "cpu", weights: Path = WEIGHTS):
        require_no_path("embedded", where or "")
        if not weights.exists():
            raise WeightsMissing(
                f"{weights} is missing: reinstall qamdt or run `make {self.made_by}`"
            )
        self.digest = hash_weights([weights])
        self._weights, self._device = weights, device

    def load(self) -> None:
        """Load the network; otherwise the first use does."""
        _ = self.net

    @cached_property
    def net(self) -> PmosNet:
        """The network, in evaluation mode."""
        from safetensors import safe_open

        from .mini_network import NetConfig, PmosNet

        with safe_open(self._weights, "pt") as file:
            config = json.loads((file.metadata() or {})["config"])
        net = PmosNet(NetConfig(**config | {"kinds": tuple(config["kinds"])}))
        load_safetensors(net, self._weights, role=f"p-MOS model {self.model_id}")
        return net.eval().to(self._device)

    def score(self, sounds: Sequence[Sound]) -> np.ndarray:
        """See `PmosModel.score`."""
        from .mini_features import MIN_S, RATE_HZ

        owner: list[int] = []
        windows: list[np.ndarray] = []
        for number, sound in enumerate(sounds):
            if sane(sound, MIN_S):
                cut = _windows(self._wave(sound), RATE_HZ)
                owner += [number] * len(cut)
                windows += cut
        totals = np.zeros((2, len(sounds)))
        for batch in of_equal_length(windows, at_most=16):
            scores = self._forward(np.stack([windows[k] for k in batch]))
            for k, value in zip(batch, scores, strict=True):
                totals[:, owner[k]] += value, 1
        mean = np.full(len(sounds), np.nan)
        np.divide(totals[0], totals[1], out=mean, where=totals[1] > 0)
        return np.clip(mean, 1, 5).astype(np.float32)

    def _wave(self, sound: Sound) -> np.ndarray:
        """What is heard of a sound: mono, 48 kHz."""
        from .mini_features import RATE_HZ

        return sound.mono_at(RATE_HZ)

    def _forward(self, waves: np.ndarray) -> np.ndarray:
        """Scores [B] of mono windows [B, T] of one length."""
        import torch

        from .mini_features import features

        with torch.inference_mode():
            inputs = features(torch.from_numpy(waves), self.net.config.cues).to(self._device)
            return np.asarray(self.net(inputs).mos.float().cpu().numpy())


class EmbeddedPmos16k(EmbeddedPmos):
    """pmos-mini-16k: the same network, taught on sounds cut at 8 kHz and labelled against clean
    ones cut alike. Every sound is brought to 16 kHz first; else as `EmbeddedPmos`."""

    model_id = "pmos-mini-16k"
    made_by = "train-pmos-16k"

    def __init__(self, where: str | None = None, device: str = "cpu", weights: Path = WEIGHTS_16K):
        require_no_path("embedded-16k", where or "")
        super().__init__(None, device, weights)

    def _wave(self, sound: Sound) -> np.ndarray:
        import soxr

        from .mini_features import RATE_HZ

        narrow = sound.mono_at(NARROW_HZ)
        return np.asarray(soxr.resample(narrow, NARROW_HZ, RATE_HZ), dtype=np.float32)


def _windows(wave: np.ndarray, rate_hz: int) -> list[np.ndarray]:
    """`wave` in equal windows of at most WINDOW_S, without those that are nearly silent."""
    wave = np.pad(wave, (0, max(0, rate_hz - len(wave))))  # resampling may lose a sample of 1 s
    windows = equal_windows(wave, int(WINDOW_S * rate_hz))
    loud = [float(np.sqrt(np.mean(np.square(w, dtype=np.float64)))) for w in windows]
    least = max(loud) * 10 ** (-SILENT_DB / 20)
    return [w for w, level in zip(windows, loud, strict=True) if level >= least]
