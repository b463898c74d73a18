"""What the rows of most tables have: the clip they speak of, and whether they could be made."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from .arrow import col, key

F32 = pa.float32()


@dataclass(frozen=True, kw_only=True)
class Row:
    """What every row has: the clip it speaks of, and whether it could be made."""

    clip_id: str = key("hash of file bytes, start and duration")
    status: str = "ok"
    error_type: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelRow(Row):
    """A row made by a model, which it names."""

    model_id: str | None = col("model that made the row")
    weights: str | None = col("SHA-256 of its weights")
