"""The whole line on real models and small music: every station, in this process and on Ray."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf
from builders import broken_folder
from conftest import QUIET
from typer.testing import CliRunner

from qamdt.benchmarks.curation.chaos import chaos, make_music
from qamdt.benchmarks.curation.compare_datasets import compare
from qamdt.curate import stations
from qamdt.curate.cli import app
from qamdt.curate.config import Config
from qamdt.curate.report.funnel import funnel
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.views import connect


def _run(source: Path, root: Path, workers: int) -> Dataset:
    dataset = Dataset(root)
    config = (
        Config()
        .override("ingest", {"window_s": 3.0})
        .override("run", {"workers": workers})
        .override("filter", {"min_similarity": -1.0})
    )
    with dataset.lock():
        stations.run_all(dataset, source, config, QUIET)
    return dataset


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three good pieces with captions, and a folder of broken files."""
    folder = make_music(tmp_path_factory.mktemp("line") / "in", files=3)
    (folder / "broken").mkdir()
    broken_folder(folder / "broken")
    return folder


@pytest.fixture(scope="module")
def curated(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The line, run in this process."""
    return _run(source, tmp_path_factory.mktemp("line") / "here", 0)


def test_in_is_ok_plus_error_at_every_station(curated: Dataset) -> None:
    f = funnel(curated)
    stages = [f.tables[t] for t in ("pmos", "signal", "clap", "tags", "music", "captions")]
    with connect(curated) as con:
        planned = con.execute("SELECT count(*) FROM clips WHERE skip IS NULL").fetchall()[0][0]
    assert {rows for rows, _, _ in stages} == {planned}
    assert all(rows == ok + error for rows, ok, error in f.tables.values())
    assert f.tables["decisions"][0] == f.clips
    assert f.files_error > 0 and f.kept > 0
    alone = sum(n for _, n, _ in f.reasons.values())
    assert alone <= f.clips - f.kept <= sum(n for n, _, _ in f.reasons.values())


def test_ray_gives_the_same_rows(source: Path, curated: Dataset, tmp_path: Path) -> None:
    assert compare(curated, _run(source, tmp_path / "ray", 2)).none


def test_a_second_run_changes_nothing(source: Path, curated: Dataset) -> None:
    before = sorted(p for p in curated.root.rglob("*.parquet"))
    _run(source, curated.root, 0)
    assert sorted(p for p in curated.root.rglob("*.parquet")) == before


def test_every_row_names_its_models(curated: Dataset) -> None:
    with connect(curated) as con:
        for table in ("pmos", "clap", "tags"):
            rows = con.execute(f"SELECT DISTINCT model_id, weights FROM {table}").fetchall()
            assert len(rows) == 1 and all(rows[0]), table


def test_shards_read_as_audio_of_the_very_clip(curated: Dataset) -> None:
    from datasets import Audio, load_dataset

    state = curated.current("shards")
    assert state is not None
    folder = curated.folder("shards", state.fingerprint)
    files = sorted(map(str, folder.glob("part-*.parquet")))
    rows = load_dataset("parquet", data_files=files, split="train", cache_dir=str(folder / "hf"))
    assert isinstance(rows.features["audio"], Audio)
    rows = rows.cast_column("audio", Audio(decode=False))
    assert len(rows) == funnel(curated).kept
    for row in rows:
        samples, rate = sf.read(io.BytesIO(row["audio"]["bytes"]))
        start = round(row["start_s"] * rate)
        whole, _ = sf.read(row["path"], start=start, frames=round(row["duration_s"] * rate))
        assert samples.shape == whole.shape
        assert np.abs(samples - np.clip(whole, -1, 1)).max() < 2 / 32768
        assert row["prompt"].endswith(row["caption"])
    assert max(pq.ParquetFile(f).metadata.row_group(0).total_byte_size for f in files) < 100e6


def test_the_card_tells_counts_models_and_thresholds(curated: Dataset) -> None:
    state = curated.current("shards")
    assert state is not None
    card = (curated.folder("shards", state.fingerprint) / "README.md").read_text()
    assert card.startswith("---\n") and f"{funnel(curated).kept} clips" in card
    for word in ("pmos-mini", "max_silence", "mu ", "sigma ", "licence"):
        assert word in card, word


def test_report_is_one_file_with_the_same_numbers(curated: Dataset) -> None:
    html = (curated.root / "report.html").read_text()
    numbers = json.loads((curated.root / "report.json").read_text())
    assert not re.search(r'(src|href)="(?!data:|#)', html)
    assert str(funnel(curated).kept) in json.dumps(numbers)


def test_sql_is_read_only_and_exports(curated: Dataset, tmp_path: Path) -> None:
    cli = CliRunner()
    root = str(curated.root)
    query = "SELECT clip_id, pmos, tag_names FROM clips_full ORDER BY clip_id"
    done = cli.invoke(
        app,
        ["sql", root, query, "--csv", str(tmp_path / "a.csv"), "--json", str(tmp_path / "a.jsonl"),
         "--parquet", str(tmp_path / "a.parquet")],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = pq.read_table(tmp_path / "a.parquet").to_pylist()
    lines = [json.loads(x) for x in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert lines == rows and len((tmp_path / "a.csv").read_text().splitlines()) == len(rows) + 1
    for refused in ("DROP VIEW clips", "COPY clips TO 'x.csv'", "SELECT 1; SELECT 2", "SELEC 1"):
        assert cli.invoke(app, ["sql", root, refused]).exception is not None


def test_strict_exits_3_when_rows_are_errors(curated: Dataset) -> None:
    cli = CliRunner()
    assert cli.invoke(app, ["filter", str(curated.root)]).exit_code == 0
    assert cli.invoke(app, ["filter", str(curated.root), "--strict"]).exit_code == 3


def test_a_new_threshold_runs_no_model_and_lists_every_reason(
    source: Path, curated: Dataset, tmp_path: Path
) -> None:
    config = Config().override("filter", {"min_pmos": 5.1, "min_bandwidth_hz": 1e9})
    parts = sorted(curated.root.glob("pmos/*/*.parquet"))
    with curated.lock():
        stations.filter_clips(curated, config, QUIET)
    with connect(curated) as con:
        reasons = con.execute(
            "SELECT DISTINCT drop_reasons FROM decisions JOIN pmos USING (clip_id)"
            " WHERE pmos.status = 'ok'"
        ).fetchall()
    assert all({"low_pmos", "narrow_band"} <= set(r) for (r,) in reasons)
    assert sorted(curated.root.glob("pmos/*/*.parquet")) == parts
    _run(source, curated.root, 0)


def test_batches_of_one_and_of_many_give_the_same_scores(curated: Dataset) -> None:
    """Stated tolerance: 1e-4 on the MOS scale, 1e-3 on embedding components (float16)."""
    from qamdt.audio.decode import read_windows
    from qamdt.curate.config import ModelsConfig
    from qamdt.curate.quality.score import ClapListener, PmosListener

    with connect(curated) as con:
        clips = con.execute(
            "SELECT path, start_s, duration_s, pmos, embedding FROM clips_full"
            " WHERE pmos IS NOT NULL ORDER BY clip_id LIMIT 6"
        ).fetchall()
    models = ModelsConfig()
    for listener, column, tolerance in (
        (PmosListener(models.pmos), "pmos", 1e-4),
        (ClapListener(models.match), "embedding", 1e-3),
    ):
        for clip in clips:
            (sound,) = read_windows(clip[0], [clip[1:3]])
            (alone,) = listener.extract([sound])
            stored = clip[3] if column == "pmos" else clip[4]
            assert np.allclose(np.asarray(alone[column], float), stored, atol=tolerance), column


def test_killed_and_resumed_is_as_never_killed(tmp_path: Path) -> None:
    total = chaos(2, 1, tmp_path, "--llm", "none", files=3, ways=[0])
    assert total == {"rounds": 2, "lost": 0, "doubled": 0}
