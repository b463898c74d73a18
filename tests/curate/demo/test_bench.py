"""The bench: laws of the statistics, and figures of a dataset folder written by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from qamdt.curate.demo.benchmark import bench, read_truth
from qamdt.curate.demo.statistics import auc, auc_by_group
from qamdt.pipeline.dataset import Dataset
from qamdt.schemas.errors import ConfigError
from qamdt.schemas.tables import Caption, Clip, Decision, File, Pmos

# ------------------------------------------------------------------------------- the statistics


def test_auc_of_known_cases() -> None:
    assert auc(np.array([3.0, 4.0]), np.array([1.0, 2.0])) == 1.0
    assert auc(np.array([1.0]), np.array([1.0])) == 0.5
    assert auc(np.array([2.0, 0.0]), np.array([1.0])) == 0.5


def test_auc_is_the_complement_when_sides_change_and_knows_only_order() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 1, 40).round(1), rng.normal(0, 1, 30).round(1)
    assert auc(a, b) == pytest.approx(1 - auc(b, a))
    assert auc(a, b) == pytest.approx(auc(np.exp(a), np.exp(b)))
    ranked = np.argsort(np.argsort(np.concatenate([a, b]) + rng.uniform(0, 1e-9, 70)))
    mann_whitney = (ranked[:40].sum() - 40 * 39 / 2) / (40 * 30)
    assert auc(a, b) == pytest.approx(mann_whitney, abs=0.02)  # ties fall either way there


def test_auc_needs_two_sides_and_no_nan() -> None:
    with pytest.raises(ValueError, match="at least one"):
        auc(np.array([]), np.array([1.0]))
    with pytest.raises(ValueError, match="NaN"):
        auc(np.array([np.nan]), np.array([1.0]))


def test_the_interval_holds_the_value_and_widens_with_fewer_groups() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(1, 1, 60), rng.normal(0, 1, 60)
    many = auc_by_group(a, b, np.arange(60), np.arange(60))
    few = auc_by_group(a, b, np.arange(60) // 12, np.arange(60) // 12)
    for found in (many, few):
        assert found.low <= found.value <= found.high
        assert found.value == pytest.approx(auc(a, b))
        assert found.n == 120
    assert many == auc_by_group(a, b, np.arange(60), np.arange(60))


def test_clips_of_one_piece_do_not_count_as_independent() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(1, 1, 12), rng.normal(0, 1, 12)
    alone = auc_by_group(a, b, np.arange(12), np.arange(12) + 12)
    told = auc_by_group(np.repeat(a, 9), np.repeat(b, 9),
                        np.repeat(np.arange(12), 9), np.repeat(np.arange(12) + 12, 9))  # fmt: skip
    assert told.low == pytest.approx(alone.low, abs=0.02)
    assert told.high == pytest.approx(alone.high, abs=0.02)


# ------------------------------------------------------------------------------- the real tables


def _truth(name: str, **columns: object) -> dict[str, object]:
    row = {"path": name, "piece": None, "passage": 0, "defect": "clean", "is_degraded": False,
           "caption_state": "right", "copy_of": None, "broken": False}  # fmt: skip
    return {**row, **columns}


TRUTH = [
    _truth("a0.wav", piece="a"),
    _truth("a1.wav", piece="a", passage=1, defect="white", is_degraded=True),
    _truth("b0.wav", piece="b", caption_state="wrong"),
    _truth("b1.wav", piece="b", passage=1, defect="clip", is_degraded=True),
    _truth("a0 copy.wav", piece="a", copy_of="a0.wav"),
    _truth("b0.flac", piece="b", caption_state="wrong", copy_of="b0.wav"),
    _truth("silence.wav", defect="silence", caption_state="wrong"),
    _truth("zero.mp3", defect="zero_bytes", broken=True),
    _truth("cut.flac", defect="truncated", broken=True),
    _truth("sly.ogg", defect="header_only", broken=True),
]
PMOS = {"a0": 4.5, "a1": 3.0, "b0": 4.0, "b1": 4.2, "b0f": 4.0, "silence": 1.0, "sly": 4.0}
SIMILARITY = {"a0": 0.5, "a1": 0.4, "b0": 0.1, "b1": 0.3, "b0f": 0.1, "sly": 0.2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A dataset folder in which each figure has one case on either side."""
    (tmp_path / "truth.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TRUTH))
    dataset = Dataset(tmp_path / "set")

    def put(cls: type, rows: list) -> None:
        dataset.adopt(cls.TABLE, "f", {})
        dataset.commit(cls, "f", rows)

    manifest = str(tmp_path / "manifest.jsonl")
    bad = {"status": "error", "error_type": "EmptyFile", "error_message": "0 bytes"}
    put(File, [File(path=str(tmp_path / str(row["path"])), root=manifest, scan=1,
                    **(bad if row["path"] == "zero.mp3" else {})) for row in TRUTH])  # fmt: skip
    names = {"a0": "a0.wav", "a1": "a1.wav", "b0": "b0.wav", "b1": "b1.wav", "b0f": "b0.flac",
             "silence": "silence.wav", "cut": "cut.flac", "sly": "sly.ogg"}  # fmt: skip
    clips = [*names.items(), ("a0", "a0 copy.wav")]
    put(Clip, [Clip(clip_id=key, path=str(tmp_path / name), scan=1, file_sha256=key, window_index=0,
                    start_s=0.0, duration_s=10.0) for key, name in clips])  # fmt: skip
    failed = Pmos(clip_id="cut", status="error", error_type="EndOfAudio", error_message="cut")
    put(Pmos, [Pmos(clip_id=key, pmos=value) for key, value in PMOS.items()] + [failed])
    put(Caption, [Caption(clip_id=key, sim_original=value,
                          caption_from="generated" if value < 0.2 else "original")
                  for key, value in SIMILARITY.items()])  # fmt: skip
    reasons = {"b0": ["duplicate_audio"], "silence": ["silent"], "cut": ["error"]}
    put(Decision, [Decision(clip_id=key, kept=key not in reasons, drop_reasons=reasons.get(key, []))
                   for key in names])  # fmt: skip
    return tmp_path / "set"


def test_figures_of_a_folder_whose_truth_is_known(folder: Path) -> None:
    found = bench(folder, folder.parent / "truth.jsonl")
    values = {name: (figure["value"], figure["n"]) for name, figure in found.items()}
    assert values == {
        "demo_pmos_auc": (0.75, 4),
        "demo_pmos_auc_white": (1.0, 3),
        "demo_pmos_auc_clip": (0.5, 3),
        "demo_pmos_pairs": (0.5, 2),
        "demo_clap_auc": (1.0, 4),
        "demo_right_replaced": (0.0, 3),
        "demo_wrong_replaced": (1.0, 1),
        "demo_duplicate_recall": (1.0, 2),
        "demo_duplicate_precision": (1.0, 2),
        "demo_broken_recall": (pytest.approx(2 / 3), 3),
        "demo_broken_precision": (1.0, 2),
        "demo_silence_recall": (1.0, 1),
    }
    for figure in found.values():
        assert set(figure) == {"value", "low", "high", "n", "unit", "command"}
        assert figure["low"] <= figure["value"] <= figure["high"]
    json.dumps(found, allow_nan=False)


def test_the_truth_beside_the_manifest_is_found(folder: Path) -> None:
    assert bench(folder) == bench(folder, folder.parent / "truth.jsonl")


def test_what_was_not_run_is_absent(folder: Path) -> None:
    for table in ("pmos", "captions", "decisions"):
        (folder / table / "_current.json").unlink()
    assert set(bench(folder)) == {
        "demo_duplicate_recall", "demo_duplicate_precision",
        "demo_broken_recall", "demo_broken_precision",
    }  # fmt: skip


def test_a_truth_file_of_other_files_is_refused(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere" / "truth.jsonl"
    other.parent.mkdir()
    other.write_text(json.dumps(_truth("x.wav")) + "\n")
    with pytest.raises(ConfigError, match="none of the files"):
        bench(folder, other)


@pytest.mark.parametrize("text", ["no json\n", '{"path": "a.wav"}\n', "[1]\n"])
def test_what_is_no_truth_file_says_so(tmp_path: Path, text: str) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text(text)
    with pytest.raises(ConfigError, match="no truth file"):
        read_truth(path)
    with pytest.raises(ConfigError, match="no truth file"):
        read_truth(tmp_path / "absent.jsonl")
