"""`qamdt-train info`: what a configuration costs, before anything is trained.

Time is an estimate, from FLOPs, an MFU that is assumed and a device's peak; FLOPs and parameters are
counted, memory is estimated (see flops.py).
"""

from __future__ import annotations

import json
from typing import Any

import typer

from ..config import Config
from ..network.flops import flops, memory, parameters
from .throughput import PEAKS_TFLOPS, flops_a_clip


def describe(config: Config, text_tokens: int, mfu: float) -> dict[str, Any]:
    """The numbers of a configuration, by name, units in the names. Raises ConfigError."""
    model, masking, fit = config.model, config.masking, config.fit
    gamma = (masking.mask_low + masking.mask_high) / 2
    clips = fit.batch_size * fit.accumulate
    step = clips * flops_a_clip(config, text_tokens, masked=True)
    peak = config.watch.peak_tflops or PEAKS_TFLOPS["H100"]
    seconds = step / (peak * 1e12 * mfu)
    full = flops(model, text_tokens, 0.0)
    masked = flops(model, text_tokens, gamma)
    return {
        "width": model.width, "depth": model.depth, "decoder_depth": model.decoder_depth,
        "latent": list(model.shape), "patches": model.patches, "text_tokens": text_tokens,
        "parameters": parameters(model),
        "forward_gflop_a_clip": full.forward / 1e9,
        "masked_forward_gflop_a_clip": masked.forward / 1e9,
        "masked_share_of_forward": masked.forward / full.forward,
        "mask_ratio": gamma,
        "train_gflop_a_clip": flops_a_clip(config, text_tokens, masked=True) / 1e9,
        "clips_a_step_and_device": clips,
        "step_tflop": step / 1e12,
        "memory_gib": memory(model, fit.batch_size, text_tokens, gamma).total / 2**30,
        "peak_tflops": peak, "mfu_assumed": mfu,
        "step_ms": seconds * 1e3,
        "clips_a_second": clips / seconds,
        "training_hours": seconds * fit.steps / 3600,
    }  # fmt: skip


def print_info(found: dict[str, Any], as_json: bool) -> None:
    """A table, or JSON."""
    if as_json:
        typer.echo(json.dumps(found, indent=1))
        return
    for name, value in found.items():
        shown = f"{value:,.3f}" if isinstance(value, float) else value
        shown = f"{value:,}" if isinstance(value, int) else shown
        typer.echo(f"{name:28} {shown}")
