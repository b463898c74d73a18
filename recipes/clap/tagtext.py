"""tagtext-mini's reference: how strongly musicnn answers each word on music in general.

    python -m qamdt.recipes.clap.tagtext

Tags windows of real tracks (Debian packages with free licences) and of rendered scores in random
orchestrations, half the weight each, and writes the mean and deviation of every word's logit to
models/weights/tagtext-mini.json. About 8 CPU minutes.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile as sf

from ...audio.sound import Sound
from ...models.fetch import registry
from ...models.tags.tagger import MusicnnTagger
from ..common.command import default_cache
from ..common.scores import Score, render
from ..pmos.references import sources

WINDOW_S = 10.24
WINDOWS_A_TRACK = 6
RENDERED = 600
SEED = 7
SILENT_RMS = 1e-3
SETTINGS = {
    "prompts": ["This is {} music", "a song with {}", "{} piece"],
    "temperature": 0.04,
    "limit": 4.0,
}


def real_windows(paths: list[Path]) -> list[Sound]:
    """Evenly spread windows of each track, silent ones left out."""
    windows = []
    for path in paths:
        info = sf.info(path)
        frames = round(WINDOW_S * info.samplerate)
        for i in range(WINDOWS_A_TRACK):
            start = round((info.frames - frames) * (i + 0.5) / WINDOWS_A_TRACK)
            samples, _ = sf.read(path, frames, start, dtype="float32", always_2d=True)
            if np.sqrt(np.mean(samples**2)) > SILENT_RMS:
                windows.append(Sound(np.ascontiguousarray(samples.T), info.samplerate, str(path)))
    return windows


def rendered_window(scores: list[Score], number: int) -> Sound:
    """The rendered window of this number: a random score, played by random instruments."""
    rng = np.random.default_rng([SEED, number])
    score = scores[rng.integers(len(scores))]
    return Sound(render(score, WINDOW_S, 44100, rng), 44100, score.name)


def main() -> None:
    """Tag everything, write the file."""
    music = sources(default_cache())
    tagger = MusicnnTagger()
    real = [
        tagger.extract([sound])[0].logits
        for source in music
        if source.path is not None
        for sound in real_windows([source.path])
    ]
    scores = [source.score for source in music if source.score is not None]
    rendered = [
        tagger.extract([rendered_window(scores, number)])[0].logits for number in range(RENDERED)
    ]
    logits = np.concatenate([real, rendered]).astype(np.float64)
    weights = np.repeat([0.5 / len(real), 0.5 / len(rendered)], [len(real), len(rendered)])
    mean = weights @ logits
    deviation = np.sqrt(weights @ (logits - mean) ** 2)
    file = registry.WEIGHTS / "tagtext-mini.json"
    about = {"windows_real": len(real), "windows_rendered": len(rendered), **SETTINGS}
    values = {"mean": mean.round(5).tolist(), "deviation": deviation.round(5).tolist()}
    file.write_text(json.dumps({**about, "words": tagger.labels, **values}, indent=0) + "\n")


if __name__ == "__main__":
    main()
