"""The tagger's probabilities on music of which something is known, for thresholds and their test.

    python -m qamdt.recipes.tags.data

Rendered pieces (`clap/arrange.py`: instruments, drums, tempo and style are known) and windows of
real tracks, of which the package says little. Most rendered pieces for training are those of
clap-mini, as its recipe left them in the cache; of the others every second one has an instrument
that was picked for it, each that has a word as often. Split by composer and package.
Kept in the cache in parts; a run that is stopped goes on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.decode import read_windows
from ...audio.probe import probe
from ...audio.sound import Sound
from ...models.fetch.registry import DEFAULT_CACHE
from ...models.tags.tagger import MusicnnTagger
from ...models.tags.tempo_key import estimate_tempo_key
from ..clap import data as clap_data
from ..clap.arrange import PIECE_S, arrange
from ..clap.styles import STYLES
from ..common.debian import fetch_package
from ..common.scores import TEST_COMPOSERS, Score, load_scores, play, soundfonts
from . import truth

SEED = 3
TEST_SEED = 4  # of pieces that no decision rests on: raise it when one does
RENDER_HZ = 32000
PART = 60
CLIPS = {"train": 180, "test": 240}
STYLED = 850  # clips of clap-mini's training set
WINDOWS_A_TRACK = 2
SILENT_RMS = 1e-3
TRIES = 200
PACKAGES = {
    "train": ("fretsonfire-songs-muldjord", "nexuiz-music", "singularity-music"),
    "test": ("fretsonfire-songs-sectoid",),  # of hyperrogue-music nothing is known
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One clip: the models' output, and what is known.

    name: the score, the made-up tune or the track, with its package before it. probabilities:
    float32 [92]. style, lead, backing, drums, bpm, key: of the arrangement; empty for real
    tracks. key is None where the notes leave it open. tonal: `tempo_key.Tonal` as a dict.
    """

    split: str
    name: str
    probabilities: np.ndarray
    tonal: Mapping[str, Any]
    package: str = ""
    invented: bool = False
    style: str = ""
    lead: str = ""
    backing: Sequence[str] = ()
    drums: str = ""
    bpm: float | None = None
    key: str | None = None

    @cached_property
    def truth(self) -> dict[str, bool]:
        """Words that are known to fit, or not to."""
        if self.bpm is None:
            return truth.of_track(self.package, self.name)
        return truth.of_piece(self.lead, self.backing, self.drums, self.bpm, self.style)


def load(split: str, cache: Path | None = None) -> list[Row]:
    """All rows of a split, made first where they are missing."""
    cache = (cache or Path(DEFAULT_CACHE)).expanduser()
    folder = cache / "tags" / f"tags-mini-{SEED}"
    folder.mkdir(parents=True, exist_ok=True)
    tagger = MusicnnTagger()
    scores = [s for s in load_scores(cache) if (s.composer in TEST_COMPOSERS) == (split == "test")]
    fonts = soundfonts(cache)
    rows: list[Row] = []
    for first in range(0, CLIPS[split], PART):
        numbers = range(first, min(first + PART, CLIPS[split]))
        part = (rendered(split, n, scores, fonts, tagger) for n in numbers)
        rows += _cached(folder / f"{split}-{_seed(split)}-{first:04}", part)
    for first in range(0, STYLED if split == "train" else 0, clap_data.PART):
        rows += _cached(folder / f"styled-{first:04}", styled(first, cache, fonts, tagger))
    for package in PACKAGES[split]:
        rows += _cached(folder / package, real(split, package, cache, tagger))
    return rows


def rendered(
    split: str, number: int, scores: list[Score], fonts: tuple[Path, ...], tagger: MusicnnTagger
) -> Row:
    """The piece of this number; the tune of every third one is made up."""
    rng = np.random.default_rng([_seed(split), split == "test", number])
    words = list(truth.INSTRUMENTS)
    wanted = words[number // 2 % len(words)] if number % 2 else ""
    styles = truth.styles_with(wanted) if wanted else tuple(STYLES)
    invented = number % 3 == 0
    for _ in range(TRIES):
        score = None if invented else scores[int(rng.integers(len(scores)))]
        style = styles[int(rng.integers(len(styles)))]
        events, programs, facts = arrange(score, style, rng)
        known: dict[str, Any] = {
            "style": style, "lead": facts.lead, "backing": facts.backing, "bpm": facts.bpm,
            "drums": facts.drums or "", "key": facts.key, "invented": invented,
        }  # fmt: skip
        name = f"tune {split} {number}" if score is None else score.name
        row = Row(split, name, np.zeros(0), {}, **known)
        if row.truth.get(wanted, not wanted):
            break
    else:
        raise RuntimeError(f"no style has {wanted!r}")
    pans = [int(rng.integers(30, 98)) for _ in programs]
    font = fonts[int(rng.integers(len(fonts)))]
    samples = play(events, programs, pans, PIECE_S, RENDER_HZ, font)
    gain = 10 ** (rng.uniform(-30, -14) / 20) / max(float(np.sqrt(np.mean(samples**2))), 1e-6)
    sound = Sound((samples * gain).astype(np.float32), RENDER_HZ)
    return _tagged(row, sound, tagger)


def _seed(split: str) -> int:
    return TEST_SEED if split == "test" else SEED


def styled(
    first: int, cache: Path, fonts: tuple[Path, ...], tagger: MusicnnTagger
) -> Iterator[Row]:
    """A part of clap-mini's training set, read where its recipe has left it, else rendered."""
    part = clap_data.folder_of(cache) / f"train-{first:05d}.json"
    if part.exists():
        about = json.loads(part.read_text())
        with np.load(part.with_suffix(".npz")) as kept:
            logits = list(kept["logits"])
    else:
        extractor, pool = clap_data.Extractor(), clap_data.scores_by_split(cache)
        numbers = range(first, first + clap_data.PART)
        clips = [clap_data.rendered("train", n, pool, fonts, extractor) for n in numbers]
        about, logits = [clip.about for clip in clips], [c.features["logits"] for c in clips]
    for number, (facts, patches) in enumerate(zip(about, logits, strict=True), first):
        yield Row(
            "train", facts["name"] or f"tune styled {number}", tagger.by_name(_mean_p(patches)), {},
            style=facts["genre"], lead=facts["lead"], backing=facts["backing"],
            drums=facts["drums"], bpm=facts["bpm"], key=facts["key"],
        )  # fmt: skip


def _mean_p(logits: np.ndarray) -> np.ndarray:
    """float32 [labels]: the mean over patches of the probabilities, from logits [patches, labels]."""
    return np.asarray((1 / (1 + np.exp(-logits.astype(np.float32)))).mean(0))


def real(split: str, package: str, cache: Path, tagger: MusicnnTagger) -> Iterator[Row]:
    """Evenly spread windows of every track of 20 s or more, silent ones left out."""
    folder = fetch_package(package, cache)
    for path in sorted(folder.rglob("*.ogg")):
        length_s = probe(path).duration_s
        if length_s < 20 or "sounds" in path.parts:
            continue
        step = (length_s - PIECE_S) / WINDOWS_A_TRACK
        for sound in read_windows(
            path, [((i + 0.5) * step, PIECE_S) for i in range(WINDOWS_A_TRACK)]
        ):
            if isinstance(sound, Exception):
                raise sound
            if np.sqrt(np.mean(sound.samples**2)) > SILENT_RMS:
                name = f"{path.parent.name}/{path.name}"
                yield _tagged(Row(split, name, np.zeros(0), {}, package), sound, tagger)


def _tagged(row: Row, sound: Sound, tagger: MusicnnTagger) -> Row:
    tonal = asdict(estimate_tempo_key(sound))
    return replace(row, probabilities=tagger.probabilities([sound])[0], tonal=tonal)


def _cached(path: Path, rows: Iterator[Row]) -> list[Row]:
    """The rows of a part, from the cache or made and put there."""
    file = path.with_suffix(".json")
    if not file.exists():
        part = path.with_suffix(".part")
        part.write_text(json.dumps([to_cache(row) for row in rows]))
        part.replace(file)
    return [from_cache(raw) for raw in json.loads(file.read_text())]


def to_cache(row: Row) -> dict[str, Any]:
    """A row as JSON; `tonal` is called `heard` in the cache."""
    raw = asdict(row) | {"probabilities": [round(float(p), 6) for p in row.probabilities]}
    raw["heard"] = raw.pop("tonal")
    return raw


def from_cache(raw: Mapping[str, Any]) -> Row:
    """The row that `to_cache` wrote, probabilities to 6 decimals."""
    fields = {("tonal" if name == "heard" else name): value for name, value in raw.items()}
    return Row(**fields | {"probabilities": np.array(raw["probabilities"], np.float32)})


def main() -> None:
    """Make what is missing."""
    import torch

    torch.set_num_threads(1)
    for split in ("test", "train"):
        print(f"{split}: {len(load(split))} clips")


if __name__ == "__main__":
    main()
