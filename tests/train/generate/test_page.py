"""train/generate/page.py: every sound on it, playable and judged."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from qamdt.audio.sound import Sound
from qamdt.models.pmos.base import EmbeddedPmos
from qamdt.schemas.errors import StoreError
from qamdt.train.generate.audio_files import write_list, write_sound
from qamdt.train.generate.page import read_sounds, write_page

LINE = {
    "weights": "run", "step": 7, "solver": "ddim", "steps": 50, "guidance": 2.5, "form": "paper",
    "codec": "codec-mini 0", "vocoder": "griffin-lim",
}  # fmt: skip


def _sounds(folder: Path) -> None:
    lines = []
    for k, (prompt, level) in enumerate(
        [("a <b> piano", 1.0), ("a <b> piano", 5.0), ("drums", 5.0)]
    ):
        wave = np.random.default_rng(k).normal(0, 0.1, 32000).astype(np.float32)
        line = {**LINE, "file": f"{k}.wav", "prompt": prompt, "quality": level, "seed": 0}
        write_sound(folder / f"{k}.wav", wave, 16000, line)
        lines.append(line)
    write_list(folder, lines)


def test_the_page_plays_and_judges_every_sound(tmp_path: Path) -> None:
    """Inside one file: the sounds themselves, pictures of them, and the scores of the model named."""
    _sounds(tmp_path)
    pmos = EmbeddedPmos()
    html = write_page(tmp_path, pmos).read_text()
    coded = re.findall(r"data:audio/mpeg;base64,([^\"]+)", html)
    assert len(coded) == 3 and html.count("data:image/png;base64,") == 3
    wave, rate = sf.read(io.BytesIO(base64.b64decode(coded[0])))
    assert rate == 16000 and len(wave) == pytest.approx(32000, abs=2400)
    assert "a &lt;b&gt; piano" in html and "<b>" not in html
    assert "http" not in html and pmos.model_id in html
    for k in range(3):
        own, _ = sf.read(tmp_path / f"{k}.wav", dtype="float32")
        assert f"p-MOS {float(pmos.score([Sound(own[None], 16000)])[0]):.2f}" in html


def test_a_folder_without_sounds_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="qamdt-train generate"):
        read_sounds(tmp_path, EmbeddedPmos())
