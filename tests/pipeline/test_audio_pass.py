"""The listening pass and its runners: one row out per row in, whatever a model or a file does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import music, write
from conftest import ingest_into
from listeners import Deadly, Rms, Unopenable, job_of

from qamdt.pipeline import audio_pass
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.runner import run
from qamdt.pipeline.views import connect


def _rows(dataset: Dataset, table: str = "pmos") -> dict[str, tuple]:
    with connect(dataset) as con:
        return {row[0]: row for row in con.table(table).fetchall()}


def _errors(dataset: Dataset, table: str = "pmos") -> dict[str, tuple[str, str]]:
    with connect(dataset) as con:
        found = con.execute(
            f"SELECT path, error_type, error_message FROM {table} JOIN clips USING (clip_id)"
            f" WHERE {table}.status = 'error'"
        ).fetchall()
    return {Path(p).name: (t, m) for p, t, m in found}


def test_every_clip_gets_its_own_score(ingested: Dataset) -> None:
    """Scores are of the clip they stand beside: each is measured again, alone."""
    summary = run(job_of(ingested, Rms()), ingested, quiet=True)
    assert summary.rows == len(_rows(ingested)) == summary.counts["pmos", "ok"] > 8
    with connect(ingested) as con:
        clips = con.execute(
            "SELECT path, start_s, duration_s, pmos FROM clips JOIN pmos USING (clip_id)"
        ).fetchall()
    for path, start, duration, score in clips:
        sound = audio_pass.read_windows(path, [(start, duration)])
        (alone,) = (1 + float(np.sqrt(np.mean(np.square(s.samples)))) for s in sound)
        assert score == pytest.approx(alone, abs=1e-6)


def test_a_second_run_has_nothing_to_do_and_a_second_listener_only_its_own(
    ingested: Dataset, tmp_path: Path
) -> None:
    run(job_of(ingested, Rms()), ingested, quiet=True)
    assert run(job_of(ingested, Rms()), ingested, quiet=True).rows == 0
    seen = tmp_path / "seen"
    both = job_of(ingested, Rms(seen=seen), Deadly("never"))
    summary = run(both, ingested, quiet=True)
    assert summary.counts["music", "ok"] == summary.rows and not seen.exists()


def test_a_bad_sound_spoils_its_own_row_alone(ingested: Dataset) -> None:
    summary = run(job_of(ingested, Rms(bad="track_01")), ingested, quiet=True)
    assert set(_errors(ingested)) == {"track_01.flac"}
    assert _errors(ingested)["track_01.flac"] == ("ValueError", "cannot hear this")
    assert summary.counts["pmos", "ok"] + summary.counts["pmos", "error"] == summary.rows


def test_other_bytes_are_never_scored(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / "in" / f"{i}.wav", music(2, seed=i))
    dataset = ingest_into(tmp_path / "data", tmp_path / "in")
    state = os.stat(tmp_path / "in" / "0.wav")
    os.utime(tmp_path / "in" / "0.wav")  # touched, not changed
    write(tmp_path / "in" / "1.wav", music(2, seed=8))  # changed, same size
    shutil.rmtree(tmp_path / "none", ignore_errors=True)
    (tmp_path / "in" / "2.wav").unlink()
    run(job_of(dataset, Rms()), dataset, quiet=True)
    assert state.st_size == os.stat(tmp_path / "in" / "1.wav").st_size
    assert {n: t for n, (t, _) in _errors(dataset).items()} == {
        "1.wav": "FileChanged",
        "2.wav": "UnreadableAudio",
    }


def test_limit_counts_clips_and_goes_on(ingested: Dataset) -> None:
    total = job_of(ingested, Rms()).total()
    assert run(job_of(ingested, Rms(), limit=3), ingested, quiet=True).rows == 3
    assert run(job_of(ingested, Rms(), limit=3), ingested, quiet=True).rows == 3
    assert run(job_of(ingested, Rms()), ingested, quiet=True).rows == total - 6
    assert len(_rows(ingested)) == total


def test_units_do_not_depend_on_what_is_pending(
    ingested: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audio_pass, "BLOCK", 2)
    whole = [[r["clip_id"] for r in u.rows] for u in job_of(ingested, Rms()).units()]
    run(job_of(ingested, Rms(), limit=3), ingested, quiet=True)  # two units
    rest = [[r["clip_id"] for r in u.rows] for u in job_of(ingested, Rms()).units()]
    assert rest == whole[-len(rest) :] and 0 < len(rest) < len(whole)


def test_ray_gives_the_same_rows_and_survives_a_worker_that_dies(
    tmp_path: Path, music_folder: Path
) -> None:
    here = ingest_into(tmp_path / "here", music_folder)
    there = ingest_into(tmp_path / "there", music_folder)
    run(job_of(here, Rms(), Deadly("never")), here, workers=0, quiet=True)
    summary = run(job_of(there, Rms(), Deadly("track_02")), there, workers=2, quiet=True)
    assert summary.rows == len(_rows(here)) == len(_rows(there))
    poisoned = _errors(there, "music")
    assert set(poisoned) == {"track_02.ogg"} and poisoned["track_02.ogg"][0] == "WorkerDied"
    lost = {k for k, v in _rows(there).items() if v[1] == "error"}
    assert {k: v for k, v in _rows(there).items() if k not in lost} == {
        k: v for k, v in _rows(here).items() if k not in lost
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_a_model_that_is_not_there_stops_the_run_in_our_own_words(
    ingested: Dataset, workers: int
) -> None:
    from qamdt.schemas.errors import WeightsMissing

    missing = job_of(ingested, Unopenable())
    with pytest.raises(WeightsMissing, match=r"^not here; fetch it$"):
        run(missing, ingested, workers=workers, quiet=True)
    assert not _rows(ingested)
    assert run(job_of(ingested, Rms()), ingested, workers=workers, quiet=True).rows > 0


def test_too_many_workers_are_refused(ingested: Dataset) -> None:
    import ray

    from qamdt.schemas.errors import ConfigError

    if not ray.is_initialized():
        run(job_of(ingested, Rms(), limit=1), ingested, workers=2, quiet=True)
    with pytest.raises(ConfigError, match="--workers 500"):
        run(job_of(ingested, Rms()), ingested, workers=500, quiet=True)
