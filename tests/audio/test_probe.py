"""File facts: what the header says agrees with what decoding gives, and tags keep our names."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from builders import music, sine, text_as_audio, truncated, write, zero_byte

from qamdt.audio.decode import read_windows
from qamdt.audio.probe import probe
from qamdt.schemas.errors import EmptyFile, EndOfAudio, UnreadableAudio


@pytest.mark.parametrize(
    ("suffix", "codec", "container"),
    [
        ("wav", "pcm_16", "wav"),
        ("flac", "flac", "flac"),
        ("aiff", "pcm_16", "aiff"),
        ("ogg", "vorbis", "ogg"),
        ("opus", "opus", "ogg"),
        ("mp3", "mp3", "mp3"),
    ],
)
def test_facts(tmp_path, suffix, codec, container):
    info = probe(write(tmp_path / f"a.{suffix}", sine(3.0, rate_hz=48_000), 48_000))
    assert info.duration_s == pytest.approx(3.0, abs=1e-6)
    assert (info.rate_hz, info.channels) == (48_000, 2)
    assert (info.codec, info.container) == (codec, container)


def coded(path: Path, codec: str, **metadata: str) -> Path:
    """A 3 s tone, mono, encoded by FFmpeg with these tags."""
    with av.open(str(path), "w") as out:
        out.metadata.update(metadata)
        stream = out.add_stream(codec, rate=44_100, layout="mono")
        frame = av.AudioFrame.from_ndarray(sine(3.0, channels=1), format="fltp", layout="mono")
        frame.sample_rate = 44_100
        fifo = av.AudioFifo()
        fifo.write(frame)
        while (part := fifo.read(1024, partial=True)) is not None:
            out.mux(stream.encode(part))
        out.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(("suffix", "codec"), [("m4a", "aac"), ("aac", "aac"), ("mka", "aac")])
def test_facts_by_ffmpeg(tmp_path, suffix, codec):
    """Also where the file has no header: raw AAC is counted, not guessed from its bit rate."""
    info = probe(coded(tmp_path / f"a.{suffix}", "aac"))
    assert info.duration_s == pytest.approx(3.0, abs=0.06)
    assert (info.rate_hz, info.channels, info.codec) == (44_100, 1, codec)


def test_a_stream_whose_header_does_not_tell_its_length(tmp_path):
    """FLAC written to a pipe has 0 total samples: the frames are counted."""
    path = write(tmp_path / "a.flac", music(2.0))
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert probe(path).duration_s == pytest.approx(2.0, abs=1e-6)
    assert not isinstance(next(read_windows(path, [(1.0, 1.0)])), Exception)


TAGS = {
    "title": 'Say "Ærø" & <b>go</b>',
    "artist": "Muldjord",
    "album": "None; DROP",
    "genre": "Death Metal",
    "comment": "recorded\nat home",
    "date": "2006",
}


@pytest.mark.parametrize(
    ("suffix", "codec"), [("m4a", "aac"), ("mp3", "libmp3lame"), ("mka", "aac")]
)
def test_tags_by_ffmpeg(tmp_path, suffix, codec):
    info = probe(coded(tmp_path / f"a.{suffix}", codec, encoder="noise", **TAGS))
    assert dict(info.tags) == TAGS


@pytest.mark.parametrize("suffix", ["ogg", "opus", "flac"])
def test_tags_of_vorbis_comments(tmp_path, suffix):
    kind = {"ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "flac": ("FLAC", "PCM_16")}[suffix]
    with soundfile.SoundFile(
        tmp_path / "a.x", "w", 48_000, 1, format=kind[0], subtype=kind[1]
    ) as file:
        file.title, file.artist, file.license = "T", "A", "CC-BY-SA-4.0"
        file.write(np.zeros(48_000))
    assert dict(probe(tmp_path / "a.x").tags) == {
        "title": "T",
        "artist": "A",
        "licence": "CC-BY-SA-4.0",
    }


def test_no_tags(tmp_path):
    assert dict(probe(write(tmp_path / "a.wav", sine(1.0))).tags) == {}


def test_what_cannot_be_probed(tmp_path):
    empty = tmp_path / "frames0.wav"
    soundfile.write(empty, np.zeros((0, 2)), 44_100)
    with pytest.raises(EmptyFile, match="zero bytes"):
        probe(zero_byte(tmp_path / "zero.wav"))
    for path in (text_as_audio(tmp_path / "t.mp3"), tmp_path, tmp_path / "none.wav", empty):
        with pytest.raises(UnreadableAudio, match=str(path)):
            probe(path)


def test_permission_denied_is_said_clearly(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", sine(1.0))

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)  # mode bits do not stop root
    with pytest.raises(UnreadableAudio, match=r"a\.wav: cannot be opened: Permission denied"):
        probe(path)


def test_a_header_that_lies_shows_when_read(tmp_path):
    """A cut MP3 still claims its 10 s; the windows behind the cut say so when they are read."""
    path = truncated(tmp_path / "cut.mp3", 10.0, keep=0.4)
    assert probe(path).duration_s == pytest.approx(10.0, abs=0.1)
    first, last = read_windows(path, [(0.0, 1.0), (9.0, 1.0)])
    assert first.duration_s == 1.0
    assert isinstance(last, EndOfAudio)
