"""codec-mini behind the codec's protocol: our own small autoencoder, and Griffin-Lim."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

from ...models.ref import require_no_path
from .base import GriffinLim, MelCodec, Vocoder
from .mini_network import WEIGHTS, header, read_network


class EmbeddedCodec(MelCodec):
    """codec-mini: 8 channels, 0.65 M parameters, Griffin-Lim.

    Raises WeightsMissing where the weights are not where the package keeps them.
    """

    model_id = "codec-mini"

    def __init__(
        self, where: str | None = None, device: str = "cpu", weights: Path | None = None
    ) -> None:
        require_no_path("embedded", where or "")
        self._weights, self.device = weights or WEIGHTS, device
        self.about = header(self._weights)
        self.digest = self.about.digest
        self.channels = self.about.config.channels
        self.centre, self.spread = self.about.config.centre, self.about.config.spread

    @cached_property
    def network(self) -> Any:
        return read_network(self._weights).to(self.device)

    @cached_property
    def vocoder(self) -> Vocoder:
        return GriffinLim()
