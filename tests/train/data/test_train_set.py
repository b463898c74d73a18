"""The training set: latents, levels and prompts of one clip each, and nothing lost in silence."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from fit_builders import SHAPE, TEXT_WIDTH, replace, small_set, tiny

from qamdt.benchmarks.training.synthetic_latents import PREFIXES, word_states
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.views import connect
from qamdt.schemas.errors import ConfigError, StoreError
from qamdt.schemas.tables import Decision, Latent, Level, TextStates
from qamdt.train.config import DataConfig, PromptConfig
from qamdt.train.data.latent_store import Shards, latent_row, scale_of, text_row
from qamdt.train.data.loader import Loader
from qamdt.train.data.order import DataOrder, expected_counts
from qamdt.train.data.text_states import NULL_TEXT, padded
from qamdt.train.data.training_set import TrainingSet, UnreadableClip
from qamdt.train.diffusion.objective import Objective

DATA = DataConfig(validation=0.2, loader_workers=0)
PROMPT = PromptConfig()


def commit(dataset: Dataset, cls: type, rows: list) -> None:
    """Put rows beside those that a table has."""
    state = dataset.current(cls.TABLE)
    assert state is not None
    dataset.commit(cls, state.fingerprint, rows)


def test_latents_come_back_from_float16_whatever_the_part_and_the_reading(tmp_path: Path) -> None:
    dataset, made = small_set(tmp_path, clips=300)  # two parts, many row groups
    parts = dataset.parts("latents", dataset.current("latents").fingerprint)
    assert len(parts) == 2
    meta = pq.read_metadata(parts[0])
    assert meta.num_row_groups > 30
    column = next(
        c
        for k in range(meta.row_group(0).num_columns)
        if (c := meta.row_group(0).column(k)).path_in_schema == "latent"
    )
    assert column.compression == "UNCOMPRESSED"
    truth = {m.clip_id: m.latent for m in made}
    for reading in ("mmap", "stream"):
        folder = TrainingSet.open(dataset, DataConfig(reading=reading), PROMPT)
        for index in np.random.default_rng(0).permutation(len(folder))[:100]:
            read = folder.latent(int(index)) / folder.scale
            half = torch.from_numpy(truth[folder.clip_ids[index]].astype(np.float16)).float()
            torch.testing.assert_close(read, half, rtol=1e-6, atol=1e-6)


def test_the_scale_gives_a_standard_deviation_of_one(tmp_path: Path) -> None:
    folder = TrainingSet.open(small_set(tmp_path)[0], DATA, PROMPT)
    every = torch.stack([folder.latent(k) for k in range(len(folder))])
    assert every.std().item() == pytest.approx(1, abs=0.02)
    with pytest.raises(StoreError, match="all alike"):
        scale_of([np.ones((1, 2, 2))])


def test_shards_can_be_sent_to_another_process(tmp_path: Path) -> None:
    dataset, _ = small_set(tmp_path)
    parts = dataset.parts("latents", dataset.current("latents").fingerprint)
    shards = Shards(parts, ["clip_id", "latent"])
    assert shards.read(0, 3) == pickle.loads(pickle.dumps(shards)).read(0, 3)
    with pytest.raises(StoreError, match="row 999"):
        shards.read(0, 999)


def _marked(clip_id: str, level: int) -> np.ndarray:
    """A latent that says which clip it is of, and at which level."""
    digest = hashlib.sha256(clip_id.encode()).digest()
    latent = np.zeros(SHAPE, np.float32)
    latent.flat[:16] = np.frombuffer(digest[:16], np.uint8)
    latent.flat[16] = level
    return latent


@pytest.mark.parametrize("sampling", ["none", "exp", "balanced"])
def test_audio_level_and_prompt_are_of_one_clip_in_10k_draws(tmp_path: Path, sampling: str) -> None:
    dataset, made = small_set(tmp_path, clips=120)
    rows = [latent_row(m.clip_id, _marked(m.clip_id, m.level), 1.0, "marks") for m in made]
    rng = np.random.default_rng(1)
    replace(dataset, Latent, "marked", [rows[k] for k in rng.permutation(len(rows))])
    config = tiny(
        data={"quality_sampling": sampling, "text_dropout": 0.0, "quality_dropout": 0.0},
        fit={"batch_size": 200},
    )
    folder = TrainingSet.open(dataset, config.data, PROMPT)
    train = folder.split(False)
    draws = expected_counts(config.data, folder.levels[train], folder.pmos[train])
    loader = Loader(folder, config, Objective(config.objective), DataOrder(draws, 0, 200), train)
    truth = {hashlib.sha256(m.clip_id.encode()).digest()[:16]: m for m in made}
    seen, held = 0, {folder.clip_ids[k] for k in folder.split(True)}
    while seen < 10_000:
        batch = next(loader)
        for row, latent in enumerate(batch.latents):
            m = truth[bytes(latent.flatten()[:16].to(torch.uint8).tolist())]
            assert batch.clip_ids[row] == m.clip_id and m.clip_id not in held
            assert float(batch.quality[row]) == m.level == float(latent.flatten()[16])
            prefix = PREFIXES[m.level]
            states = word_states(f"{prefix}, {m.caption}" if prefix else m.caption, TEXT_WIDTH)
            assert int(batch.text_mask[row].sum()) == len(states)
            got = batch.text[row, : len(states)].numpy()
            np.testing.assert_allclose(got, states, atol=2e-3)
            seen += 1


def test_every_clip_is_taken_or_counted_with_its_reason(tmp_path: Path) -> None:
    dataset, made = small_set(tmp_path, clips=40)
    ids = [m.clip_id for m in made]
    kept = [Decision(clip_id=i, kept=k >= 3) for k, i in enumerate(ids)]
    replace(dataset, Decision, "some", kept)
    levels = [
        Level(clip_id=m.clip_id, quality_level=None if k == 5 else m.level, quality_prefix="odd")
        if k in (5, 6)
        else Level(clip_id=m.clip_id, quality_level=m.level, quality_prefix=None)
        for k, m in enumerate(made)
    ]
    replace(dataset, Level, "some", levels)
    latents = dataset.current("latents").fingerprint
    dataset.commit(
        Latent,
        latents,
        [Latent(clip_id="broken", status="error", error_type="X", error_message="y")],
    )
    folder = TrainingSet.open(dataset, DATA, PROMPT)
    wanted = {"error row": 1, "not kept": 3, "no level": 1, "no text states": 1}
    assert {k: folder.funnel[k] for k in wanted} == wanted
    assert folder.funnel["used"] == len(folder) == 35
    assert set(folder.clip_ids) == set(ids[3:]) - {ids[5], ids[6]}


def test_the_token_limit_counts_the_prefix_and_keeps_it(tmp_path: Path) -> None:
    dataset, _ = small_set(tmp_path)
    folder = TrainingSet.open(dataset, DataConfig(), PromptConfig(max_tokens=4))
    prompt = "low quality, solo piano"  # low quality , solo piano </s>
    assert folder.texts.tokens(prompt) == 6
    wanted = torch.from_numpy(word_states(prompt, TEXT_WIDTH)[:4])
    torch.testing.assert_close(folder.texts.states(prompt), wanted, atol=2e-3, rtol=0)
    long = sum(p.count(" ") >= 3 for p in set(folder.prompts))  # those with a prefix
    assert folder.funnel["prompts cut"] == long > 0
    bare = TrainingSet.open(dataset, DataConfig(), PromptConfig(quality_prefix=False, max_tokens=4))
    assert bare.funnel["prompts cut"] == 0 and "solo piano" in bare.prompts


def test_a_file_stands_on_one_side_of_the_split_for_ever(tmp_path: Path) -> None:
    dataset, _ = small_set(tmp_path, clips=200)
    folder = TrainingSet.open(dataset, DATA, PROMPT)
    with connect(dataset) as con:
        files = dict(con.sql("SELECT clip_id, file_sha256 FROM clips").fetchall())
    sides: dict[str, set[bool]] = {}
    for clip_id, held in zip(folder.clip_ids, folder.validation, strict=True):
        sides.setdefault(files[clip_id], set()).add(bool(held))
    assert all(len(side) == 1 for side in sides.values())
    share = folder.validation.mean()
    assert 0.05 < share < 0.4
    assert len(folder.split(True)) + len(folder.split(False)) == len(folder)
    larger = TrainingSet.open(dataset, DataConfig(validation=0.5), PROMPT)
    assert set(np.flatnonzero(folder.validation)) <= set(np.flatnonzero(larger.validation))


def test_an_unreadable_clip_is_named_or_replaced_and_counted_and_never_loops(
    tmp_path: Path,
) -> None:
    dataset, made = small_set(tmp_path, clips=40)
    rows = [latent_row(m.clip_id, m.latent, 1.0, "c") for m in made]
    bad = sorted(m.clip_id for m in made)[7]
    spoilt = [
        Latent(clip_id=r.clip_id, latent=r.latent[:-2], shape=r.shape, scale=1.0, codec="c")
        if r.clip_id == bad
        else r
        for r in rows
    ]
    replace(dataset, Latent, "spoilt", spoilt)

    def drawn(skip: bool, folder: TrainingSet, workers: int = 0) -> tuple[set[str], list[str]]:
        data = {"skip_bad": skip, "validation": 0.0, "loader_workers": workers}
        config = tiny(data=data, fit={"batch_size": 40})
        split = folder.split(False)
        sampler = DataOrder(np.ones(len(split)), 0, 40)
        batch = next(Loader(folder, config, Objective(config.objective), sampler, split))
        return set(batch.clip_ids), batch.bad

    folder = TrainingSet.open(dataset, DataConfig(validation=0.0), PROMPT)
    with pytest.raises(UnreadableClip, match=bad):
        drawn(False, folder)
    with pytest.raises(UnreadableClip, match=rf"^clip {bad}: 94 numbers|^clip {bad}: 95 numbers"):
        drawn(False, folder, workers=1)  # a worker's error is as short
    ids, told = drawn(True, folder)
    assert bad not in ids and len(told) == 1 and bad in told[0]
    assert drawn(True, folder)[0] == ids  # the same clip stands in for it every time
    for part in dataset.parts("latents", "spoilt"):
        part.unlink()
    with pytest.raises(UnreadableClip):
        drawn(
            True,
            TrainingSet(**{**vars(folder), "shards": pickle.loads(pickle.dumps(folder.shards))}),
        )


def test_latents_written_anew_under_the_trainer_are_noticed(tmp_path: Path) -> None:
    dataset, _ = small_set(tmp_path, clips=12)
    folder = TrainingSet.open(dataset, DATA, PROMPT)
    (part,) = dataset.parts("latents", dataset.current("latents").fingerprint)
    rows = pq.read_table(part)
    pq.write_table(rows.slice(1).take(list(range(11))[::-1]), part)
    with pytest.raises(UnreadableClip, match=r"now holds|cannot be read"):
        for k in range(len(folder)):
            folder.latent(k)


def test_folders_that_cannot_be_trained_on_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="latents"):
        TrainingSet.open(Dataset(tmp_path / "none"), DATA, PROMPT)
    dataset, made = small_set(tmp_path / "a")
    other = made[0].clip_id + "x"
    commit(dataset, Latent, [latent_row(other, made[0].latent, 9.0, "else")])
    commit(dataset, Decision, [Decision(clip_id=other, kept=True)])
    commit(dataset, Level, [Level(clip_id=other, quality_level=3)])
    with pytest.raises(StoreError, match="more than one kind"):
        TrainingSet.open(dataset, DATA, PROMPT)
    dataset, made = small_set(tmp_path / "b")
    replace(dataset, Decision, "x", [Decision(clip_id=m.clip_id, kept=False) for m in made])
    with pytest.raises(StoreError, match="no clip to train on; 60 latents"):
        TrainingSet.open(dataset, DATA, PROMPT)
    dataset.adopt("pmos", "other", {})
    with pytest.raises(StoreError, match="stale"):
        TrainingSet.open(dataset, DATA, PROMPT)
    dataset, _ = small_set(tmp_path / "c")
    replace(dataset, TextStates, "y", [text_row("x", np.ones((1, 8)), "e")])
    with pytest.raises(StoreError, match="empty text"):
        TrainingSet.open(dataset, DATA, PROMPT)
    folder = TrainingSet.open(small_set(tmp_path / "d")[0], DATA, PROMPT)
    with pytest.raises(ConfigError, match="--channels 2 --frames 8 --bands 6"):
        folder.check((8, 256, 16), TEXT_WIDTH)
    with pytest.raises(ConfigError, match="--text-width 8"):
        folder.check(SHAPE, 1024)
    with pytest.raises(StoreError, match="'not there'"):
        folder.texts.states("not there")


def test_rows_that_cannot_be_stored_are_refused() -> None:
    with pytest.raises(StoreError, match="not finite"):
        latent_row("a", np.full((1, 1, 1), 1e6), 1.0, "c")
    with pytest.raises(StoreError, match=r"\[C, T, F\]"):
        latent_row("a", np.zeros((1, 1)), 1.0, "c")
    with pytest.raises(StoreError, match="S at least 1"):
        text_row("", np.zeros((0, 8)), "e")


def test_padding_is_told_apart_from_tokens() -> None:
    batch, mask = padded([torch.ones(2, 3), torch.ones(4, 3), torch.ones(1, 3)])
    assert batch.shape == (3, 4, 3) and mask.sum(1).tolist() == [2, 4, 1]
    assert torch.equal(batch.sum((1, 2)), torch.tensor([6.0, 12.0, 3.0]))
    assert NULL_TEXT == ""
