"""Decoding: explicit windows of a file, the same samples whatever else is read with them.

A seek inside a lossy stream (mp3, vorbis, opus, aac) lands on other samples than a decode from the
start would give. So lossy files are decoded from the start, block by block, and what lies before a
window is thrown away; uncompressed files and FLAC, whose seek is exact, are sought.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np

from ..schemas.errors import AudioError, EndOfAudio, UnreadableAudio
from .decoders import DAMAGE, open_decoder, reason
from .sound import Sound

BLOCK = 65_536  # frames a read: a file of any length needs no more memory than its windows
END_TOLERANCE_S = 0.05  # header rounding and codec padding: the last window may lack this much


def read_windows(
    path: str | Path, windows: Sequence[tuple[float, float]]
) -> Iterator[Sound | AudioError]:
    """One Sound, or the AudioError in its place, per window (start_s, duration_s), in order.

    A window is the frames from round(start_s * rate), round(duration_s * rate) of them. The file is
    opened once. Starts must not descend (ValueError); windows may overlap. Up to 0.05 s may be
    missing from a window at the end of the file; where more is, its item is an EndOfAudio. Behind a
    damaged spot of a lossy file every item is UnreadableAudio: its place in time is not known.
    """
    starts = [start for start, _ in windows]
    if any(later < earlier for earlier, later in pairwise(starts)):
        raise ValueError(f"{path}: windows must come in ascending order of start, got {starts}")
    return _read(Path(path), windows)


def decode_window(path: str | Path, start_s: float, duration_s: float) -> Sound:
    """One window of a file; raises what `read_windows` would have yielded for it."""
    (item,) = read_windows(path, [(start_s, duration_s)])
    if isinstance(item, AudioError):
        raise item
    return item


def _read(path: Path, windows: Sequence[tuple[float, float]]) -> Iterator[Sound | AudioError]:
    try:
        cutter = _Cutter(path)
    except AudioError as error:
        yield from (error for _ in windows)
        return
    with closing(cutter):
        for start_s, duration_s in windows:
            item: Sound | AudioError
            try:
                item = cutter.window(start_s, duration_s)
            except AudioError as error:
                item = error
            yield item


class _Cutter:
    """Cuts windows with ascending starts out of one file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._decoder = open_decoder(path)
        self._start = 0  # frame number of the first frame kept, in a file that is not sought
        self._kept = np.zeros((self._decoder.channels, 0), np.float32)
        self._damage: AudioError | None = None

    def close(self) -> None:
        self._decoder.close()

    def window(self, start_s: float, duration_s: float) -> Sound:
        """The window as a Sound; raises AudioError."""
        rate_hz = self._decoder.rate_hz
        name = f"{self._path}: [{start_s} s, + {duration_s} s]"
        if not (math.isfinite(start_s) and math.isfinite(duration_s)):
            raise AudioError(f"{name} is no stretch of audio")
        start, frames = round(start_s * rate_hz), round(duration_s * rate_hz)
        if start < 0 or frames < 1:
            raise AudioError(f"{name} is no stretch of audio")
        samples = self._cut(start, frames)
        got = samples.shape[1]
        if got == 0 or frames - got > END_TOLERANCE_S * rate_hz:
            raise EndOfAudio(
                f"{name} asks for {frames} frames at {rate_hz} Hz; the file has {got} there"
            )
        if not np.isfinite(samples).all():
            raise UnreadableAudio(f"{name} has samples that are NaN or infinite")
        return Sound(samples, rate_hz, name=str(self._path))

    def _cut(self, start: int, frames: int) -> np.ndarray:
        """Frames [start, start + frames), float32 [channels, fewer at the end of the file]."""
        if self._damage is not None:
            raise self._damage
        try:
            return self._sought(start, frames) if self._decoder.seeks else self._met(start, frames)
        except DAMAGE as error:
            failure = UnreadableAudio(f"{self._path}: damaged: {reason(error)}")
            if self._decoder.seeks:  # a decoder that failed once may not seek again: a new one
                self._decoder.close()
                self._decoder = open_decoder(self._path)
            else:
                self._damage = failure
            raise failure from error

    def _sought(self, start: int, frames: int) -> np.ndarray:
        # Also where the position is right already: a window must not depend on the one before.
        self._decoder.seek(start)
        return self._next(frames)

    def _met(self, start: int, frames: int) -> np.ndarray:
        while (behind := self._start + self._kept.shape[1]) < start:
            self._start, self._kept = behind, self._decoder.read(min(start - behind, BLOCK))
            if self._kept.shape[1] == 0:
                return self._kept
        kept = self._kept[:, start - self._start :]
        rest = self._next(frames - kept.shape[1])
        self._start, self._kept = start, np.concatenate([kept, rest], axis=1)
        return self._kept[:, :frames].copy()

    def _next(self, frames: int) -> np.ndarray:
        """The next `frames` frames of the decoder, contiguous, fewer at the end of the file."""
        parts, missing = [np.zeros((self._decoder.channels, 0), np.float32)], frames
        while missing > 0 and (part := self._decoder.read(min(missing, BLOCK))).shape[1] > 0:
            parts.append(part)
            missing -= part.shape[1]
        return np.ascontiguousarray(np.concatenate(parts, axis=1))
