"""Decoders: libsndfile first, FFmpeg for what it does not open; frames in order, float32.

libsndfile reads wav, flac, ogg, mp3, opus, aiff and kin; FFmpeg (PyAV) the rest: m4a, aac, wma,
webm, the sound of a video. Which one a file gets depends on the file alone.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol, TypeVar

import av
import numpy as np
import soundfile as sf

from ..schemas.errors import EmptyFile, UnreadableAudio

T = TypeVar("T")

SAMPLE_EXACT = ("FLOAT", "DOUBLE", "ULAW", "ALAW")  # and PCM_*: subtypes whose seek is exact
# The containers FFmpeg may open. Not among them: playlists (hls, concat, dash), which open other
# files or never end, and raw or picture formats, which take any bytes for content.
CONTAINERS = (
    "aac,ac3,aiff,alac,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,iff,matroska,webm,mov,mp3,mp4,"
    "m4a,3gp,mpc,mpc8,mpeg,mpegts,ogg,oma,rm,tak,tta,voc,w64,wav,wv"
)
DAMAGE = (sf.LibsndfileError, av.FFmpegError, UnreadableAudio)  # what reading may raise


class Decoder(Protocol):
    """A file open for decoding: frames come out in order."""

    rate_hz: int
    channels: int
    seeks: bool  # whether `seek` finds the very samples that decoding from the start would give

    def read(self, frames: int) -> np.ndarray:
        """The next frames, float32 [channels, at most `frames`]; [channels, 0] at the end."""
        ...

    def seek(self, frame: int) -> None:
        """Make `frame` (or the end, when it lies behind it) the next one to be read."""
        ...

    def close(self) -> None: ...


class _Unsought(sf.SoundFile):
    """A SoundFile whose reads only read.

    `soundfile` seeks to its own position after each read of a seekable file; in mp3 and ogg streams
    that very seek alters the samples that follow (by up to full scale). It asks this method first.
    """

    def seekable(self) -> bool:
        return False


class SoundfileDecoder:
    """libsndfile; sought only where a seek is sample-exact."""

    def __init__(self, path: Path) -> None:
        self._file = _Unsought(os.fsencode(path))
        self.rate_hz = int(self._file.samplerate)
        self.channels = int(self._file.channels)
        subtype = self._file.subtype
        self.seeks = subtype.startswith("PCM_") or subtype in SAMPLE_EXACT

    def read(self, frames: int) -> np.ndarray:
        return self._file.read(frames, dtype="float32", always_2d=True).T

    def seek(self, frame: int) -> None:
        self._file.seek(min(frame, self._file.frames))

    def close(self) -> None:
        self._file.close()


class PyavDecoder:
    """FFmpeg: the first audio stream, decoded from its beginning; never sought."""

    seeks = False

    def __init__(self, path: Path) -> None:
        self._container = open_container(path)
        stream = self._container.streams.audio[0]
        self.rate_hz, self.channels = int(stream.rate or 0), int(stream.channels or 0)
        if self.rate_hz <= 0 or self.channels <= 0:
            self._container.close()
            raise UnreadableAudio("it names no sample rate or no channels")
        self._to_float = av.AudioResampler(format="fltp")
        self._chunks = self._decode(stream)
        self._rest = np.zeros((self.channels, 0), np.float32)

    def _decode(self, stream: av.AudioStream) -> Iterator[np.ndarray]:
        for frame in self._container.decode(stream):
            if frame.sample_rate != self.rate_hz or frame.layout.nb_channels != self.channels:
                raise UnreadableAudio(
                    f"it changes from {self.rate_hz} Hz, {self.channels} channels to "
                    f"{frame.sample_rate} Hz, {frame.layout.nb_channels} channels on the way"
                )
            if frame.format.name == "fltp":
                yield frame.to_ndarray()
            else:
                for converted in self._to_float.resample(frame):
                    yield converted.to_ndarray()

    def read(self, frames: int) -> np.ndarray:
        parts, missing = [self._rest], frames - self._rest.shape[1]
        while missing > 0 and (chunk := next(self._chunks, None)) is not None:
            parts.append(chunk)
            missing -= chunk.shape[1]
        samples = np.concatenate(parts, axis=1)
        self._rest = samples[:, frames:].copy()
        return samples[:, :frames]

    def seek(self, frame: int) -> None:
        raise NotImplementedError("an FFmpeg stream is decoded from its start: `seeks` is False")

    def close(self) -> None:
        self._container.close()


def open_container(path: Path) -> av.container.InputContainer:
    """The file as FFmpeg sees it, with at least one audio stream.

    Raises av.FFmpegError when no format is recognised, UnreadableAudio when nothing in it sounds.
    """
    # "file:" and the whitelists: neither a file's name nor what is in it may reach the network
    limits = {"protocol_whitelist": "file", "format_whitelist": CONTAINERS}
    container = av.open(f"file:{path}", options=limits, metadata_errors="replace")
    if not container.streams.audio:
        container.close()
        raise UnreadableAudio("it has no audio stream")
    return container


def refuse_unusable(path: Path) -> None:
    """Raises UnreadableAudio for what is no file to read, EmptyFile for one of zero bytes."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise UnreadableAudio(f"{path}: is not a regular file")
        path.open("rb").close()
    except OSError as error:
        raise UnreadableAudio(f"{path}: cannot be opened: {error.strerror or error}") from error
    if about.st_size == 0:
        raise EmptyFile(f"{path}: the file has zero bytes")


def open_decoder(path: Path) -> Decoder:
    """The decoder that understands the file.

    Raises EmptyFile for zero bytes; UnreadableAudio, with both decoders' reasons, when none does.
    """
    by_libsndfile: Callable[[Path], Decoder] = SoundfileDecoder
    return by_first_decoder(path, by_libsndfile, PyavDecoder)


def by_first_decoder(
    path: Path, by_libsndfile: Callable[[Path], T], by_ffmpeg: Callable[[Path], T]
) -> T:
    """What `by_libsndfile` makes of the file, or `by_ffmpeg` where libsndfile does not open it.

    Raises EmptyFile for zero bytes; UnreadableAudio, with both reasons, when neither reads it.
    """
    refuse_unusable(path)
    try:
        return by_libsndfile(path)
    except (sf.LibsndfileError, TypeError) as error:  # TypeError: a name that ends in .raw
        first = reason(error)
    try:
        return by_ffmpeg(path)
    except (av.FFmpegError, UnreadableAudio) as error:
        raise UnreadableAudio(
            f"{path}: no decoder reads it (libsndfile: {first}; FFmpeg: {reason(error)})"
        ) from error


def reason(error: Exception) -> str:
    """What a decoder reports, without the name of the file and of its own functions."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
    return str(text).removeprefix("Error : ").rstrip(".")
