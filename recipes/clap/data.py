"""The sounds that clap-mini is trained and tested on, as features and facts in the cache.

    python -m qamdt.recipes.clap.data --clips 1600

Rendered clips of 10.24 s (train and dev: scores of `TRAIN_COMPOSERS` and made-up tunes; test:
`TEST_COMPOSERS` alone), and windows of real tracks from Debian packages (sectoid and hyperrogue for
the test alone). A clip is a function of its split and number. Sound is never kept: a part of
50 clips is two files, `.npz` with the features and `.json` with the facts. A run that is stopped
goes on where it was.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
import soxr

from ...audio.sound import Sound
from ...models.clap.mini_features import measure
from ...models.tags import musicnn
from ...models.tags.tagger import MusicnnTagger
from ...pipeline.progress import Progress
from ..common.command import recipe_parser
from ..common.debian import fetch_package
from ..common.scores import TRAIN_COMPOSERS, Score, load_scores, play, soundfonts
from .arrange import PIECE_S, arrange
from .measure import RATE_HZ, numbers
from .styles import STYLES

SEED = 11
PART = 50
RENDER_HZ = 32000
SEGMENT_WINDOWS = 2
SPLITS = ("train", "dev", "test")
CLIPS = {"dev": 300, "test": 150}
PACKAGES = {  # package -> is it held out for the test?
    "fretsonfire-songs-muldjord": False,
    "nexuiz-music": False,
    "singularity-music": False,
    "planetblupi-music-ogg": False,
    "fretsonfire-songs-sectoid": True,
    "hyperrogue-music": True,
}
SILENT_RMS = 1e-3
LONGEST_S = 300  # of a track, from its middle, that its facts are measured on


@dataclass(frozen=True)
class Track:
    """One real track: `name` is its path in the package, `split` where it belongs."""

    package: str
    name: str
    path: Path
    split: str


@dataclass
class Clip:
    """Features of one clip and what is known of it (see `rendered` and `windows_of`)."""

    features: dict[str, np.ndarray]
    about: dict[str, Any]


class Extractor:
    """Features of a sound: both musicnn networks by patch, and `mini_features`."""

    def __init__(self) -> None:
        self.tagger = MusicnnTagger()
        self.tagger.load()

    def extract(self, sound: Sound) -> dict[str, np.ndarray]:
        """logits [3, 100], hidden [3, 400], plain [466], pitch [4, 12]."""
        import torch

        with torch.inference_mode():
            patches = musicnn.patches_of(sound.mono_at(musicnn.RATE_HZ), self.tagger._bank)
            outputs = [network(patches) for network in self.tagger._networks]
        front = measure(sound)
        return {
            "logits": torch.cat([o for o, _ in outputs], 1).numpy()[:3],
            "hidden": torch.cat([h for _, h in outputs], 1).numpy()[:3].astype(np.float16),
            "plain": front.plain(), "pitch": front.pitch,
        }  # fmt: skip


# ------------------------------------------------------------------------------------- rendered


def rendered(
    split: str, number: int, scores: dict[str, list[Score]], fonts: tuple[Path, ...],
    extractor: Extractor,
) -> Clip:  # fmt: skip
    """The rendered clip of this number; its facts, and for one in four what librosa measures."""
    rng = np.random.default_rng([SEED, SPLITS.index(split), number])
    genre = list(STYLES)[int(rng.integers(len(STYLES)))]
    invented = split != "test" and rng.random() < (0.45 if split == "train" else 0.25)
    pool = scores[split]
    score = None if invented else pool[int(rng.integers(len(pool)))]
    events, programs, facts = arrange(score, genre, rng)
    pans = [int(rng.integers(30, 98)) for _ in programs]
    font = fonts[int(rng.integers(len(fonts)))]
    samples = play(events, programs, pans, PIECE_S, RENDER_HZ, font)
    samples = _recorded(samples, rng)
    sound = Sound(samples, RENDER_HZ)
    name = score.name if score else ""
    about = {"kind": "rendered", "split": split, "name": name, **asdict(facts)}
    if number % 4 == 0:
        about["numbers"] = numbers(sound.mono_at(RATE_HZ), tonal=False).plain()
    return Clip(extractor.extract(sound), about)


def _recorded(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At some level, and half of all with another tone: the rest of what recordings differ in."""
    if rng.random() < 0.5:
        spectrum = np.fft.rfft(samples)
        octaves = np.log2(np.maximum(np.fft.rfftfreq(samples.shape[1], 1 / RENDER_HZ), 30))
        knots = rng.uniform(-7, 7, 7) + rng.uniform(-6, 4) * np.linspace(0, 1, 7)
        gain_db = np.interp(octaves, np.linspace(np.log2(60), np.log2(16000), 7), knots)
        samples = np.fft.irfft(spectrum * 10 ** (gain_db / 20), samples.shape[1])
    rms = float(np.sqrt(np.mean(np.square(samples)))) + 1e-9
    gain = 10 ** (rng.uniform(-30, -11) / 20) / rms
    # louder ones are clipped, as masters are
    return np.clip(samples * gain, -1, 1).astype(np.float32)


def scores_by_split(cache: Path) -> dict[str, list[Score]]:
    """Every seventh score of the training composers is for dev."""
    by_split: dict[str, list[Score]] = {split: [] for split in SPLITS}
    for i, score in enumerate(load_scores(cache)):
        train = "dev" if i % 7 == 6 else "train"
        by_split[train if score.composer in TRAIN_COMPOSERS else "test"].append(score)
    return by_split


# ------------------------------------------------------------------------------------------ real


def tracks(cache: Path) -> list[Track]:
    """Every track of 20 s or more; each fifth of the training packages is for dev."""
    out = []
    for package, held_out in PACKAGES.items():
        folder = fetch_package(package, cache)
        paths = [p for p in sorted(folder.rglob("*.ogg")) if "sounds" not in p.parts]
        paths = [p for p in paths if sf.info(p).duration >= 20]
        for i, path in enumerate(paths):
            split = "test" if held_out else ("dev" if i % 5 == 4 else "train")
            out.append(Track(package, str(path.relative_to(folder)), path, split))
    return out


def windows_of(track: Track, extractor: Extractor) -> Iterator[Clip]:
    """Windows of one track, two in each of up to 4 segments of 20.48 s spread over it.

    `track_numbers` are measured on the full track (on 300 s of a longer one), `numbers` on the
    segment that the window lies in.
    """
    samples, rate_hz = sf.read(track.path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(1), rate_hz, RATE_HZ)
    middle = max(0, len(mono) - LONGEST_S * RATE_HZ) // 2
    of_track = numbers(mono[middle : middle + LONGEST_S * RATE_HZ], tonal=True).plain()
    about: dict[str, Any] = {
        "kind": "real", "split": track.split, "package": track.package, "name": track.name,
        "tags": _tags(track.path), "track_numbers": of_track,
    }  # fmt: skip
    frames = round(PIECE_S * rate_hz)
    segments = min(4, max(1, len(samples) // (SEGMENT_WINDOWS * frames)))
    each = len(samples) / segments
    for segment in range(segments):
        first = int(segment * each + max(0, (each - SEGMENT_WINDOWS * frames) / 2))
        last = min(len(samples), first + SEGMENT_WINDOWS * frames)
        at_low = slice(first * RATE_HZ // rate_hz, last * RATE_HZ // rate_hz)
        own = numbers(mono[at_low], tonal=True).plain()
        for window in range(SEGMENT_WINDOWS):
            start = first + window * frames
            cut = samples[start : start + frames]
            if len(cut) < frames or np.sqrt(np.mean(cut**2)) < SILENT_RMS:
                continue
            sound = Sound(np.ascontiguousarray(cut.T), rate_hz)
            yield Clip(extractor.extract(sound), {**about, "segment": segment, "numbers": own})


def _tags(path: Path) -> dict[str, str]:
    with sf.SoundFile(path) as file:
        return dict(file.copy_metadata())


# ------------------------------------------------------------------------------------- the cache


def folder_of(cache: Path) -> Path:
    return cache / "clap" / f"clap-mini-{SEED}"


def make_all(cache: Path, clips: int, test_only: bool = False) -> None:
    """Make every part that is not there; with `test_only` just what figures are measured on."""
    scores, fonts = scores_by_split(cache), soundfonts(cache)
    folder = folder_of(cache)
    folder.mkdir(parents=True, exist_ok=True)
    counts = {**CLIPS, "train": clips}
    jobs: list[tuple[str, str, Track | int]] = [  # file, split, a track or the first number
        (f"real-{i:03d}", track.split, track) for i, track in enumerate(tracks(cache))
    ]
    jobs += [(f"{split}-{first:05d}", split, first)
             for split, count in counts.items() for first in range(0, count, PART)]  # fmt: skip
    todo = [(name, split, source) for name, split, source in jobs
            if (split == "test" or not test_only) and not (folder / f"{name}.json").exists()]  # fmt: skip
    if not todo:
        return
    extractor = Extractor()
    with Progress("clap-mini data", len(todo)) as bar:
        for name, split, source in todo:
            if isinstance(source, Track):
                part = windows_of(source, extractor)
            else:
                last = source + PART
                part = (rendered(split, n, scores, fonts, extractor) for n in range(source, last))
            _save(folder / name, list(part))
            bar.advance(1)


def _save(path: Path, clips: list[Clip]) -> None:
    """Features, then facts: a part whose facts are there is complete."""
    if clips:
        names = clips[0].features
        arrays = {name: np.stack([clip.features[name] for clip in clips]) for name in names}
        with open(path.with_suffix(".npz.part"), "wb") as out:
            np.savez(out, allow_pickle=False, **arrays)
        path.with_suffix(".npz.part").replace(path.with_suffix(".npz"))
    part = path.with_suffix(".json.part")
    part.write_text(json.dumps([clip.about for clip in clips]))
    part.replace(path.with_suffix(".json"))


def load(cache: Path, kinds: tuple[str, ...]) -> tuple[dict[str, np.ndarray], list[dict[str, Any]]]:
    """Features (one array a name) and facts of all parts whose names begin with one of `kinds`."""
    arrays: dict[str, list[np.ndarray]] = {}
    facts: list[dict[str, Any]] = []
    for file in sorted(folder_of(cache).glob("*.json")):
        rows = json.loads(file.read_text())
        if not rows or not file.stem.startswith(kinds):
            continue
        facts += rows
        with np.load(file.with_suffix(".npz")) as kept:
            for name in kept.files:
                arrays.setdefault(name, []).append(kept[name])
    return {name: np.concatenate(blocks) for name, blocks in arrays.items()}, facts


def main() -> None:
    """The command: make what is missing."""
    import torch

    parser = recipe_parser(__doc__)
    parser.add_argument("--clips", type=int, default=1600, help="rendered ones to train on")
    args = parser.parse_args()
    torch.set_num_threads(1)
    make_all(args.cache, math.ceil(args.clips / PART) * PART)


if __name__ == "__main__":
    main()
