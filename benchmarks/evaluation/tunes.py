"""Synthetic music for measuring speed and laws: tunes of decaying tones with noise on the beat.

Not music to judge models by. The same seed gives the same samples.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

VOICES = {"piano": (6, 2.0), "organ": (3, 0.2), "guitar": (10, 4.0), "bells": (4, 1.0)}
PACES = {"slow": 70, "moderate": 100, "fast": 150}


def tune(seed: int, duration_s: float = 10.0, rate_hz: int = 44_100) -> tuple[np.ndarray, str]:
    """(float32 [2, T] with a peak of .7, a caption of it)."""
    rng = np.random.default_rng(seed)
    voice, pace = str(rng.choice(list(VOICES))), str(rng.choice(list(PACES)))
    drums = bool(rng.random() < 0.5)
    frames, beat = round(duration_s * rate_hz), round(30 / PACES[pace] * rate_hz)
    out = np.zeros((2, frames + rate_hz), np.float32)
    scale = np.array([0, 2, 4, 5, 7, 9, 11]) + 48 + int(rng.integers(12))
    for step, at in enumerate(range(0, frames, beat)):
        note = int(scale[rng.integers(7)]) + 12 * int(rng.integers(3))
        pan = rng.random()
        tone = _tone(note, *VOICES[voice], rate_hz)
        out[0, at : at + rate_hz] += (1 - pan) * tone
        out[1, at : at + rate_hz] += pan * tone
        if drums and step % 2 == 0:
            burst = rng.standard_normal((2, rate_hz // 10), dtype=np.float32)
            out[:, at : at + rate_hz // 10] += burst * np.linspace(0.3, 0, rate_hz // 10)
    mix = out[:, :frames] + rng.normal(0, 1e-3, (2, frames)).astype(np.float32)
    caption = f"A {pace} {voice} piece with {'drums' if drums else 'no drums'}."
    return (0.7 * mix / np.abs(mix).max()).astype(np.float32), caption


def _tone(note: int, partials: int, decay: float, rate_hz: int) -> np.ndarray:
    """One second of a tone, float32 [rate_hz]."""
    t = np.arange(rate_hz, dtype=np.float32) / rate_hz
    hz = 440.0 * 2 ** ((note - 69) / 12)
    tone = np.zeros_like(t)
    for k in range(1, partials + 1):
        if k * hz < rate_hz / 2:
            tone += np.sin(2 * np.pi * k * hz * t) * np.exp(-t * decay * (1 + 0.3 * k)) / k
    return tone


def write_tunes(
    folder: Path, count: int, seed: int = 0, duration_s: float = 10.0, suffix: str = ".wav"
) -> Path:
    """Tunes 0000, 0001, ... in `folder`; returns the file of their captions, beside the folder."""
    import soundfile

    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for number in range(count):
        samples, caption = tune(seed + number, duration_s)
        soundfile.write(folder / f"{number:04}{suffix}", samples.T, 44_100)
        lines.append(json.dumps({"id": f"{number:04}", "caption": caption}) + "\n")
    captions = folder.with_suffix(".jsonl")
    captions.write_text("".join(lines), encoding="utf-8")
    return captions
