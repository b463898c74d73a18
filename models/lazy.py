"""A model that is opened where it is first used and never pickled.

Stages are made in the driver and sent to workers. The driver needs a model's name and the digest of
its weights, for fingerprints; a worker needs the model itself, on its device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

from .ref import ModelRef, pick_device, resolve

Kinds = Mapping[str, Callable[..., Any]]


class LazyModel:
    """The model that `ref` names, opened at first use.

    kinds: gives the kinds of the role; a function of a module, so that it can be pickled and its
    module is imported only where a model is opened. device: `auto`, `cpu` or `cuda`.
    options: go to the kind as they are. Opening raises what `resolve` raises.
    """

    def __init__(
        self, ref: ModelRef | str, kinds: Callable[[], Kinds], device: str = "cpu", **options: Any
    ) -> None:
        self.ref, self.device = ref, device
        self._kinds, self._options = kinds, options

    @cached_property
    def named(self) -> Any:
        """The model as far as its names and settings, on the CPU, its weights not loaded."""
        return resolve(self.ref, self._kinds(), device="cpu", **self._options)

    @cached_property
    def opened(self) -> Any:
        """The model on its device; weights are loaded by its `load`, or by its first use."""
        device = pick_device(self.device)
        if device == "cpu":
            return self.named
        return resolve(self.ref, self._kinds(), device=device, **self._options)

    @cached_property
    def identity(self) -> tuple[str, str]:
        """(model_id, digest of the weights); kept when pickled, so that no worker hashes again."""
        return str(self.named.model_id), str(self.named.digest)

    def load(self) -> None:
        """Load the weights now. Raises WeightsMissing, ModelError."""
        self.opened.load()

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("named", "opened")}
