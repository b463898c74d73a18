"""Checkpoints of others as plain tensors: nothing that a file names is ever imported or run.

Training checkpoints (fairseq's, LAION's) hold more than tensors: argparse namespaces, omegaconf
nodes, numpy scalars. `torch.load(weights_only=True)` refuses them whole. Here every name that it
would refuse is answered by an inert class that swallows whatever it is built from, so that
weights_only stays on and the tensors come through.
"""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

from ...schemas.errors import ModelError


class Inert:
    """Stands for anything in a pickle that is no tensor: takes every argument and does nothing."""

    def __init__(self, *args: Any, **named: Any) -> None:
        """Nothing is kept."""

    def __setstate__(self, state: Any) -> None:
        """Nothing is kept."""


def read_content(file: Path) -> Any:
    """What a file of `torch.save` holds, everything but tensors and plain values inert.

    Raises ModelError where it is no such file, or one of before PyTorch 1.6 with more than tensors.
    """
    import torch

    try:
        strangers = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    except (ValueError, RuntimeError, pickle.UnpicklingError, EOFError, zipfile.BadZipFile):
        strangers = []  # not a zip archive: plain tensors, or what is told below
    stand_ins: list[Any] = [(type(name, (Inert,), {}), name) for name in strangers]
    try:
        with torch.serialization.safe_globals(stand_ins):
            return torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, OSError) as error:
        raise ModelError(
            f"{file} cannot be read as plain tensors ({str(error)[:200]}); save its state_dict "
            "alone with torch.save first, on a machine where you trust the file"
        ) from error


def tensors_of(content: Any, *keys: str) -> dict[str, Any]:
    """The tensors under the first of `keys` that is there, or at the top."""
    if not isinstance(content, dict):
        return {}
    found = next((content[k] for k in keys if isinstance(content.get(k), dict)), content)
    return {name: value for name, value in found.items() if hasattr(value, "shape")}
