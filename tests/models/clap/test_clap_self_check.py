"""models/clap/self_check.py: a CLAP that gives every text one vector is refused when it is loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checkpoint_builders import as_laion, small_clap, tiny_clap, words_tokenizer
from hypothesis import given
from hypothesis import strategies as st

from qamdt.models.clap.huggingface import ClapMatch
from qamdt.models.clap.kinds import MATCHERS
from qamdt.models.clap.laion import LaionMatch
from qamdt.models.clap.self_check import CAPTIONS, LIMIT, check_captions, mean_cosine
from qamdt.models.ref import resolve
from qamdt.schemas.errors import ModelError

VOCABULARY = [*{w for c in CAPTIONS for w in c.split()}, *(f"w{k}" for k in range(1000))]


def collapse(model: Any, noise: float) -> None:
    """Every text becomes one vector, and the share `noise` of what it was."""
    with torch.no_grad():
        last = model.text_projection.linear2
        last.weight.mul_(noise)
        last.bias.fill_(1.0)


def rewrite(folder: Path, noise: float) -> None:
    from transformers import ClapModel

    model = ClapModel.from_pretrained(folder, local_files_only=True)
    collapse(model, noise)
    model.save_pretrained(folder)


@given(st.integers(2, 12), st.integers(1, 9), st.integers(0, 2**32 - 1))
def test_the_mean_cosine_is_that_of_all_pairs(n: int, dim: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [float(unit[i] @ unit[j]) for i in range(n) for j in range(i)]
    assert mean_cosine(7 * rows) == pytest.approx(np.mean(pairs), abs=1e-9)


@pytest.mark.parametrize("kind", ["embedded", "tagtext"])
def test_what_works_is_far_from_the_limit(kind: str) -> None:
    assert mean_cosine(resolve(kind, MATCHERS).embed_text(CAPTIONS)) < 0.2


@pytest.mark.parametrize("seed", range(4))
def test_random_weights_are_no_collapse(seed: int, tmp_path: Path) -> None:
    """Neither with a tokenizer that knows the captions, nor with one of a few other words."""
    ClapMatch(tiny_clap(tmp_path / "clap", seed, VOCABULARY)).load()
    ClapMatch(tiny_clap(tmp_path / "few", seed), least_vocabulary=5).load()


@pytest.mark.parametrize("noise", [0.0, 0.001, float("nan")])
def test_a_collapsed_clap_is_refused(noise: float, tmp_path: Path) -> None:
    """Before any sound or text is embedded, by load as by use."""
    folder = tiny_clap(tmp_path / "mine", words=VOCABULARY)
    rewrite(folder, noise)
    model = ClapMatch(folder)
    for use in (model.load, lambda: model.embed_text(["piano"])):
        with pytest.raises(ModelError, match="clap:mine cannot tell captions apart"):
            use()


def test_a_collapsed_laion_is_refused_where_it_can_read(tmp_path: Path) -> None:
    model = small_clap(len(VOCABULARY) + 4)
    collapse(model, 0.0)
    file = tmp_path / "small.pt"
    torch.save({"state_dict": as_laion(model.state_dict())}, file)  # type: ignore[attr-defined]
    LaionMatch(str(file)).load()  # no tokenizer: for sounds alone
    words_tokenizer(tmp_path / "roberta-base", VOCABULARY)
    with pytest.raises(ModelError, match=r"cosine of 1\.0000, expected below 0\.99"):
        LaionMatch(str(file)).load()


def test_the_limit_is_the_limit() -> None:
    """Two directions mixed so that the mean cosine lies on either side."""

    def rows(share: float) -> np.ndarray:
        own = np.eye(len(CAPTIONS)) * np.sqrt(1 - share)
        return np.concatenate([own, np.full((len(CAPTIONS), 1), np.sqrt(share))], 1)

    check_captions(lambda texts: rows(LIMIT - 0.001), "x")
    with pytest.raises(ModelError):
        check_captions(lambda texts: rows(LIMIT + 0.001), "x")
