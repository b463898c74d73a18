"""How fast a run is: a bar with rate and time left, clips a second, FLOP/s, and MFU.

MFU is the network's own FLOPs (the analytic count of flops.py, recomputed blocks not counted) over the
device's peak: `--peak-tflops`, or the dense bf16 peak of a GPU known by name. On a CPU, or for a GPU
that is not known, FLOP/s alone is said.
"""

from __future__ import annotations

import time

import torch
from rich.console import Console
from rich.progress import Progress as Bar

from ...pipeline.progress import bar, shows_bars
from ..config import Config
from ..network.flops import flops

PEAKS_TFLOPS = {  # dense bf16, the makers' data sheets, by a part of the device's name
    "H200": 989.0, "H100 PCIe": 756.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "L4": 121.0,
    "A10": 125.0, "RTX 4090": 165.0, "RTX 3090": 71.0, "B200": 2250.0,
}  # fmt: skip


def peak_of(name: str) -> float | None:
    """Dense bf16 TFLOP/s of a GPU by its name, or None where it is not known."""
    return next((peak for part, peak in PEAKS_TFLOPS.items() if part in name), None)


class Speed:
    """Counts steps and their FLOPs since the last line of the log.

    Clips a second are of all `world` processes, FLOP/s and MFU of this one's device.
    """

    def __init__(self, config: Config, first_step: int, end: int, world: int, quiet: bool) -> None:
        self._config, self.first_step, self._end = config, first_step, end
        self._world, self._quiet, self._step = world, quiet, first_step
        self._clips = config.fit.batch_size * config.fit.accumulate
        self._peak = config.watch.peak_tflops
        if self._peak is None and torch.cuda.is_available():
            self._peak = peak_of(torch.cuda.get_device_name())
        console = Console(stderr=True)
        self._bar: Bar | None = None
        if not quiet and shows_bars(console):
            self._bar = bar(console)
            self._task = self._bar.add_task("steps", total=end, completed=first_step)
            self._bar.start()
        self._began = time.perf_counter()
        self._steps, self._flops, self._bad = 0, 0.0, 0
        self._last: dict[str, float] = {}

    def step(self, text_tokens: int, masked: bool, bad: int) -> None:
        """One step is done. text_tokens: the longest text; bad: clips replaced in it."""
        self._step, self._steps = self._step + 1, self._steps + 1
        self._flops += self._clips * flops_a_clip(self._config, text_tokens, masked)
        self._bad += bad
        if self._bar:
            self._bar.advance(self._task)

    def numbers(self, loss: float, norm: float, epochs: float) -> dict[str, float]:
        """What the log holds of the steps since the last call; begins to count anew."""
        seconds = max(time.perf_counter() - self._began, 1e-9)
        rate = self._flops / seconds
        found = {
            "loss": loss, "gradient_norm": norm, "epoch": epochs,
            "clips_a_second": self._world * self._clips * self._steps / seconds,
            "steps_a_second": self._steps / seconds, "tflops": rate / 1e12,
            "clips_replaced": float(self._bad),
        }  # fmt: skip
        if self._peak:
            found["mfu"] = rate / (self._peak * 1e12)
        self._began, self._steps, self._flops = time.perf_counter(), 0, 0.0
        self._last = found
        return found

    def sentence(self) -> str:
        """The last numbers in a line."""
        n = self._last
        left = (self._end - self._step) / max(n["steps_a_second"], 1e-9)
        compute = f"MFU {n['mfu']:.1%}" if "mfu" in n else f"{n['tflops'] * 1000:.1f} GFLOP/s"
        bad = f", {self._bad} clips replaced" if self._bad else ""
        return (
            f"step {self._step}/{self._end}: loss {n['loss']:.4f}, norm {n['gradient_norm']:.2f},"
            f" epoch {n['epoch']:.2f}, {n['clips_a_second']:.1f} clips/s, {compute},"
            f" {_duration(left)} left{bad}"
        )

    def log(self, line: str) -> None:
        """A line that does not break the bar."""
        if not self._quiet:
            print(line, flush=True)

    def close(self) -> None:
        if self._bar:
            self._bar.stop()


def flops_a_clip(config: Config, text_tokens: int, masked: bool) -> float:
    """FLOPs of training on one clip, forward and backward; the mean ratio where it is masked."""
    masking = config.masking
    gamma = (masking.mask_low + masking.mask_high) / 2
    full = flops(config.model, text_tokens, 0.0).step
    if not masked:
        return full
    part = flops(config.model, text_tokens, gamma).step
    return part + full if masking.masking == "masked+full" else part


def _duration(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"
