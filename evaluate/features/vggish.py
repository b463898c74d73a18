"""VGGish from a converted checkpoint, for FAD as Kilgour et al. and AudioLDM's evaluation made it.

The network (Hershey et al. 2017, arXiv 1609.09430; the sizes are those of its released form) takes
.96 s: 96 frames of 64 log-mel bands; six convolutions, three dense layers, 128 numbers, without the
last ReLU and without PCA. `vggish@FILE` reads a safetensors file with the tensors

    features.{0,3,6,8,11,13}.{weight,bias}    convolutions, 3 x 3        embeddings.{0,2,4}.{weight,bias}

the names of the PyTorch port torchvggish, whose .pth file `qamdt-evaluate convert vggish` turns
into one. Channel counts and widths are read from the tensors.

Styles: `native`, `fadtk` mean of channels, .96 s without overlap; `audioldm` the first channel less
its mean; `musicgen` (Google's script) the file over max(its maximum, .1), 1 s every .5 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...models.fetch.pretrained import read_safetensors
from ...models.ref import require_path
from ...schemas.errors import EndOfAudio, ModelError, WeightsMissing
from ...schemas.hashing import hash_weights
from .windows import Embedding, wave_of

RATE_HZ = 16000
WINDOW, HOP, FFT = 400, 160, 512
MELS, LOW_HZ, HIGH_HZ = 64, 125.0, 7500.0
OFFSET = 0.01  # added before the logarithm
FRAMES = 96
CONVOLUTIONS = (0, 3, 6, 8, 11, 13)
POOLED = (0, 3, 8, 13)  # convolutions that are followed by 2 x 2 maximum pooling
DENSE = (0, 2, 4)
AT_ONCE = 16  # examples in a forward pass


class VggishEmbedder:
    """`vggish@FILE`: a row per example. Raises WeightsMissing where FILE is not there."""

    classes: tuple[str, ...] = ()

    def __init__(self, where: str, device: str = "cpu", style: str = "native") -> None:
        self._file = Path(require_path("vggish", where, "FILE"))
        if not self._file.is_file():
            raise WeightsMissing(
                f"model vggish@{where}: no such file; make it with `qamdt-evaluate convert vggish "
                "vggish.pth FILE`"
            )
        self.model_id = f"vggish:{self._file.stem}"
        self.digest = hash_weights([self._file])[:16]
        self._device, self._style = device, style
        google = style == "musicgen"
        self.front_end: dict[str, Any] = {
            "rate_hz": RATE_HZ,
            "mono": "first channel less its mean" if style == "audioldm" else "mean of channels",
            "window": "1 s every .5 s" if google else "0.96 s, no overlap",
            "tail": "dropped",
            "pooling": "none, one row a window",
            "gain": "over max(maximum, .1)" if google else "none",
        }

    def load(self) -> None:
        """Load; an example of silence shows whether the tensors fit one another. Raises ModelError."""
        try:
            self._forward(np.zeros((1, FRAMES, MELS), np.float32))
        except RuntimeError as error:
            raise ModelError(f"{self._file}: shapes of its tensors do not fit: {error}") from error

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        return load_tensors(self._file, tensor_names(), "vggish", self._device)

    def embed(self, sounds: Sequence[Sound]) -> list[Embedding]:
        return [Embedding(self._one(sound), None) for sound in sounds]

    def _one(self, sound: Sound) -> np.ndarray:
        wave = wave_of(sound, RATE_HZ, first_channel=self._style == "audioldm")
        if self._style == "musicgen":
            wave = wave / max(float(wave.max()), 0.1)
            starts = range(0, len(wave) - RATE_HZ + 1, RATE_HZ // 2)
            parts = [examples(wave[start : start + RATE_HZ]) for start in starts]
            batch = np.concatenate([np.zeros((0, FRAMES, MELS), np.float32), *parts])
        else:
            batch = examples(wave)
        if len(batch) == 0:
            raise EndOfAudio(
                f"{sound.name or 'a sound'}: {sound.duration_s:.2f} s are less than one window of "
                "VGGish"
            )
        return np.concatenate(
            [self._forward(batch[at : at + AT_ONCE]) for at in range(0, len(batch), AT_ONCE)]
        )

    def _forward(self, batch: np.ndarray) -> np.ndarray:
        import torch
        import torch.nn.functional as F

        t = self._tensors
        with torch.inference_mode():
            x = torch.from_numpy(batch).to(self._device)[:, None]  # [B, 1, 96, 64]
            for k in CONVOLUTIONS:
                x = F.relu(
                    F.conv2d(x, t[f"features.{k}.weight"], t[f"features.{k}.bias"], padding=1)
                )
                if k in POOLED:
                    x = F.max_pool2d(x, 2)
            x = x.permute(0, 2, 3, 1).flatten(1)  # time, band, channel: the order of its training
            for k in DENSE:
                x = F.linear(x, t[f"embeddings.{k}.weight"], t[f"embeddings.{k}.bias"])
                x = F.relu(x) if k != DENSE[-1] else x
            return np.asarray(x.float().cpu().numpy())


def examples(wave: np.ndarray) -> np.ndarray:
    """Log-mel examples of a wave at 16 kHz: float32 [examples, 96, 64], a tail being dropped."""
    count = 1 + (len(wave) - WINDOW) // HOP if len(wave) >= WINDOW else 0
    if count < FRAMES:
        return np.zeros((0, FRAMES, MELS), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(wave.astype(np.float64), WINDOW)[::HOP]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    spectrum = np.abs(np.fft.rfft(frames[:count] * hann, FFT))
    logmel = np.log(spectrum @ mel_bank() + OFFSET)
    n_examples = count // FRAMES
    return logmel[: n_examples * FRAMES].reshape(n_examples, FRAMES, MELS).astype(np.float32)


@lru_cache(maxsize=1)
def mel_bank() -> np.ndarray:
    """Triangles in HTK's mel scale, float64 [257, 64], straight in mel, nothing at 0 Hz."""
    bins = _mel(np.linspace(0, RATE_HZ / 2, FFT // 2 + 1))
    edges = np.linspace(_mel(LOW_HZ), _mel(HIGH_HZ), MELS + 2)
    left, middle, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins[:, None] - left) / (middle - left)
    falling = (right - bins[:, None]) / (right - middle)
    bank = np.maximum(0, np.minimum(rising, falling))
    bank[0] = 0
    return bank


def _mel(hz: Any) -> Any:
    return 1127.0 * np.log(1 + np.asarray(hz) / 700.0)


def tensor_names() -> list[str]:
    """The tensors that a checkpoint must have."""
    parts = [f"features.{k}" for k in CONVOLUTIONS] + [f"embeddings.{k}" for k in DENSE]
    return [f"{part}.{kind}" for part in parts for kind in ("weight", "bias")]


def load_tensors(file: Path, names: Sequence[str], kind: str, device: str) -> dict[str, Any]:
    """The named tensors of a safetensors file, float32. Raises ModelError where some are missing."""
    state = read_safetensors(file, role=f"embedder {kind}", device=device)
    if missing := sorted(set(names) - state.keys()):
        raise ModelError(f"{file} is no {kind} checkpoint of ours: it lacks {', '.join(missing)}")
    return {name: state[name].float() for name in names}
