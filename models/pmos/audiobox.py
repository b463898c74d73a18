"""p-MOS by audiobox-aesthetics: a second opinion, on a scale of 1 to 10.

`audiobox@FOLDER` takes Meta's checkpoint in Hugging Face's layout (facebook/audiobox-aesthetics),
`?axis=` one of its four: PQ production quality (the default), CE content enjoyment, CU content
usefulness, PC production complexity. The package's own network is used; its windows of ten seconds,
the last one padded and masked, weighted by length, are those of its `infer.py`.

Source: Tjandra et al. 2025, arXiv 2502.05139; code and weights CC BY 4.0.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...schemas.errors import ConfigError, ModelError, WeightsMissing
from ..fetch.hf_folder import folder_digest
from ..fetch.pretrained import load_hub_mixin
from ..ref import Options, require_path, with_options
from .windows import sane

AXES = ("CE", "CU", "PC", "PQ")
DEFAULTS: Options = {"axis": "PQ"}
RATE_HZ = 16_000
WINDOW_S = 10
MIN_S = 1.0
BATCH = 8


class AudioboxPmos:
    """`audiobox@FOLDER?axis=PQ`. Raises ConfigError, or WeightsMissing where the folder is not one."""

    def __init__(self, where: str | None = None, device: str = "cpu") -> None:
        place, options = with_options(
            "audiobox", require_path("audiobox", where or "", "FOLDER"), DEFAULTS
        )
        self.axis = str(options["axis"])
        if self.axis not in AXES:
            raise ConfigError(f"model audiobox@{where}: axis is one of {', '.join(AXES)}")
        self._folder = Path(place).expanduser()
        if not (self._folder / "config.json").is_file():
            raise WeightsMissing(
                f"model audiobox@{where}: no config.json there; give a local copy of "
                "facebook/audiobox-aesthetics"
            )
        if importlib.util.find_spec("audiobox_aesthetics") is None:
            raise ConfigError(
                "model audiobox needs its package: pip install --no-deps audiobox_aesthetics"
            )
        self.model_id = f"audiobox:{self._folder.resolve().name}:{self.axis}"
        self.digest = folder_digest(self._folder)
        self._device = device

    def load(self) -> None:
        """Load the network; otherwise the first use does. Raises ModelError."""
        _ = self._model

    @cached_property
    def _model(self) -> Any:
        from audiobox_aesthetics.model.aes import AesMultiOutput

        model = load_hub_mixin(AesMultiOutput, self._folder, role="p-MOS model audiobox")
        if not model.target_transform:
            raise ModelError(
                f"{self._folder}/config.json has no target_transform: no scale of scores"
            )
        return model.float().eval().to(self._device)

    def score(self, sounds: Sequence[Sound]) -> np.ndarray:
        """float32 [n], nominally 1..10, in order; NaN where a sound cannot be judged."""
        out = np.full(len(sounds), np.nan, np.float32)
        for k, sound in enumerate(sounds):
            if sane(sound, MIN_S):
                windows, share = _windows(sound.mono_at(RATE_HZ))
                out[k] = np.average(self._judge(windows, share), weights=share)
        return out

    def _judge(self, windows: np.ndarray, share: np.ndarray) -> np.ndarray:
        """Scores [n] of windows [n, T], of which the first `share` is sound."""
        import torch

        scale = self._model.target_transform[self.axis]
        size = windows.shape[1]
        found = []
        for start in range(0, len(windows), BATCH):
            wave = torch.from_numpy(windows[start : start + BATCH, None])
            kept = torch.from_numpy(np.round(share[start : start + BATCH] * size))[:, None, None]
            mask = torch.arange(size)[None, None] < kept
            with torch.inference_mode():
                made = self._model({"wav": wave.to(self._device), "mask": mask.to(self._device)})
            found.append(made[self.axis].float().cpu().numpy())
        return np.concatenate(found) * scale["std"] + scale["mean"]


def _windows(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(float32 [n, T] of ten seconds, padded; which share of each is sound)."""
    size = WINDOW_S * RATE_HZ
    starts = range(0, len(wave), size)
    windows = np.zeros((len(starts), size), np.float32)
    share = np.zeros(len(starts))
    for k, start in enumerate(starts):
        part = wave[start : start + size]
        windows[k, : len(part)] = part
        share[k] = len(part) / size
    return windows, share
