"""Compares a training step with one of the released class PixArt_MDT_MOS_AS_TOKEN.

    python -m qamdt.benchmarks.training.released --released FOLDER [--out figures/trainer.json]

FOLDER is a checkout of the released code, which is not part of this package. Both networks have the same
width, depth, heads, patches, text, batch, share of masked patches, loss, clipping and optimiser, in
float32 on one thread. Each side is a process of its own; they take turns, step by step, so that a busy
machine slows both. CPU seconds are the processes'.

memory_ratio is of resident memory at its peak, less what was there before the network: Python and
PyTorch, which with CUDA inside takes half a gigabyte. memory_ratio_whole takes nothing off.
memory_ratio_tensors counts the bytes of tensors at the peak of a step, without the allocator's gaps and
what libraries keep.

Figures of another batch than 2 have it in their names. With `--lean` ours computes the first product of
each feed-forward twice, which takes less memory and more time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...recipes.common.figures import range_figure
from ...train.network.config import PARITY, ModelConfig
from ...train.network.masking import draw_mask
from ...train.network.model import QAMDT
from ...train.released.reference_class import ATTENTIONS, build_released
from ..figures import Figure, write_figures

HEADS = 6
SIZES: dict[str, Any] = {"width": 384, "depth": 12, "decoder_depth": 4, "heads": HEADS}
FORMS: dict[str, dict[str, Any]] = {
    "parity": PARITY,  # the released forms
    "gelu": {"ffn": "gelu"},  # the paper's positions and normalised queries and keys
    "default": {},
}
TEXT_TOKENS, GAMMA = 64, (0.3, 0.5)
WARM = 4  # steps before the first that counts
MEMORIES = {
    "memory_ratio": "bytes", "memory_ratio_whole": "bytes_whole",
    "memory_ratio_tensors": "bytes_tensors",
}  # fmt: skip
Step = Callable[[int], Tensor]  # number of the step -> its loss


def released_step(folder: Path, config: ModelConfig, attention: str) -> tuple[nn.Module, Any]:
    """The network and forward(latents, t, text, text_mask, quality) of the released class."""
    model = build_released(folder, config, attention, GAMMA[0])

    def forward(x: Tensor, t: Tensor, text: Tensor, mask: Tensor, quality: Tensor) -> Tensor:
        return model(x, t, [text], [mask], mos=quality)

    return model, forward


def our_step(config: ModelConfig, lean: bool) -> tuple[nn.Module, Any]:
    """The same of ours, under a mask of the share that the released class draws."""
    model = QAMDT(config, lean=lean)

    def forward(x: Tensor, t: Tensor, text: Tensor, mask: Tensor, quality: Tensor) -> Tensor:
        gamma = GAMMA[0] + float(torch.rand(1)) * (GAMMA[1] - GAMMA[0])
        drawn = draw_mask(len(x), config.patches, gamma, torch.default_generator)
        return model(x, t, text, mask > 0, quality, drawn)

    return model, forward


def train_steps(model: nn.Module, forward: Any, config: ModelConfig, batch: int) -> Step:
    """A full step: forward, loss, backward, clipping, AdamW."""
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


def tensor_bytes(model: nn.Module, step: Step) -> int:
    """Most bytes of tensors during a step: weights, both moments, and what the step allocates."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        step(0)
    now = most = 0
    for event in trace.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            most = max(most, now)
    return most + 3 * sum(p.nbytes for p in model.parameters())


def child(args: argparse.Namespace) -> None:
    """One side, in this process: a step and its CPU seconds for every line read, then its memory."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    _load_all()
    before = resident_bytes("VmRSS")
    config = ModelConfig(**SIZES, **FORMS["parity" if args.side == "released" else args.form])
    if args.side == "released":
        model, forward = released_step(args.released, config, args.attention)
    else:
        model, forward = our_step(config, args.lean)
    step = train_steps(model.train(), forward, config, args.batch)
    for number, line in enumerate(sys.stdin):
        if line.strip() == "memory":
            break
        start = time.process_time()
        step(number)
        print(json.dumps({"cpu_s": time.process_time() - start}), flush=True)
    peak = resident_bytes("VmHWM")
    memory = {
        "bytes": peak - before,
        "bytes_whole": peak,
        "bytes_tensors": tensor_bytes(model, step),
    }
    print(json.dumps(memory), flush=True)


class Side:
    """A process that runs one side, a step for each request."""

    def __init__(self, side: str, args: argparse.Namespace) -> None:
        command = [
            sys.executable, "-m", "qamdt.benchmarks.training.released", "--side", side,
            "--form", args.form, "--released", str(args.released),
            "--attention", args.attention, "--batch", str(args.batch),
            *(["--lean"] if args.lean else []),
        ]  # fmt: skip
        environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self.name, pipe = side, subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
        )

    def request(self, word: str) -> dict[str, float]:
        """The process's reply to "step" or "memory". Whatever else it prints is passed over."""
        if self.process.stdin is None or self.process.stdout is None:
            raise SystemExit(f"{self.name}: no pipe to the process")
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"{self.name}: the measurement ended with status {self.process.wait()}")


def one_round(
    args: argparse.Namespace,
) -> tuple[list[dict[str, float]], dict[str, dict[str, float]]]:
    """CPU seconds of both sides in every step after the warm-up, and what memory each took."""
    sides = [Side(name, args) for name in ("released", "ours")]
    pairs = []
    for number in range(WARM + args.steps):
        order = sides if number % 2 else sides[::-1]
        seconds = {side.name: side.request("step")["cpu_s"] for side in order}
        if number >= WARM:
            pairs.append(seconds)
    memory = {side.name: side.request("memory") for side in sides}
    for side in sides:
        side.process.wait()
    return pairs, memory


def compare(args: argparse.Namespace) -> dict[str, Figure]:
    """The ratios as figures: the median of paired steps (of rounds), the least and the largest."""
    pairs: list[dict[str, float]] = []
    memories = []
    for number in range(args.rounds):
        steps, memory = one_round(args)
        pairs += steps
        memories.append(memory)
        print(f"round {number + 1}: {steps} {memory}", flush=True)
    command = f"python -m qamdt.benchmarks.training.released --released FOLDER --form {args.form} "
    command += f"--attention {args.attention} --batch {args.batch}"
    command += " --lean" if args.lean else ""
    every = {"step_ratio": pairs}
    for name, key in MEMORIES.items():
        every[name] = [{side: m[side][key] for side in m} for m in memories]
    figures = {}
    for name, both in every.items():
        ratios = [b["ours"] / b["released"] for b in both]
        name += "" if args.batch == 2 else f"_batch{args.batch}"
        figures[name] = range_figure(ratios, "ratio", command)
        middle = {s: statistics.median(b[s] for b in both) for s in ("released", "ours")}
        if not name.startswith("step_ratio"):
            middle = {s: value / 2**30 for s, value in middle.items()}
        print(
            f"{name:28} {figures[name]['value']:.3f} [{min(ratios):.3f} {max(ratios):.3f}] of "
            f"{len(ratios)}: released {middle['released']:.3f}, ours {middle['ours']:.3f}"
        )
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
    parser.add_argument(
        "--lean",
        action="store_true",
        help="ours computes more again",
    )
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6, help="steps measured in a round")
    parser.add_argument("--rounds", type=int, default=3, help="pairs of processes")
    parser.add_argument("--out", type=Path, help="put the figures into this file")
    parser.add_argument("--side", choices=("released", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        child(args)
        return
    figures = compare(args)
    if args.out:
        write_figures(args.out, figures)


if __name__ == "__main__":
    main()
