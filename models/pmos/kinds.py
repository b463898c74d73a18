"""The kinds of p-MOS models, by name. Scores of two kinds are on different scales.

`embedded` is pmos-mini (`base.py`), `embedded-16k` the same for sounds of 16 kHz; `wav2vec2@FOLDER`
(`wav2vec2.py`) any regression checkpoint of wav2vec 2.0, HuBERT or WavLM, such as
`qamdt-curate models train-pmos` makes; `qama@FILE_OR_FOLDER` (`qama.py`) the scorer of the paper's
authors; `audiobox@FOLDER` (`audiobox.py`) a second opinion, on a scale of 1 to 10.
"""

from __future__ import annotations

from typing import Any

from ..ref import Kind


def _open_embedded(where: str, device: str = "cpu") -> Any:
    from .base import EmbeddedPmos

    return EmbeddedPmos(where, device)


def _open_embedded_16k(where: str, device: str = "cpu") -> Any:
    from .base import EmbeddedPmos16k

    return EmbeddedPmos16k(where, device)


def _open_qama(where: str, device: str = "cpu") -> Any:
    from .qama import QamaPmos

    return QamaPmos(where, device)


def _open_wav2vec2(where: str, device: str = "cpu") -> Any:
    from .wav2vec2 import Wav2Vec2Pmos

    return Wav2Vec2Pmos(where, device)


def _open_audiobox(where: str, device: str = "cpu") -> Any:
    from .audiobox import AudioboxPmos

    return AudioboxPmos(where, device)


KINDS: dict[str, Kind] = {
    "embedded": Kind(_open_embedded, "embedded", "pmos-mini, our own small network"),
    "embedded-16k": Kind(_open_embedded_16k, "embedded-16k", "the same, for sounds of 16 kHz"),
    "qama": Kind(_open_qama, "qama@FILE_OR_FOLDER", "QAMA, the scorer of the paper's authors"),
    "wav2vec2": Kind(
        _open_wav2vec2, "wav2vec2@FOLDER", "a regression checkpoint of wav2vec 2.0, HuBERT or WavLM"
    ),
    "audiobox": Kind(
        _open_audiobox, "audiobox@FOLDER", "audiobox-aesthetics, a second opinion from 1 to 10"
    ),
}
