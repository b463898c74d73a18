"""The scale of a set's latents: the factor that gives them a standard deviation of 1.

It needs the whole set: rows are committed without it, and `seal` writes it into all of them when no
clip is left. It is measured once. Clips that come later get the same scale, so that networks trained
before stay right; `--measure-scale` measures it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ...pipeline.dataset import Dataset
from ...schemas.errors import StoreError


@dataclass(frozen=True)
class Sealed:
    """What `seal` did. measured: whether the scale is new; n: latents that have it now."""

    scale: float
    measured: bool
    n: int
    deviation: float | None


def seal(dataset: Dataset, fingerprint: str, measure: bool = False) -> Sealed:
    """Write the scale into every row that has none: the one in use, or one measured over all rows.

    measure: measure it anew, over all rows, even where there is one. Raises StoreError where there is
    no latent, or no deviation to scale. Killed half way, the next call goes on.
    """
    parts = dataset.parts("latents", fingerprint)
    known: set[float] = set()
    for part in parts:
        scales = pq.read_table(part, columns=["scale"])["scale"].drop_null()
        known.update(scales.unique().to_pylist())
    fresh = measure or not known
    if not fresh and len(known) > 1:
        raise StoreError(
            f"{dataset.root}: latents of {len(known)} scales, {sorted(known)}: measuring was "
            "stopped half way; run it again with --measure-scale"
        )
    scale = measured_scale(parts) if fresh else known.pop()
    n = sum(_seal_part(dataset, part, scale, fresh) for part in parts)
    return Sealed(float(scale), fresh, n, 1 / scale if fresh else None)


def measured_scale(parts: Sequence[Path]) -> float:
    """1 / standard deviation over all numbers of all latents, in one pass, float64."""
    n, mean, square = 0, 0.0, 0.0
    for part in parts:
        for block in pq.ParquetFile(part).iter_batches(256, columns=["latent"]):
            for data in block.column("latent").drop_null():
                numbers = np.frombuffer(data.as_buffer(), np.float16).astype(np.float64)
                own, size = float(numbers.mean()), numbers.size
                gap, total = own - mean, n + size  # Chan, Golub and LeVeque 1983, eq. 1.5
                square += float(np.square(numbers - own).sum()) + gap**2 * n * size / total
                mean += gap * size / total
                n = total
    if not n:
        raise StoreError(
            "there is no latent to measure: no clip is kept, or all of them are error rows; look at "
            "`qamdt-curate status DIR`"
        )
    if not square > 0:
        raise StoreError("the latents are all alike: they have no deviation to scale to 1")
    return float(np.float32((n / square) ** 0.5))


def _seal_part(dataset: Dataset, part: Path, scale: float, anew: bool) -> int:
    """Give the ok rows of a part their scale; rewrites it only where one lacks it."""
    ok = pc.equal(pq.read_table(part, columns=["status"])["status"], "ok")
    old = pq.read_table(part, columns=["scale"])["scale"]
    scales = pc.if_else(ok, pa.scalar(scale, pa.float32()), pa.scalar(None, pa.float32()))
    if anew or pc.any(pc.and_(ok, pc.is_null(old))).as_py():
        rows = pq.read_table(part)
        at = rows.schema.get_field_index("scale")
        dataset.rewrite_part(part, rows.set_column(at, rows.schema.field(at), scales))
    return int(pc.sum(pc.cast(ok, pa.int64())).as_py() or 0)
