"""Latents and text states in Parquet parts: rows to write, and one row read at random.

    dataset.commit(Latent, fingerprint, [latent_row(...)])      the codec station's side
    shards = Shards(parts, "latent", ["clip_id", "shape"])      the trainer's side
    shards.read(part, row)                                      {"clip_id": ..., "latent": ...}

A part is read one small row group at a time (8 latents of 64 KiB). `mmap` maps the files, so that
hot groups come from the page cache; `stream` reads them, for folders on a network. An object can be
sent to worker processes: each opens the files anew.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...schemas.errors import StoreError
from ...schemas.tables import Latent, TextStates

GROUPS_CACHED = 4  # row groups of a part kept decoded: neighbours in a file often follow each other
FILES_CACHED = 64  # open files a process

Half = np.ndarray[Any, np.dtype[np.float16]]


def latent_row(clip_id: str, latent: np.ndarray, scale: float, codec: str) -> Latent:
    """A row of `latents`. latent: [C, T, F], as the codec gives it.

    Raises StoreError where it is not three-dimensional or does not fit into float16.
    """
    if latent.ndim != 3:
        raise StoreError(f"{clip_id}: a latent of shape {latent.shape}; expected [C, T, F]")
    half = as_half(latent, clip_id)
    return Latent(
        clip_id=clip_id, latent=half.tobytes(), shape=list(half.shape), scale=scale, codec=codec
    )


def text_row(text: str, states: np.ndarray, encoder: str) -> TextStates:
    """A row of `text_states`. states: [S, E], S >= 1 real tokens without padding.

    Raises StoreError where there is no token, or a number does not fit into float16.
    """
    if states.ndim != 2 or len(states) < 1:
        raise StoreError(
            f"text {text!r}: states of shape {states.shape}; expected [S, E] with S at least 1 (an "
            "empty text has its end token)"
        )
    half = as_half(states, text)
    tokens, width = half.shape
    return TextStates(text=text, tokens=tokens, width=width, states=half.tobytes(), encoder=encoder)


def as_half(numbers: np.ndarray, name: str) -> Half:
    """The numbers as float16. Raises StoreError where one is not finite then."""
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(numbers, np.float16)
    if not np.isfinite(half).all():
        raise StoreError(f"{name}: numbers that are not finite in float16 (|x| <= 65504)")
    return half


def scale_of(latents: Sequence[np.ndarray]) -> float:
    """The factor that gives these latents together a standard deviation of 1 (not per channel).

    The released code measures it on the first batch of rank 0 alone; here it is measured once,
    stored in every row and read back by every process.
    """
    n = sum(a.size for a in latents)
    mean = sum(float(a.sum(dtype=np.float64)) for a in latents) / max(n, 1)
    square = sum(float(np.square(a.astype(np.float64) - mean).sum()) for a in latents)
    if not square > 0:
        raise StoreError("the latents are all alike: they have no standard deviation to scale to 1")
    return float((n / square) ** 0.5)


class Shards:
    """Random access to the rows of Parquet parts. Raises StoreError that names part and row."""

    def __init__(
        self, parts: Sequence[Path], columns: Sequence[str], reading: str = "mmap"
    ) -> None:
        self._parts = [str(p) for p in parts]
        self._columns = list(columns)
        self._mapped = reading == "mmap"
        self._forget()

    def _forget(self) -> None:
        self._files: OrderedDict[int, tuple[pq.ParquetFile, np.ndarray]] = OrderedDict()
        self._groups: OrderedDict[tuple[int, int], pa.Table] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"_parts": self._parts, "_columns": self._columns, "_mapped": self._mapped}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def read(self, part: int, row: int) -> dict[str, Any]:
        """Row number `row` of part number `part`, as values by column."""
        try:
            _, starts = self._open(part)
            group = int(np.searchsorted(starts, row, side="right")) - 1
            table = self._group(part, group)
            at = row - int(starts[group])
            return {name: table.column(name)[at].as_py() for name in self._columns}
        except (OSError, pa.ArrowException, IndexError, KeyError) as error:
            raise StoreError(f"{self._parts[part]}, row {row}: cannot be read: {error}") from error

    def _open(self, part: int) -> tuple[pq.ParquetFile, np.ndarray]:
        """The file, and the number of the first row of each of its row groups."""
        if part in self._files:
            self._files.move_to_end(part)
            return self._files[part]
        file = pq.ParquetFile(self._parts[part], memory_map=self._mapped)
        meta = file.metadata
        sizes = [meta.row_group(k).num_rows for k in range(meta.num_row_groups)]
        self._files[part] = file, np.cumsum([0, *sizes[:-1]])
        if len(self._files) > FILES_CACHED:
            _, (old, _) = self._files.popitem(last=False)
            old.close()
        return self._files[part]

    def _group(self, part: int, group: int) -> pa.Table:
        key = part, group
        if key not in self._groups:
            file, _ = self._open(part)
            self._groups[key] = file.read_row_group(group, columns=self._columns, use_threads=False)
            if len(self._groups) > GROUPS_CACHED:
                self._groups.popitem(last=False)
        self._groups.move_to_end(key)
        return self._groups[key]
