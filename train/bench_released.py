"""Compares a training step with one of the released class PixArt_MDT_MOS_AS_TOKEN.

    python -m qamdt.train.bench_released --released FOLDER [--out figures/trainer.json]

FOLDER is a checkout of the released code, which is not part of this package. Both networks have the same
width, depth, heads, patches, text, batch, share of masked patches, loss, clipping and optimiser, in
float32 on one thread. Each measurement is a process of its own; the sides take turns, so that a busy
machine slows both. CPU seconds are the process's, the median of its steps. Memory is the peak of resident
memory: less what was there before the network (Python and PyTorch, which with CUDA inside takes half a
gigabyte) for memory_ratio, and whole for memory_ratio_whole.

The released class gets its attention from xformers, which has none for a CPU; the shim spells out what
xformers documents (softmax of the scaled product), or, with `--attention sdpa`, uses PyTorch's.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..schemas.figures import write_figures
from .masking import draw_mask
from .model import QAMDT
from .model_config import PARITY, ModelConfig

HEADS = 6
SIZES: dict[str, Any] = {"width": 384, "depth": 12, "decoder_depth": 4, "heads": HEADS}
FORMS: dict[str, dict[str, Any]] = {
    "parity": PARITY,  # the released forms
    "gelu": {"ffn": "gelu"},  # the paper's positions and normalised queries and keys
    "default": {},
}
TEXT_TOKENS, GAMMA = 64, (0.3, 0.5)
ATTENTIONS = ("spelled", "sdpa")
Step = Callable[[int], Tensor]  # number of the step -> its loss


class _Mlp(nn.Module):
    """timm's names: fc1, act, fc2."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        act_layer: Callable[[], nn.Module],
        drop: float,
    ) -> None:
        super().__init__()
        self.fc1, self.act = nn.Linear(in_features, hidden_features), act_layer()
        self.fc2 = nn.Linear(hidden_features, in_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class _Attention(nn.Module):
    """timm's names: what the released WindowAttention inherits."""

    def __init__(self, dim: int, num_heads: int, qkv_bias: bool, **rest: Any) -> None:
        super().__init__()
        self.num_heads, self.scale = num_heads, (dim // num_heads) ** -0.5
        self.qkv, self.proj = nn.Linear(dim, 3 * dim, bias=qkv_bias), nn.Linear(dim, dim)
        self.attn_drop = self.proj_drop = nn.Dropout(0.0)


class _BlockDiagonalMask:
    """Queries of one sample hear the keys of that sample: [sum N, sum S], True = heard."""

    @staticmethod
    def from_seqlens(queries: list[int], keys: list[int]) -> Tensor:
        asks = torch.arange(len(queries)).repeat_interleave(torch.tensor(queries))
        hears = torch.arange(len(keys)).repeat_interleave(torch.tensor(keys))
        return asks[:, None] == hears


def _attend(attention: str) -> Callable[..., Tensor]:
    def attend(q: Tensor, k: Tensor, v: Tensor, p: float, attn_bias: Tensor | None) -> Tensor:
        q, k, v = (t.transpose(1, 2) for t in (q, k, v))  # [B, N, H, d] -> [B, H, N, d]
        if attention == "sdpa":
            return F.scaled_dot_product_attention(q, k, v, attn_bias).transpose(1, 2).contiguous()
        scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        if attn_bias is not None:
            scores = scores.masked_fill(~attn_bias, -torch.inf)
        return (scores.softmax(-1) @ v).transpose(1, 2).contiguous()

    return attend


def load_released(folder: Path, attention: str = "spelled") -> type[nn.Module]:
    """The released class out of a checkout, with what it imports and does not use replaced."""
    code = folder / "audioldm_train" / "modules" / "diffusionmodules"
    if not (code / "PixArt.py").is_file():
        raise SystemExit(f"{folder}: no audioldm_train/modules/diffusionmodules/PixArt.py in it")
    unused_1d = {"PositionalEncoding1D": object}
    package = "audioldm_train.modules.diffusionmodules"
    unused = dict.fromkeys(
        ("ColumnParallelLinear", "ParallelEmbedding", "RowParallelLinear"), object
    )
    attend = types.SimpleNamespace(
        memory_efficient_attention=_attend(attention),
        fmha=types.SimpleNamespace(BlockDiagonalMask=_BlockDiagonalMask),
    )
    given: dict[str, dict[str, Any]] = {
        "fairscale": {}, "fairscale.nn": {}, "fairscale.nn.model_parallel": {},
        "fairscale.nn.model_parallel.layers": unused, "timm": {}, "timm.models": {},
        "timm.models.layers": {"DropPath": nn.Identity},
        "timm.models.vision_transformer": {"Mlp": _Mlp, "Attention": _Attention},
        "einops": {"rearrange": None, "repeat": None}, "torchvision": {"transforms": None},
        "positional_encodings": {}, "positional_encodings.torch_encodings": unused_1d,
        "xformers": {}, "xformers.ops": vars(attend), "audioldm_train": {},
        "audioldm_train.modules": {}, package: {"__path__": [str(code)]},
        f"{package}.attention": {"CrossAttention_1D": object},
    }  # fmt: skip
    import importlib

    before = {name: sys.modules.get(name) for name in given}
    try:
        for name, content in given.items():
            sys.modules[name] = types.ModuleType(name)
            vars(sys.modules[name]).update(content)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])
        return importlib.import_module(f"{package}.PixArt").PixArt_MDT_MOS_AS_TOKEN
    finally:
        for name in [n for n in sys.modules if n in before or n.startswith("audioldm_train")]:
            del sys.modules[name]
        sys.modules.update({name: old for name, old in before.items() if old is not None})


def build_released(folder: Path, config: ModelConfig, attention: str) -> nn.Module:
    """The released class in the sizes of `config`, masking 0.3 to 0.5 in training."""
    return load_released(folder, attention)(
        input_size=config.shape[1:], patch_size=config.patch, overlap=(0, 0),
        in_channels=config.channels, hidden_size=config.width, depth=config.depth,
        num_heads=config.heads, mlp_ratio=config.ffn_ratio, cond_dim=config.text_width,
        mask_ratio=GAMMA[0], decode_layer=config.decoder_depth,
    )  # fmt: skip


def released_step(folder: Path, config: ModelConfig, attention: str) -> tuple[nn.Module, Any]:
    """The network and forward(latents, t, text, text_mask, quality) of the released class."""
    model = build_released(folder, config, attention)

    def forward(x: Tensor, t: Tensor, text: Tensor, mask: Tensor, quality: Tensor) -> Tensor:
        return model(x, t, [text], [mask], mos=quality)

    return model, forward


def our_step(config: ModelConfig) -> tuple[nn.Module, Any]:
    """The same of ours, under a mask of the share that the released class draws."""
    model = QAMDT(config)

    def forward(x: Tensor, t: Tensor, text: Tensor, mask: Tensor, quality: Tensor) -> Tensor:
        gamma = GAMMA[0] + float(torch.rand(1)) * (GAMMA[1] - GAMMA[0])
        drawn = draw_mask(len(x), config.patches, gamma, torch.default_generator)
        return model(x, t, text, mask > 0, quality, drawn)

    return model, forward


def train_steps(model: nn.Module, forward: Any, config: ModelConfig, batch: int) -> Step:
    """A whole step: forward, loss, backward, clipping, AdamW."""
    optimizer = torch.optim.AdamW(model.parameters(), 8e-5, weight_decay=0.01, fused=True)

    def step(number: int) -> Tensor:
        torch.manual_seed(
            number
        )  # the first number drawn after this is the share masked, on both sides
        clean, noise = torch.randn(2, batch, *config.shape)
        t = torch.randint(0, 1000, (batch,)).float()
        text = torch.randn(batch, TEXT_TOKENS, config.text_width)
        quality = torch.randint(1, 6, (batch,)).float()
        torch.manual_seed(number)
        output = forward(clean + noise, t, text, torch.ones(batch, TEXT_TOKENS), quality)
        loss = F.mse_loss(output, noise)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 2.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.detach()

    return step


def resident_bytes(mark: str) -> int:
    """Resident memory of this process: "VmRSS" now, "VmHWM" at its peak."""
    status = Path("/proc/self/status")
    if not status.exists():
        raise SystemExit("memory is read from /proc/self/status: this comparison needs Linux")
    line = next(s for s in status.read_text().splitlines() if s.startswith(mark))
    return int(line.split()[1]) * 1024


def _load_all() -> None:
    """A step of a network of one number: whatever PyTorch loads on first use is there after it."""
    one = nn.Linear(1, 1)
    one(torch.ones(1, 1)).sum().backward()
    torch.optim.AdamW(one.parameters(), fused=True).step()


def child(given: argparse.Namespace) -> None:
    """Measure one side in this process and print it as JSON."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _load_all()
    before = resident_bytes("VmRSS")
    config = ModelConfig(**SIZES, **FORMS["parity" if given.side == "released" else given.form])
    if given.side == "released":
        model, forward = released_step(given.released, config, given.attention)
    else:
        model, forward = our_step(config)
    step = train_steps(model.train(), forward, config, given.batch)
    seconds = []
    for number in range(2 + given.steps):
        start = time.process_time()
        step(number)
        seconds.append(time.process_time() - start)
    peak = resident_bytes("VmHWM")
    found = {"cpu_s": statistics.median(seconds[2:]), "bytes": peak - before, "bytes_whole": peak}
    print(json.dumps(found | {"parameters": sum(p.numel() for p in model.parameters())}))


def measure(side: str, given: argparse.Namespace) -> dict[str, float]:
    """What a new process says of one side."""
    command = [
        sys.executable, "-m", "qamdt.train.bench_released", "--side", side, "--form", given.form,
        "--released", str(given.released), "--attention", given.attention,
        "--steps", str(given.steps), "--batch", str(given.batch),
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side}: the measurement ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def compare(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The three ratios as figures: the median over rounds, with the least and the largest."""
    rounds = []
    for number in range(given.rounds):
        rounds.append({side: measure(side, given) for side in ("released", "ours")})
        print(f"round {number + 1}: {rounds[-1]}", flush=True)
    command = f"python -m qamdt.train.bench_released --released FOLDER --form {given.form} "
    command += f"--attention {given.attention} --batch {given.batch}"
    figures = {}
    for name, key in (
        ("step_ratio", "cpu_s"), ("memory_ratio", "bytes"), ("memory_ratio_whole", "bytes_whole"),
    ):  # fmt: skip
        ratios = [r["ours"][key] / r["released"][key] for r in rounds]
        figures[name] = {
            "value": statistics.median(ratios), "low": min(ratios), "high": max(ratios),
            "n": len(ratios), "unit": "ratio", "command": command,
        }  # fmt: skip
        for side in ("released", "ours"):
            middle = statistics.median(r[side][key] for r in rounds)
            print(f"{side:9} {key} {middle if key == 'cpu_s' else middle / 2**30:.3f}")
        print(f"{name} {min(ratios):.3f} .. {figures[name]['value']:.3f} .. {max(ratios):.3f}")
    return figures


def main() -> None:
    """The command: see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--released", type=Path, required=True, help="checkout of the released code"
    )
    parser.add_argument("--form", choices=FORMS, default="gelu", help="form of our network")
    parser.add_argument(
        "--attention", choices=ATTENTIONS, default="spelled", help="of the released"
    )
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--steps", type=int, default=4, help="steps measured in a process")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, help="put step_ratio and memory_ratio into this file")
    parser.add_argument("--side", choices=("released", "ours"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        child(given)
        return
    figures = compare(given)
    if given.out:
        write_figures(given.out, figures)


if __name__ == "__main__":
    main()
