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

from ..fetch.pretrained import load_safetensors

RATE_HZ = 16000
FFT = 512
HOP = 256
MELS = 96
PATCH_FRAMES = 187
PATCH_SAMPLES = PATCH_FRAMES * HOP  # 47872: 2.99 s; shorter sounds are repeated up to this


# channels, frames and mel bands of each front-end filter
TIMBRAL = ((204, 7, 38), (204, 7, 67))
FRAMES_AT_ONCE, STEP = 24, 8  # sizes of the work at a time: what fits a processor's cache
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
        peak = self.peak(F.pad(x, (0, 0, self.left, self.right)))
        rectified = F.relu((peak + self.bias[:, None]) * self.sign[:, None])
        return rectified * self.scale[:, None] + self.shift[:, None]

    def peak(self, padded: Tensor) -> Tensor:
        """The maximum over frequency of the convolution: [P, 1, T + time - 1, F] -> [P, C, T]."""
        return F.conv2d(padded, self.weight).amax(3)


class WideBlock(FrontBlock):
    """The same for filters that span many bands, by Fourier transform over the bands: half the time.

    A filter of K bands over F is a product in the frequency domain of length F, where nothing wraps
    round in the F - K + 1 places that are asked for. Counted from their middle, the places u and -u
    are the sum and the difference of a cosine and a sine part, so their maximum is
    cosine + |sine|, and half the places are enough. Equal to the plain form to rounding.
    """

    def peak(self, padded: Tensor) -> Tensor:
        patches, _, long, bands = padded.shape
        channels, _, time, _ = self.weight.shape
        frames, bins = long - time + 1, bands // 2 + 1
        parts = torch.view_as_real(torch.fft.rfft(padded[:, 0]))  # [P, long, bins, 2]
        near = parts.unfold(1, time, 1)  # [P, T, bins, 2, time]
        near = near.permute(2, 0, 1, 3, 4).reshape(bins, patches * frames, 2 * time)
        filters, cosine, sine = self._spectra(bands)
        found = []
        for some in near.split(FRAMES_AT_ONCE, 1):
            real, imaginary = (torch.bmm(some, f).view(bins, -1) for f in filters)
            peak = (cosine @ real).add_((sine @ imaginary).abs_()).amax(0)
            found.append(peak.view(-1, channels))
        return torch.cat(found).view(patches, frames, channels).transpose(1, 2)

    def _spectra(self, bands: int) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
        """Filters as matrices [bins, 2 * time, C] for the real and the imaginary part of the
        product; cosines and sines [places, bins] back to the upper half of the places."""
        if self._kept is not None and self._kept[1].device == self.weight.device:
            return self._kept
        span = self.weight.shape[3]
        middle = (bands - span) / 2
        w = torch.arange(bands // 2 + 1, dtype=torch.float64, device=self.weight.device)
        phase_step = 2 * torch.pi * w / bands
        times = (2 - ((w == 0) | (w == bands // 2)).double()) / bands  # both signs of w
        shifted = torch.fft.rfft(self.weight[:, 0].double(), n=bands).conj()
        shifted = shifted * torch.polar(times, phase_step * middle)  # [C, time, bins]
        real, imaginary = shifted.real.permute(2, 1, 0), shifted.imag.permute(2, 1, 0)
        filters = torch.cat([real, -imaginary], 1), torch.cat([imaginary, real], 1)
        places = torch.arange(middle % 1, middle + 1, dtype=torch.float64, device=w.device)
        angle = places[:, None] * phase_step
        self._kept = (
            (filters[0].float(), filters[1].float()), angle.cos().float(), angle.sin().float()
        )  # fmt: skip
        return self._kept

    _kept: tuple[tuple[Tensor, Tensor], Tensor, Tensor] | None = None


class LongBlock(FrontBlock):
    """The same for filters of one band and many frames, as one product of matrices.

    `STEP` frames are answered by one row, so a row of samples is copied once for all of them.
    Equal to the plain form to rounding.
    """

    def peak(self, padded: Tensor) -> Tensor:
        patches, _, long, bands = padded.shape
        channels, _, time, _ = self.weight.shape
        frames = long - time + 1
        rows = -(-frames // STEP)
        by_band = F.pad(padded[:, 0], (0, 0, 0, rows * STEP - frames)).transpose(1, 2).contiguous()
        windows = by_band.unfold(2, time + STEP - 1, STEP)  # [P, F, rows, time + STEP - 1]
        filters = self.weight.new_zeros(time + STEP - 1, STEP, channels)
        for step in range(STEP):
            filters[step : step + time, step] = self.weight[:, 0, :, 0].T
        filters = filters.flatten(1)
        found = [(of_one.flatten(0, 1) @ filters).view(bands, -1).amax(0) for of_one in windows]
        return torch.stack(found).view(patches, -1, channels)[:, :frames].transpose(1, 2)


class MidBlock(nn.Module):
    """Convolution over time, ReLU, affine: [P, C, T] -> [P, 64, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = _empty(64, channels, 7)
        self.bias = _empty(64)
        self.scale = _empty(64)
        self.shift = _empty(64)

    def forward(self, x: Tensor) -> Tensor:
        rectified = F.relu(F.conv1d(x, self.weight, self.bias, padding=3))
        return rectified * self.scale[:, None] + self.shift[:, None]


class Network(nn.Module):
    """One musicnn: patches [P, T, F] -> (logits [P, 50], penultimate [P, 200])."""

    def __init__(self) -> None:
        super().__init__()
        self.input = nn.ParameterDict({"scale": _empty(1), "shift": _empty(1)})
        self.timbral = nn.ModuleList(WideBlock(*size) for size in TIMBRAL)
        self.temporal = nn.ModuleList(LongBlock(*size) for size in TEMPORAL)
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
        features = torch.cat([front, first, second, third], 1)  # [P, 753, T]
        pooled = torch.stack([features.amax(2), features.mean(2)], 2).flatten(1)  # [P, 1506]
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
    network = Network()
    load_safetensors(network, file, role="tagger musicnn")
    return network.eval()


def _empty(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.empty(*shape), requires_grad=False)
