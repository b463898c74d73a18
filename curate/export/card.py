"""The dataset card: README.md beside the shards, in the form that Hugging Face reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...pipeline.dataset import Dataset, write_atomically
from ...pipeline.job import Output
from ...pipeline.views import connect
from ...schemas.version import __version__
from ..report.funnel import funnel


def write_card(dataset: Dataset, shards: Output) -> Path:
    """Write the card of a state of `shards`; returns its path."""
    folder = dataset.folder(shards.table, shards.fingerprint)
    f = funnel(dataset)
    with connect(dataset) as con:
        bounds = con.execute(
            "SELECT grouping, scheme, prefix_scheme, model_id, n, mu, sigma, skew, edges,"
            " level_counts FROM bounds ORDER BY grouping"
        ).fetchall()
        licences = con.execute(
            "SELECT coalesce(licence, 'not stated'), count(*) FROM clips JOIN decisions USING (clip_id)"
            " WHERE kept GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()
        sources = con.execute(
            "SELECT coalesce(source, 'not stated'), count(*), sum(duration_s) / 3600 FROM clips"
            " JOIN decisions USING (clip_id) WHERE kept GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()
        origins = con.execute(
            "SELECT caption_from, count(*) FROM captions JOIN decisions d USING (clip_id)"
            " WHERE d.kept GROUP BY 1 ORDER BY 2 DESC"
        ).fetchall()
    lines = [
        "---",
        "configs:",
        "- config_name: default",
        "  data_files: part-*.parquet",
        "tags: [music, text-to-music, quality-aware]",
        "---",
        "",
        f"# {dataset.root.resolve().name}",
        "",
        f"Made by qamdt {__version__}. {f.kept} clips, {f.kept_hours:.2f} hours, out of {f.clips}"
        f" clips, {f.hours:.2f} hours, in {f.files} files ({f.files_error} unreadable,"
        f" {f.duplicates} windows repeated).",
        "",
        "    from datasets import load_dataset",
        '    clips = load_dataset("parquet", data_files="part-*.parquet")',
        "",
        "`prompt` is quality prefix and caption; `quality_level` is 1..5, 5 is best.",
        "",
        *_table(["level", "clips (before the filter)"], sorted(f.levels.items())),
        *_table(["dropped for", "clips", "for this alone", "hours"], _reasons(f.reasons)),
        *_table(["licence as stated", "clips"], licences),
        *_table(["source", "clips", "hours"], [(s, n, f"{h:.2f}") for s, n, h in sources]),
        *_table(["caption", "clips"], origins),
        "## Quality",
        "",
    ]
    for group, scheme, prefixes, model, n, mu, sigma, skew, edges, _counts in bounds:
        lines.append(
            f"- {group}: p-MOS by {model}, n {n}, mu {mu:.4f}, sigma {sigma:.4f}, skew {skew:+.3f};"
            f" levels `{scheme}` with bounds {', '.join(f'{e:.4f}' for e in edges)};"
            f" prefixes `{prefixes}`"
        )
    lines += [
        "",
        "## Models and thresholds",
        "",
        "```json",
        json.dumps(_made_by(dataset), indent=1),
    ]
    lines += ["```", ""]
    write_atomically(folder / "README.md", "\n".join(lines).encode())
    return folder / "README.md"


def _made_by(dataset: Dataset) -> dict[str, Any]:
    """Per table: model, weights and parameters; what was read is left out."""
    states = {}
    for table in dataset.tables():
        if (state := dataset.current(table)) and not dataset.stale_parent(table):
            params = {k: v for k, v in state.about["params"].items() if k != "parts_read"}
            states[table] = {
                "fingerprint": state.fingerprint,
                **{k: state.about[k] for k in ("model_id", "weights") if state.about[k]},
                **({"params": params} if params else {}),
            }
    return states


def _reasons(reasons: dict[str, tuple[int, int, float]]) -> list[tuple[str, int, int, str]]:
    return [(name, n, alone, f"{hours:.2f}") for name, (n, alone, hours) in reasons.items()]


def _table(head: list[str], rows: list[Any]) -> list[str]:
    if not rows:
        return []
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        cells = (str(cell).replace("|", "\\|").replace("\n", " ") for cell in row)
        lines.append("| " + " | ".join(cells) + " |")
    return [*lines, ""]
