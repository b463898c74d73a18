"""The demo set: the plan keeps its counts, the sound is as the truth file says, nothing varies."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from builders import music

from qamdt.audio.damage.degrade import KINDS
from qamdt.curate import stations
from qamdt.curate.config import Config
from qamdt.curate.demo.benchmark import bench
from qamdt.curate.demo.defects import DEFECTS, describe, plan
from qamdt.curate.demo.pieces import GM, PIECES, RESERVED
from qamdt.curate.demo.render_set import RATE_HZ, make_demo, save
from qamdt.curate.demo.scores import Note, passage_starts, read_score, render
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.stage import Call
from qamdt.schemas.errors import ConfigError

SEEDS = (0, 1, 7, 2026)
SEED = 1  # of the small set
CHEAP = ("music-box", "trio-sonata", "oboe-and-piano", "koto", "accordion-waltz")
SMALL = tuple(piece for piece in PIECES if piece.name in CHEAP)
BY_NAME = {piece.name: piece for piece in PIECES}


# ------------------------------------------------------------------------------------ the plan


@pytest.mark.parametrize("seed", SEEDS)
def test_the_plan_has_the_same_counts_for_every_seed(seed: int) -> None:
    items = plan(seed)
    first = [i for i in items if i.piece and not i.copy_of]
    assert Counter(i.caption_state for i in first) == {
        "right": 42, "wrong": 14, "empty": 4, "garbled": 4,
    }  # fmt: skip
    degraded = sum(i.is_degraded for i in first)
    assert 0.35 <= degraded / len(first) <= 0.40
    assert degraded == sum(map(len, DEFECTS.values()))
    assert Counter(i.copy_kind for i in items if i.copy_of) == {
        "bytes": 2, "retagged": 1, "container": 1,
    }  # fmt: skip
    assert sum(i.broken for i in items) == 6
    assert sum(i.defect == "silence" for i in items) == 1
    assert sum(i.duration_s for i in items) < 25 * 60


@pytest.mark.parametrize("seed", SEEDS)
def test_every_piece_is_heard_clean_and_bad_captions_do_not_follow_damage(seed: int) -> None:
    first = [i for i in plan(seed) if i.piece and not i.copy_of]
    assert {i.piece for i in first if i.defect == "clean"} == set(BY_NAME)
    wrong = [i for i in first if i.caption_state == "wrong"]
    assert 2 <= sum(i.is_degraded for i in wrong) <= 9


@pytest.mark.parametrize("seed", SEEDS)
def test_a_wrong_caption_names_no_instrument_of_the_piece(seed: int) -> None:
    for item in plan(seed):
        if item.piece and item.caption_state == "wrong":
            there, said = BY_NAME[item.piece], BY_NAME[str(item.caption_of)]
            assert not set(there.instruments) & set(said.instruments)
            assert there.genre != said.genre
            assert item.caption != item.true_caption


def test_the_plan_follows_from_its_seed_and_paths_are_unique() -> None:
    assert plan(3) == plan(3)
    assert plan(3) != plan(4)
    paths = [item.path for item in plan(3)]
    assert paths == sorted(set(paths))


def test_levels_lie_within_the_range_of_their_kind() -> None:
    for kind, levels in DEFECTS.items():
        low, high = sorted((KINDS[kind].mildest, KINDS[kind].worst))
        assert all(low <= level <= high for level in levels), kind


def test_too_few_pieces_are_refused() -> None:
    with pytest.raises(ConfigError, match="too few"):
        plan(0, PIECES[:2])


# ---------------------------------------------------------------------------------- the pieces


def test_pieces_are_varied_and_by_reserved_composers_alone() -> None:
    assert len(PIECES) >= 28
    assert len(BY_NAME) == len(PIECES)
    assert {piece.composer for piece in PIECES} <= set(RESERVED)
    assert all(voice.name in GM for piece in PIECES for voice in piece.voices)
    modes = Counter(key.split()[-1] for piece in PIECES for key in piece.keys)
    assert modes["minor"] >= 12
    assert modes["major"] >= 12
    assert len({instrument for piece in PIECES for instrument in piece.instruments}) >= 30
    assert sum(piece.drums is not None for piece in PIECES) >= 6


@pytest.mark.parametrize("piece", PIECES, ids=lambda p: p.name)
def test_captions_read_like_sentences(piece) -> None:
    for template in range(5):
        text = describe(piece, 0, template)
        words = text.rstrip(".").lower().replace(",", "").replace(";", "").split()
        assert text[0].isupper()
        assert text.endswith(".")
        assert "{" not in text
        assert all(a != b for a, b in pairwise(words)), text
        assert piece.sound.lower() in text.lower()
        assert piece.mood in text.lower()


def test_a_voice_can_take_the_lowest_note_of_what_begins_together() -> None:
    notes = (Note(0, 1, 60), Note(0, 1, 48), Note(1, 1, 64))
    bass = next(v for v in BY_NAME["jazz-trio"].voices if v.pick == "low")
    assert bass.pick_from(notes) == (Note(0, 1, 48), Note(1, 1, 64))


# ----------------------------------------------------------------------------------- the sound


def test_ties_are_joined_and_bars_follow_each_other() -> None:
    score = read_score("corelli/opus3no1/1grave.xml")
    assert len(score.parts) == 3
    for (start, length), (following, _) in pairwise(score.bars):
        assert start + length == pytest.approx(following)
    ends = [start + length for start, length in score.bars]
    held = [n for part in score.parts for n in part
            if any(n.onset_ql < end < n.onset_ql + n.length_ql for end in ends)]  # fmt: skip
    assert held, "a suspension is tied over the bar line"
    assert all(0 <= note.onset_ql < score.length_ql for part in score.parts for note in part)


def test_a_passage_renders_the_same_twice_at_the_level_it_should_have() -> None:
    piece = BY_NAME["accordion-waltz"]
    score = read_score(piece.work)
    start = passage_starts(score, piece)[1]
    sound = render(piece, score, start, 6.0, seed=5)
    assert sound.shape == (2, 6 * RATE_HZ)
    assert sound.dtype == np.float32
    np.testing.assert_array_equal(sound, render(piece, score, start, 6.0, seed=5))
    assert 20 * np.log10(np.abs(sound).max()) <= -1.49
    assert 20 * np.log10(np.sqrt(np.mean(sound**2))) == pytest.approx(-20, abs=1.5)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".opus"])
def test_the_same_samples_give_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    sound = music(2.0, seed=9)
    for name in "ab":
        save(tmp_path / (name + suffix), sound)
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
    back, rate_hz = soundfile.read(tmp_path / f"a{suffix}", always_2d=True)
    assert back.shape[1] == 2
    assert abs(len(back) / rate_hz - 2.0) < 0.06


# ------------------------------------------------------------------------------------- the set


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_demo(tmp_path_factory.mktemp("demo") / "set", seed=SEED, pieces=SMALL).parent


def _rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_files_are_what_the_truth_file_says(small: Path) -> None:
    manifest, truth = _rows(small / "manifest.jsonl"), _rows(small / "truth.jsonl")
    assert [row["path"] for row in manifest] == [row["path"] for row in truth]
    assert set(manifest[0]) == {"path", "caption", "tags", "source", "licence"}
    for row in truth:
        path = small / row["path"]
        if row["defect"] == "missing":
            assert not path.exists()
        elif row["broken"]:
            with pytest.raises(soundfile.LibsndfileError):
                soundfile.read(path)
        else:
            sound, rate_hz = soundfile.read(path, always_2d=True)
            assert len(sound) / rate_hz == pytest.approx(row["duration_s"], abs=0.1)
            peak = np.abs(sound).max()
            assert peak == 0 if row["defect"] == "silence" else 0.1 < peak < 1.0


def test_copies_are_copies(small: Path) -> None:
    copies = [row for row in _rows(small / "truth.jsonl") if row["copy_of"]]
    assert len(copies) == 4
    for row in copies:
        here, there = small / row["path"], small / row["copy_of"]
        same = (
            hashlib.sha256(here.read_bytes()).digest()
            == hashlib.sha256(there.read_bytes()).digest()
        )
        assert same == (row["copy_kind"] == "bytes")
        np.testing.assert_array_equal(
            soundfile.read(here, dtype="int16")[0], soundfile.read(there, dtype="int16")[0]
        )


def test_curation_finds_what_was_planted(small: Path, tmp_path: Path) -> None:
    dataset, call = Dataset(tmp_path / "data"), Call(quiet=True, log=lambda line: None)
    config = Config().override("score", {"only": ("signal",)})
    with dataset.lock():
        stations.ingest(dataset, small / "manifest.jsonl", config, call)
        stations.score(dataset, config, call)
        stations.filter_clips(dataset, config, call)
    figures = bench(dataset.root)
    assert set(figures) == {
        "demo_duplicate_recall", "demo_duplicate_precision",
        "demo_broken_recall", "demo_broken_precision", "demo_silence_recall",
    }  # fmt: skip
    assert all(figure["value"] == 1.0 for figure in figures.values()), figures


def test_a_finished_set_is_left_alone_and_another_is_not_overwritten(small: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in small.rglob("*")}
    assert make_demo(small, seed=SEED, pieces=SMALL) == small / "manifest.jsonl"
    assert {p: p.stat().st_mtime_ns for p in small.rglob("*")} == before
    with pytest.raises(ConfigError, match=r"expected one of .* seed 2"):
        make_demo(small, seed=2, pieces=SMALL)


def test_a_folder_with_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="no demo set"):
        make_demo(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_run_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_demo(tmp_path / "set", seed=SEED, pieces=SMALL, progress=stop)
    assert list(tmp_path.iterdir()) == []
