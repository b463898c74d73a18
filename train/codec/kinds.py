"""The kinds of audio codecs, by name.

`embedded` is codec-mini, our own small autoencoder (models/weights/codec-mini.md), with
Griffin-Lim; `diffusers@WHERE` (diffusers.py) is a folder or hub name in the layout of diffusers
with `vae/` and `vocoder/`, such as cvssp/audioldm2-music.
"""

from __future__ import annotations

from collections.abc import Callable

from .base import Codec
from .mini import EmbeddedCodec


def _open_diffusers(where: str, device: str = "cpu") -> Codec:
    from .diffusers import DiffusersCodec

    return DiffusersCodec(where, device)


CODECS: dict[str, Callable[..., Codec]] = {"embedded": EmbeddedCodec, "diffusers": _open_diffusers}
