"""latents_stage.py: one row for each kept clip, one scale for the set, each prompt encoded once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf
import torch
from builders import music
from codec_builders import judge, tiny_diffusers
from conftest import ingest_into

from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.stage import Call, RunConfig
from qamdt.schemas.errors import StoreError
from qamdt.schemas.tables import Latent
from qamdt.train.config import Config, DataConfig, PromptConfig
from qamdt.train.data.latent_scale import measured_scale, seal
from qamdt.train.data.latents_stage import latent_frames, latent_job, make_latents
from qamdt.train.data.text_states_stage import prompts_of
from qamdt.train.data.training_set import TrainingSet
from qamdt.train.sound_config import LatentsConfig, ModelsConfig

QUIET = Call(quiet=True, log=lambda line: None)
CAPTIONS = ("slow piano", "fast drums")


@pytest.fixture(scope="module")
def codec_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return tiny_diffusers(tmp_path_factory.mktemp("codec"))


@pytest.fixture
def config(codec_folder: Path) -> Config:
    return Config(
        models=ModelsConfig(codec=f"diffusers@{codec_folder}", device="cpu"),
        latents=LatentsConfig(seconds=2.0),
    )


def _rows(dataset: Dataset, table: str = "latents") -> list[dict[str, object]]:
    state = dataset.current(table)
    assert state is not None
    parts = dataset.parts(table, state.fingerprint)
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    return sorted(rows, key=lambda r: str(r.get("clip_id") or r.get("text")))


def _make(dataset: Dataset, config: Config, call: Call = QUIET, measure: bool = False) -> object:
    with dataset.lock():
        return make_latents(dataset, config, call, measure)


def test_one_row_for_each_kept_clip(ingested: Dataset, config: Config) -> None:
    """Shape of 40 ms frames, the codec's name in each row, one scale that gives deviation 1."""
    kept = judge(ingested, CAPTIONS, drop=2)
    _make(ingested, config)
    rows = _rows(ingested)
    assert [r["clip_id"] for r in rows] == kept
    assert {tuple(r["shape"]) for r in rows} == {(8, 50, 16)}
    assert {str(r["codec"]).split()[0] for r in rows} == {
        f"diffusers:{Path(config.models.codec).name}"
    }
    (scale,) = {r["scale"] for r in rows}
    numbers = np.concatenate([np.frombuffer(r["latent"], np.float16) for r in rows])
    assert float((numbers.astype(np.float64) * scale).std()) == pytest.approx(1, abs=1e-3)


def test_the_trainer_reads_what_is_written(ingested: Dataset, config: Config) -> None:
    """Every kept clip is taken; prompt and latent are those of its own rows."""
    kept = judge(ingested, CAPTIONS)
    _make(ingested, config)
    folder = TrainingSet.open(ingested, DataConfig(validation=0.0), PromptConfig())
    assert folder.clip_ids == kept
    assert folder.funnel["used"] == len(kept)
    assert set(folder.prompts) <= prompts_of(ingested, config.prompt)
    stacked = torch.stack([folder.latent(i) for i in range(len(folder))])
    assert float(stacked.std()) == pytest.approx(1, abs=0.02)
    assert folder.text(0).shape[1] == 384


def test_stopped_and_resumed_is_the_same(ingested: Dataset, config: Config, tmp_path: Path) -> None:
    judge(ingested, CAPTIONS)
    said: list[str] = []
    first = Call(limit=3, quiet=True, log=said.append)
    assert _make(ingested, config, first) is None
    assert any("to go; the scale is measured when none is left" in line for line in said)
    assert {r["scale"] for r in _rows(ingested)} == {None}
    with pytest.raises(StoreError, match="3 latents have no scale yet"):
        TrainingSet.open(ingested, DataConfig(), PromptConfig())
    _make(ingested, config)
    resumed = _rows(ingested)
    ingested.drop_state("latents", latent_job(ingested, config).outputs[0].fingerprint)
    _make(ingested, config)
    assert _rows(ingested) == resumed
    assert latent_job(ingested, config).total() == 0


@pytest.mark.slow
def test_ray_gives_the_same_rows(ingested: Dataset, config: Config) -> None:
    judge(ingested, CAPTIONS)
    _make(ingested, config)
    here = _rows(ingested), _rows(ingested, "text_states")
    for table in ("latents", "text_states"):
        ingested.drop_state(table, ingested.current(table).fingerprint)  # type: ignore[union-attr]
    _make(ingested, dataclasses.replace(config, run=RunConfig(workers=1)))
    assert (_rows(ingested), _rows(ingested, "text_states")) == here


def test_a_clip_that_does_not_fit_is_a_row_that_says_why(ingested: Dataset, config: Config) -> None:
    judge(ingested, CAPTIONS)
    _make(ingested, dataclasses.replace(config, latents=LatentsConfig(seconds=1.0)))
    rows = _rows(ingested)
    errors = [r for r in rows if r["status"] == "error"]  # the tails of 1 s are not
    assert 0 < len(errors) < len(rows)
    assert all("2.00 s long, a latent 1.00 s" in str(r["error_message"]) for r in errors)
    assert {r["scale"] for r in errors} == {None}
    assert len({r["scale"] for r in rows if r["status"] == "ok"}) == 1


def test_a_short_clip_is_filled_with_silence(
    ingested: Dataset, config: Config, codec_folder: Path
) -> None:
    from qamdt.audio.decode import decode_window
    from qamdt.pipeline.views import connect
    from qamdt.train.codec.kinds import CODECS

    judge(ingested, CAPTIONS)
    _make(ingested, dataclasses.replace(config, latents=LatentsConfig(seconds=3.0)))
    row = _rows(ingested)[0]
    with connect(ingested) as con:
        path, start, length = con.execute(
            "SELECT path, start_s, duration_s FROM clips WHERE clip_id = ?", [row["clip_id"]]
        ).fetchall()[0]
    wave = decode_window(path, start, length).mono_at(16000)
    filled = torch.from_numpy(np.pad(wave, (0, 48000 - len(wave))))[None]
    wanted = CODECS["diffusers"](str(codec_folder)).encode(filled)[0].numpy().astype(np.float16)
    assert row["shape"] == [8, 75, 16]
    assert np.array_equal(np.frombuffer(row["latent"], np.float16), wanted.ravel())


def test_later_clips_get_the_scale_that_was_measured(
    tmp_path: Path, config: Config, music_folder: Path
) -> None:
    """Until it is measured anew; then all rows change, and nothing else in them."""
    source = tmp_path / "music"
    source.mkdir()
    for path in sorted(music_folder.iterdir())[:2]:
        (source / path.name).write_bytes(path.read_bytes())
    dataset = ingest_into(tmp_path / "data", source)
    judge(dataset, CAPTIONS)
    first = _make(dataset, config)
    noise = np.random.default_rng(0).normal(0, 0.1, (2, 88200)).astype(np.float32)
    sf.write(source / "more.wav", (noise + music(2.0, seed=5)[:, :88200] * 0.1).T, 44100)
    dataset = ingest_into(tmp_path / "data", source)
    judge(dataset, CAPTIONS)
    second = _make(dataset, config)
    assert (first.measured, second.measured) == (True, False)  # type: ignore[attr-defined]
    assert second.scale == first.scale and second.n > first.n  # type: ignore[attr-defined]
    before = _rows(dataset)
    third = _make(dataset, config, measure=True)
    assert third.measured and third.scale != first.scale  # type: ignore[attr-defined]
    after = _rows(dataset)
    assert {r["scale"] for r in after} == {third.scale}  # type: ignore[attr-defined]
    assert [r["latent"] for r in after] == [r["latent"] for r in before]


def test_sealing_goes_on_where_it_was_stopped(ingested: Dataset, config: Config) -> None:
    """A part without the scale gets the one of the others; two scales are refused."""
    judge(ingested, CAPTIONS)
    for limit in (3, 6, None):
        _make(ingested, config, Call(limit=limit, quiet=True, log=lambda line: None))
    fingerprint = latent_job(ingested, config).outputs[0].fingerprint
    parts = ingested.parts("latents", fingerprint)
    assert len(parts) > 1
    sealed = _rows(ingested)
    rows = pq.read_table(parts[0])
    at = rows.schema.get_field_index("scale")
    for wrong in (None, 7.0):
        column = np.full(len(rows), wrong if wrong else np.nan, np.float32)
        values = pq.read_table(parts[0])["scale"].combine_chunks()
        values = type(values).from_pandas(column) if wrong is None else column
        ingested.rewrite_part(parts[0], rows.set_column(at, rows.schema.field(at), [values]))
        if wrong is None:
            assert seal(ingested, fingerprint).measured is False
            assert _rows(ingested) == sealed
        else:
            with pytest.raises(StoreError, match="--measure-scale"):
                seal(ingested, fingerprint)


def test_the_scale_is_that_of_all_numbers(tmp_path: Path) -> None:
    """Equal to numpy over everything at once, parts of different means included."""
    rng, dataset, every = np.random.default_rng(0), Dataset(tmp_path), []
    for k in range(3):
        rows = []
        for j in range(5):
            latent = rng.normal(k, 1 + k, (2, 3, 4)).astype(np.float16)
            every.append(latent)
            rows.append(Latent(clip_id=f"{k}{j}", latent=latent.tobytes(), shape=[2, 3, 4]))
        dataset.commit(Latent, "x", rows)
    with pytest.raises(StoreError, match="no latent to measure"):
        measured_scale([])
    wanted = 1 / np.stack(every).astype(np.float64).std()
    assert measured_scale(dataset.parts("latents", "x")) == pytest.approx(wanted, rel=1e-6)


def test_each_prompt_is_encoded_once_and_for_ever(ingested: Dataset, config: Config) -> None:
    """Prefix before caption, the empty text, nothing twice; new captions add, none is lost."""
    judge(ingested, CAPTIONS)
    _make(ingested, config)
    texts = [r["text"] for r in _rows(ingested, "text_states")]
    assert set(texts) == prompts_of(ingested, config.prompt)
    assert len(texts) == len(set(texts))
    assert {"", "slow piano", "low quality, fast drums"} <= set(texts)
    judge(ingested, (*CAPTIONS, "a new choir"))
    _make(ingested, config)
    more = {r["text"] for r in _rows(ingested, "text_states")}
    assert more > set(texts)
    assert any("a new choir" in str(t) for t in more)


def test_prompts_of_dropped_clips_are_not_encoded(ingested: Dataset) -> None:
    judge(ingested, ("kept", "dropped"), drop=0)
    everything = prompts_of(ingested, PromptConfig())
    judge(ingested, ("kept", "dropped"), drop=100)
    assert prompts_of(ingested, PromptConfig()) == {""}
    assert prompts_of(ingested, PromptConfig(), kept_only=False) == everything
    bare = prompts_of(ingested, PromptConfig(quality_prefix=False), kept_only=False)
    assert bare == {"", "kept", "dropped"}


def test_an_unfiltered_set_is_refused(ingested: Dataset, config: Config) -> None:
    with pytest.raises(StoreError, match="--no-kept-only"):
        _make(ingested, config)


@pytest.mark.parametrize(("seconds", "frames"), [(10.24, 256), (0.08, 2), (10, 250)])
def test_frames_are_40_ms(seconds: float, frames: int) -> None:
    assert latent_frames(seconds) == frames
