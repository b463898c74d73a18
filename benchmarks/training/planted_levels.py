"""A set of music with planted damage, for the proof that the quality level has an audible effect.

    python -m qamdt.benchmarks.training.planted_levels out/proof/music --clips 240

Each clip of the p-MOS recipe (real tracks and rendered scores, split `train`) is written clean and
with damage of a rising strength: wav files of 5 s and manifest.jsonl. Captions say what is known of
the clip and nothing of the damage. The qualities are left to the line: ingest, score, quantize.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import soundfile as sf
import soxr
import typer

from ...audio.damage.degrade import KINDS, degrade
from ...pipeline.progress import Progress
from ...recipes.common.command import default_cache
from ...recipes.pmos import labels
from ...recipes.pmos.references import Clip, Clips

RATE_HZ = 48_000
DAMAGE = ("telephone", "lowpass", "white", "pink")  # what a mel of 16 kHz carries
SEVERITIES = (None, None, 0.5, 0.8, 1.0)  # of the versions of a clip: two are clean
GENRES = {
    "fretsonfire-songs-muldjord": "death metal with distorted guitars and drums",
    "nexuiz-music": "electronic game music with synthesizers and a beat",
    "singularity-music": "calm ambient electronic music",
}


def caption_of(clip: Clip) -> str:
    """What is known of a clip, in words."""
    if clip.source.score is not None:
        return f"classical music, a piece by {clip.source.group}"
    return GENRES.get(clip.source.group, "instrumental music")


def versions(clip: Clip, seed: int) -> list[tuple[str, np.ndarray]]:
    """(what was done, mono wave at RATE_HZ) of each version."""
    rng = np.random.default_rng([seed, clip.number])
    mono = soxr.resample(clip.samples.mean(0), clip.rate_hz, RATE_HZ)
    out = []
    for severity in SEVERITIES:
        if severity is None:
            level = rng.uniform(0.3, 0.95)  # or the two clean versions would be one
            out.append(("clean", mono * level / max(float(np.abs(mono).max()), 1e-6)))
            continue
        kind = str(rng.choice(DAMAGE))
        strength = KINDS[kind].at(float(np.clip(severity + rng.uniform(-0.1, 0.05), 0, 1)))
        hurt = degrade(mono[None], RATE_HZ, kind, strength, int(rng.integers(2**31)))[0]
        out.append((f"{kind}-{severity:g}", hurt / max(float(np.abs(hurt).max()), 1e-6) * 0.9))
    return out


def _write_clip(into: Path, clip: Clip, seed: int) -> list[dict[str, str]]:
    """Write the versions of one clip; their rows of the manifest."""
    rows = []
    for k, (done, wave) in enumerate(versions(clip, seed)):
        name = f"clip-{clip.number:05d}-{k}-{done}.wav"
        sf.write(into / name, wave.astype(np.float32), RATE_HZ, subtype="PCM_16")
        rows.append({"path": name, "caption": caption_of(clip), "source": clip.source.group})
    return rows


def write_set(into: Path, cache: Path, clips: int, seed: int = labels.SEED) -> Path:
    """Write wavs and manifest, with a progress bar; what is there already stays. Gives the manifest."""
    into.mkdir(parents=True, exist_ok=True)
    music, rows = Clips(cache, seed), []
    with Progress("clips", clips) as bar:
        for number in range(clips):
            listed = into / f"clip-{number:05d}.json"
            if not listed.exists():
                own = _write_clip(into, music.clip("train", number), seed)
                listed.write_text(json.dumps(own))
            rows += json.loads(listed.read_text())
            bar.advance(1)
    manifest = into / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def main(
    into: Annotated[Path, typer.Argument(help="folder of the set")],
    cache: Annotated[Path | None, typer.Option(help="where the music is kept")] = None,
    clips: Annotated[int, typer.Option(help="clips, each in five versions")] = 200,
) -> None:
    """Write the set and print its manifest."""
    print(write_set(into, cache or default_cache(), clips))


if __name__ == "__main__":
    typer.run(main)
