"""wav2vec 2.0, HuBERT or WavLM from a folder, as an embedder: the mean over time of a hidden layer.

`wav2vec2@FOLDER` takes the last layer; `wav2vec2@FOLDER#6` layer 6, counted from 1, 0 being what the
convolutions give. Sounds are cut into equal windows of at most 30 s; the mean is over all frames.
Baevski et al. 2020, arXiv 2006.11477; the network is transformers'.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...models.fetch.hf_folder import folder_digest
from ...models.fetch.pretrained import load_pretrained
from ...models.pmos.wav2vec2 import MASK, Hearing, config_of, weights_of
from ...models.pmos.windows import equal_windows
from ...models.ref import require_path
from ...schemas.errors import ConfigError
from .windows import Embedding, one_row, wave_of

LEAST_SAMPLES = 400  # one frame of the convolutions


class Wav2Vec2Embedder:
    """One row a clip. Raises WeightsMissing, ModelError, ConfigError."""

    classes: tuple[str, ...] = ()

    def __init__(self, where: str, device: str = "cpu", style: str = "native") -> None:
        folder, mark, layer = require_path("wav2vec2", where, "FOLDER").partition("#")
        self._folder = Path(folder)
        weights_of(self._folder)
        layers = int(config_of(self._folder).num_hidden_layers)
        if mark and not (layer.isdigit() and int(layer) <= layers):
            raise ConfigError(f"model wav2vec2@{where}: expected #0 to #{layers}, a layer")
        self._layer = int(layer) if mark else layers
        self._processor = Hearing.of(self._folder)
        self.model_id = f"wav2vec2:{self._folder.name}#{self._layer}"
        self.digest = folder_digest(self._folder)
        self._device = device
        self.front_end: dict[str, Any] = {
            "rate_hz": self._processor.rate_hz,
            "mono": "mean of channels",
            "window": "whole clip, equal windows of at most 30 s",
            "pooling": f"mean over time of layer {self._layer}, one row a clip",
            "gain": "mean 0, variance 1 a window" if self._processor.normalise else "none",
        }

    def load(self) -> None:
        _ = self._model

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModel

        model = load_pretrained(
            AutoModel, self._folder, role="embedder wav2vec2", allow_missing=(MASK,),
            allow_extra=("projector.*", "classifier.*", "layer_weights"),  # a scorer's head
            dtype=torch.float32,
        )  # fmt: skip
        return model.to(self._device).eval()

    def embed(self, sounds: Sequence[Sound]) -> list[Embedding]:
        return [Embedding(one_row(self._one(sound)), None) for sound in sounds]

    def _one(self, sound: Sound) -> np.ndarray:
        import torch

        rate_hz = self._processor.rate_hz
        wave = wave_of(sound, rate_hz)
        wave = np.pad(wave, (0, max(0, LEAST_SAMPLES - len(wave))))
        total, frames = 0.0, 0
        with torch.inference_mode():
            for window in equal_windows(wave, 30 * rate_hz):
                inputs = torch.from_numpy(self._processor.normalised(window))[None].to(self._device)
                out = self._model(inputs, output_hidden_states=True).hidden_states[self._layer][0]
                total = total + out.double().sum(0).cpu().numpy()
                frames += len(out)
        return np.asarray(total / frames)
