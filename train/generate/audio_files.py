"""Generated sounds as files that say what they are: tags inside, a line each in samples.jsonl.

OUT/slow-piano-q5-s0.wav    16-bit, title = the prompt, comment = all of the line, as JSON
OUT/samples.jsonl           a line a sound: file, prompt, text, quality, seed, similarity, ...
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from ...pipeline.dataset import write_atomically
from ...schemas.errors import StoreError

LIST = "samples.jsonl"
CEILING = 0.99  # of full scale: a louder sound is turned down, never clipped


def file_name(prompt: str, quality: float, seed: int, ending: str) -> str:
    """A readable name: the prompt's first words, level and seed."""
    slug = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:48].rstrip("-") or "no-prompt"
    return f"{slug}-q{quality:g}-s{seed}.{ending}"


def write_sound(path: Path, wave: np.ndarray, rate_hz: int, about: Mapping[str, Any]) -> None:
    """A mono wave [N] as 16-bit wav or flac, with `about` in its tags. Raises StoreError."""
    from ...schemas.version import __version__

    loud = float(np.abs(wave).max(initial=0.0))
    wave = wave * min(1.0, CEILING / max(loud, 1e-9))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        kind = path.suffix[1:].upper()
        with sf.SoundFile(temporary, "w", rate_hz, 1, "PCM_16", format=kind) as file:
            file.title = str(about.get("prompt", ""))
            file.software = f"qamdt {__version__}"
            file.comment = json.dumps(about, sort_keys=True)
            file.write(wave.astype(np.float32))
        temporary.replace(path)
    except (OSError, sf.LibsndfileError) as error:
        raise StoreError(f"{path}: cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_about(path: Path) -> dict[str, Any]:
    """What `write_sound` put into the tags. Raises StoreError for another file."""
    try:
        with sf.SoundFile(path) as file:
            about: dict[str, Any] = json.loads(file.comment)
    except (OSError, sf.LibsndfileError, ValueError) as error:
        raise StoreError(f"{path} is no sound of ours: {error}") from error
    return about


def write_list(folder: Path, lines: Sequence[Mapping[str, Any]]) -> Path:
    """Put lines into samples.jsonl; older lines of other files stay, those of the same are replaced."""
    path = folder / LIST
    old = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    new = {str(line["file"]) for line in lines}
    every = [line for line in old if line["file"] not in new] + list(lines)
    write_atomically(path, "".join(json.dumps(line) + "\n" for line in every).encode())
    return path
