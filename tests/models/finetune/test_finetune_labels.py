"""Labels: every row ends as usable or as a problem with a reason; votes, splits and waves."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from finetune_builders import RATE_HZ, noisy_sound, rated, table_file
from hypothesis import given
from hypothesis import strategies as st

from qamdt.audio.loudness import integrated_loudness
from qamdt.audio.sound import Sound
from qamdt.models.finetune.batches import crops, epoch_batches
from qamdt.models.finetune.figures import counted
from qamdt.models.finetune.labels import Labelled, read_labels
from qamdt.models.finetune.split import split_of
from qamdt.models.finetune.waves import Waves, prepare
from qamdt.models.pmos.wav2vec2 import Hearing
from qamdt.schemas.errors import ConfigError

ROWS = [
    {"path": "000.wav", "mos": 4.0, "group": "one"},
    {"path": "000.wav", "mos": 2.0, "group": "one"},
    {"path": "001.wav", "mos": 3.5},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rated(tmp_path_factory.mktemp("rated"), count=6).parent


def write_rows(path: Path, rows: list[dict]) -> Path:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        table_file(path, rows)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_the_four_formats_say_the_same(folder: Path, suffix: str) -> None:
    """Two votes become one sound with mean, count and spread; a file is its own group."""
    sounds, problems = read_labels(write_rows(folder / f"few{suffix}", ROWS))
    assert problems == []
    assert [(s.path, s.mos, s.votes, s.rows) for s in sounds] == [
        ("000.wav", 3.0, 2, (1, 2)), ("001.wav", 3.5, 1, (3,)),
    ]  # fmt: skip
    assert sounds[0].spread == pytest.approx(math.sqrt(2)) and math.isnan(sounds[1].spread)
    assert sounds[0].group == "one" and sounds[1].group == str((folder / "001.wav").resolve())
    told = counted(sounds, problems)
    assert (told["rows"], told["ok"], told["error"], told["sounds"]) == (3, 3, 0, 2)
    assert told["label_error"] == pytest.approx(1.0)


def test_every_bad_row_has_its_reason(folder: Path) -> None:
    """in = ok + error; nothing stops the reading; the audio's own faults come with decoding."""
    sf.write(folder / "short.wav", noisy_sound(0.5, 0.9, 1), RATE_HZ)
    (folder / "broken.wav").write_bytes(b"RIFF....not audio at all")
    (folder / "empty.wav").write_bytes(b"")
    rows = [
        {"path": "000.wav", "mos": "4"},
        {"path": "gone.wav", "mos": "4"},
        {"path": "", "mos": "4"},
        {"path": "001.wav", "mos": "good"},
        {"path": "001.wav", "mos": "5.5"},
        {"path": "001.wav", "mos": "nan"},
        {"path": "001.wav", "mos": ""},
        {"path": "002.wav", "mos": "3", "split": "holdout"},
        {"path": "002.wav", "mos": "3", "start_s": "-1"},
        {"path": "002.wav", "mos": "3", "duration_s": "0.5"},
        {"path": "000.wav", "mos": "3", "group": "other"},
        {"path": "x" * 300 + ".wav", "mos": "3"},
        {"path": "short.wav", "mos": "3"},
        {"path": "broken.wav", "mos": "3"},
        {"path": "empty.wav", "mos": "3"},
        {"path": "003.wav", "mos": "3", "start_s": "0.2", "duration_s": "30"},
        {"path": "003.wav", "mos": "3", "start_s": "99"},
    ]
    sounds, problems = read_labels(table_file(folder / "bad.csv", rows))
    assert [(p.row, p.error_type) for p in sorted(problems, key=lambda p: p.row)] == [
        (2, "MissingFile"), (3, "NoPath"), (4, "NotANumber"), (5, "BadMos"), (6, "NotANumber"),
        (7, "BadMos"), (8, "BadSplit"), (9, "BadStretch"), (10, "BadStretch"),
        (11, "Contradiction"), (12, "MissingFile"),
    ]  # fmt: skip
    waves, unheard = prepare(sounds, Hearing(), folder / "work", lambda n: None)
    assert [(p.row, p.error_type) for p in unheard] == [
        (13, "TooShort"), (14, "UnreadableAudio"), (15, "EmptyFile"), (16, "EndOfAudio"),
        (17, "EndOfAudio"),
    ]  # fmt: skip
    assert waves.kept == [0]
    assert all(p.path and p.error_message for p in problems + unheard if p.row != 3)


def test_broken_lines_are_rows_too(folder: Path) -> None:
    """A line that is no JSON and a line with too many fields do not stop the others."""
    lines = folder / "lines.jsonl"
    lines.write_text(
        '{"path": "000.wav", "mos": 3}\n\n{"path": \n[1]\n{"path": "001.wav", "mos": 2}'
    )
    sounds, problems = read_labels(lines)
    assert len(sounds) == 2 and [(p.row, p.error_type) for p in problems] == [
        (2, "BadRow"), (3, "BadRow"),
    ]  # fmt: skip
    wide = folder / "wide.csv"
    wide.write_text("path,mos\n000.wav,3,4,5\n001.wav,2\n")
    sounds, problems = read_labels(wide)
    assert len(sounds) == 1 and problems[0].error_type == "BadRow"


def test_what_is_no_table_is_said(folder: Path) -> None:
    """No file, another kind, no columns, not text: a ConfigError that says what was expected."""
    (folder / "odd.csv").write_text("file,score\na,1\n")
    (folder / "no.parquet").write_bytes(b"none")
    (folder / "bytes.csv").write_bytes(b"path,mos\n\xff\xfe,3\n")
    for name in ("gone.csv", "000.wav", "odd.csv", "no.parquet", "bytes.csv"):
        with pytest.raises(ConfigError, match="columns path and mos"):
            read_labels(folder / name)


def sound_of(group: str, number: int, split: str | None = None) -> Labelled:
    file = Path(f"{number}.wav")
    return Labelled((number,), str(file), file, 0.0, None, 3.0, 1, math.nan, group, split)


@given(st.lists(st.integers(1, 12), min_size=3, max_size=40), st.integers(0, 5))
def test_splits_never_cut_a_group(sizes: list[int], seed: int) -> None:
    """Three groups or more always make three splits; the same seed makes the same."""
    sounds = [sound_of(f"g{g}", g * 100 + k) for g, size in enumerate(sizes) for k in range(size)]
    splits = split_of(sounds, seed)
    assert set(splits) == {"train", "dev", "test"}
    assert len({(s.group, split) for s, split in zip(sounds, splits, strict=True)}) == len(sizes)
    assert split_of(sounds, seed) == splits
    backwards = split_of(sounds[::-1], seed)  # the order of the labels does not matter
    assert backwards[::-1] == splits


def test_many_small_groups_split_as_told() -> None:
    """Of 1,000 groups of one, 80/10/10 to within one."""
    splits = split_of([sound_of(f"g{k}", k) for k in range(1000)], seed=3)
    assert [splits.count(s) for s in ("train", "dev", "test")] == [800, 100, 100]


def test_given_splits_are_taken_or_refused() -> None:
    """A split column is the split; one that cuts a group, or has no dev, is refused."""
    sounds = [sound_of("a", 1, "train"), sound_of("b", 2, "dev")]
    assert split_of(sounds, 0) == ["train", "dev"]
    with pytest.raises(ConfigError, match="no usable row of dev"):
        split_of(sounds[:1], 0)
    with pytest.raises(ConfigError, match="cuts the group 'a'"):
        split_of([*sounds, sound_of("a", 3, "dev")], 0)
    with pytest.raises(ConfigError, match="3 groups or more"):
        split_of([sound_of("a", 1), sound_of("b", 2)], 0)


def test_waves_are_what_the_scorer_would_hear(folder: Path) -> None:
    """A stretch of a file comes out as the samples there; the second call only opens the
    files, unless the audio has changed since."""
    rows = [
        {"path": "004.wav", "mos": 3, "start_s": 0.1, "duration_s": 1.0},
        {"path": "004.wav", "mos": 4},
    ]
    sounds, _ = read_labels(table_file(folder / "two.csv", rows))
    counts: list[int] = []
    for _ in range(2):
        waves, _ = prepare(sounds, Hearing(), folder / "two", counts.append)
        whole = sf.read(folder / "004.wav", dtype="float32")[0]
        np.testing.assert_array_equal(waves.wave(1), whole)
        np.testing.assert_array_equal(waves.wave(0), whole[1600 : 1600 + RATE_HZ])
    assert sum(counts) == 2 and len(set(waves.digests)) == 2
    sf.write(folder / "004.wav", whole[::-1], RATE_HZ)
    waves, _ = prepare(sounds, Hearing(), folder / "two", counts.append)
    assert sum(counts) == 4
    np.testing.assert_allclose(waves.wave(1), whole[::-1], atol=1e-4)


def test_loudness_is_brought_to_what_was_asked() -> None:
    """-23 LUFS within .1 whatever the level, rate and channels were; silence stays silence."""
    mono = noisy_sound(0.3, 3.0, 0)
    hearing = Hearing(loudness_lufs=-23.0)
    for gain in (0.01, 1.0, 3.0):
        wave = hearing.wave(Sound((gain * mono)[None], RATE_HZ))
        assert integrated_loudness(wave[None], RATE_HZ) == pytest.approx(-23.0, abs=0.1)
    silence = hearing.wave(Sound(np.zeros((2, RATE_HZ), np.float32), RATE_HZ))
    assert not silence.any()


@given(st.lists(st.integers(16_000, 90_000), min_size=1, max_size=50), st.integers(1, 9))
def test_an_epoch_has_every_sound_once(lengths: list[int], size: int) -> None:
    """Every index once, batches not over size, similar lengths together, epochs unlike."""
    batches = epoch_batches(lengths, size, 8000, seed=1, epoch=4)
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(lengths)))
    assert max(len(b) for b in batches) <= size and len(batches) == -(-len(lengths) // size)
    again = epoch_batches(lengths, size, 8000, seed=1, epoch=4)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    spans = sorted((min(lengths[k] // 8000 for k in b), max(lengths[k] // 8000 for k in b))
                   for b in batches)  # fmt: skip
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_crops_are_of_one_length_and_repeatable() -> None:
    """As long as the shortest, at most a window; another epoch hears another stretch."""
    rng = np.random.default_rng(0)
    lengths = [16_000, 40_000, 100_000]
    starts = [0, 16_000, 56_000]
    samples = rng.standard_normal(156_000).astype(np.float32)
    waves = Waves([0, 1, 2], starts, lengths, ["a", "b", "c"], samples)
    assert crops(waves, [0, 1, 2], Hearing(window_s=2), 0, 0).shape == (3, 16_000)
    one = crops(waves, [1, 2], Hearing(window_s=2), 0, 0)
    assert one.shape == (2, 32_000) and one.dtype == np.float32
    np.testing.assert_array_equal(one, crops(waves, [1, 2], Hearing(window_s=2), 0, 0))
    assert not np.array_equal(one, crops(waves, [1, 2], Hearing(window_s=2), 0, 1))
    at = np.flatnonzero(waves.wave(2) == one[1, 0])
    assert len(at) == 1 and np.array_equal(waves.wave(2)[at[0] : at[0] + 32_000], one[1])
