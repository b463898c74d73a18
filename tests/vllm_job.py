"""A job that merges captions by any LLM, for the tests of vLLM; also a program to be killed.

python -m vllm_job FOLDER MODEL [WORKERS] [--die-at UNIT]

A unit is 16 prompts. With --die-at, the process ends by SIGKILL while that unit is with the engine;
a file beside the table makes sure that it happens once.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from qamdt.curate import refine
from qamdt.models.llm import LLMS
from qamdt.models.ref import resolve
from qamdt.schemas.arrow import col, table
from qamdt.schemas.job import Output, Unit, error_columns, output
from qamdt.schemas.runner import run
from qamdt.schemas.store import Dataset
from qamdt.schemas.tables import Row

A_UNIT = 16
MAX_TOKENS = 72
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "facts": {"type": "array", "items": {"type": "string", "maxLength": 30}, "maxItems": 3},
        "caption": {"type": "string", "minLength": 1, "maxLength": 120},
    },
    "required": ["facts", "caption"],
    "additionalProperties": False,
}
ORIGINALS = [
    f"{mood} {what}"
    for mood in ("A calm", "An energetic", "A sad", "A strange")
    for what in ("piano piece.", "song for choir.", "dance track.", "tune for strings and flute.")
]
FACTS = ["slow, piano", "fast, drums, bass", "strings, 90 BPM", "choir, no drums"]


def prompts() -> list[str]:
    """64 prompts of the merge, all different."""
    template = max(refine.PROMPTS.glob("merge-v*.txt")).read_text(encoding="utf-8")
    return [template.format(original=o, facts=f) for o in ORIGINALS for f in FACTS]


@table("merges", 1)
@dataclass(frozen=True, kw_only=True)
class Merge(Row):
    """One prompt's answer."""

    text: str | None = col("JSON of the schema")


@dataclass
class MergeJob:
    """A Job: makes `merges`."""

    dataset: Dataset
    model: str
    die_at: int | None = None
    name: str = "merge"
    largest_bundle: int = A_UNIT
    outputs: tuple[Output, ...] = ()
    llm: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        llm = resolve(self.model, LLMS)
        self.outputs = (output(self.dataset, Merge, 1, {}, [], llm.model_id, llm.digest),)

    def total(self) -> int:
        return sum(len(unit.rows) for unit in self.units())

    def units(self) -> Iterator[Unit]:
        (out,) = self.outputs
        parts = self.dataset.parts(out.table, out.fingerprint)
        done = {i for part in parts for i in pq.read_table(part)["clip_id"].to_pylist()}
        rows = [{"clip_id": f"{k:03}", "prompt": p} for k, p in enumerate(prompts())]
        for start in range(0, len(rows), A_UNIT):
            if any(row["clip_id"] not in done for row in rows[start : start + A_UNIT]):
                yield Unit(
                    tuple(r for r in rows[start : start + A_UNIT] if r["clip_id"] not in done)
                )

    def open(self) -> None:
        self.llm = resolve(self.model, LLMS)

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        made = []
        for unit in units:
            if unit.rows[0]["clip_id"] == f"{(self.die_at or -1) * A_UNIT:03}":
                self._die_once()
            answers = self.llm.complete([r["prompt"] for r in unit.rows], MAX_TOKENS, SCHEMA)
            for row, answer in zip(unit.rows, answers, strict=True):
                if isinstance(answer, Exception):
                    made.append(Merge(clip_id=row["clip_id"], **error_columns(answer)))
                else:
                    made.append(Merge(clip_id=row["clip_id"], text=answer[0]))
        return {Merge: made}

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        return {Merge: [Merge(clip_id=r["clip_id"], **error_columns(error)) for r in unit.rows]}

    def _die_once(self) -> None:
        mark = self.dataset.root / "died"
        if not mark.exists():
            mark.touch()
            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGKILL)).start()


def merge(folder: Path, model: str, workers: int = 0, die_at: int | None = None) -> list[Any]:
    """Run what is pending; all committed rows, in order of id."""
    dataset = Dataset(folder)
    with dataset.lock():
        job = MergeJob(dataset, model, die_at)
        run(job, dataset, workers=workers, quiet=True)
    return merged(dataset, job)


def merged(dataset: Dataset, job: MergeJob) -> list[Any]:
    """All rows that are committed, doubled ones too, in order of id."""
    (out,) = job.outputs
    parts = dataset.parts(out.table, out.fingerprint)
    rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
    return sorted(rows, key=lambda row: row["clip_id"])


if __name__ == "__main__":
    words = [w for w in sys.argv[1:] if not w.startswith("--die-at=")]
    dies = [int(w.partition("=")[2]) for w in sys.argv[1:] if w.startswith("--die-at=")]
    # Ray must find this module by its name, not as __main__
    import vllm_job

    workers = int(words[2]) if len(words) > 2 else 0
    vllm_job.merge(Path(words[0]), words[1], workers, dies[0] if dies else None)
