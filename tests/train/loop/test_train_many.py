"""Several processes: sharded weights on disk as whole ones, and two processes as one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fit_builders import SHAPE, TEXT_WIDTH, child_env, small_set, tiny
from torch import distributed
from torch.distributed.fsdp import fully_shard

from qamdt.train.loop.checkpoint import EMA, MODEL, OPTIMIZER, latest
from qamdt.train.loop.ema import Ema
from qamdt.train.loop.fit import fit
from qamdt.train.loop.optim import optimizer_of
from qamdt.train.loop.state_dicts import (
    ema_state,
    load_ema_state,
    load_model_state,
    load_optimizer_state,
    model_state,
    optimizer_state,
)
from qamdt.train.network.model import QAMDT


@pytest.fixture
def one_process_group(tmp_path: Path) -> Iterator[None]:
    store = distributed.FileStore(str(tmp_path / "store"), 1)
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def trained(shard: bool) -> tuple[QAMDT, torch.optim.Optimizer, Ema]:
    """A network after two steps of AdamW on a fixed sum."""
    torch.manual_seed(0)
    config = tiny()
    network = QAMDT(config.model)
    if shard:
        mesh = distributed.device_mesh.init_device_mesh("cpu", (1,))
        for block in [*network.encoder_in, *network.encoder_out, *network.decoder]:
            fully_shard(block, mesh=mesh)
        fully_shard(network, mesh=mesh)
    optimizer, ema = optimizer_of(network, config.optim), Ema(network, 0.5)
    for group in optimizer.param_groups:
        group["lr"] = 1e-3
    for _ in range(2):
        generator = torch.Generator().manual_seed(1)
        latents = torch.randn(2, *SHAPE, generator=generator)
        text = torch.randn(2, 3, TEXT_WIDTH, generator=generator)
        t, real = torch.tensor([3.0, 900.0]), torch.ones(2, 3, dtype=torch.bool)
        output = network(latents, t, text, real, torch.tensor([1.0, 5.0]))
        (output - latents).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        ema.update(network)
    return network, optimizer, ema


def test_sharded_weights_are_saved_whole_and_loaded_into_shards(one_process_group: None) -> None:
    network, optimizer, ema = trained(shard=True)
    plain, plain_optimizer, plain_ema = trained(shard=False)
    saved = model_state(network), ema_state(network, ema), optimizer_state(network, optimizer)
    wanted = (
        model_state(plain), ema_state(plain, plain_ema), optimizer_state(plain, plain_optimizer),
    )  # fmt: skip
    for one, other in zip(saved, wanted, strict=True):
        assert one.keys() == other.keys()
        for name in one:
            torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-7)
    before = [{k: v.clone() for k, v in part.items()} for part in saved]
    with torch.no_grad():
        for p in network.parameters():
            p.zero_()
    load_model_state(network, before[0])
    load_ema_state(network, ema, before[1], 1.5)
    load_optimizer_state(network, optimizer, before[2])
    again = model_state(network), ema_state(network, ema), optimizer_state(network, optimizer)
    for one, other in zip(again, before, strict=True):
        assert all(torch.equal(one[k], other[k]) for k in other)
    assert ema.weight == 1.5


CHILD = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from fit_builders import tiny
from qamdt.pipeline.dataset import Dataset
from qamdt.train.loop.fit import fit
config = tiny(fit={"batch_size": 2, "steps": 4}, masking={"masking": "masked+full"})
fit(Dataset(Path(sys.argv[1])), Path(sys.argv[2]), config, quiet=True)
"""


@pytest.mark.slow
def test_two_processes_train_as_one_that_accumulates(tmp_path: Path) -> None:
    dataset, _ = small_set(tmp_path / "set")
    one = tiny(
        fit={"batch_size": 2, "accumulate": 2, "steps": 4}, masking={"masking": "masked+full"}
    )
    fit(dataset, tmp_path / "one", one, quiet=True)
    (tmp_path / "child.py").write_text(CHILD)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, str(tmp_path / "child.py"), str(dataset.root), str(tmp_path / "two")],
        env={**child_env(), "ACCELERATE_USE_CPU": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    a, b = latest(tmp_path / "one"), latest(tmp_path / "two")
    assert a and b and a.step == b.step == 4 and b.state["world"] == 2
    for name in (MODEL, EMA, OPTIMIZER):
        left, right = a.tensors(name), b.tensors(name)
        for key in left:
            torch.testing.assert_close(left[key], right[key], rtol=1e-4, atol=1e-6)
