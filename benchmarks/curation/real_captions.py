"""Real music with captions, some of them wrong: 25 held-out tracks, three clips each.

The tracks are those on which clap-mini is tested (fretsonfire-songs-sectoid and hyperrogue-music,
of which no model and no threshold of this project knows), their captions the frozen ones of that test:
written by rules from metadata and measured facts, not by people. At random, from one seed, a third gets
the caption of a track of the other album, some get none, some keyboard noise.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile as sf

from ...curate.demo.defects import GARBLED
from ...recipes.clap.evaluate import FROZEN
from ...recipes.common.debian import fetch_package

CLIP_S = 10.24
PLACES = (0.15, 0.5, 0.8)  # of the track, where its clips begin
STATES = ("wrong",) * 8 + ("empty",) * 3 + ("garbled",) * 2  # of 25
SEED = 7


def write_real(into: Path, cache: Path) -> Path:
    """Write manifest.jsonl and truth.jsonl; returns the manifest."""
    into.mkdir(parents=True, exist_ok=True)
    tracks = json.loads(FROZEN.read_text(encoding="utf-8"))["tracks"]
    rng = np.random.default_rng(SEED)
    states = list(rng.permutation([*STATES, *("right",) * (len(tracks) - len(STATES))]))
    rows, truth = [], []
    for number, (track, state) in enumerate(zip(tracks, states, strict=True)):
        package, _, inside = track["name"].partition("/")
        path = str((fetch_package(package, cache) / inside).absolute())
        others = [t for t in tracks if not t["name"].startswith(package)]
        caption = {
            "right": track["captions"][0],
            "wrong": others[int(rng.integers(len(others)))]["captions"][0],
            "empty": "",
            "garbled": GARBLED[number % len(GARBLED)],
        }[state]
        about = {
            "piece": track["name"],
            "caption_state": state,
            "true_caption": track["captions"][1],
        }
        truth.append({"path": path, **about})
        length = sf.info(path).duration
        for place in PLACES:
            start = round(min(place * length, length - CLIP_S), 2)
            clip = {"start_s": max(start, 0.0), "duration_s": CLIP_S}
            rows.append({"path": path, **clip, "caption": caption, "source": package})
    for name, lines in (("manifest", rows), ("truth", truth)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (into / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return into / "manifest.jsonl"
