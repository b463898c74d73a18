"""p-MOS: how good a sound is technically, as one opinion score, 1 (bad) to 5 (excellent).

The score is about damage (noise, clipping, lost treble, low bitrates, gaps), not about taste.
`embedded` is pmos-mini, our own small network (`weights/pmos-mini.md` says what it was taught and
how well it hears); `wav2vec2@FOLDER` runs any wav2vec 2.0 regression checkpoint in the layout of
transformers. Scores of two models are on different scales: never mix them in one table.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..audio.sound import Sound
from ..schemas.errors import ModelError, WeightsMissing
from .ref import nowhere, somewhere

if TYPE_CHECKING:
    from .pmos_net import PmosNet

WEIGHTS = Path(__file__).parent / "weights" / "pmos-mini.safetensors"
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

    def __init__(self, where: str | None = None, device: str = "cpu", weights: Path = WEIGHTS):
        nowhere("embedded", where or "")
        if not weights.exists():
            raise WeightsMissing(f"{weights} is missing: reinstall qamdt or run `make train-pmos`")
        self.digest = _sha256([weights])
        self._weights, self._device = weights, device

    def load(self) -> None:
        """Load the network; otherwise the first use does."""
        _ = self.net

    @cached_property
    def net(self) -> PmosNet:
        """The network, in evaluation mode."""
        from safetensors import safe_open

        from .pmos_net import NetConfig, PmosNet

        with safe_open(self._weights, "pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        net = PmosNet(NetConfig(**config | {"kinds": tuple(config["kinds"])}))
        net.load_state_dict(state)
        return net.eval().to(self._device)

    def score(self, sounds: Sequence[Sound]) -> np.ndarray:
        """See `PmosModel.score`."""
        from .pmos_front import MIN_S, RATE_HZ

        owner: list[int] = []
        windows: list[np.ndarray] = []
        for number, sound in enumerate(sounds):
            if _sane(sound, MIN_S):
                cut = _windows(sound.mono_at(RATE_HZ), RATE_HZ)
                owner += [number] * len(cut)
                windows += cut
        totals = np.zeros((2, len(sounds)))
        for batch in _of_equal_length(windows, at_most=16):
            scores = self._forward(np.stack([windows[k] for k in batch]))
            for k, value in zip(batch, scores, strict=True):
                totals[:, owner[k]] += value, 1
        mean = np.full(len(sounds), np.nan)
        np.divide(totals[0], totals[1], out=mean, where=totals[1] > 0)
        return np.clip(mean, 1, 5).astype(np.float32)

    def _forward(self, waves: np.ndarray) -> np.ndarray:
        """Scores [B] of mono windows [B, T] of one length."""
        import torch

        from .pmos_front import features

        with torch.inference_mode():
            heard = features(torch.from_numpy(waves)).to(self._device)
            return np.asarray(self.net(heard).mos.float().cpu().numpy())


class Wav2Vec2Pmos:
    """`wav2vec2@FOLDER`: a Wav2Vec2ForSequenceClassification with one output, whole sound at once.

    FOLDER is in the layout of transformers (config.json, model.safetensors). The sampling rate and
    whether a wave is normalised come from its preprocessor_config.json; without one, 16 kHz and as
    it is. The raw output is the score: neither scaled nor clamped.
    Raises WeightsMissing where the folder is not complete, ModelError where it is another model.
    """

    def __init__(self, where: str | None = None, device: str = "cpu"):
        import torch
        from transformers import Wav2Vec2ForSequenceClassification

        folder = Path(somewhere("wav2vec2", where or "", "FOLDER"))
        files = sorted(
            f for f in folder.glob("*") if f.suffix in {".safetensors", ".bin"} and f.is_file()
        )
        if not (folder / "config.json").is_file() or not files:
            raise WeightsMissing(
                f"{folder} holds no wav2vec2 checkpoint: expected config.json and model.safetensors"
                " as written by `save_pretrained`; download or convert the checkpoint there first"
            )
        kind = json.loads((folder / "config.json").read_text()).get("model_type")
        if kind != "wav2vec2":
            raise ModelError(f"{folder} holds a model of type {kind!r}, expected 'wav2vec2'")
        loaded: Any = Wav2Vec2ForSequenceClassification.from_pretrained(
            folder, local_files_only=True, output_loading_info=True
        )
        model, info = loaded
        if model.config.num_labels != 1:
            raise ModelError(
                f"{folder} has {model.config.num_labels} outputs, expected 1: give a regression "
                "checkpoint (num_labels=1), not a classifier"
            )
        if info["missing_keys"]:
            raise ModelError(f"{folder} lacks the weights {sorted(info['missing_keys'])[:3]} ...")
        listening = folder / "preprocessor_config.json"
        told = json.loads(listening.read_text()) if listening.is_file() else {}
        self.rate_hz = int(told.get("sampling_rate", 16000))
        self.normalise = bool(told.get("do_normalize", False))
        self.model_id = f"wav2vec2@{folder.name}"
        self.digest = _sha256(files)
        self._device = torch.device(device)
        self._model = model.eval().to(self._device)

    def load(self) -> None:
        """Nothing: it was loaded at once."""

    def score(self, sounds: Sequence[Sound]) -> np.ndarray:
        """See `PmosModel.score`."""
        import torch

        out = np.full(len(sounds), np.nan, np.float32)
        known = [k for k, sound in enumerate(sounds) if _sane(sound, 1.0)]
        waves = [self._wave(sounds[k]) for k in known]
        with torch.inference_mode():
            for batch in _of_equal_length(waves, at_most=8):
                together = torch.from_numpy(np.stack([waves[k] for k in batch])).to(self._device)
                logits = self._model(together).logits[:, 0].float().cpu().numpy()
                out[[known[k] for k in batch]] = logits
        return out

    def _wave(self, sound: Sound) -> np.ndarray:
        wave = sound.mono_at(self.rate_hz)
        if self.normalise:  # as Wav2Vec2FeatureExtractor does it
            wave = (wave - wave.mean()) / np.sqrt(wave.var() + 1e-7)
        return wave.astype(np.float32)


def _sane(sound: Sound, min_s: float) -> bool:
    return sound.duration_s >= min_s and bool(np.isfinite(sound.samples).all())


def _windows(wave: np.ndarray, rate_hz: int) -> list[np.ndarray]:
    """`wave` in equal windows of at most WINDOW_S, without those that are nearly silent."""
    wave = np.pad(wave, (0, max(0, rate_hz - len(wave))))  # resampling may lose a sample of 1 s
    count = -(-len(wave) // int(WINDOW_S * rate_hz))
    size = len(wave) // count
    windows = [wave[k * size : (k + 1) * size] for k in range(count)]
    loud = [float(np.sqrt(np.mean(np.square(w, dtype=np.float64)))) for w in windows]
    least = max(loud) * 10 ** (-SILENT_DB / 20)
    return [w for w, level in zip(windows, loud, strict=True) if level >= least]


def _of_equal_length(waves: Sequence[np.ndarray], at_most: int) -> Iterator[list[int]]:
    """Indices of `waves` in batches of one length: nothing is padded, so nothing leaks between."""
    by_length: dict[int, list[int]] = {}
    for k, wave in enumerate(waves):
        by_length.setdefault(len(wave), []).append(k)
    for same in by_length.values():
        for start in range(0, len(same), at_most):
            yield same[start : start + at_most]


def _sha256(files: Sequence[Path]) -> str:
    """One digest over the bytes of all `files`, in order, as hexadecimal."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


KINDS: dict[str, Callable[..., PmosModel]] = {"embedded": EmbeddedPmos, "wav2vec2": Wav2Vec2Pmos}
