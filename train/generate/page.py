"""A page to listen to: generated sounds beside their spectrograms and p-MOS, in one HTML file.

A row is a prompt and seed, a column a quality level. Sounds and pictures are inside the file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from ...audio.sound import Sound
from ...models.pmos.base import PmosModel
from ...pipeline.dataset import write_atomically
from ...reports.playable import data_uri, mp3_uri
from ...schemas.errors import StoreError
from .audio_files import LIST

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 76rem; padding: 0 1rem;
       color: #1b1f24; background: #fff; }
h1 { font-size: 1.4rem; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem; border-top: 1px solid #d8dee4; }
img { width: 100%; height: 7rem; image-rendering: auto; border-radius: 4px; }
audio { width: 100%; height: 2rem; } small, .quiet { color: #57606a; }
"""


@dataclass(frozen=True)
class ScoredSound:
    """A line of samples.jsonl with its sound and its p-MOS (NaN where it cannot be judged)."""

    line: dict[str, Any]
    wave: np.ndarray
    rate_hz: int
    pmos: float


def read_sounds(folder: Path, pmos: PmosModel) -> list[ScoredSound]:
    """Every sound that samples.jsonl lists, judged. Raises StoreError where there is none."""
    try:
        lines = [json.loads(x) for x in (folder / LIST).read_text().splitlines()]
    except OSError as error:
        raise StoreError(
            f"{folder} has no {LIST}: make sounds first, `qamdt-train generate`"
        ) from error
    waves = [sf.read(folder / line["file"], dtype="float32") for line in lines]
    scores = pmos.score([Sound(wave[None], rate) for wave, rate in waves])
    return [
        ScoredSound(line, wave, rate, float(score))
        for line, (wave, rate), score in zip(lines, waves, scores, strict=True)
    ]


def write_page(folder: Path, pmos: PmosModel, out: Path | None = None) -> Path:
    """Write FOLDER/index.html (or `out`) and return its path. Raises StoreError."""
    sounds = read_sounds(folder, pmos)
    if not sounds:
        raise StoreError(f"{folder / LIST} lists no sound")
    path = out or folder / "index.html"
    write_atomically(path, _html(sounds, pmos.model_id).encode())
    return path


def _html(sounds: Sequence[ScoredSound], scorer: str) -> str:
    levels = sorted({s.line["quality"] for s in sounds})
    rows: dict[tuple[str, int], dict[float, ScoredSound]] = {}
    for sound in sounds:
        key = str(sound.line["prompt"]), int(sound.line["seed"])
        rows.setdefault(key, {})[sound.line["quality"]] = sound
    first = sounds[0].line
    head = "".join(f"<th>quality {level:g}{_mean(sounds, level)}</th>" for level in levels)
    body = "".join(
        f"<tr><th>{escape(prompt)}<br><small>seed {seed}</small></th>"
        + "".join(f"<td>{_cell(row[q]) if q in row else ''}</td>" for q in levels)
        + "</tr>"
        for (prompt, seed), row in rows.items()
    )
    about = (
        f"{len(sounds)} sounds by {escape(str(first['weights']))}, step {first['step']}, "
        f"{escape(str(first['solver']))} {first['steps']} steps, guidance {first['guidance']:g} "
        f"({escape(str(first['form']))}); codec {escape(str(first['codec']))}, "
        f"{escape(str(first['vocoder']))}, 16 kHz; p-MOS by {escape(scorer)}, 1..5"
    )
    return (
        f"<!doctype html><meta charset=utf-8><title>Generated sounds</title><style>{_STYLE}</style>"
        f"<h1>Generated sounds</h1><p class=quiet>{about}</p>"
        f"<table><tr><th></th>{head}</tr>{body}</table>\n"
    )


def _mean(sounds: Sequence[ScoredSound], level: float) -> str:
    scores = [s.pmos for s in sounds if s.line["quality"] == level and np.isfinite(s.pmos)]
    return f"<br><small>mean p-MOS {np.mean(scores):.2f}</small>" if scores else ""


def _cell(sound: ScoredSound) -> str:
    near = sound.line.get("similarity")
    caption = f"p-MOS {sound.pmos:.2f}" + ("" if near is None else f", similarity {near:.2f}")
    return (
        f'<img alt="spectrogram" src="{_picture(sound)}"><audio controls preload="none" '
        f'src="{_sound(sound)}"></audio><small>{caption}</small>'
    )


def _sound(sound: ScoredSound) -> str:
    return mp3_uri(Sound(sound.wave[None], sound.rate_hz))


def _picture(sound: ScoredSound) -> str:
    """The log-mel as a PNG, low notes at the bottom, silence dark."""
    import torch
    from matplotlib.image import imsave

    from ...audio.mel import SILENCE, log_mel

    mel = log_mel(torch.from_numpy(sound.wave)[None])[0].numpy()
    shown = np.repeat(mel[::2].T, 2, axis=0)
    coded = io.BytesIO()
    imsave(coded, shown, vmin=SILENCE + 3, vmax=2, cmap="magma", origin="lower", format="png")
    return data_uri("image/png", coded.getvalue())
