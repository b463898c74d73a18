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
from ..codec.base import name_of as codec_name
from ..config import Config
from .audio_files import file_name, write_list, write_sound
from .pipeline import Generated, GenerationPipeline, Prompt


def generate(
    run: Path, out: Path, prompts: Sequence[Prompt], config: Config, init: Path | None = None,
    log: Log = print,
) -> list[dict[str, Any]]:  # fmt: skip
    """Write `n` candidates of each prompt, seeds rising from its own, or the `best` of them.

    Returns the lines put into OUT/samples.jsonl. Raises ConfigError where there is no prompt.
    """
    if not prompts:
        raise ConfigError("give a prompt: --prompt 'slow piano', or --prompts FILE")
    pipeline = GenerationPipeline(run, config)
    lines = []
    for clip in best_of(pipeline, prompts, init):
        prompt = clip.prompt
        name = file_name(prompt.text, prompt.quality, prompt.seed, config.generate.format)
        line = {"file": name, **description(clip, pipeline, init)}
        write_sound(out / name, clip.wave, RATE_HZ, line)
        lines.append(line)
        log(f"{out / name}  {_summary(clip)}")
    write_list(out, lines)
    return lines


def best_of(
    pipeline: GenerationPipeline, prompts: Sequence[Prompt], init: Path | None = None
) -> Iterator[Generated]:
    """All candidates of each prompt, in order; where `best` is set, that many, most similar first."""
    settings = pipeline.config.generate
    wave = read_wave(init, settings.seconds) if init else None
    for prompt in prompts:
        candidates = [dataclasses.replace(prompt, seed=prompt.seed + k) for k in range(settings.n)]
        clips = list(pipeline.generate(candidates, wave))
        yield from clips if settings.best is None else pipeline.ranked(clips)[: settings.best]


def description(
    clip: Generated, pipeline: GenerationPipeline, init: Path | None = None
) -> dict[str, Any]:
    """All that made a clip, as it stands in samples.jsonl and in the file's tags."""
    prompt, settings, sampling = clip.prompt, pipeline.config.generate, pipeline.config.sample
    return {
        "prompt": prompt.text, "text": clip.text, "quality": prompt.quality,
        "seed": prompt.seed, "seconds": round(len(clip.wave) / RATE_HZ, 3),
        "negative": settings.negative, "low_quality": settings.low_quality,
        "steps": sampling.steps, "guidance": sampling.guidance, "form": sampling.form,
        "solver": sampling.solver, "weights": str(pipeline.run),
        "step": int(str(pipeline.about["step"])), "codec": codec_name(pipeline.codec),
        "vocoder": pipeline.codec.vocoder_name, "similarity": clip.similarity,
        "match": pipeline.matcher.model_id if clip.similarity is not None else None,
        "init": str(init) if init else None, "strength": settings.strength if init else None,
    }  # fmt: skip


def read_prompts(path: Path, quality: float, seed: int) -> list[Prompt]:
    """Prompts of a file: a line each, or .jsonl with `prompt` and, where it differs, `quality`, `seed`.

    Raises ConfigError that names the line.
    """
    try:
        content = path.read_text().splitlines()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    prompts = []
    for number, line in enumerate(content, 1):
        if not line.strip():
            continue
        if path.suffix != ".jsonl":
            prompts.append(Prompt(line.strip(), quality, seed))
            continue
        try:
            row = {"quality": quality, "seed": seed, **json.loads(line)}
            prompts.append(Prompt(str(row["prompt"]), float(row["quality"]), int(row["seed"])))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f'{path}, line {number}: expected {{"prompt": "...", "quality": 5, "seed": 0}}: {error!r}'
            ) from error
    return prompts


def read_wave(path: Path, seconds: float) -> np.ndarray:
    """The first `seconds` of a file, or all of it, mono float32 [N] at 16 kHz. Raises AudioError."""
    length = min(seconds, probe(path).duration_s or seconds)
    return decode_window(path, 0.0, length).mono_at(RATE_HZ)


def _summary(clip: Generated) -> str:
    similarity = "" if clip.similarity is None else f", similarity {clip.similarity:.3f}"
    return f"quality {clip.prompt.quality:g}, seed {clip.prompt.seed}{similarity}"
