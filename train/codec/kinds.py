"""The kinds of audio codecs and of text encoders, by name, and the one way to open them.

Codecs: `embedded` is codec-mini, our own small autoencoder (models/weights/codec-mini.md), with
Griffin-Lim; `diffusers@WHERE` (diffusers.py) is a folder or hub name in the layout of diffusers
with `vae/` and `vocoder/`, such as cvssp/audioldm2-music.

Text encoders (text_encoders.py): `embedded` is MiniLM, `t5@WHERE` the encoder of T5 or Flan-T5,
`clap@WHERE` the text side of CLAP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ...models.ref import pick_device, resolve

if TYPE_CHECKING:
    from .base import Codec
    from .text_encoders import TextEncoder


def _open_embedded(where: str, device: str = "cpu") -> Codec:
    from .mini import EmbeddedCodec

    return EmbeddedCodec(where, device)


def _open_diffusers(where: str, device: str = "cpu") -> Codec:
    from .diffusers import DiffusersCodec

    return DiffusersCodec(where, device)


def _open_minilm(where: str, device: str = "cpu") -> TextEncoder:
    from .text_encoders import MiniLmText

    return MiniLmText(where, device)


def _open_t5(where: str, device: str = "cpu") -> TextEncoder:
    from .text_encoders import T5Text

    return T5Text(where, device)


def _open_clap(where: str, device: str = "cpu") -> TextEncoder:
    from .text_encoders import ClapText

    return ClapText(where, device)


CODECS: dict[str, Callable[..., Codec]] = {
    "embedded": _open_embedded, "diffusers": _open_diffusers,
}  # fmt: skip
TEXT_ENCODERS: dict[str, Callable[..., TextEncoder]] = {
    "embedded": _open_minilm, "t5": _open_t5, "clap": _open_clap,
}  # fmt: skip


def open_codec(ref: str, device: str = "cpu") -> Codec:
    """The codec that `ref` names. device: auto, cpu or cuda. Raises ConfigError, WeightsMissing."""
    return resolve(ref, CODECS, device=pick_device(device))


def open_text_encoder(ref: str, device: str = "cpu") -> TextEncoder:
    """The text encoder that `ref` names; see `open_codec`."""
    return resolve(ref, TEXT_ENCODERS, device=pick_device(device))
