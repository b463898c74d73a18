"""The labels as they are taught: read, decoded, split, and every row accounted for."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from ...pipeline.dataset import write_atomically
from ...schemas.errors import ConfigError
from ..pmos.wav2vec2 import Hearing
from .claim import ERRORS, WORK
from .figures import table_of
from .labels import EXPECTED, Labelled, Problem, read_labels
from .split import split_of
from .waves import Waves, prepare

SHOWN = 10  # problems said aloud; errors.csv has all


class Bar(Protocol):
    """How far a job is."""

    def advance(self, n: int) -> None:
        """So many more are done."""
        ...


class _Unseen:
    def advance(self, n: int) -> None:
        pass


Log = Callable[[str], None]
Bars = Callable[[str, int], AbstractContextManager[Bar]]


def no_bar(name: str, total: int) -> AbstractContextManager[Bar]:
    return nullcontext(_Unseen())


@dataclass(frozen=True)
class Taught:
    """The usable part of the labels, split. table: the rows of splits.csv, in the waves' order."""

    sounds: list[Labelled]
    problems: list[Problem]
    waves: Waves
    table: pd.DataFrame

    @property
    def mos(self) -> np.ndarray:
        """Labels float64 [n]."""
        return self.table["mos"].to_numpy(float)

    @property
    def mean(self) -> float:
        """The mean label of train."""
        return float(self.mos[self.of("train")].mean())

    def of(self, split: str) -> np.ndarray:
        """The numbers of the sounds of one split."""
        return np.flatnonzero(self.table["split"] == split)

    def facts(self) -> dict[str, Any]:
        """What qamdt.json says of the splits.

        same_audio: how many sounds of dev and test have the very samples of a sound of train.
        """
        digest = np.array(self.waves.digests)
        learned = (self.table["split"] == "train").to_numpy()
        return {
            "splits": {
                str(name): {"sounds": len(part), "groups": int(part["group"].nunique())}
                for name, part in self.table.groupby("split")
            },
            "same_audio": int(np.isin(digest[~learned], digest[learned]).sum()),
        }


def teach(labels: Path, front_end: Hearing, seed: int, out: Path, log: Log, bars: Bars) -> Taught:
    """Read, decode and split the labels; writes splits.csv and errors.csv."""
    sounds, problems = read_labels(labels)
    with bars("decode", len(sounds)) as bar:
        waves, unheard = prepare(sounds, front_end, out / WORK, bar.advance)
    problems = sorted([*problems, *unheard], key=lambda p: p.row)
    kept = [sounds[k] for k in waves.kept]
    ok = sum(len(s.rows) for s in kept)
    log(f"labels: {ok + len(problems)} rows = {ok} ok + {len(problems)} error; {len(kept)} sounds")
    for problem in problems[:SHOWN]:
        log(f"  row {problem.row}: {problem.error_type}: {problem.error_message}")
    if len(problems) > SHOWN:
        log(f"  and {len(problems) - SHOWN} more, all in {out / 'errors.csv'}")
    heads = ("row", "path", "error_type", "error_message")
    _write_csv(out / ERRORS, heads, [astuple(p) for p in problems])
    if not kept:
        why = f" (row {problems[0].row}: {problems[0].error_message})" if problems else ""
        raise ConfigError(
            f"{labels} has no usable row: {len(problems)} rows, all with errors{why}; {EXPECTED},"
            " and audio of 1 s or more"
        )
    table = table_of(kept, split_of(kept, seed))
    write_atomically(out / "splits.csv", table.to_csv(index=False).encode())
    log("splits: " + ", ".join(f"{s} {n}" for s, n in table["split"].value_counts().items()))
    return Taught(kept, problems, waves, table)


def _write_csv(path: Path, heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heads, *rows])
    write_atomically(path, text.getvalue().encode())
