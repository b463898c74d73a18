"""`diffusers@WHERE`: an AutoencoderKL and a SpeechT5HifiGan in diffusers' layout.

    WHERE/vae/config.json      AutoencoderKL: in_channels 1, three blocks (a quarter of the mel)
    WHERE/vocoder/config.json  SpeechT5HifiGan: model_in_dim 64, 16 kHz, upsample_rates of product 160

WHERE is a folder, or a hub name such as cvssp/audioldm2-music, of which these two folders are
fetched. Configuration and every weight's name are checked against the classes: a checkpoint with
other weights is refused, never half loaded.
"""

from __future__ import annotations

import json
import math
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...audio import mel as front
from ...models.fetch.hf_folder import find_folder, folder_digest
from ...models.fetch.pretrained import load_pretrained
from ...models.ref import require_path
from ...schemas.errors import ModelError
from .base import DOWN, MelCodec, Vocoder

PARTS = ("vae", "vocoder")


class DiffusersCodec(MelCodec):
    """A real checkpoint. Its files are looked for and its configuration is checked at once."""

    vocoder_name = "hifi-gan"

    def __init__(self, where: str, device: str = "cpu") -> None:
        """Raises WeightsMissing where a part is missing, ModelError where it is not such a codec."""
        self._folder = find_folder(
            "codec diffusers", require_path("diffusers", where, "FOLDER"),
            [f"{part}/config.json" for part in PARTS], [f"{part}/*" for part in PARTS],
            "a folder that holds vae/ and vocoder/ as diffusers saves them, or a hub name like "
            "cvssp/audioldm2-music",
        )  # fmt: skip
        self.device = device
        self._vae = _config(self._folder / "vae", "AutoencoderKL", "_class_name")
        self._gan = _config(self._folder / "vocoder", "SpeechT5HifiGan", "architectures")
        self._check()
        self.channels = int(self._vae["latent_channels"])
        self.scaling = self._vae.get("scaling_factor")
        self.model_id = f"diffusers:{where.rstrip('/').rsplit('/', 1)[-1]}"
        digests = [folder_digest(self._folder / part) for part in PARTS]
        self.digest = "".join(d[:8] for d in digests)

    def _check(self) -> None:
        vae, gan = self._vae, self._gan
        wrong = [
            f"{name} = {value!r}, expected {expected!r}"
            for name, value, expected in (
                ("vae in_channels", vae.get("in_channels"), 1),
                ("vae out_channels", vae.get("out_channels"), 1),
                ("vae levels", 2 ** (len(vae.get("block_out_channels", ())) - 1), DOWN),
                ("vocoder model_in_dim", gan.get("model_in_dim"), front.BANDS),
                ("vocoder sampling_rate", gan.get("sampling_rate"), front.RATE_HZ),
                ("vocoder hop", math.prod(gan.get("upsample_rates", ())), front.HOP),
            )
            if value != expected
        ]
        if wrong:
            raise ModelError(f"{self._folder} is no codec of AudioLDM's mel: {'; '.join(wrong)}")

    @cached_property
    def network(self) -> Any:
        from diffusers import AutoencoderKL

        return _load(AutoencoderKL, self._folder / "vae", torch_dtype=torch.float32).to(self.device)

    @cached_property
    def vocoder(self) -> Vocoder:
        from transformers import SpeechT5HifiGan

        network = _load(SpeechT5HifiGan, self._folder / "vocoder", dtype=torch.float32)
        return HifiGan(network.to(self.device))


class HifiGan:
    """HiFi-GAN (arXiv 2010.05646) as transformers has it."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, mel: Tensor) -> Tensor:
        wave: Tensor = self._network(mel)  # its uneven strides add a few samples at the end
        return wave[:, : mel.shape[1] * front.HOP]


def _config(folder: Path, kind: str, key: str) -> dict[str, Any]:
    """A part's config.json, which must be of the class `kind`."""
    try:
        content: dict[str, Any] = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder}/config.json cannot be read: {error}") from error
    named = content.get(key, kind)
    if kind not in (named if isinstance(named, list) else [named]):
        raise ModelError(f"{folder} holds {named}, expected {kind}")
    return content


def _load(kind: Any, folder: Path, **dtype: torch.dtype) -> Any:
    """The model of a folder, in evaluation mode, every weight found and none left over."""
    model = load_pretrained(kind, folder, role="codec diffusers", exact=True, **dtype)
    for weight in model.parameters():
        weight.requires_grad_(False)
    return model.eval()
