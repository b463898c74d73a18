"""Lossy codecs as degradations: a sound through MP3, Vorbis, Opus or AAC and back, aligned.

Signatures are those of `degrade.py`: `(samples, rate_hz, level, rng)`, float32 [channels, frames]
in and the same shape out, shifted back by the codec's delay. At most two channels: more raise
AudioError.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile as sf
import soxr

from ...schemas.errors import AudioError
from ..encode import encode


def peak_of(samples: np.ndarray) -> float:
    """The largest magnitude of all samples."""
    return float(np.abs(samples).max())


_PAD = 4096  # frames of silence on both sides: room for the codec's delay


def mp3(x: np.ndarray, rate_hz: int, kbps: float, rng: np.random.Generator) -> np.ndarray:
    """MP3 (LAME) at the constant rate of the format that is next to `kbps`, 32 to 320."""
    return _coded(x, rate_hz, 44100, lambda y, hz: _through_file(
        y, hz, format="MP3", subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT",
        compression_level=float(np.clip((320 - kbps) / 288, 0, 0.999)),  # exactly 1 is refused
    ))  # fmt: skip


def vorbis(x: np.ndarray, rate_hz: int, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Ogg Vorbis at `quality` 0 (64 kbit/s stereo) to 1."""
    return _coded(x, rate_hz, 44100, lambda y, hz: _through_file(
        y, hz, format="OGG", subtype="VORBIS",
        compression_level=float(np.clip(1 - quality, 0, 1)),
    ))  # fmt: skip


def opus(x: np.ndarray, rate_hz: int, kbps: float, rng: np.random.Generator) -> np.ndarray:
    """Ogg Opus at about `kbps` a channel (6 to 256)."""
    return _coded(x, rate_hz, 48000, lambda y, hz: _through_file(
        y, hz, format="OGG", subtype="OPUS",
        compression_level=float(np.clip((256 - kbps) / 250, 0, 1)),
    ))  # fmt: skip


def aac(x: np.ndarray, rate_hz: int, kbps: float, rng: np.random.Generator) -> np.ndarray:
    """AAC-LC (FFmpeg's encoder) at `kbps` over all channels."""
    return _coded(x, rate_hz, 44100, lambda y, hz: _through_aac(y, hz, kbps))


def _coded(
    x: np.ndarray, rate_hz: int, codec_hz: int, code: Callable[[np.ndarray, int], np.ndarray]
) -> np.ndarray:
    """`x` through `code` at `codec_hz` and back, shifted to where it correlates best with `x`."""
    if x.shape[0] > 2:
        raise AudioError(f"{x.shape[0]} channels cannot be coded here: give one or two")
    scale = 0.9 / max(peak_of(x), 1e-6)  # no codec sees an overload that is not in the music
    padded = np.pad(x * scale, ((0, 0), (_PAD, _PAD))).astype(np.float32)
    sent = np.atleast_2d(soxr.resample(padded.T, rate_hz, codec_hz).T)
    decoded = np.atleast_2d(soxr.resample(code(sent, codec_hz).T, codec_hz, rate_hz).T)
    decoded = np.pad(decoded, ((0, 0), (0, max(0, padded.shape[1] + _PAD - decoded.shape[1]))))
    start = _PAD + _delay(padded.mean(axis=0), decoded.mean(axis=0))
    return decoded[:, start : start + x.shape[1]] / scale


def _delay(sent: np.ndarray, decoded: np.ndarray) -> int:
    """Frames, -_PAD.._PAD, by which `decoded` comes after `sent`: the maximum of correlation."""
    size = 1 << (max(len(sent), len(decoded)) + _PAD).bit_length()
    spectrum = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(sent, size))
    correlation = np.fft.irfft(spectrum, size)
    lags = np.arange(-_PAD, _PAD + 1)
    near = correlation[lags % size]
    return int(lags[near.argmax()]) if near.max() > 0 else 0


def _through_file(samples: np.ndarray, rate_hz: int, **settings: object) -> np.ndarray:
    """`samples` written by soundfile into memory and read back, float32 [channels, frames]."""
    memory = io.BytesIO(encode(samples, rate_hz, **settings))
    return np.ascontiguousarray(sf.read(memory, dtype="float32", always_2d=True)[0].T)


def _through_aac(samples: np.ndarray, rate_hz: int, kbps: float) -> np.ndarray:
    """`samples` through FFmpeg's AAC encoder and decoder in memory, one or two channels."""
    import av

    layout = "mono" if samples.shape[0] == 1 else "stereo"
    memory = io.BytesIO()
    with av.open(memory, "w", format="adts") as out:
        stream = out.add_stream("aac", rate=rate_hz, layout=layout, bit_rate=int(kbps * 1000))
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate_hz
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    memory.seek(0)
    with av.open(memory, "r") as back:
        return np.concatenate([f.to_ndarray() for f in back.decode(audio=0)], axis=1)
