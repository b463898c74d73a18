"""Decoding: a window's samples depend on the file and the window alone, and every fault is an item.

Laws: alone == in sequence == slice of the whole, bit for bit, in every format; one item per window;
a file of an hour needs the memory of its windows.
"""

from __future__ import annotations

import os
import tracemalloc
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from builders import hour_long, music, noise_bytes, sine, text_as_audio, truncated, write, zero_byte
from hypothesis import given, settings
from hypothesis import strategies as st

from qamdt.audio.decode import decode_window, read_windows
from qamdt.audio.sound import Sound
from qamdt.schemas.errors import AudioError, EmptyFile, EndOfAudio, UnreadableAudio

SECONDS = 6.0
RATE = 48_000
KINDS = ["wav", "wav24", "flac", "ogg", "opus", "mp3", "mp3vbr", "mp3low", "m4a", "webm", "wma"]


def encode(path: Path, samples: np.ndarray, codec: str, rate_hz: int = RATE) -> Path:
    """Encode by FFmpeg: what libsndfile does not write."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="stereo")
        stream.bit_rate = 96_000
        for start in range(0, samples.shape[1], 1024):
            block = np.ascontiguousarray(samples[:, start : start + 1024])
            frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate_hz, start, Fraction(1, rate_hz)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def lossy_mp3(path: Path, samples: np.ndarray, mode: str, level: float) -> Path:
    """An MP3 of LAME's bit-rate mode ("CONSTANT", "VARIABLE") and libsndfile level 0..1."""
    with soundfile.SoundFile(
        path, "w", RATE, 2, format="MP3", bitrate_mode=mode, compression_level=level
    ) as file:
        file.write(samples.T)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("decode")
    sound = music(SECONDS, rate_hz=RATE, seed=3)
    made = {
        kind: write(folder / f"a.{kind}", sound, RATE) for kind in ("wav", "flac", "ogg", "opus")
    }
    made["wav24"] = write(folder / "b.wav", sound, RATE, subtype="PCM_24")
    made["mp3"] = lossy_mp3(folder / "cbr.mp3", sound, "CONSTANT", 0.5)
    made["mp3vbr"] = lossy_mp3(folder / "vbr.mp3", sound, "VARIABLE", 0.5)
    # Low bit rates lean on bytes of many frames before: where a seek goes wrong most.
    made["mp3low"] = lossy_mp3(folder / "low.mp3", sound, "CONSTANT", 0.99)
    made["m4a"] = encode(folder / "a.m4a", sound, "aac")
    made["webm"] = encode(folder / "a.webm", sound, "libopus")
    made["wma"] = encode(folder / "a.wma", sound, "wmav2")
    return made


@pytest.fixture(scope="module")
def whole(files: dict[str, Path]) -> dict[str, np.ndarray]:
    """Every file in one piece from its start, as far as 5.5 s."""
    return {kind: decode_window(path, 0.0, 5.5).samples for kind, path in files.items()}


def samples_of(item: Sound | AudioError) -> np.ndarray:
    assert isinstance(item, Sound), item
    return item.samples


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_the_slice_of_the_whole(files, whole, kind):
    """Frame arithmetic: [round(start * rate), + round(duration * rate)), float32 [C, T]."""
    windows = [(0.0, 1.0), (0.7, 1.5), (2.0, 0.01), (3.3333, 0.77), (4.4, 1.1)]
    for window, item in zip(windows, read_windows(files[kind], windows), strict=True):
        samples = samples_of(item)
        start, frames = round(window[0] * RATE), round(window[1] * RATE)
        assert samples.dtype == np.float32
        assert samples.flags.c_contiguous
        assert samples.shape == (2, frames)
        np.testing.assert_array_equal(samples, whole[kind][:, start : start + frames])


@pytest.mark.parametrize("kind", KINDS)
def test_alone_equals_in_sequence(files, kind):
    """A window read alone is bit for bit the one read among overlapping and distant others."""
    windows = [(0.1, 1.5), (0.6, 1.5), (0.6, 0.5), (2.1, 1.0), (4.6, 1.2)]
    together = [samples_of(item) for item in read_windows(files[kind], windows)]
    for window, samples in zip(windows, together, strict=True):
        np.testing.assert_array_equal(decode_window(files[kind], *window).samples, samples)


@settings(max_examples=15, deadline=None)
@given(
    kind=st.sampled_from(["flac", "ogg", "mp3low"]),
    windows=st.lists(st.tuples(st.floats(0, 4), st.floats(0.001, 1.5)), min_size=1, max_size=5).map(
        sorted
    ),
)
def test_any_windows(files, whole, kind, windows):
    """The slice law for windows of any place and length."""
    for (start_s, duration_s), item in zip(
        windows, read_windows(files[kind], windows), strict=True
    ):
        start, frames = round(start_s * RATE), round(duration_s * RATE)
        np.testing.assert_array_equal(samples_of(item), whole[kind][:, start : start + frames])


def test_lossless_samples_are_the_written_ones(tmp_path):
    """16-bit steps come back exactly, from wav and flac."""
    steps = np.random.default_rng(0).integers(-32768, 32767, (2, RATE), dtype=np.int16)
    for suffix in ("wav", "flac"):
        soundfile.write(tmp_path / f"a.{suffix}", steps.T, RATE)
        got = decode_window(tmp_path / f"a.{suffix}", 0.25, 0.5).samples
        np.testing.assert_array_equal(got * 32768, steps[:, 12_000:36_000])


@pytest.mark.parametrize("channels", [1, 6])
def test_channels_are_kept(tmp_path, channels):
    path = write(tmp_path / "a.wav", sine(1.0, channels=channels))
    assert decode_window(path, 0, 1).samples.shape == (channels, 44_100)


def test_the_end_of_the_file(tmp_path):
    """Up to 0.05 s may be missing at the end; more is an EndOfAudio that names asked and got."""
    path = write(tmp_path / "a.wav", sine(2.0, rate_hz=1000), 1000)
    near, far, behind = read_windows(path, [(1.0, 1.05), (1.0, 1.06), (2.0, 0.01)])
    assert samples_of(near).shape == (2, 1000)
    assert isinstance(far, EndOfAudio)
    assert "1060 frames" in str(far) and "has 1000" in str(far) and str(path) in str(far)
    assert isinstance(behind, EndOfAudio)


@pytest.mark.parametrize("suffix", ["wav", "mp3", "ogg"])
def test_a_truncated_file_gives_what_is_there(tmp_path, suffix):
    """Windows before the cut are sounds, those behind it EndOfAudio, one item for each."""
    path = truncated(tmp_path / f"cut.{suffix}", 10.0, keep=0.4)
    items = list(read_windows(path, [(float(s), 1.0) for s in range(10)]))
    kinds = [type(item) for item in items]
    assert kinds[:3] == [Sound] * 3
    assert kinds[5:] == [EndOfAudio] * 5


def test_a_hole_in_a_flac_costs_its_own_window_alone(tmp_path):
    """A damaged spot fails its window, alone and in sequence; FLAC is found again behind it."""
    path = write(tmp_path / "a.flac", music(10.0, seed=5))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    path.write_bytes(data)
    windows = [(float(s), 1.0) for s in range(10)]
    together = [type(item) for item in read_windows(path, windows)]
    alone = [type(next(read_windows(path, [window]))) for window in windows]
    assert together == alone
    assert 1 <= together.count(UnreadableAudio) <= 3
    assert together[0] is Sound and together[9] is Sound


def test_a_hole_in_an_aac_stream_ends_it(files, tmp_path):
    """Behind the damage of a stream nothing can be placed in time: errors, not shifted audio."""
    data = bytearray(files["m4a"].read_bytes())
    data[len(data) // 3 : len(data) // 3 + 3000] = np.random.default_rng(0).bytes(3000)
    path = tmp_path / "hole.m4a"
    path.write_bytes(data)
    kinds = [type(item) for item in read_windows(path, [(0.0, 1.0), (3.0, 1.0), (4.5, 1.0)])]
    assert kinds == [Sound, UnreadableAudio, UnreadableAudio]


def test_unreadable_files(tmp_path):
    """Each is an error of the right class that names the file, once per window."""
    playlist = tmp_path / "live.m3u8"  # FFmpeg's reader of these would wait for more for ever
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://localhost:9/a.aac\n")
    raw = tmp_path / "a.raw"
    raw.write_bytes(bytes(1000))
    cases = [
        (zero_byte(tmp_path / "zero.wav"), EmptyFile),
        (text_as_audio(tmp_path / "text.mp3"), UnreadableAudio),
        (noise_bytes(tmp_path / "noise.m4a"), UnreadableAudio),
        (tmp_path / "missing.wav", UnreadableAudio),
        (tmp_path, UnreadableAudio),
        (playlist, UnreadableAudio),
        (raw, UnreadableAudio),
    ]
    for path, kind in cases:
        items = list(read_windows(path, [(0.0, 1.0), (1.0, 1.0)]))
        assert [type(item) for item in items] == [kind, kind], path
        assert str(path) in str(items[0])
    assert "libsndfile" in str(next(read_windows(cases[1][0], [(0, 1)])))
    assert "FFmpeg" in str(next(read_windows(cases[1][0], [(0, 1)])))


def test_a_pipe_is_refused_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(UnreadableAudio, match="not a regular file"):
        decode_window(tmp_path / "pipe.wav", 0, 1)


def test_nan_fails_its_window_alone(tmp_path):
    samples = sine(3.0)
    samples[0, 50_000] = np.nan
    samples[1, 100_000] = np.inf
    path = write(tmp_path / "nan.wav", samples, subtype="FLOAT")
    kinds = [type(item) for item in read_windows(path, [(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)])]
    assert kinds == [Sound, UnreadableAudio, UnreadableAudio]


def test_windows_that_are_none(files):
    """A window without length or place is an AudioError in its place; descending starts raise."""
    windows = [(-1.0, 1.0), (0.0, 0.0), (0.0, -2.0), (0.0, float("nan")), (1.0, 1.0)]
    items = list(read_windows(files["wav"], windows))
    assert [isinstance(item, AudioError) for item in items] == [True] * 4 + [False]
    with pytest.raises(ValueError, match="ascending"):
        read_windows(files["wav"], [(1.0, 1.0), (0.0, 1.0)])


@pytest.mark.parametrize("suffix", [".wav", ".m4a"])
def test_a_name_that_is_no_text(files, tmp_path, suffix):
    """File names are bytes: one that is not UTF-8 is read like any other."""
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xe9 'x' %s" + suffix.encode()))
    path.write_bytes(files[suffix[1:]].read_bytes())
    assert decode_window(path, 0, 1).samples.shape == (2, RATE)


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_memory_is_that_of_the_windows(tmp_path, suffix):
    """Two windows of a long file need no more than a few MB, sought or decoded through."""
    minutes = 2 if suffix == ".mp3" else 20
    path = hour_long(tmp_path / f"long{suffix}", minutes / 60)
    last_s = (minutes - 1) * 60.0
    tracemalloc.start()
    first, last = read_windows(path, [(0.0, 2.0), (last_s, 2.0)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6
    assert np.abs(samples_of(first) - samples_of(last)).max() < (0.01 if suffix == ".mp3" else 1e-9)
