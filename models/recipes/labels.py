"""Labelled examples for p-MOS: clips, seven versions of each, and how good each version is.

    python -m qamdt.models.recipes.labels --cache DIR --clips 1200

A label is ViSQOL's MOS-LQO (audio mode, 1..4.73) of a version against its own clean clip, minus a
penalty for what ViSQOL hardly hears (`PENALTIES`), never below 1. The clean version is the metric's
top, 4.73. Silence and bare noise are 1: nothing to hear is not good music.

Work is done in parts of 16 clips. A part is a Parquet file of labels beside a .npy file of
features; it is written once, whole, and skipped when it is there. `--worker k/n` takes every n-th
part.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import soxr

from ...audio.degrade import KINDS, degrade
from ..pmos_front import RATE_HZ, features
from .references import CLIP_S, Clip, Clips
from .visqol_fast import BANDS, FastVisqol

RECIPE = "pmos-mini/1"
SEED = 20151
CLIPS_A_PART = 16
FIRST_PLAIN = 1_000_000  # numbers of clips that are used clean alone
VERSIONS = 7
TOP = 4.73  # ViSQOL's score of a sound against itself

# MOS taken off at severity 1, in proportion to severity (0..1 between the mildest and the worst
# level of audio/degrade.py). ViSQOL compares spectra frame by frame: it gives 4.7 to a speed that
# wanders by 3% and to hum as loud as the music. Figures are our judgement, not a listening test.
PENALTIES = {"hum": 2.5, "wow": 2.2, "dropout": 2.2, "crackle": 1.0, "clip": 1.0, "limit": 0.4}

WEIGHTS = {
    "white": 1.0, "pink": 1.0, "hiss": 1.0, "hum": 1.2, "crackle": 1.2, "wow": 0.6, "clip": 1.3,
    "limit": 0.4, "dropout": 1.2, "bits": 0.8, "reverb": 0.7, "lowpass": 1.3, "telephone": 0.5,
    "alias": 0.6, "mp3": 1.7, "vorbis": 0.6, "opus": 0.6, "aac": 1.0,
}  # fmt: skip


@dataclass
class Example:
    """One version of one clip. `kinds` and `severities` (0..1) are empty for the clean version."""

    clip: int
    version: int
    name: str
    group: str
    split: str
    rendered: bool
    variation: str
    kinds: list[str]
    severities: list[float]
    visqol: float = TOP
    mos: float = TOP
    similarity: list[float] = field(default_factory=lambda: [1.0] * BANDS)


def versions(clip: Clip, rng: np.random.Generator) -> list[tuple[list[str], list[float]]]:
    """What is done to `clip`: nothing first, then six draws; a third of clips climbs one ladder."""
    names, odds = list(WEIGHTS), np.array(list(WEIGHTS.values()))
    plans: list[tuple[list[str], list[float]]] = [([], [])]
    if rng.random() < 0.35:
        kind = str(rng.choice(names, p=odds / odds.sum()))
        plans += [([kind], [float(s)]) for s in np.sort(rng.uniform(0, 1, 3))]
    while len(plans) < VERSIONS:
        count = 2 if rng.random() < 0.12 else 1
        kinds = [str(k) for k in rng.choice(names, count, replace=False, p=odds / odds.sum())]
        plans.append((kinds, [float(rng.uniform(0, 1 if count == 1 else 0.7)) for _ in kinds]))
    if rng.random() < 0.2:
        plans[-1] = (["nothing"], [1.0])
    return plans


def damaged(
    clip: Clip, kinds: list[str], severities: list[float], rng: np.random.Generator
) -> np.ndarray:
    """`clip` with all of `kinds` done to it in turn, mono float32 at RATE_HZ."""
    samples = clip.samples
    for kind, severity in zip(kinds, severities, strict=True):
        if kind == "nothing":
            samples = rng.standard_normal(samples.shape) * 10.0 ** rng.uniform(-5, -1)
            samples = (samples * (rng.random() < 0.6)).astype(np.float32)
        else:
            level = KINDS[kind].at(severity)
            samples = degrade(samples, clip.rate_hz, kind, level, int(rng.integers(2**31)))
    mono = soxr.resample(samples.mean(0), clip.rate_hz, RATE_HZ)[: int(CLIP_S * RATE_HZ)]
    return np.pad(mono, (0, int(CLIP_S * RATE_HZ) - len(mono))).astype(np.float32)


def mended(visqol: float, kinds: list[str], severities: list[float]) -> float:
    """The label: ViSQOL's score less the penalties, 1..TOP."""
    if "nothing" in kinds:
        return 1.0
    off = sum(PENALTIES.get(k, 0.0) * s for k, s in zip(kinds, severities, strict=True))
    return float(np.clip(visqol - off, 1.0, TOP))


def label(clip: Clip, teacher: FastVisqol) -> tuple[list[Example], np.ndarray]:
    """All versions of `clip` labelled, and their features float16 [VERSIONS, channels, frames]."""
    rng = np.random.default_rng([SEED, clip.number, 1])
    plans = versions(clip, rng)
    waves = [damaged(clip, kinds, severities, rng) for kinds, severities in plans]
    measured = [k for k, (kinds, _) in enumerate(plans) if kinds and "nothing" not in kinds]
    answers = teacher.measure(waves[0], [waves[k] for k in measured])
    scores = dict(zip(measured, answers, strict=True))
    examples, keep = [], []
    for k, (kinds, severities) in enumerate(plans):
        visqol, similarity = scores.get(k, (TOP, np.ones(BANDS, np.float32)))
        if not np.isfinite(visqol):
            continue  # ViSQOL has no answer where a patch is digital silence
        keep.append(k)
        examples.append(_example(clip, k, kinds, severities, visqol, similarity))
    return examples, _heard([waves[k] for k in keep])


def _example(
    clip: Clip, version: int, kinds: list[str], severities: list[float], visqol: float,
    similarity: np.ndarray,
) -> Example:  # fmt: skip
    source = clip.source
    return Example(
        clip.number, version, source.name, source.group, source.split, source.score is not None,
        clip.variation, kinds, severities, visqol, mended(visqol, kinds, severities),
        similarity.tolist(),
    )  # fmt: skip


def _heard(waves: list[np.ndarray]) -> np.ndarray:
    """Features float16 [n, channels, frames] of mono waves of one length."""
    import torch

    with torch.no_grad():
        return features(torch.from_numpy(np.stack(waves))).numpy().astype(np.float16)


def write_part(folder: Path, part: int, clips: Clips, teacher: FastVisqol) -> int:
    """Label part number `part` into `folder`; gives the number of examples."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[Example] = []
    heard = []
    for number in range(part * CLIPS_A_PART, (part + 1) * CLIPS_A_PART):
        examples, block = label(clips.clip(number), teacher)
        rows += examples
        heard.append(block)
    table = pa.Table.from_pylist([asdict(row) for row in rows])
    path = folder / f"part-{part:05d}.parquet"
    np.save(path.with_suffix(".npy"), np.concatenate(heard))
    pq.write_table(table, path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)  # the Parquet file is the mark that the part is whole
    return len(rows)


def write_plain(folder: Path, part: int, clips: Clips) -> int:
    """Clean versions alone of 64 further clips, mostly rendered: cheap, and the top needs many."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[Example] = []
    heard = []
    for number in range(FIRST_PLAIN + 64 * part, FIRST_PLAIN + 64 * (part + 1)):
        clip = clips.clip(number, rendered=0.75)
        rows.append(_example(clip, 0, [], [], TOP, np.ones(BANDS, np.float32)))
        heard.append(_heard([damaged(clip, [], [], np.random.default_rng(0))]))
    path = folder / f"part-plain-{part:05d}.parquet"
    np.save(path.with_suffix(".npy"), np.concatenate(heard))
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows]), path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)
    return len(rows)


def folder_of(cache: Path) -> Path:
    """Where this recipe keeps its labels under `cache`."""
    return cache / "pmos" / f"{RECIPE.replace('/', '-')}-{SEED}"


def run(cache: Path, count: int, plain: int = 0, first: int = 0, stride: int = 1) -> None:
    """Label `count` clips, and `plain` clean ones, as far as not done; every `stride`-th part."""
    import torch

    torch.set_num_threads(1)
    folder = folder_of(cache)
    folder.mkdir(parents=True, exist_ok=True)
    clips, teacher = Clips(cache, SEED), FastVisqol()
    for part in range(first, count // CLIPS_A_PART, stride):
        if not (folder / f"part-{part:05d}.parquet").exists():
            print(f"part {part}: {write_part(folder, part, clips, teacher)} examples", flush=True)
    for part in range(first, plain // 64, stride):
        if not (folder / f"part-plain-{part:05d}.parquet").exists():
            print(f"plain part {part}: {write_plain(folder, part, clips)} examples", flush=True)


def main() -> None:
    """The command: see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "qamdt")
    parser.add_argument("--clips", type=int, default=1600)
    parser.add_argument("--plain", type=int, default=1280)
    parser.add_argument("--worker", default="0/1", help="k/n: take every n-th part, from k")
    given = parser.parse_args()
    first, stride = (int(x) for x in given.worker.split("/"))
    run(given.cache, given.clips, given.plain, first, stride)


if __name__ == "__main__":
    main()
