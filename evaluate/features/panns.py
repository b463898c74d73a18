"""CNN14 of PANNs from a converted checkpoint: embeddings of a clip, and logits of its classes.

Kong et al. 2020, arXiv 1912.10211 (section III, table I): 64 log-mel bands, batch normalisation per
band, six blocks of two 3 x 3 convolutions with average pooling, the mean over bands, maximum plus
mean over time, one dense layer. The row of a clip is that layer after its ReLU (2048 numbers);
logits are those before the sigmoid (527 AudioSet classes). `panns@FILE` reads a safetensors file
with the tensor names of the authors' Cnn14 (bn0, conv_block1..6, fc1, fc_audioset), made by
`qamdt-evaluate convert panns Cnn14.pth FILE`. The rate, 16 or 32 kHz, stands in its metadata.

Style `audioldm`: the first channel less its mean, filled with zeros up to 32,000 samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...models.ref import require_path
from ...schemas.errors import ModelError, WeightsMissing
from ...schemas.hashing import hash_weights
from .vggish import load_tensors
from .windows import Embedding, one_row, wave_of

BLOCKS = (1, 2, 3, 4, 5, 6)
MELS, LOW_HZ = 64, 50.0
FRONT = {  # rate in Hz: FFT, hop, highest frequency of a band
    8000: (256, 80, 4000.0),
    16000: (512, 160, 8000.0),
    32000: (1024, 320, 14000.0),
}
LEAST_SAMPLES = 32000
NORM_EPS = 1e-5


class PannsEmbedder:
    """`panns@FILE`: one row and logits a clip. Raises WeightsMissing, ModelError."""

    def __init__(self, where: str, device: str = "cpu", style: str = "native") -> None:
        self._file = Path(require_path("panns", where, "FILE"))
        if not self._file.is_file():
            raise WeightsMissing(
                f"model panns@{where}: no such file; make it with `qamdt-evaluate convert panns "
                "Cnn14_mAP=0.431.pth FILE`"
            )
        self.rate_hz, classes = _about(self._file)
        self.model_id = f"panns-cnn14:{self._file.stem}"
        self.digest = hash_weights([self._file])[:16]
        self.classes = tuple(f"audioset {k}" for k in range(classes))
        self._device, self._style = device, style
        self.front_end: dict[str, Any] = {
            "rate_hz": self.rate_hz,
            "mono": "first channel less its mean" if style == "audioldm" else "mean of channels",
            "window": "whole clip, zeros up to 32000 samples",
            "pooling": "the network's own, one row a clip",
            "gain": "none",
        }

    def load(self) -> None:
        """Load; silence shows whether the tensors fit one another. Raises ModelError."""
        silence = Sound(np.zeros((1, LEAST_SAMPLES), np.float32), self.rate_hz)
        try:
            self._one(silence)
        except RuntimeError as error:
            raise ModelError(f"{self._file}: shapes of its tensors do not fit: {error}") from error

    @cached_property
    def _tensors(self) -> dict[str, Any]:
        return load_tensors(self._file, tensor_names(), "panns", self._device)

    def embed(self, sounds: Sequence[Sound]) -> list[Embedding]:
        return [self._one(sound) for sound in sounds]

    def _one(self, sound: Sound) -> Embedding:
        import torch
        import torch.nn.functional as F

        wave = wave_of(sound, self.rate_hz, first_channel=self._style == "audioldm")
        wave = np.pad(wave, (0, max(0, LEAST_SAMPLES - len(wave))))
        t = self._tensors
        with torch.inference_mode():
            x = torch.from_numpy(log_mel(wave, self.rate_hz)).to(self._device)[None, None]
            x = _norm(x.transpose(1, 3), "bn0", t).transpose(1, 3)  # [1, 1, frames, 64]
            for k in BLOCKS:
                x = _block(x, f"conv_block{k}", t)
                if k != BLOCKS[-1]:
                    x = F.avg_pool2d(x, 2)
            x = x.mean(3)  # [1, C, frames]
            x = x.amax(2) + x.mean(2)
            hidden = F.relu(F.linear(x, t["fc1.weight"], t["fc1.bias"]))
            logits = F.linear(hidden, t["fc_audioset.weight"], t["fc_audioset.bias"])
            return Embedding(
                one_row(hidden[0].float().cpu().numpy()), logits[0].float().cpu().numpy()
            )


def _block(x: Any, name: str, t: dict[str, Any]) -> Any:
    import torch.nn.functional as F

    for k in (1, 2):
        x = F.conv2d(x, t[f"{name}.conv{k}.weight"], padding=1)
        x = F.relu(_norm(x, f"{name}.bn{k}", t))
    return x


def _norm(x: Any, name: str, t: dict[str, Any]) -> Any:
    import torch.nn.functional as F

    return F.batch_norm(
        x, t[f"{name}.running_mean"], t[f"{name}.running_var"], t[f"{name}.weight"],
        t[f"{name}.bias"], False, 0.0, NORM_EPS,
    )  # fmt: skip


def log_mel(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Power in mel bands, in dB with a floor at -100: float32 [frames, 64]."""
    fft, hop, _ = FRONT[rate_hz]
    padded = np.pad(wave.astype(np.float64), fft // 2, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, fft)[::hop]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(fft) / fft)
    power = np.abs(np.fft.rfft(frames * hann)) ** 2
    bands: np.ndarray = 10 * np.log10(np.maximum(power @ _bank(rate_hz), 1e-10))
    return bands.astype(np.float32)


@lru_cache(maxsize=3)
def _bank(rate_hz: int) -> np.ndarray:
    """Slaney's mel bands, float64 [fft / 2 + 1, 64]."""
    import librosa

    fft, _, high = FRONT[rate_hz]
    bank: np.ndarray = librosa.filters.mel(
        sr=rate_hz, n_fft=fft, n_mels=MELS, fmin=LOW_HZ, fmax=high
    ).T
    return bank.astype(np.float64)


def tensor_names() -> list[str]:
    """The tensors that a checkpoint must have."""
    norm = ("weight", "bias", "running_mean", "running_var")
    blocks = [f"conv_block{k}" for k in BLOCKS]
    return [
        *(f"bn0.{part}" for part in norm),
        *(f"{b}.conv{k}.weight" for b in blocks for k in (1, 2)),
        *(f"{b}.bn{k}.{part}" for b in blocks for k in (1, 2) for part in norm),
        *(f"{layer}.{part}" for layer in ("fc1", "fc_audioset") for part in ("weight", "bias")),
    ]


def _about(file: Path) -> tuple[int, int]:
    """(rate in Hz, classes) of a converted checkpoint."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "np") as opened:
            rate_hz = int((opened.metadata() or {}).get("rate_hz", "0"))
            classes = opened.get_slice("fc_audioset.weight").get_shape()[0]
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file} is no PANNs checkpoint of ours: {error}") from error
    if rate_hz not in FRONT:
        raise ModelError(f"{file}: rate_hz = {rate_hz} in its metadata; expected {[*FRONT]}")
    return rate_hz, classes
