"""The results of an evaluation: numbers that carry their protocol, and a row per clip; written and read.

results.json   numbers, protocol, sets, what was missing, unreadable, flagged
clips.jsonl    one line a clip, in order of id
vectors.npz    embeddings of the generated clips, for `compare`
report.html    the same to look at and listen to
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.dataset import write_atomically
from ...schemas.errors import ConfigError

LOWER, HIGHER = "lower", "higher"


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    name: such as `fad` or `clap`. value: what the definition gives. unbiased: the same without the
    bias of n, where it is known. low, high: 95% interval, of `unbiased` where there is one. n: clips
    it was made from. protocol: all that went into it; protocol_id: its hash. better: lower or
    higher. detail: rows, dimensions, rank and the like. notes: what a reader must know.
    """

    name: str
    value: float
    n: int
    better: str
    protocol: Mapping[str, Any]
    protocol_id: str
    unbiased: float | None = None
    se: float | None = None
    low: float | None = None
    high: float | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Absent:
    """A requested number that could not be made, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class Results:
    """An evaluation.

    generated, reference: source, clips, how many could be read, digest. missing: ids expected and
    not there; extra: there and not expected. unreadable: id, path and why. flagged: id and flags.
    clips: one dict a generated clip. vectors: arrays for `compare`.
    """

    system: str
    protocol: str
    deviates: Sequence[str]
    numbers: Sequence[Measurement]
    absent: Sequence[Absent]
    generated: Mapping[str, Any]
    reference: Mapping[str, Any] | None
    prompts: Mapping[str, Any] | None
    missing: Sequence[str]
    extra: Sequence[str]
    unreadable: Sequence[Mapping[str, str]]
    flagged: Sequence[Mapping[str, Any]]
    versions: Mapping[str, str]
    config: Mapping[str, Any]
    clips: Sequence[dict[str, Any]] = ()
    vectors: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def faulty(self) -> bool:
        """Whether something that was expected is not in the numbers: `--strict` exits 3."""
        return bool(self.missing or self.extra or self.unreadable or self.absent)

    def number(self, name: str) -> Measurement:
        """The number of that name. Raises KeyError."""
        return next(n for n in self.numbers if n.name == name)


def write_results(folder: Path, results: Results) -> None:
    """Write results.json, clips.jsonl and vectors.npz, each atomically."""
    summary = {k: v for k, v in asdict(results).items() if k not in ("clips", "vectors")}
    text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False, sort_keys=True)
    write_atomically(folder / "results.json", text.encode("utf-8", "surrogateescape"))
    lines = (json.dumps(c, ensure_ascii=False, allow_nan=False) + "\n" for c in results.clips)
    write_atomically(folder / "clips.jsonl", "".join(lines).encode("utf-8", "surrogateescape"))
    buffer = io.BytesIO()
    np.savez(buffer, **results.vectors)  # type: ignore[arg-type]
    write_atomically(folder / "vectors.npz", buffer.getvalue())


def read_results(folder: Path) -> Results:
    """The results in a folder (or of a results.json). Raises ConfigError."""
    folder = folder.parent if folder.name == "results.json" else folder
    try:
        summary = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        clips = [
            json.loads(line)
            for line in (folder / "clips.jsonl").read_text(encoding="utf-8").splitlines()
        ]
        with np.load(folder / "vectors.npz", allow_pickle=False) as file:
            vectors = {name: file[name] for name in file.files}
        summary["numbers"] = [Measurement(**n) for n in summary["numbers"]]
        summary["absent"] = [Absent(**a) for a in summary["absent"]]
        return Results(**summary, clips=clips, vectors=vectors)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(
            f"{folder} holds no results of `qamdt-evaluate run` ({error}); give its --out folder"
        ) from error
