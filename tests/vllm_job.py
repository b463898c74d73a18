"""A set with 64 captions to merge, and refine's own job on it; also a program to be killed.

python -m vllm_job ROOT MODEL [WORKERS] [--die-at=UNIT]

A unit is 32 prompts. With --die-at, the process ends by SIGKILL while that unit is with the engine; a
file beside the tables makes sure that it happens once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from builders import manifest, sine, write
from conftest import QUIET

from qamdt.curate import stations
from qamdt.curate.captions import prompts
from qamdt.curate.captions.merge import MergeJob
from qamdt.curate.config import Config, ModelsConfig, RefineConfig
from qamdt.pipeline.dataset import Dataset
from qamdt.pipeline.job import Unit, output
from qamdt.pipeline.runner import run
from qamdt.pipeline.views import connect
from qamdt.schemas.caption_tables import Check, Fact, Generated

# That of merge-v2, shorter: the tests must end in minutes on a busy core.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "facts": {"type": "array", "items": {"type": "string", "maxLength": 30}, "maxItems": 3},
        "caption": {"type": "string", "minLength": 1, "maxLength": 120},
    },
    "required": ["facts", "caption"],
    "additionalProperties": False,
}
MAX_TOKENS = 240  # enough for every text that the schema allows, a token a character
ORIGINALS = [
    f"{mood} {what}"
    for mood in ("A calm", "An energetic", "A sad", "A strange")
    for what in ("piano piece.", "song for choir.", "dance track.", "tune for strings and flute.")
]
FACTS = ("Slow piano music.", "Fast music with drums.", "Strings, 90 BPM.", "A choir, no drums.")


@dataclass
class DyingAsk(MergeJob):
    """Refine's job; its process is killed while the unit `die_at` (1, 2) is with the engine, once."""

    die_at: int | None = None
    seen: int = 0

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        self.seen += len(units)
        mark = self.dataset.root / "died"
        if self.seen == self.die_at and not mark.exists():
            mark.touch()
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return super().run(units)


def made(root: Path) -> Dataset:
    """A dataset whose 64 clips have a caption, facts and a check that says `merge`."""
    dataset = Dataset(root / "data")
    if dataset.current("checks") is not None:
        return dataset
    pairs = [(original, facts) for original in ORIGINALS for facts in FACTS]
    rows = []
    for k, (original, _) in enumerate(pairs):
        write(root / "music" / f"{k:02}.wav", sine(0.5, 200 + 5 * k, 8000, 1), 8000)
        rows.append({"path": f"{k:02}.wav", "caption": original})
    config = Config().override("ingest", {"window_s": 0.5})
    with dataset.lock():
        stations.ingest(dataset, manifest(root / "music" / "m.jsonl", rows), config, QUIET)
        with connect(dataset) as con:
            ids = [i for (i,) in con.execute("SELECT clip_id FROM clips ORDER BY path").fetchall()]
        for cls, columns in (
            (Fact, [{"file_sentence": facts} for _, facts in pairs]),
            (Generated, [{"generated": facts, "model_id": "tags"} for _, facts in pairs]),
            (Check, [{"action": "merge"} for _ in pairs]),
        ):
            out = output(dataset, cls, 1, {}, ["clips"])
            dataset.commit(
                cls,
                out.fingerprint,
                [cls(clip_id=i, **c) for i, c in zip(ids, columns, strict=True)],
            )
            dataset.adopt(out.table, out.fingerprint, out.about)
    prompt = root / "merge.txt"
    prompt.write_text(prompts.load("merge-v2").text)
    prompt.with_suffix(".json").write_text(json.dumps(SCHEMA))
    return dataset


def job_of(root: Path, model: str, die_at: int | None = None) -> DyingAsk:
    config = RefineConfig(prompt=str(root / "merge.txt"), llm_max_tokens=MAX_TOKENS)
    return DyingAsk(made(root), config, ModelsConfig(llm=model), die_at=die_at)


def merge(root: Path, model: str, workers: int = 0, die_at: int | None = None) -> list[Any]:
    """Run what is pending; all committed rows."""
    job = job_of(root, model, die_at)
    with job.dataset.lock():
        run(job, job.dataset, workers=workers, quiet=True)
    return merged(root, model)


def merged(root: Path, model: str) -> list[Any]:
    """All rows that are committed, doubled ones too, in order of their request."""
    job = job_of(root, model)
    (out,) = job.outputs
    parts = job.dataset.parts(out.table, out.fingerprint)
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    return sorted(rows, key=lambda row: row["request"])


def questions(n: int) -> list[str]:
    """`n` prompts as the job asks them."""
    text = prompts.load("merge-v2").text
    pairs = [(o, f) for o in ORIGINALS for f in FACTS]
    return [text.replace("{original}", o).replace("{facts}", f) for o, f in pairs[:n]]


if __name__ == "__main__":
    import vllm_job  # Ray must find the job by this name, not in __main__

    words = [w for w in sys.argv[1:] if not w.startswith("--die-at=")]
    dies = [int(w.partition("=")[2]) for w in sys.argv[1:] if w.startswith("--die-at=")]
    workers = int(words[2]) if len(words) > 2 else 0
    vllm_job.merge(Path(words[0]), words[1], workers, dies[0] if dies else None)
