"""musicnn in PyTorch: the network, its log-mel front end, and the words it was taught.

Two networks of one shape, taught on MagnaTagATune (MTT) and the Million Song Dataset (MSD). Each
hears patches of 187 log-mel frames (3 s): convolutions that span much of the spectrum ("timbral")
or much of the time ("temporal"), the maximum over frequency, three residual convolutions over
time, pooling over time, a dense layer of 200, one logit a tag.

Source: Pons & Serra 2019, arXiv 1909.06654; the weights are those of the package musicnn 0.1.0
(ISC), converted by `fetch_musicnn.py`. One deviation: the published command line passes the mel
energies through float16, which overflows on loud music; here they stay float32.

Legend of shapes: P patches, T frames of a patch, F mel bands, C channels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

RATE_HZ = 16000
FFT = 512
HOP = 256
MELS = 96
PATCH_FRAMES = 187
PATCH_SAMPLES = PATCH_FRAMES * HOP  # 47872: 2.99 s; shorter sounds are repeated up to this


# channels, frames and mel bands of each front-end filter
TIMBRAL = ((204, 7, 38), (204, 7, 67))
TEMPORAL = ((51, 128, 1), (51, 64, 1), (51, 32, 1))


class FrontBlock(nn.Module):
    """Convolution, maximum over frequency, ReLU, affine: [P, 1, T, F] -> [P, C, T]."""

    def __init__(self, channels: int, time: int, bands: int) -> None:
        super().__init__()
        self.left = (time - 1) // 2  # "same" padding puts the odd frame on the right
        self.right = time - 1 - self.left
        self.weight = _empty(channels, 1, time, bands)
        self.bias = _empty(channels)
        self.sign = _empty(channels)
        self.scale = _empty(channels)
        self.shift = _empty(channels)

    def forward(self, x: Tensor) -> Tensor:
        padded = F.pad(x, (0, 0, self.left, self.right))
        peak = F.conv2d(padded, self.weight).amax(3) + self.bias[:, None]  # [P, C, T]
        heard = F.relu(peak * self.sign[:, None])
        return heard * self.scale[:, None] + self.shift[:, None]


class MidBlock(nn.Module):
    """Convolution over time, ReLU, affine: [P, C, T] -> [P, 64, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = _empty(64, channels, 7)
        self.bias = _empty(64)
        self.scale = _empty(64)
        self.shift = _empty(64)

    def forward(self, x: Tensor) -> Tensor:
        heard = F.relu(F.conv1d(x, self.weight, self.bias, padding=3))
        return heard * self.scale[:, None] + self.shift[:, None]


class Network(nn.Module):
    """One musicnn: patches [P, T, F] -> (logits [P, 50], penultimate [P, 200])."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.ParameterDict({"scale": _empty(1), "shift": _empty(1)})
        self.timbral = nn.ModuleList(FrontBlock(*size) for size in TIMBRAL)
        self.temporal = nn.ModuleList(FrontBlock(*size) for size in TEMPORAL)
        self.mid = nn.ModuleList((MidBlock(561), MidBlock(64), MidBlock(64)))
        self.dense = nn.ParameterDict(
            {"weight": _empty(200, 1506), "bias": _empty(200)}
            | {"scale": _empty(200), "shift": _empty(200)}
        )
        self.out = nn.ParameterDict({"weight": _empty(50, 200), "bias": _empty(50)})

    def forward(self, patches: Tensor) -> tuple[Tensor, Tensor]:
        x = (patches * self.input["scale"] + self.input["shift"])[:, None]  # [P, 1, T, F]
        front = torch.cat([block(x) for block in (*self.timbral, *self.temporal)], 1)
        first = self.mid[0](front)
        second = self.mid[1](first) + first
        third = self.mid[2](second) + second
        heard = torch.cat([front, first, second, third], 1)  # [P, 753, T]
        pooled = torch.stack([heard.amax(2), heard.mean(2)], 2).flatten(1)  # [P, 1506]
        hidden = F.relu(F.linear(pooled, self.dense["weight"], self.dense["bias"]))
        hidden = hidden * self.dense["scale"] + self.dense["shift"]
        return F.linear(hidden, self.out["weight"], self.out["bias"]), hidden


def patches_of(samples: np.ndarray, fbank: Tensor) -> Tensor:
    """The log-mel patches of a mono sound at 16 kHz, float32 [P, 187, 96].

    Patches do not overlap and a tail shorter than a patch is not heard, as published. A sound
    shorter than one patch is repeated up to one patch, as in the training of the weights.
    """
    if len(samples) < PATCH_SAMPLES:
        samples = np.resize(samples, PATCH_SAMPLES)  # repeats
    wave = torch.from_numpy(np.ascontiguousarray(samples, np.float32))
    spectrum = torch.stft(
        wave, FFT, HOP, window=torch.hann_window(FFT), pad_mode="reflect", return_complex=True
    )
    power = spectrum.real.square() + spectrum.imag.square()  # [257, frames]
    logmel = torch.log10(10000 * (power.T @ fbank) + 1)
    count = len(logmel) // PATCH_FRAMES
    return logmel[: count * PATCH_FRAMES].reshape(count, PATCH_FRAMES, MELS)


def mel_bank() -> Tensor:
    """Slaney's mel filters, float32 [257, 96]."""
    import librosa

    bank = librosa.filters.mel(sr=RATE_HZ, n_fft=FFT, n_mels=MELS)  # [96, 257]
    return torch.from_numpy(np.ascontiguousarray(bank.T, np.float32))


def load(file: Path) -> Network:
    """One network, at rest, from a file that `fetch_musicnn.convert` made."""
    from safetensors.torch import load_file

    network = Network()
    network.load_state_dict(load_file(file))
    return network.eval()


def _empty(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*shape), requires_grad=False)
