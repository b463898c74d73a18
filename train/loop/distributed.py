"""Device, precision and processes: what `accelerate` does for the loop, under the loop's names."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import nn

from ...schemas.errors import ConfigError
from ..config import FitConfig
from ..network.model import QAMDT


class Distributed:
    """One process, or one of many under `accelerate launch`. world: their number; rank: 0, 1, ..."""

    def __init__(self, config: FitConfig) -> None:
        """Raises ConfigError for a device or precision that is not to be had."""
        from accelerate import Accelerator, DistributedDataParallelKwargs

        if config.threads:
            torch.set_num_threads(config.threads)
        if config.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device = 'cuda': torch finds no GPU; use auto or cpu")
        # unmasked steps do not use the side block, and no step uses every quality level
        unused = DistributedDataParallelKwargs(find_unused_parameters=True)
        self._accelerator = Accelerator(cpu=config.device == "cpu", kwargs_handlers=[unused])
        if self._accelerator.distributed_type == "FSDP" and not self._accelerator.is_fsdp2:
            raise ConfigError("FSDP version 1 is not supported: set fsdp_version: 2 for accelerate")
        self.device = self._accelerator.device
        self.rank = self._accelerator.process_index
        self.world = self._accelerator.num_processes
        self.is_main = self._accelerator.is_main_process
        self.precision = _precision(config.precision, self.device)

    @property
    def description(self) -> str:
        """Processes, device and precision, in words."""
        device = "cpu"
        if self.device.type == "cuda":
            device = torch.cuda.get_device_name(self.device)
        return f"{self.world} x {device}, {self.precision}"

    def prepare(
        self, network: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[Any, torch.optim.Optimizer]:
        """The network as the loop calls it, and AdamW over its (perhaps sharded) weights."""
        wrapped, prepared = self._accelerator.prepare(network, optimizer)
        return wrapped, prepared.optimizer

    def unwrapped(self, wrapped: Any) -> QAMDT:
        """The network itself."""
        return cast(QAMDT, getattr(wrapped, "module", wrapped))

    def autocast(self) -> AbstractContextManager[Any]:
        """bf16 arithmetic where it is on; weights stay float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def unsynced(self, wrapped: Any) -> AbstractContextManager[Any]:
        """Inside, gradients are gathered in each process alone."""
        return cast("AbstractContextManager[Any]", self._accelerator.no_sync(wrapped))

    def backward(self, loss: torch.Tensor) -> None:
        self._accelerator.backward(loss)

    def clip_grad_norm(self, wrapped: Any, largest: float) -> torch.Tensor:
        """Clip the gradient's norm to `largest` (0 does not clip); returns what it was."""
        norm = self._accelerator.clip_grad_norm_(wrapped.parameters(), largest or float("inf"))
        return cast(torch.Tensor, getattr(norm, "full_tensor", lambda: norm)())

    def mean(self, number: torch.Tensor) -> float:
        """The mean over the processes."""
        if self.world == 1:
            return float(number)
        return float(cast(torch.Tensor, self._accelerator.reduce(number, "mean")))

    def any(self, local: bool) -> bool:
        """Whether it is so in any process."""
        return self.mean(torch.tensor(float(local), device=self.device)) > 0

    def wait(self) -> None:
        """Until all processes are here."""
        self._accelerator.wait_for_everyone()


def _precision(wish: str, device: torch.device) -> str:
    able = device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
    if wish == "auto":
        return "bf16" if device.type == "cuda" and able else "fp32"
    if wish == "bf16" and not able:
        raise ConfigError("precision = 'bf16': this GPU has no bf16 arithmetic; use fp32")
    return wish
