"""The training of clap-mini: every term reaches the network, and a run that stops goes on exactly."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from qamdt.models.clap.mini_network import ClapNet, Sizes
from qamdt.models.clap.mini_words import bump, pieces, read
from qamdt.models.tags.tempo_key import KEYS
from qamdt.recipes.clap.arrange import arrange
from qamdt.recipes.clap.examples import Texts, captions_of
from qamdt.recipes.clap.styles import STYLES
from qamdt.recipes.clap.train import BATCH, Data, Training, losses

torch.set_num_threads(1)
SIZES = Sizes(learned=8, hidden=16)


@pytest.fixture(scope="module")
def data() -> Data:
    """A batch and a half of arranged tunes, noise for features, a random vector for each phrase."""
    rng, n = np.random.default_rng(0), BATCH + 20
    facts = [arrange(None, list(STYLES)[k % len(STYLES)], rng)[2] for k in range(n)]
    captions = captions_of([{"kind": "rendered", **asdict(f)} for f in facts], seed=1)
    phrases = sorted({piece for text in captions.texts for piece in pieces(text)})
    place = {phrase: k for k, phrase in enumerate(phrases)}
    rows = [[place[piece] for piece in pieces(text)] for text in captions.texts]
    noise = torch.Generator().manual_seed(0)
    return Data(
        musicnn=torch.randn(n, 500, generator=noise), plain=torch.randn(n, 466, generator=noise),
        pitch=torch.rand(n, 4, 12, generator=noise), track=torch.arange(n),
        key=torch.tensor([KEYS.index(f.key) if f.key else -1 for f in facts]),
        tempo=torch.from_numpy(np.stack([bump(f.bpm or 100.0) for f in facts])),
        drums=torch.tensor([float(bool(f.drums)) for f in facts]), real=np.zeros(n, bool),
        captions=captions, texts=Texts(rows, torch.from_numpy(read(captions.texts))),
        table=torch.randn(len(phrases), 384, generator=noise),
    )  # fmt: skip


def test_the_terms_reach_every_weight(data: Data) -> None:
    torch.manual_seed(0)
    net = ClapNet(SIZES)
    terms = losses(net, data, np.random.default_rng(0))
    assert set(terms) == {"pairs", "swaps", "key", "tempo", "drums"}
    torch.stack(list(terms.values())).sum().backward()
    missing = [name for name, w in net.named_parameters() if w.grad is None or not w.grad.any()]
    assert not missing


def test_training_goes_on_where_it_stopped(data: Data, tmp_path: Path) -> None:
    """Four steps at once, and two, a checkpoint and two more by another seed: the same bits."""
    straight = Training(data, SIZES, 4, seed=1).run(4, None, 2, 4)
    first = Training(data, SIZES, 4, seed=1)
    for _ in range(2):
        first.step()
    first.save(tmp_path / "checkpoint.pt")
    resumed = Training(data, SIZES, 4, seed=9).run(4, tmp_path / "checkpoint.pt", 2, 4)
    for name, tensor in straight.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
