"""The report of an evaluation: one HTML file that needs nothing else.

Shown are the numbers with intervals and protocols, the clips that raise FAD most, those that fit
their text least, those that sound worst, and everything that is missing, unreadable or flagged.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...audio.sound import Sound
from ...reports.charts import histogram
from ...reports.page import render_page, write_page
from ...reports.playable import mp3_uri
from ...schemas.errors import AudioError
from ..features.extract import decode_again
from ..run.results import Results

TEMPLATE = Path(__file__).with_name("report_template.html.j2")
PLAYED = 8  # clips of each kind that can be played
LONGEST_S = 10.0
LISTED = 1000  # clips in the table at the end

WORST = (  # per-clip value, whether a high one is bad, its heading
    ("fad_influence", True, "Clips that raise FAD most"),
    ("kl", True, "Clips farthest from their pair (KL)"),
    ("clap", False, "Clips that fit their text least (CLAP)"),
    ("pmos", False, "Clips that sound worst (p-MOS)"),
)
COLUMNS = ("fad_influence", "kl", "clap", "pmos", "loudness_lufs")


def write_report(folder: Path, results: Results) -> Path:
    """Write report.html into a folder of results; returns its path."""
    return write_page(folder / "report.html", render(results))


def render(results: Results) -> str:
    """The page of these results; reads the audio of the clips that can be played."""
    played: dict[str, dict[str, Any]] = {}
    values = {
        "results": results,
        "worst": [_worst(results.clips, *kind, played) for kind in WORST],
        "charts": [(name, _chart(results.clips, name)) for name in ("clap", "pmos", "kl")],
        "columns": [c for c in COLUMNS if any(c in clip for clip in results.clips)],
        "listed": results.clips[:LISTED],
    }
    return render_page(TEMPLATE, values, {"number": _number})


def _worst(
    clips: Sequence[dict[str, Any]], field: str, high: bool, title: str,
    played: dict[str, dict[str, Any]],
) -> dict[str, Any]:  # fmt: skip
    """The worst clips by one value, with their sound; each is decoded once for the page."""
    known = [clip for clip in clips if clip.get(field) is not None]
    known.sort(key=lambda c: (-c[field] if high else c[field], c["id"]))
    rows = []
    for clip in known[:PLAYED]:
        if clip["id"] not in played:
            played[clip["id"]] = _played(clip)
        rows.append({**clip, **played[clip["id"]], "value": clip[field]})
    return {"title": title, "field": field, "clips": rows}


def _played(clip: dict[str, Any]) -> dict[str, Any]:
    """The clip's sound as a data URI, or the reason why it has none."""
    try:
        sound = decode_again(clip)
        most = round(LONGEST_S * sound.rate_hz)
        return {"audio": mp3_uri(Sound(sound.samples[:, :most], sound.rate_hz)), "silent": None}
    except (AudioError, OSError) as error:
        return {"audio": None, "silent": f"{type(error).__name__}: {error}"}


def _chart(clips: Sequence[dict[str, Any]], field: str) -> str | None:
    values = np.array([clip[field] for clip in clips if clip.get(field) is not None])
    if len(values) < 2 or values.min() == values.max():
        return None
    counts, edges = np.histogram(values, bins=40)
    mean = float(values.mean())
    return histogram(
        float(edges[0]), float(edges[-1]), [("clips", counts.tolist())], [(mean, "mean")]
    )


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
