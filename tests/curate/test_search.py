"""Search: exact nearest neighbours over what is stored, asked by the model that stored it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from builders import file_set, sine, write
from conftest import QUIET, ingest_into
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from qamdt.curate import stations
from qamdt.curate.cli import app
from qamdt.curate.config import Config, ModelsConfig
from qamdt.curate.search import embed_sound, embed_text, embedding_of, made_by, search
from qamdt.models.clap.vectors import unit_rows
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.job import output
from qamdt.pipeline.views import connect
from qamdt.pipeline.views import query as ask
from qamdt.schemas.errors import ConfigError, StoreError
from qamdt.schemas.tables import Clap

DIM = 16


def clip_ids(dataset: Dataset) -> list[str]:
    with connect(dataset) as con:
        return [c for (c,) in con.execute("SELECT clip_id FROM clips ORDER BY clip_id").fetchall()]


def store(dataset: Dataset, vectors: np.ndarray, ids: list[str], model: str = "toy") -> None:
    """Embeddings as the score station commits them; a row of NaN becomes an error row."""
    out = output(dataset, Clap, 1, {}, ["clips"], model, "0")
    rows = []
    for clip_id, v in zip(ids, vectors.astype(np.float16), strict=True):
        made = {"clip_id": clip_id, "model_id": model, "weights": "0"}
        if np.isnan(v).all():
            rows.append(Clap(**made, status="error", error_type="ModelError", error_message="x"))
        else:
            rows.append(Clap(**made, embedding=v))
    dataset.drop_state(out.table, out.fingerprint)
    dataset.commit(Clap, out.fingerprint, rows)
    dataset.adopt(out.table, out.fingerprint, out.about)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Some sixty clips, no model run."""
    root = tmp_path_factory.mktemp("search")
    file_set(root / "in", count=6, duration_s=5, suffixes=(".wav",))
    return ingest_into(root / "data", root / "in", window_s=0.5)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five clips with the embedded model's own embeddings."""
    root = tmp_path_factory.mktemp("heard")
    file_set(root / "in", count=4, duration_s=3, suffixes=(".wav",))
    write(root / "in" / "tone.wav", sine(3.0))
    dataset = ingest_into(root / "data", root / "in", window_s=3)
    with dataset.lock():
        stations.score(dataset, Config().override("score", {"only": ("clap",)}), QUIET)
    return dataset


@settings(max_examples=10)
@given(st.integers(0, 999), st.integers(1, 80))
def test_the_nearest_are_those_of_brute_force(clips: Dataset, seed: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    ids = clip_ids(clips)
    vectors = unit_rows(rng.standard_normal((len(ids), DIM)).astype(np.float32))
    store(clips, vectors, ids)
    query = rng.standard_normal(DIM)
    found = search(clips, query, most)
    stored = vectors.astype(np.float16).astype(float)
    cosine = stored @ query / np.linalg.norm(stored, axis=1) / np.linalg.norm(query)
    best = np.argsort(-cosine)[:most]
    assert [hit.clip_id for hit in found.hits] == [ids[i] for i in best]
    np.testing.assert_allclose([hit.similarity for hit in found.hits], cosine[best], atol=1e-5)
    assert [hit.rank for hit in found.hits] == list(range(1, len(best) + 1))
    assert (found.compared, found.without, found.model_id) == (len(ids), 0, "toy")


def test_ties_come_in_order_of_clip_id(clips: Dataset) -> None:
    ids = clip_ids(clips)
    store(clips, np.ones((len(ids), DIM), np.float32), ids)
    assert [hit.clip_id for hit in search(clips, np.ones(DIM), 7).hits] == ids[:7]


def test_rows_without_an_embedding_are_counted_and_not_found(clips: Dataset) -> None:
    """An error row, a NaN, a vector of zeros, one of another length: none of them is near."""
    ids = clip_ids(clips)
    vectors = np.random.default_rng(0).standard_normal((len(ids), DIM)).astype(np.float32)
    vectors[0] = np.nan
    vectors[1, 3] = np.nan
    vectors[2] = 0
    store(clips, vectors, ids)
    found = search(clips, np.ones(DIM), 1000)
    assert {hit.clip_id for hit in found.hits} == set(ids[3:])
    assert (found.compared, found.without) == (len(ids) - 3, 3)
    assert search(clips, np.ones(DIM + 1)).without == len(ids)


def test_at_most_so_many_of_a_file(clips: Dataset) -> None:
    """The rule does not change the order: each file's best clips, ranked as before."""
    ids = clip_ids(clips)
    vectors = np.random.default_rng(0).standard_normal((len(ids), DIM)).astype(np.float32)
    store(clips, vectors, ids)
    every = search(clips, np.ones(DIM), 1000).hits
    two = search(clips, np.ones(DIM), 1000, per_file=2).hits
    wanted = [h for i, h in enumerate(every) if [e.path for e in every[:i]].count(h.path) < 2]
    assert [h.clip_id for h in two] == [h.clip_id for h in wanted]


def test_a_condition_narrows_the_search_and_can_do_nothing_else(clips: Dataset) -> None:
    ids = clip_ids(clips)
    store(clips, np.ones((len(ids), DIM), np.float32), ids)
    found = search(clips, np.ones(DIM), 1000, where="start_s >= 1 AND path LIKE '%track_02%'")
    assert found.compared == 8 and all(h.start_s >= 1 for h in found.hits)
    for wrong in ("nosuch > 1", "1=1; DROP TABLE clap", "1=1) --", "path::INT > 1"):
        with pytest.raises(StoreError, match="where = "):
            search(clips, np.ones(DIM), where=wrong)
    with pytest.raises(StoreError, match="qamdt-curate filter"):
        search(clips, np.ones(DIM), kept_only=True)


def test_questions_that_cannot_be_asked(clips: Dataset, tmp_path: Path) -> None:
    ids = clip_ids(clips)
    with pytest.raises(StoreError, match="run `qamdt-curate score` first"):
        search(Dataset(tmp_path), np.ones(DIM))
    store(clips, np.ones((len(ids), DIM), np.float32), ids)
    for nothing in (np.zeros(DIM), np.full(DIM, np.nan)):
        with pytest.raises(ConfigError, match="says nothing"):
            search(clips, nothing)
    with pytest.raises(ConfigError, match="at least 1"):
        search(clips, np.ones(DIM), 0)
    with pytest.raises(ConfigError, match="no embedding"):
        embedding_of(clips, "nosuch")


def test_only_the_model_that_made_the_rows_may_ask(clips: Dataset) -> None:
    ids = clip_ids(clips)
    store(clips, np.ones((len(ids), DIM), np.float32), ids, model="another")
    assert made_by(clips) == ("another", "0")
    with pytest.raises(ConfigError, match=r"are of another .* --match"):
        embed_text(clips, "slow piano", ModelsConfig())


def test_a_clip_is_its_own_nearest_neighbour(heard: Dataset) -> None:
    for clip_id in clip_ids(heard):
        first = search(heard, embedding_of(heard, clip_id)).hits[0]
        assert first.clip_id == clip_id and first.similarity == pytest.approx(1, abs=1e-6)


def test_the_same_audio_finds_its_clip(heard: Dataset) -> None:
    """Asked by the file itself, through the model: the stored row is the same to float16."""
    (row,) = ask(heard.root, "SELECT clip_id, path FROM clips WHERE path LIKE '%tone%'").to_pylist()
    query = embed_sound(heard, Path(row["path"]), ModelsConfig(), 0.0, 3.0)
    first = search(heard, query).hits[0]
    assert first.clip_id == row["clip_id"] and first.similarity == pytest.approx(1, abs=1e-4)
    whole = embed_sound(heard, Path(row["path"]), ModelsConfig())
    np.testing.assert_allclose(whole, query, atol=1e-3)


def test_the_command_answers_in_a_table_and_in_lines(heard: Dataset) -> None:
    cli, folder = CliRunner(), str(heard.root)
    shown = cli.invoke(app, ["search", folder, "slow sad piano", "-n", "2"])
    assert shown.exit_code == 0 and "5 clips compared" in shown.output
    like = clip_ids(heard)[0]
    lines = cli.invoke(app, ["search", folder, "--like", like, "-n", "2", "--json"]).output
    hits = [json.loads(line) for line in lines.splitlines()]
    assert [hit["rank"] for hit in hits] == [1, 2] and hits[0]["pmos"] is None
    assert hits[0]["clip_id"] == like and hits[0]["similarity"] == 1
    for arguments in ([], ["a", "--like", "b"]):
        done = cli.invoke(app, ["search", folder, *arguments])
        assert isinstance(done.exception, ConfigError) and "one thing to ask by" in str(
            done.exception
        )
