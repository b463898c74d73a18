"""The bench: a curated demo set against its truth file, as figures with 95% intervals.

    demo_pmos_auc              p-MOS of clean clips above that of degraded ones
    demo_pmos_auc_<defect>     the same, for one kind of damage
    demo_pmos_pairs            pieces whose clean passage scores above their degraded one
    demo_clap_auc              similarity of audio and given caption: right ones above wrong ones
    demo_<state>_replaced      files whose right, wrong, empty or garbled caption was replaced
    demo_duplicate_recall      copies that were recognised; _precision: and how many were copies
    demo_broken_recall         broken files that were reported; _precision: likewise
    demo_silence_recall        silent files that were dropped as silent

A station that has not run yields no figure. Nothing here looks at file names or audio.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..schemas.errors import ConfigError
from ..schemas.views import connect
from .bench_stats import Estimate, auc_by_group, share

COMMAND = "qamdt-curate bench DIR --truth TRUTH"
NEEDED = ("path", "piece", "passage", "defect", "is_degraded", "caption_state", "copy_of", "broken")
CLIPS = """
SELECT path, start_s, pmos, sim_original, caption_from, drop_reasons, len(errors) > 0 AS failed
FROM clips_full WHERE skip IS NULL ORDER BY path, start_s
"""


def bench(dataset: Path, truth: Path | None = None) -> dict[str, dict[str, Any]]:
    """Figures `{name: {value, low, high, n, unit, command}}` of a finished dataset folder.

    truth: the demo's truth.jsonl; None takes the one beside the manifest that was ingested.
    Raises ConfigError when there is none, or when it speaks of other files.
    """
    with connect(dataset) as con:
        files = con.sql("SELECT path, root, status FROM files").df()
        clips = con.sql(CLIPS).df()
        twins = con.sql("SELECT DISTINCT path, duplicate_of FROM duplicates").df()
    rows = read_truth(truth or _truth_beside(files))
    known = files.merge(rows, on="path")
    if known.empty:
        raise ConfigError(f"none of the {len(files)} files of {dataset} is in the truth file")
    rows = rows[rows["path"].isin(known["path"])]
    music = _music(clips, rows)
    found: dict[str, tuple[Estimate, str]] = {}
    found.update(_pmos(music))
    found.update(_captions(music))
    found.update(_duplicates(clips, twins, rows))
    found.update(_broken(files, clips, rows))
    found.update(_silence(clips, rows))
    return {
        name: {**asdict(estimate), "unit": unit, "command": COMMAND}
        for name, (estimate, unit) in found.items()
    }


def read_truth(path: Path) -> pd.DataFrame:
    """The truth file, a row a file, with absolute paths. Raises ConfigError when it is none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        rows = pd.DataFrame([json.loads(line) for line in lines])
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} is no truth file (JSON lines): {error}") from error
    missing = [name for name in NEEDED if name not in rows]
    if missing:
        raise ConfigError(f"{path} is no truth file: it has no {', '.join(missing)}")
    base = Path(path).absolute().parent
    rows["path"] = [os.path.abspath(base / p) for p in rows["path"]]  # noqa: PTH100
    rows["copy_of"] = [
        os.path.abspath(base / p) if isinstance(p, str) else None  # noqa: PTH100
        for p in rows["copy_of"]
    ]
    return rows


def _truth_beside(files: pd.DataFrame) -> Path:
    """truth.jsonl beside the manifest, or in the folder, that was ingested."""
    for root in files["root"].unique():
        for folder in (Path(root).parent, Path(root)):
            if (folder / "truth.jsonl").is_file():
                return folder / "truth.jsonl"
    raise ConfigError("no truth.jsonl beside what was ingested; name it with --truth")


def _music(clips: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Clips of rendered pieces with their truth, each once: a copy counts as what it copies."""
    music = clips.merge(rows[rows["piece"].notna()], on="path")
    return music.drop_duplicates(["piece", "passage", "start_s"]).reset_index(drop=True)


def _auc(above: pd.DataFrame, below: pd.DataFrame, column: str) -> Estimate:
    return auc_by_group(
        above[column].to_numpy(float),
        below[column].to_numpy(float),
        above["piece"].to_numpy(str),
        below["piece"].to_numpy(str),
    )


def _pmos(music: pd.DataFrame) -> Iterator[tuple[str, tuple[Estimate, str]]]:
    """Does the score tell clean from degraded, over all, by defect and within a piece?"""
    heard = music[music["pmos"].notna()]
    clean, bad = heard[~heard["is_degraded"]], heard[heard["is_degraded"]]
    if clean.empty or bad.empty:
        return
    yield "demo_pmos_auc", (_auc(clean, bad, "pmos"), "AUC over clips")
    for defect, part in bad.groupby("defect"):
        yield f"demo_pmos_auc_{defect}", (_auc(clean, part, "pmos"), "AUC over clips")
    means = pd.concat(
        {
            "clean": clean.groupby("piece")["pmos"].mean(),
            "bad": bad.groupby("piece")["pmos"].mean(),
        },
        axis=1,
    ).dropna()
    if len(means):
        right = int((means["clean"] > means["bad"]).sum())
        yield "demo_pmos_pairs", (share(right, len(means)), "share of pieces")


def _captions(music: pd.DataFrame) -> Iterator[tuple[str, tuple[Estimate, str]]]:
    """Does the similarity tell right captions from wrong, and which captions were replaced?"""
    measured = music[music["sim_original"].notna()]
    right = measured[measured["caption_state"] == "right"]
    wrong = measured[measured["caption_state"] == "wrong"]
    if len(right) and len(wrong):
        yield "demo_clap_auc", (_auc(right, wrong, "sim_original"), "AUC over clips")
    refined = music[music["caption_from"].notna()]
    for state, part in refined.groupby("caption_state"):
        # a merged caption keeps the original's words: only `generated` takes its place
        replaced = part["caption_from"] == "generated"
        yield f"demo_{state}_replaced", (share(int(replaced.sum()), len(part)), "share of clips")


def _duplicates(
    clips: pd.DataFrame, twins: pd.DataFrame, rows: pd.DataFrame
) -> Iterator[tuple[str, tuple[Estimate, str]]]:
    """Were the copies seen, as the same bytes at ingest or as the same samples by the filter?"""
    dropped = _paths_with(clips, "duplicate_audio")
    claimed = {frozenset(pair) for pair in zip(twins["path"], twins["duplicate_of"], strict=True)}
    copies = rows[rows["copy_of"].notna()]
    pairs = [frozenset(pair) for pair in zip(copies["path"], copies["copy_of"], strict=True)]
    if pairs:
        seen = sum(pair in claimed or bool(pair & dropped) for pair in pairs)
        yield "demo_duplicate_recall", (share(seen, len(pairs)), "share of copies")
    planted = frozenset().union(*pairs)
    flagged = [*claimed, *(frozenset([path]) for path in dropped)]
    if flagged:
        true = sum(one <= planted for one in flagged)
        yield "demo_duplicate_precision", (share(true, len(flagged)), "share of claims")


def _broken(
    files: pd.DataFrame, clips: pd.DataFrame, rows: pd.DataFrame
) -> Iterator[tuple[str, tuple[Estimate, str]]]:
    """Were the broken files reported, at ingest or when they were decoded, and only those?"""
    reported = set(files.loc[files["status"] == "error", "path"])
    reported |= set(clips.loc[clips["failed"].astype(bool), "path"])
    broken = set(rows.loc[rows["broken"].astype(bool), "path"])
    if broken:
        found = share(len(broken & reported), len(broken))
        yield "demo_broken_recall", (found, "share of broken files")
    if reported:
        true = share(len(broken & reported), len(reported))
        yield "demo_broken_precision", (true, "share of reported files")


def _silence(clips: pd.DataFrame, rows: pd.DataFrame) -> Iterator[tuple[str, tuple[Estimate, str]]]:
    """Were silent files dropped as silent?"""
    silent = set(rows.loc[rows["defect"] == "silence", "path"])
    if silent and clips["drop_reasons"].notna().any():
        found = share(len(silent & _paths_with(clips, "silent")), len(silent))
        yield "demo_silence_recall", (found, "share of silent files")


def _paths_with(clips: pd.DataFrame, reason: str) -> set[str]:
    """Paths of files of which every clip was dropped for `reason`, among others."""

    def has(reasons: Iterable[str] | None) -> bool:
        return isinstance(reasons, list | np.ndarray) and reason in list(reasons)

    every = clips["drop_reasons"].map(has).groupby(clips["path"]).all()
    return set(every[every].index)
