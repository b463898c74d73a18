"""Measure the captions and write figures/captions.json.

python -m qamdt.benchmarks.curation.captions --out figures/captions.json [--only demo,real,tokens]

On the demo set, and (`_real`) on 25 held-out real tracks with planted captions; a clip "with an
original" has one that can be read. Intervals resample pieces or tracks.

clap_gain                 similarity to the audio, final less original caption, by the model that
                          selected
clap_worst_drop           the largest loss of one clip
wrong_caught              wrong captions that were replaced, or for which their clips are dropped
wrong_gone                the same, and those whose clips are dropped for whatever else
right_kept                right captions that stayed, or were merged, and for which no clip is dropped
broken_repaired           garbled and empty captions that were replaced by a readable one
invented_rate             instruments named in final captions that the piece does not have
invented_clips            final captions that name one; _before: of the originals that can be read
false_keys                keys named in final captions that are not the piece's; _before: in originals
clap_gain_second_judge    gain by a model that did not select: selected by `tagtext`, judged by the
                          learned half of clap-mini, which tagtext does not share; _first_judge: by
                          tagtext itself
truth_gain                nearness to the true caption (MiniLM), final less original
t5_estimate_safe          captions of which the estimate of tokens lies above two real tokenizers'
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer

from ...curate import stations
from ...curate.config import Config
from ...pipeline.dataset import Dataset
from ...pipeline.stage import Call
from ...pipeline.views import connect
from ...recipes.common.command import default_cache
from ...recipes.common.figures import Counts, ratio_figure
from ..figures import Figure, Figures, Only, Out, Parts, measure_parts
from .captions_truth import key_is_right, named

COMMAND = "make figures-captions"
BROKEN = ("empty", "garbled")
CAPTION_REASONS = ("doubtful_caption", "no_caption", "mismatch")  # of the filter


@dataclass(frozen=True)
class Row:
    """A clip and its truth. state: right, wrong, empty or garbled. group: its piece or track.
    refused: dropped for its caption, whatever else is wrong with it."""

    group: str
    state: str
    original: str
    true: str
    final: str | None
    came_from: str | None
    kept: bool
    refused: bool
    before: float | None
    after: float | None
    embedding: np.ndarray

    @property
    def readable(self) -> bool:
        return self.state not in BROKEN and self.before is not None and self.after is not None


def measure_demo(work: Path) -> Figures:
    """The demo set, made and curated with the defaults; then captions selected by `tagtext`, which
    clap-mini's learned half judges."""
    from ...curate.demo.render_set import make_demo

    source, truth = make_demo(work / "music"), work / "music" / "truth.jsonl"
    rows = read_rows(curate(source, work / "data", Config()), truth)
    config = Config().override("models", {"match": "tagtext", "llm": "none"})
    config = config.override("score", {"only": ("clap", "tags", "music")})
    by_tagtext = read_rows(curate(source, work / "tagtext", config), truth)
    return {**of_rows(rows, ""), **_invented(rows), **_second_judge(by_tagtext, rows)}


def measure_real(work: Path) -> Figures:
    """Held-out real tracks with planted captions."""
    from .real_captions import write_real

    source = write_real(work / "music", default_cache())
    rows = read_rows(curate(source, work / "data", Config()), work / "music" / "truth.jsonl")
    return of_rows(rows, "_real")


def measure_tokens(work: Path) -> Figures:
    """The estimate of T5's tokens against tokenizers of two other models, demo and real captions."""
    from transformers import AutoTokenizer

    from ...curate.demo.defects import TEMPLATES, describe
    from ...curate.demo.pieces import PIECES
    from ...curate.guards.tokens import Estimate
    from ...models.fetch import registry
    from ...recipes.clap.evaluate import FROZEN

    tracks = json.loads(FROZEN.read_text(encoding="utf-8"))["tracks"]
    captions = [(t["name"], caption) for t in tracks for caption in t["captions"]]
    captions += [(p.name, describe(p, 0, k)) for p in PIECES for k in range(len(TEMPLATES))]
    ours = Estimate().count([text for _, text in captions])
    counts: Counts = []
    folders = [registry.path(name) for name in ("minilm-l6-v2", "smollm2-135m-instruct")]
    others = [AutoTokenizer.from_pretrained(f, local_files_only=True) for f in folders]
    for (group, text), estimate in zip(captions, ours, strict=True):
        most = max(len(t(text, add_special_tokens=False)["input_ids"]) for t in others) + 1
        counts.append((group, float(estimate >= most), 1.0))
    return {"t5_estimate_safe": _figure(counts, "share of captions")}


def of_rows(rows: list[Row], ending: str) -> dict[str, Figure]:
    """The figures that demo and real music share."""
    both = [row for row in rows if row.readable]
    gains: Counts = [(r.group, _gain(r), 1.0) for r in both]
    worst = max((-_gain(r) for r in both), default=0.0)
    wrong: Counts = [(r.group, float(_caught(r)), 1.0) for r in rows if r.state == "wrong"]
    gone: Counts = [
        (r.group, float(_caught(r) or not r.kept), 1.0) for r in rows if r.state == "wrong"
    ]
    right: Counts = [(r.group, float(_stayed(r)), 1.0) for r in rows if r.state == "right"]
    broken: Counts = [(r.group, float(_repaired(r)), 1.0) for r in rows if r.state in BROKEN]
    near = _nearness([r.final or "" for r in both], [r.true for r in both])
    was = _nearness([r.original for r in both], [r.true for r in both])
    truth: Counts = [(r.group, float(g), 1.0) for r, g in zip(both, near - was, strict=True)]
    unit = "cosine, clips with an original"
    out = {
        "clap_gain": _figure(gains, unit),
        "clap_worst_drop": {**_figure(gains, unit), "value": abs(max(worst, 0.0)), "low": None,
                            "high": None, "unit": "cosine, largest loss of a clip"},
        "wrong_caught": _figure(wrong, "share of clips with a wrong caption"),
        "wrong_gone": _figure(gone, "share of clips with a wrong caption"),
        "right_kept": _figure(right, "share of clips with a right caption"),
        "broken_repaired": _figure(broken, "share of clips with a garbled or empty caption"),
        "truth_gain": _figure(truth, "cosine with the true caption by MiniLM"),
    }  # fmt: skip
    return {name + ending: figure for name, figure in out.items()}


def curate(source: Path, data: Path, config: Config) -> Dataset:
    """The line from ingest to decisions."""
    dataset = score(source, data, config)
    call = Call(quiet=True)
    with dataset.lock():
        stations.caption(dataset, config, call)
        stations.refine(dataset, config, call)
        stations.filter_clips(dataset, config, call)
    return dataset


def score(source: Path, data: Path, config: Config) -> Dataset:
    """Ingest and score."""
    dataset, call = Dataset(data), Call(quiet=True)
    with dataset.lock():
        stations.ingest(dataset, source, config, call)
        stations.score(dataset, config, call)
    return dataset


def read_rows(dataset: Dataset, truth: Path) -> list[Row]:
    """Every clip that could be decoded and has a truth, in order of path and start."""
    lines = [json.loads(line) for line in truth.read_text(encoding="utf-8").splitlines()]
    by_path = {str((truth.parent / t["path"]).absolute()): t for t in lines if t["piece"]}
    with connect(dataset) as con:
        records = con.execute(
            "SELECT path, caption, refined_caption, caption_from, kept,"
            " list_has_any(drop_reasons, $reasons), sim_original, sim_final, embedding"
            " FROM clips_full WHERE skip IS NULL AND embedding IS NOT NULL"
            " ORDER BY path, start_s",
            {"reasons": list(CAPTION_REASONS)},
        ).fetchall()
    return [
        Row(t["piece"], t["caption_state"], caption or "", t["true_caption"], final, came_from,
            bool(kept), bool(refused), before, after, np.asarray(vector, np.float32))
        for path, caption, final, came_from, kept, refused, before, after, vector in records
        if (t := by_path.get(path)) is not None
    ]  # fmt: skip


def _invented(rows: list[Row]) -> dict[str, Figure]:
    """Instruments that a caption names and the piece does not have: final, and originals as given."""
    counts: Counts = []
    clips: Counts = []
    before: Counts = []
    keys: dict[str, Counts] = {"false_keys": [], "false_keys_before": []}
    for row in rows:
        if row.final and row.kept:
            instruments, wrong = named(row.final, row.group)
            counts.append((row.group, float(len(wrong)), float(len(instruments))))
            clips.append((row.group, float(bool(wrong)), 1.0))
        if row.readable:
            before.append((row.group, float(bool(named(row.original, row.group)[1])), 1.0))
        captions = {
            "false_keys": row.final if row.kept else None,
            "false_keys_before": row.original,
        }
        for name, text in captions.items():
            if (right := key_is_right(text or "", row.group)) is not None:
                keys[name].append((row.group, float(not right), 1.0))
    return {
        "invented_rate": _figure(counts, "share of instruments named, clips kept"),
        "invented_clips": _figure(clips, "share of captions, clips kept"),
        "invented_clips_before": _figure(before, "share of readable originals"),
        **{name: _figure(counts, "share of keys named") for name, counts in keys.items()},
    }


def _second_judge(selected: list[Row], judge: list[Row]) -> dict[str, Figure]:
    """Gain of the captions in `selected` by the learned half of the embeddings in `judge`."""
    from ...models.clap.mini import ClapMiniMatch

    model = ClapMiniMatch()
    both = [(c, j) for c, j in zip(selected, judge, strict=True) if c.readable]
    audio = _learned(np.stack([j.embedding for _, j in both]), model)
    gains = []
    for captions in ([c.final or "" for c, _ in both], [c.original for c, _ in both]):
        gains.append((audio * _learned(model.embed_text(captions), model)).sum(1))
    counts: Counts = [
        (c.group, float(g), 1.0) for (c, _), g in zip(both, gains[0] - gains[1], strict=True)
    ]
    own: Counts = [(c.group, _gain(c), 1.0) for c, _ in both]
    return {
        "clap_gain_second_judge": _figure(counts, "cosine, clips with an original"),
        "clap_gain_first_judge": _figure(own, "cosine by tagtext, which chose"),
    }


def _learned(vectors: np.ndarray, model: Any) -> np.ndarray:
    """The part of clap-mini's vectors that tagtext has no share in, rows of length 1."""
    part = vectors[:, model.words_dim :].astype(np.float32)
    return np.asarray(part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-9))


def _nearness(texts: list[str], others: list[str]) -> np.ndarray:
    """Cosine of each text and its other one by MiniLM; 0 where a text is blank."""
    from ...models.clap.sentence_embedder import SentenceEmbedder

    model = SentenceEmbedder()
    near = (model.embed(texts) * model.embed(others)).sum(1)
    return np.where([bool(text.strip()) for text in texts], near, 0.0)


def _gain(row: Row) -> float:
    return float(row.after or 0.0) - float(row.before or 0.0)


def _caught(row: Row) -> bool:
    return row.refused or row.came_from == "generated"


def _stayed(row: Row) -> bool:
    return not row.refused and row.came_from in ("original", "merged")


def _repaired(row: Row) -> bool:
    from ...curate.guards.rules import text_guards

    return row.came_from in ("generated", "merged") and not text_guards(row.final)


def _figure(counts: Counts, unit: str) -> Figure:
    return ratio_figure(counts, unit, COMMAND)


PARTS: Parts = {"demo": measure_demo, "real": measure_real, "tokens": measure_tokens}


def main(out: Out = Path("figures/captions.json"), only: Only = "") -> None:
    """Measure the parts named and put them into the file; figures of other parts stay."""
    measure_parts(PARTS, only, out)


if __name__ == "__main__":
    typer.run(main)
