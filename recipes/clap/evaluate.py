"""Measures clap-mini, and tagtext-mini beside it, on tracks and compositions it was not trained on.

    python -m qamdt.recipes.clap.evaluate [--split test] [--figures FILE]

The captions of the test are in `weights/clap-mini-test.json`, written before anything was measured.
A track's caption says its album's genre, its title and what librosa measures on the whole track,
while the model gets one window of 10.24 s; it is not a caption by a person.

clap_auc_NAME, clap_swap_NAME   AUC of captions of one kind; share of exchanged facts recognised
..._standin                     the same of tagtext-mini
clap_x_realtime                 seconds of music a second of one core
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...models.clap.mini import ClapMiniMatch
from ...models.clap.mini_features import RHYTHM_SIZE, SoundMeasurements
from ...models.clap.tagtext import TagTextMatch
from ...models.fetch import registry
from ...reports.statistics import Estimate, percentile_interval
from ..common.command import default_cache, recipe_parser
from ..common.figures import Figure, figure, show_figures
from .captions import ATTRIBUTES, TEST_WORDINGS, Facts, real_facts, swap, write
from .data import load, make_all
from .exam import Pairs, real_pairs, swap_share

COMMAND = "python -m qamdt.recipes.clap.evaluate"
FROZEN = registry.WEIGHTS / "clap-mini-test.json"
SEED = 2024
EmbedText = Callable[[Sequence[str]], np.ndarray]  # texts -> float32 [n, dim]


def exam_captions(abouts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row a track or rendered piece: its captions in four wordings, and for a piece one of
    them again for each fact, that fact exchanged. `abouts` are the facts that `data.load` gives."""
    rows: dict[str, dict[str, Any]] = {}
    for number, about in enumerate(abouts):
        real = about["kind"] == "real"
        name = f"{about['package']}/{about['name']}" if real else f"piece {number}"
        if name in rows:
            continue
        rng = np.random.default_rng([SEED, number])
        facts = real_facts(about, about["track_numbers"]) if real else Facts.rendered(about)
        facts = facts if real else replace(facts, levels={})
        seeds = [int(rng.integers(2**31)) for _ in TEST_WORDINGS]

        def worded(facts: Facts, seeds: list[int] = seeds) -> list[str]:
            pairs = zip(TEST_WORDINGS, seeds, strict=True)
            return [write(facts, wording, np.random.default_rng(seed)) for wording, seed in pairs]

        row: dict[str, Any] = {"name": name, "captions": worded(facts)}
        if not real:
            wrong = {a: swap(facts, a, rng) for a in ATTRIBUTES}
            row["work"] = about["name"]
            row["swapped"] = {}  # fact -> [wording, caption]
            for k, (attribute, other) in enumerate(wrong.items()):
                place = (number + k) % len(TEST_WORDINGS)
                if other is not None and worded(other)[place] != row["captions"][place]:
                    row["swapped"][attribute] = [place, worded(other)[place]]
        rows[name] = row
    return list(rows.values())


@dataclass(frozen=True)
class Exam:
    """Vectors of all sounds, the facts and captions of tracks and pieces, and a text encoder."""

    real: np.ndarray
    rendered: np.ndarray
    abouts: Sequence[dict[str, Any]]
    tracks: Sequence[dict[str, Any]]
    pieces: Sequence[dict[str, Any]]
    embed_text: EmbedText

    def embed(self, rows: Sequence[Sequence[str]]) -> np.ndarray:
        """[wordings, rows, dim] of rows of captions."""
        flat = [caption for row in rows for caption in row]
        return self.embed_text(flat).reshape(len(rows), len(rows[0]), -1).transpose(1, 0, 2)

    def estimates(self) -> dict[str, Estimate]:
        return self.of_real() | self.of_rendered()

    def of_real(self) -> dict[str, Estimate]:
        names = [row["name"] for row in self.tracks]
        track = np.array([names.index(f"{a['package']}/{a['name']}") for a in self.abouts])
        albums = np.array([name.split("/")[0] for name in names])
        captions = self.embed([row["captions"] for row in self.tracks])
        similarity = np.einsum("nd,wtd->wnt", self.real, captions)
        _, number = np.unique(albums, return_inverse=True)
        out = {
            name: real_pairs(similarity, track, number[track], number, same).estimate()
            for name, same in (("real", False), ("album", True))
        }
        each = real_pairs(similarity, track, number[track], number, True)
        alone = replace(each, part=np.arange(len(track)))
        return out | {"album_each": alone.estimate()}

    def of_rendered(self) -> dict[str, Estimate]:
        n = len(self.pieces)
        works = np.array([row["work"] or row["name"] for row in self.pieces])
        captions = self.embed([row["captions"] for row in self.pieces])
        similarity = np.einsum("nd,wtd->wnt", self.rendered, captions)
        own = np.eye(n, dtype=bool)
        pairs = Pairs(similarity, own, ~own, works, np.zeros(n, int))
        won = {a: self._swaps(a, similarity, works) for a in ATTRIBUTES}
        out = {"rendered": pairs.estimate()}
        for attribute, each in won.items():
            out[f"swap_{attribute}"] = swap_share({attribute: each})
        mean = swap_share({a: won[a] for a in ATTRIBUTES if a != "mode"})
        return out | {"swap": mean}

    def _swaps(
        self, attribute: str, similarity: np.ndarray, works: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """(1 where the true caption scores higher, else 0; composition) of the pieces whose caption
        the exchange changes."""
        rows = [(i, *row["swapped"][attribute]) for i, row in enumerate(self.pieces)
                if attribute in row["swapped"]]  # fmt: skip
        places, wordings, captions = zip(*rows, strict=True)
        wrong = (self.rendered[list(places)] * self.embed_text(list(captions))).sum(1)
        right = similarity[list(wordings), list(places), list(places)]
        return (right > wrong) + 0.5 * (right == wrong), works[list(places)]


def measured(features: dict[str, np.ndarray]) -> list[SoundMeasurements]:
    """Rows of the cache as `mini_features.measure` gave them."""
    plain = features["plain"]
    return [
        SoundMeasurements(row[:-RHYTHM_SIZE], row[-RHYTHM_SIZE:], pitch)
        for row, pitch in zip(plain, features["pitch"], strict=True)
    ]


def load_exam(cache: Path, split: str) -> tuple[Any, Any, Any]:
    """((features, facts) of real windows, the same of rendered pieces, captions of both)."""
    real, abouts = load(cache, ("real",))
    mine = [i for i, about in enumerate(abouts) if about["split"] == split]
    real, abouts = {name: rows[mine] for name, rows in real.items()}, [abouts[i] for i in mine]
    rendered, facts = load(cache, (split,))
    if split == "test":
        rows = json.loads(FROZEN.read_text())
    else:
        rows = {"tracks": exam_captions(abouts), "pieces": exam_captions(facts)}
    return (real, abouts), (rendered, facts), rows


def exam_of(
    loaded: tuple[Any, Any, Any], extract: Callable[[Any], np.ndarray], embed_text: EmbedText
) -> Exam:
    (real, abouts), (rendered, _), rows = loaded
    tracks, pieces = rows["tracks"], rows["pieces"]
    return Exam(extract(real), extract(rendered), abouts, tracks, pieces, embed_text)


def x_realtime(model: ClapMiniMatch, clips: int = 12) -> Estimate:
    """Seconds of music a second of one core, of the entire audio side, on clips of 10.24 s."""
    rng = np.random.default_rng(0)
    speeds = []
    for _ in range(clips):
        noise = np.cumsum(rng.standard_normal((2, 451584)), 1)
        sound = Sound((0.1 * noise / np.abs(noise).max()).astype(np.float32), 44100)
        began = time.process_time()
        model.embed_audio([sound])
        speeds.append(sound.duration_s / (time.process_time() - began))
    low, high = percentile_interval(np.array(speeds[2:]))
    return Estimate(float(np.median(speeds[2:])), float(low), float(high), clips - 2)


def figures(cache: Path | None = None, split: str = "test") -> dict[str, Figure]:
    """All figures of the model card, `{name: {value, low, high, n, unit, command}}`."""
    cache = cache or default_cache()
    make_all(cache, 0, test_only=True)
    loaded = load_exam(cache, split)
    model, standin = ClapMiniMatch(cache), TagTextMatch(cache)

    def extract(features: dict[str, np.ndarray]) -> np.ndarray:
        logits, hidden = (features[n].mean(1, dtype=np.float32) for n in ("logits", "hidden"))
        return model.from_features(logits, hidden, measured(features))

    def extract_words(features: dict[str, np.ndarray]) -> np.ndarray:
        return standin.z_scores(features["logits"].mean(1))

    estimates = {}
    for name, e in exam_of(loaded, extract, model.embed_text).estimates().items():
        estimates[_full(name)] = e
    for name, e in exam_of(loaded, extract_words, standin.embed_text).estimates().items():
        estimates[f"{_full(name)}_standin"] = e
    estimates["clap_x_realtime"] = x_realtime(model)
    return {
        name: figure(e.value, e.n, _unit(name), COMMAND, e.low, e.high)
        for name, e in estimates.items()
    }


def _full(name: str) -> str:
    return f"clap_{name}" if name.startswith("swap") else f"clap_auc_{name}"


def _unit(name: str) -> str:
    if "realtime" in name:
        return "x real time on one core"
    return "AUC" if "auc" in name else "share found"


def main() -> None:
    """The command: print all figures; with --freeze write the captions of the test first."""
    import torch

    parser = recipe_parser(__doc__)
    parser.add_argument("--split", default="test", choices=["dev", "test"])
    parser.add_argument("--figures", type=Path, help="write the figures here as JSON")
    parser.add_argument("--freeze", action="store_true", help="write the test's captions anew")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.freeze:
        freeze(args.cache)
        return
    results = figures(args.cache, args.split)
    show_figures(results)
    if args.figures:
        args.figures.write_text(json.dumps(results, indent=1) + "\n")


def freeze(cache: Path) -> None:
    """Write `FROZEN` from the cached facts of the test."""
    _, abouts = load(cache, ("real",))
    _, facts = load(cache, ("test",))
    rows = {
        "tracks": exam_captions([about for about in abouts if about["split"] == "test"]),
        "pieces": exam_captions(facts),
    }
    FROZEN.write_text(json.dumps(rows, indent=0, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
