"""The report: one HTML file that needs nothing else, and the same numbers as JSON.

`report.html` has no script and fetches nothing: charts are inline SVG, clips are data URIs, file
names and captions are escaped. `report.json` holds every number that the page shows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ...pipeline.dataset import Dataset, write_atomically
from ...reports.charts import histogram
from ...reports.page import render_page, write_page
from ...schemas.errors import AudioError
from .audio import data_uri
from .numbers import Numbers, numbers

TEMPLATE = Path(__file__).with_name("template.html.j2")


def build_report(dataset: Path) -> tuple[Path, Path]:
    """Write report.html and report.json into the dataset folder; returns their paths.

    What has not been made yet is said in a sentence in its place. Raises StoreError when the folder
    holds no table at all.
    """
    results = numbers(Dataset(dataset))
    html, data = dataset / "report.html", dataset / "report.json"
    text = json.dumps(results, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(data, text.encode("utf-8"))
    write_page(html, render(results))
    return html, data


def render(results: Numbers) -> str:
    """The page of these numbers; reads the audio of the clips that can be played."""
    filters: dict[str, Callable[..., Any]] = {
        "count": lambda n: "–" if n is None else f"{n:,}".replace(",", "\u202f"),
        "hours": _hours,
        "place": _place,
        "commands": _commands,
        "number": _number,
    }
    names: dict[str, str] = {}
    for model in results["models"]:
        names.setdefault(model["role"], model["model"])
    values = {
        **results,
        "named": names,
        "pmos_chart": _pmos_chart(results["pmos"]),
        "similarity_chart": _similarity_chart(results["similarity"]),
        "plugin_charts": [
            histogram(p["low"], p["high"], [("clips", p["counts"])], (), p["name"])
            for p in results["plugins"]
        ],
        "played": {
            end: [_played(clip) for clip in results["clips"][end]] for end in ("best", "worst")
        },
    }
    return render_page(TEMPLATE, values, filters)


def _pmos_chart(pmos: Numbers | None) -> str | None:
    """The histogram; mu and mu +- k sigma where the set has one mu."""
    if pmos is None:
        return None
    lines = []
    if len(pmos["groups"]) == 1 and pmos["groups"][0]["sigma"]:
        mu, sigma = pmos["groups"][0]["mu"], pmos["groups"][0]["sigma"]
        names = {-2: "μ − 2σ", -1: "μ − σ", 0: "μ", 1: "μ + σ", 2: "μ + 2σ"}
        lines = [(mu + k * sigma, name) for k, name in names.items()]
    return histogram(pmos["low"], pmos["high"], [("clips", pmos["counts"])], lines, "MOS")


def _similarity_chart(similarity: Numbers | None) -> str | None:
    if similarity is None:
        return None
    series = [("before", similarity["before"]), ("after", similarity["after"])]
    return histogram(similarity["low"], similarity["high"], series)


def _played(clip: dict[str, Any]) -> dict[str, Any]:
    """The clip with its audio, or with the reason why it has none."""
    try:
        return {**clip, "audio": data_uri(clip), "silent": None}
    except AudioError as error:
        return {**clip, "audio": None, "silent": f"{type(error).__name__}: {error}"}


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}".replace(",", "\u202f") if abs(value) >= 1000 else f"{value:.3g}"


def _commands(text: str) -> Markup:
    """Text with what stands between backquotes as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if i % 2 else part for i, part in enumerate(parts)
    )


def _hours(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} h".replace(",", "\u202f")
    return f"{hours * 60:.1f} min" if hours >= 1 / 60 else f"{hours * 3600:.0f} s"


def _place(clip: dict[str, Any]) -> str:
    """Minutes and seconds of a clip in its file."""
    start, end = round(clip["start_s"]), round(clip["start_s"] + clip["duration_s"])
    return f"{start // 60}:{start % 60:02d} – {end // 60}:{end % 60:02d}"
