"""The authors' checkpoints of VGGish and PANNs as safetensors, which no pickle can hide in."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...schemas.errors import ConfigError, ModelError
from . import panns, vggish

NAMES: dict[str, Callable[[], list[str]]] = {
    "vggish": vggish.tensor_names,
    "panns": panns.tensor_names,
}


def convert_checkpoint(kind: str, source: Path, out: Path, rate_hz: int = 32000) -> int:
    """Write the tensors of `source` that the network needs; returns how many.

    source: a state dict, or {"model": state dict}, read without unpickling code. Raises ConfigError
    for a kind or rate that is not known, ModelError where tensors are missing.
    """
    import torch
    from safetensors.torch import save_file

    if kind not in NAMES:
        raise ConfigError(f"kind = {kind!r}: expected one of {', '.join(NAMES)}")
    if kind == "panns" and rate_hz not in panns.FRONT:
        raise ConfigError(f"rate_hz = {rate_hz}: expected one of {[*panns.FRONT]}")
    try:
        content: Any = torch.load(source, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise ModelError(f"{source} cannot be read as plain tensors: {error}") from error
    state = content.get("model", content)
    names = NAMES[kind]()
    if missing := [name for name in names if name not in state]:
        raise ModelError(f"{source} is no {kind} checkpoint: it lacks {', '.join(missing[:5])}")
    about = {"kind": kind} | ({"rate_hz": str(rate_hz)} if kind == "panns" else {})
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: state[n].float().contiguous() for n in names}, out, metadata=about)
    return len(names)
