"""File facts from the header, before anything is decoded, and the tags.

The duration is the header's. For most files it is what decoding gives; of a truncated file, or one
whose header lies, the windows behind the true end become EndOfAudio rows when they are read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import av
import soundfile as sf

from ..schemas.errors import UnreadableAudio
from .decode import BLOCK
from .decoders import DAMAGE, by_first_decoder, open_container, open_decoder, reason

# Our name of a tag, and the names files have for it, best first.
TAGS = {
    "title": ("title",),
    "artist": ("artist", "author", "album_artist", "performer"),
    "album": ("album",),
    "genre": ("genre",),
    "comment": ("comment", "description"),
    "date": ("date", "year", "creation_time"),
    "licence": ("license", "licence", "copyright"),
}
# Streams without a header: FFmpeg's duration is a guess from the bit rate, so packets are counted.
HEADERLESS = {"aac", "ac3", "eac3", "dts"}
UNKNOWN_FRAMES = 2**62  # libsndfile's answer for a FLAC stream whose header leaves the length open


@dataclass(frozen=True)
class AudioInfo:
    """A file, not decoded.

    duration_s: of the header. rate_hz: samples a second. channels: 1 or more.
    codec, container: lower-case names ("mp3" in "mp3", "vorbis" in "ogg", "pcm_16" in "wav").
    tags: those of `TAGS` that the file has, stripped, never empty.
    """

    duration_s: float
    rate_hz: int
    channels: int
    codec: str
    container: str
    tags: Mapping[str, str] = field(default_factory=dict)


def probe(path: str | Path) -> AudioInfo:
    """The facts of one file, from the decoder that `read_windows` would take.

    Raises EmptyFile for zero bytes, UnreadableAudio for what cannot be opened as audio.
    """
    return by_first_decoder(Path(path), _by_soundfile, _by_ffmpeg)


def _by_soundfile(path: Path) -> AudioInfo:
    with sf.SoundFile(os.fsencode(path)) as file:
        frames, rate_hz, channels = file.frames, int(file.samplerate), int(file.channels)
        container, subtype = file.format.lower(), file.subtype.lower()
        tags: dict[str, str] = file.copy_metadata()
    if frames >= UNKNOWN_FRAMES:
        frames = _counted(path)
    try:
        with open_container(path) as media:  # knows more kinds of tags than libsndfile
            tags |= media.metadata | media.streams.audio[0].metadata
    except (av.FFmpegError, UnreadableAudio):
        pass  # libsndfile alone reads this file: its tags are those there are
    codec = {"mpeg_layer_iii": "mp3"}.get(subtype, subtype)
    return AudioInfo(
        duration_s=_positive(path, frames / rate_hz),
        rate_hz=rate_hz,
        channels=channels,
        codec="flac" if container == "flac" else codec,
        container=container,
        tags=_known(tags),
    )


def _by_ffmpeg(path: Path) -> AudioInfo:
    with open_container(path) as media:
        stream = media.streams.audio[0]
        container = media.format.name.split(",")[0]
        if container in HEADERLESS:
            seconds = _packets(media, stream)
        elif stream.duration is not None and stream.time_base is not None:
            seconds = float(stream.duration * stream.time_base)
        elif media.duration is not None:
            seconds = media.duration / av.time_base
        else:
            seconds = _packets(media, stream)
        rate_hz, channels = int(stream.rate or 0), int(stream.channels or 0)
        if rate_hz <= 0 or channels <= 0:
            raise UnreadableAudio("it names no sample rate or no channels")
        return AudioInfo(
            duration_s=_positive(path, seconds),
            rate_hz=rate_hz,
            channels=channels,
            codec=stream.codec_context.codec.canonical_name,
            container=container,
            tags=_known(media.metadata | stream.metadata),
        )


def _packets(media: av.container.InputContainer, stream: av.AudioStream) -> float:
    """Seconds of the stream, from the durations of its packets; nothing is decoded."""
    ticks = sum(packet.duration or 0 for packet in media.demux(stream))
    return float(ticks * stream.time_base) if stream.time_base is not None else 0.0


def _counted(path: Path) -> int:
    """Frames of a file whose header does not tell, by decoding it."""
    decoder = open_decoder(path)
    frames = 0
    try:
        while (got := decoder.read(BLOCK).shape[1]) > 0:
            frames += got
    except DAMAGE as error:
        raise UnreadableAudio(f"{path}: damaged: {reason(error)}") from error
    finally:
        decoder.close()
    return frames


def _positive(path: Path, seconds: float) -> float:
    if seconds <= 0:
        raise UnreadableAudio(f"{path}: it holds no audio frames")
    return seconds


def _known(metadata: Mapping[str, str]) -> dict[str, str]:
    """Of all tags of a file those that `TAGS` names, by our names."""
    lower = {key.lower(): value.replace("\0", " ").strip() for key, value in metadata.items()}
    values = {name: [lower[key] for key in keys if lower.get(key)] for name, keys in TAGS.items()}
    return {name: first[0] for name, first in values.items() if first}
