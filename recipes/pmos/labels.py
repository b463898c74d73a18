"""Labelled examples for p-MOS: clips, versions of each, and what ViSQOL says of every version.

    python -m qamdt.recipes.pmos.labels --cache DIR --workers 2

A label is ViSQOL's MOS-LQO (audio mode, 48 kHz, 1..4.73) of a version against its own clean clip.
The clean version is the metric's top, 4.73. `mended` lowers it for what ViSQOL hardly notices.

Clips for training and test come from different albums and composers, those for dev from other
tracks and scores. Versions for training and dev are drawn at random; the test has a plan, two
families of which (`UNSEEN`) occur nowhere else. Some clips for training and dev are damaged at a low
sampling rate, so that low rates are not clean but differ in what else is wrong.

Work is done in parts of 16 clips: a Parquet file of labels beside a .npy file of int16 waves,
written once, by a rename, and skipped when it is there. Waves are 3.4 MB a clip; those of most parts
for training are deleted once their features are made (`WAVES_KEPT`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import soxr

from ...audio.damage.degrade import KINDS, degrade
from ...models.pmos.base import CEILING
from ..common.command import in_processes, recipe_parser
from .references import CLIP_S, SPLITS, Clip, Clips
from .visqol_fast import BANDS, FastVisqol

RECIPE = "pmos-mini/4"
SEED = 20152
RATE_HZ = 48000
FRAMES = int(CLIP_S * RATE_HZ)
CLIPS_A_PART = 16
PARTS = {"test": 25, "dev": 16, "train": 560}  # of CLIPS_A_PART clips
WAVES_KEPT = {"test": 25, "dev": 16, "train": 150}  # of so many first parts: 3.4 MB a clip
VERSIONS = 7  # of a clip for training: the clean one and six more
TOP = CEILING  # ViSQOL's score of a sound against itself

# MOS taken off at severity 1, in proportion to severity (0..1 between the mildest and the worst
# level of audio/damage/degrade.py). ViSQOL compares spectra frame by frame: it gives 4.6 to a speed that
# wanders by 3%, to hum as loud as the music and to short gaps. The figures are our judgement.
PENALTIES = {"hum": 0.5, "wow": 0.9, "dropout": 0.4}

WEIGHTS_TEST = {  # how often a kind is drawn
    "white": 1.0, "pink": 1.0, "hiss": 1.0, "hum": 1.0, "crackle": 1.0, "wow": 1.0, "clip": 1.0,
    "limit": 0.6, "dropout": 1.0, "bits": 1.0, "reverb": 1.0, "lowpass": 1.4, "telephone": 0.6,
    "alias": 0.8, "mp3": 1.6, "vorbis": 0.6, "opus": 0.8, "aac": 1.2,
}  # fmt: skip
WEIGHTS = WEIGHTS_TEST | {  # for training and dev
    "limit": 1.0, "holes": 0.6, "coder": 1.4, "gate": 1.3, "separation": 1.2, "sparse": 0.9,
}  # fmt: skip
TWO_AT_ONCE = 0.13  # share of versions with two kinds of damage
LOW_RATE = 0.15  # share of clips damaged at a low sampling rate
LOW_RATES_HZ = (11025, 16000, 22050, 24000, 32000)
UNSEEN = ("companding", "denoise")  # for the test alone
CODECS = ("mp3", "vorbis", "opus", "aac")
Extract = Callable[[Path], None]  # path of a part's labels; see `data.extract`
Plan = tuple[list[str], list[float]]  # kinds in turn, and the severity of each


@dataclass
class Example:
    """One version of one clip. `kinds` and `severities` (0..1) are empty for the clean version.

    role: why a version of the test is there (clean, fresh, ladder, unseen, strong); `drawn` else.
    visqol: NaN where it was not measured, 1 where only silence is left. similarity: its 32 bands, 0..1.
    """

    split: str
    clip: int
    version: int
    role: str
    name: str
    group: str
    rendered: bool
    variation: str
    kinds: list[str]
    severities: list[float]
    visqol: float = TOP
    similarity: list[float] = field(default_factory=lambda: [1.0] * BANDS)


def drawn(rng: np.random.Generator, weights: dict[str, float] = WEIGHTS) -> Plan:
    """One kind, or in a share of TWO_AT_ONCE two milder ones."""
    names, odds = list(weights), np.array(list(weights.values()))
    count = 2 if rng.random() < TWO_AT_ONCE else 1
    kinds = [str(k) for k in rng.choice(names, count, replace=False, p=odds / odds.sum())]
    return kinds, [float(rng.uniform(0, 1 if count == 1 else 0.7)) for _ in kinds]


def ladder(rng: np.random.Generator, steps: int, weights: dict[str, float] = WEIGHTS) -> list[Plan]:
    """One kind at `steps` rising levels."""
    (kind, *_), _ = drawn(rng, weights)
    return [([kind], [float(s)]) for s in np.sort(rng.uniform(0, 1, steps))]


def plans(split: str, rng: np.random.Generator) -> list[tuple[str, Plan]]:
    """(role, what is done) of each version of a clip; nothing is done to the first."""
    out: list[tuple[str, Plan]] = [("clean", ([], []))]
    if split == "test":
        out += [("fresh", drawn(rng, WEIGHTS_TEST)) for _ in range(2)]
        out += [("ladder", step) for step in ladder(rng, 2, WEIGHTS_TEST)]
        out += [("unseen", ([kind], [float(rng.uniform(0, 1))])) for kind in UNSEEN]
        strong = ("hum", "wow", "dropout")
        return out + [("strong", ([kind], [float(rng.uniform(0.6, 1))])) for kind in strong]
    climbs = ladder(rng, 3) if rng.random() < 0.35 else []
    out += [("drawn", step) for step in climbs]
    while len(out) < VERSIONS:
        out.append(("drawn", drawn(rng)))
    if rng.random() < 0.15:
        out[-1] = ("drawn", (["nothing"], [1.0]))
    return out


def damaged(clip: Clip, plan: Plan, rng: np.random.Generator) -> np.ndarray:
    """`clip` with all of `plan` done to it in turn, mono float32 [FRAMES] at RATE_HZ."""
    samples = clip.samples
    if not set(plan[0]) & set(CODECS):
        samples = samples.mean(0, keepdims=True)  # what follows is mono; a codec gets two channels
    for kind, severity in zip(*plan, strict=True):
        if kind == "nothing":
            samples = rng.standard_normal(samples.shape) * 10.0 ** rng.uniform(-5, -1)
            samples = (samples * (rng.random() < 0.6)).astype(np.float32)
        else:
            level = KINDS[kind].at(severity)
            samples = degrade(samples, clip.rate_hz, kind, level, int(rng.integers(2**31)))
    mono = soxr.resample(samples.mean(0), clip.rate_hz, RATE_HZ)[:FRAMES]
    return np.pad(mono, (0, FRAMES - len(mono))).astype(np.float32)


def mended(
    visqol: float, kinds: list[str], severities: list[float],
    penalties: Mapping[str, float] = PENALTIES,
) -> float:  # fmt: skip
    """The label to learn: ViSQOL's score less the penalties, 1..TOP; bare noise and silence are 1:
    nothing to hear is not good music."""
    if "nothing" in kinds:
        return 1.0
    off = sum(penalties.get(k, 0.0) * s for k, s in zip(kinds, severities, strict=True))
    return float(np.clip(visqol - off, 1.0, TOP))


def versions(clip: Clip) -> tuple[list[tuple[str, Plan]], list[np.ndarray]]:
    """(role, what is done) of each version of `clip`, the clean one first, and its wave."""
    rng = np.random.default_rng([SEED, SPLITS.index(clip.split), clip.number, 1])
    todo = plans(clip.split, rng)
    if clip.number % 4 < 2:  # half of all clips are mono for the codecs too
        clip = replace(clip, samples=clip.samples.mean(0, keepdims=True))
    low = clip
    if clip.split != "test" and rng.random() < LOW_RATE:
        low = at_rate(clip, int(rng.choice(LOW_RATES_HZ)))
    return todo, [damaged(low if plan[0] else clip, plan, rng) for _, plan in todo]


def at_rate(clip: Clip, rate_hz: int) -> Clip:
    """`clip` as if it had been recorded at this rate: damage is then done below half of it."""
    samples = soxr.resample(clip.samples.T, clip.rate_hz, rate_hz).T
    return replace(clip, samples=np.ascontiguousarray(samples), rate_hz=rate_hz)


def label(clip: Clip, teacher: FastVisqol) -> tuple[list[Example], np.ndarray]:
    """All versions of `clip` labelled, and their waves int16 [versions, FRAMES]."""
    source = clip.source
    clean = Example(
        clip.split, clip.number, 0, "clean", source.name, source.group, source.score is not None,
        clip.variation, [], [],
    )  # fmt: skip
    todo, waves = versions(clip)
    rated = [k for k, (role, plan) in enumerate(todo) if role not in ("clean", "strong")
             and "nothing" not in plan[0]]  # fmt: skip
    answers = dict(zip(rated, teacher.measure(waves[0], [waves[k] for k in rated]), strict=True))
    answers[0] = TOP, np.ones(BANDS, np.float32)
    missing = np.nan, np.full(BANDS, np.nan, np.float32)
    silent = 1.0, np.zeros(BANDS, np.float32)  # no answer: nothing of the music is left
    answers = {k: silent if np.isnan(answer[0]) else answer for k, answer in answers.items()}
    examples = []
    for k, (role, (kinds, severities)) in enumerate(todo):
        visqol, similarity = answers.get(k, missing)
        examples.append(
            replace(clean, version=k, role=role, kinds=kinds, severities=severities,
                    visqol=visqol, similarity=similarity.tolist())
        )  # fmt: skip
    return examples, np.stack([as_int16(wave) for wave in waves])


def as_int16(wave: np.ndarray) -> np.ndarray:
    """`wave` with its peak at .95 of the range: the level says nothing, so it is not kept."""
    peak = max(float(np.abs(wave).max()), 1e-9)
    return np.round(wave * (31000 / peak)).astype(np.int16)


def write_part(folder: Path, split: str, part: int, clips: Clips, teacher: FastVisqol) -> Path:
    """Label one part into `folder`; gives the path of its labels."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[Example] = []
    waves = []
    for number in range(part * CLIPS_A_PART, (part + 1) * CLIPS_A_PART):
        examples, block = label(clips.clip(split, number), teacher)
        rows += examples
        waves.append(block)
    path = folder / f"{split}-{part:05d}.parquet"
    np.save(path.with_suffix(".npy"), np.concatenate(waves))
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows]), path.with_suffix(".tmp"))
    path.with_suffix(".tmp").replace(path)  # the Parquet file marks a complete part
    return path


def folder_of(cache: Path) -> Path:
    """Where this recipe keeps its labels under `cache`."""
    return cache / "pmos" / f"{RECIPE.replace('/', '-')}-{SEED}"


def unlabelled(folder: Path, splits: tuple[str, ...] = SPLITS) -> list[tuple[str, int]]:
    """(split, part) of what is not labelled yet, the test first."""
    wanted = [(split, k) for split, parts in PARTS.items() if split in splits for k in range(parts)]
    return [(s, k) for s, k in wanted if not (folder / f"{s}-{k:05d}.parquet").exists()]


@lru_cache(maxsize=1)
def _tools(cache: Path) -> tuple[Clips, FastVisqol, FastVisqol]:
    """What a process loads once: the music, the teacher, and the teacher in a hurry."""
    return Clips(cache, SEED), FastVisqol(), FastVisqol(quick=True)


def _label_part(cache: Path, extract: Extract | None, todo: tuple[str, int]) -> None:
    """Label one part in this process."""
    split, part = todo
    clips, exact, quick = _tools(cache)
    teacher = quick if split == "train" else exact
    path = write_part(folder_of(cache), split, part, clips, teacher)
    if extract:
        extract(path)
        if part >= WAVES_KEPT.get(split, 0):
            path.with_suffix(".npy").unlink()


def run(
    cache: Path, workers: int = 2, splits: tuple[str, ...] = SPLITS, extract: Extract | None = None
) -> Path:
    """Label everything that is missing, in `workers` processes, with a progress bar; gives the
    folder.

    extract: called with the path of each new part's labels, before its waves are deleted.
    """
    folder = folder_of(cache)
    folder.mkdir(parents=True, exist_ok=True)
    todo = unlabelled(folder, splits)
    if not todo:
        return folder
    os.environ.setdefault("NUMBA_NUM_THREADS", "1")  # ViSQOL's search would use every core
    Clips(cache, SEED)  # fetches and reads what all processes need, once
    in_processes("labels", partial(_label_part, cache, extract), todo, workers)
    return folder


def main() -> None:
    """The command: see the module."""
    args = recipe_parser(__doc__, workers="processes that label").parse_args()
    run(args.cache, args.workers)


if __name__ == "__main__":
    main()
