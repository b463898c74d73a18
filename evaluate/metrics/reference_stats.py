"""Statistics of a reference set as one .npz file: written, merged, and read from other tools.

Ours holds `n`, `mean` [D], `scatter` [D, D] in float64, the rows in float32 and the clip each is of
(for KAD, and for an interval that counts the reference's own chance), ids and contents of clips,
and `about`: JSON of embedder, digest and listening. Files of other tools are read where they hold
mean and covariance: `mu` and `cov` (fadtk), `mu_ref` and `sigma_ref` (stable-audio-metrics), `mu`
and `sigma` (pytorch-fid and kin). They do not say what made them: the caller has to know.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.dataset import write_atomically
from ...schemas.errors import ConfigError
from .fad import Sample
from .frechet import Gaussian, from_moments, gaussian, merge

FOREIGN = (("mu", "cov"), ("mu_ref", "sigma_ref"), ("mu", "sigma"), ("mean", "cov"))
UNKNOWN_N = 10**9  # of other tools' files, which do not tell


@dataclass(frozen=True, eq=False)
class Stats:
    """about: what made them, None where unknown. sample: the rows, None where there are none.

    contents: of the clips, in the order of the sample's owners.
    """

    gaussian: Gaussian
    about: dict[str, Any] | None
    sample: Sample | None = None
    contents: tuple[str, ...] = ()
    source: str = ""

    def without_rows(self) -> Stats:
        """The same without its rows: smaller, without KAD, and taken as it is in intervals."""
        return replace(self, sample=None)


def stats_of(sample: Sample, about: dict[str, Any], contents: Sequence[str]) -> Stats:
    """Statistics of rows."""
    return Stats(gaussian(sample.rows), about, sample, tuple(contents))


def write_stats(path: Path, stats: Stats) -> None:
    """Write one .npz, atomically."""
    import io

    held: dict[str, np.ndarray] = {
        "n": np.array(stats.gaussian.n),
        "mean": stats.gaussian.mean,
        "scatter": stats.gaussian.scatter,
        "about": np.array(json.dumps(stats.about, sort_keys=True)),
        "contents": np.array(stats.contents, dtype="U32"),
    }
    if stats.sample is not None:
        held |= {"rows": stats.sample.rows.astype(np.float32), "owner": stats.sample.owner}
    buffer = io.BytesIO()
    np.savez(buffer, **held)  # type: ignore[arg-type]
    write_atomically(path, buffer.getvalue())


def read_stats(path: Path) -> Stats:
    """Statistics from a file of ours or of another tool. Raises ConfigError, MetricError."""
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such file of statistics") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ConfigError(f"{path} is no .npz of plain arrays: {error}") from error
    if "scatter" in held:
        return _ours(path, held)
    for mean, cov in FOREIGN:
        if mean in held and cov in held:
            n = int(held["n"]) if "n" in held else UNKNOWN_N
            return Stats(from_moments(n, held[mean], held[cov]), None, source=str(path))
    raise ConfigError(f"{path} holds {sorted(held)}: expected mean and covariance, such as mu, cov")


def _ours(path: Path, held: dict[str, np.ndarray]) -> Stats:
    try:
        sample = None
        n, mean = int(held["n"]), np.asarray(held["mean"], np.float64)
        moments = Gaussian(n, mean, np.asarray(held["scatter"], np.float64))
        if "rows" in held:
            sample = Sample(held["rows"].astype(np.float64), held["owner"].astype(np.int64))
            moments = gaussian(sample.rows)
        about = json.loads(str(held["about"]))
        return Stats(moments, about, sample, tuple(map(str, held["contents"])), str(path))
    except (KeyError, ValueError) as error:
        raise ConfigError(f"{path} is no complete file of ours: {error!r}") from error


def merge_stats(parts: Sequence[Stats]) -> Stats:
    """Statistics of all clips of the parts, the same for any split of a set.

    Raises ConfigError where two parts were made in different ways or hold the same clip.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.about != first.about:
            raise ConfigError(
                f"{part.source} and {first.source} were made in different ways: "
                f"{part.about} and {first.about}"
            )
    contents = tuple(c for part in parts for c in part.contents)
    if len(set(contents)) < len(contents):
        raise ConfigError("two of the files hold the same clip: it would count twice")
    samples = [part.sample for part in parts if part.sample is not None]
    if len(samples) < len(parts):
        return Stats(merge(p.gaussian for p in parts), first.about, None, contents)
    together = _joined(samples, contents)
    order = sorted(contents)  # one order for any split, so that the same bits come out
    return Stats(gaussian(together.rows), first.about, together, tuple(order))


def _joined(samples: Sequence[Sample], contents: Sequence[str]) -> Sample:
    """The rows of all samples, clips in order of their contents."""
    starts = np.cumsum([0, *(s.clips for s in samples)])[:-1]
    owner = np.concatenate([s.owner + start for s, start in zip(samples, starts, strict=True)])
    rows = np.concatenate([s.rows for s in samples])
    place = np.empty(len(contents), np.int64)
    place[np.argsort(np.array(contents, dtype="U32"), kind="stable")] = np.arange(len(contents))
    order = np.argsort(place[owner], kind="stable")
    return Sample(rows[order], place[owner][order])
