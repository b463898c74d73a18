"""`qamdt-train generate`: prompts become sound files, the best of several where that is wanted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.decode import decode_window
from ...audio.mel import RATE_HZ
from ...audio.probe import probe
from ...pipeline.stage import Log
from ...schemas.errors import ConfigError
from ..audio_config import AudioConfig
from ..check import check_models
from ..codec.base import name_of as codec_name
from .audio_files import file_name, write_list, write_sound
from .pipeline import Generator, Prompt, Take


def make_sounds(
    run: Path, out: Path, prompts: Sequence[Prompt], config: AudioConfig,
    init: Path | None = None, log: Log = print,
) -> list[dict[str, Any]]:  # fmt: skip
    """Write the sounds of `candidates_of` as files, each with all that made it in its tags.

    Returns the lines put into OUT/samples.jsonl. Raises what `candidates_of` raises, StoreError.
    """
    lines = []
    for take, line in candidates_of(run, prompts, config, init):
        write_sound(out / line["file"], take.wave, RATE_HZ, line)
        lines.append(line)
        log(f"{out / line['file']}  {_told(take)}")
    write_list(out, lines)
    return lines


def candidates_of(
    run: Path, prompts: Sequence[Prompt], config: AudioConfig, init: Path | None = None
) -> Iterator[tuple[Take, dict[str, Any]]]:
    """`n` candidates of each prompt, seeds rising from its own; the `best` of them, or all.

    Each with what made it. Raises ConfigError where there is no prompt; see Generator.
    """
    if not prompts:
        raise ConfigError("give a prompt: --prompt 'slow piano', or --prompts FILE")
    ranking = () if config.make.best is None else ("match",)
    check_models(config.models, "codec", "text_encoder", *ranking)
    studio = Generator(run, config)
    wave = read_wave(init, config.make.seconds) if init else None
    for prompt in prompts:
        candidates = [
            dataclasses.replace(prompt, seed=prompt.seed + k) for k in range(config.make.n)
        ]
        takes = list(studio.takes(candidates, wave))
        if config.make.best is not None:
            takes = studio.ranked(takes)[: config.make.best]
        for take in takes:
            yield take, _about(take, studio, config, init)


def read_prompts(path: Path, quality: float, seed: int) -> list[Prompt]:
    """Prompts of a file: a line each, or .jsonl with `prompt` and, where it differs, `quality`, `seed`.

    Raises ConfigError that names the line.
    """
    try:
        content = path.read_text().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    found = []
    for number, line in enumerate(content, 1):
        if not line.strip():
            continue
        if path.suffix != ".jsonl":
            found.append(Prompt(line.strip(), quality, seed))
            continue
        try:
            row = {"quality": quality, "seed": seed, **json.loads(line)}
            found.append(Prompt(str(row["prompt"]), float(row["quality"]), int(row["seed"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f'{path}, line {number}: expected {{"prompt": "...", "quality": 5, "seed": 0}}: {error!r}'
            ) from error
    return found


def read_wave(path: Path, seconds: float) -> np.ndarray:
    """The first `seconds` of a file, or all of it, mono float32 [N] at 16 kHz. Raises AudioError."""
    length = min(seconds, probe(path).duration_s or seconds)
    return decode_window(path, 0.0, length).mono_at(RATE_HZ)


def _about(take: Take, studio: Generator, config: AudioConfig, init: Path | None) -> dict[str, Any]:
    prompt, make, sampling = take.prompt, config.make, config.sample
    name = file_name(prompt.text, prompt.quality, prompt.seed, make.format)
    return {
        "file": name, "prompt": prompt.text, "text": take.text, "quality": prompt.quality,
        "seed": prompt.seed, "seconds": round(len(take.wave) / RATE_HZ, 3),
        "negative": make.negative, "low_quality": make.low_quality, "steps": sampling.steps,
        "guidance": sampling.guidance, "form": sampling.form, "solver": sampling.solver,
        "weights": str(studio.run), "step": int(str(studio.about["step"])),
        "codec": codec_name(studio.codec), "vocoder": studio.codec.vocoder_name,
        "similarity": take.similarity,
        "match": studio.matcher.model_id if take.similarity is not None else None,
        "init": str(init) if init else None, "strength": make.strength if init else None,
    }  # fmt: skip


def _told(take: Take) -> str:
    near = "" if take.similarity is None else f", similarity {take.similarity:.3f}"
    return f"quality {take.prompt.quality:g}, seed {take.prompt.seed}{near}"
