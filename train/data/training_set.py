"""The training set: one dataset folder's latents, levels, captions and decisions, joined by clip_id.

    folder = TrainingSet.open(Dataset(root), config.data)
    folder.latent(i)   [C, T, F], scaled to a standard deviation of 1
    folder.text(i)     [S, E], the states of quality prefix + caption, cut to the token limit

Quality, prompt and latent of sample i come from the rows of one and the same clip: the join is by
clip_id, and `latent` reads the clip_id that stands beside the bytes and compares. (The released
code takes audio and caption of one key and score and prefix of another.)

Every latent is taken or counted under one reason: error row, not kept, no level, no text states.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import torch

from ...pipeline.dataset import Dataset
from ...pipeline.views import connect
from ...schemas.arrow import name_of
from ...schemas.errors import ConfigError, StoreError
from ...schemas.prompt import prompt_of
from ...schemas.tables import Decision, Latent, Level, TextStates
from ..config import DataConfig
from .latent_store import Shards
from .text_states import StoredText

_ROWS = """
SELECT l.clip_id, l.filename, l.file_row_number, l.status, l.shape, l.scale, l.codec,
       d.kept, v.quality_level, v.quality_prefix, p.pmos,
       coalesce(t.refined_caption, c.caption) AS caption, t.sim_final, c.file_sha256
FROM placed_latents l
LEFT JOIN clips c USING (clip_id)
LEFT JOIN decisions d ON d.clip_id = l.clip_id AND d.status = 'ok'
LEFT JOIN levels v ON v.clip_id = l.clip_id AND v.status = 'ok'
LEFT JOIN pmos p ON p.clip_id = l.clip_id AND p.status = 'ok'
LEFT JOIN captions t ON t.clip_id = l.clip_id AND t.status = 'ok'
ORDER BY l.clip_id
"""
_NEEDED = {
    Latent: "make latents of it first",
    TextStates: "make the states of its prompts first",
    Level: "run qamdt-curate quantize",
    Decision: "run qamdt-curate filter",
}
_READ = ("clip_id", "latent")


class UnreadableClip(StoreError):
    """A clip of the training set that cannot be read; names its clip_id."""


@dataclass(frozen=True)
class TrainingSet:
    """The clips taken, in order of clip_id. Arrays are [n] and read-only by convention.

    levels: 1..5. pmos: NaN where there is none. similarity: of audio and caption, -1..1, NaN where it
    was not measured. validation: true for clips of files kept apart.
    """

    clip_ids: list[str]
    prompts: list[str]
    parts: np.ndarray
    rows: np.ndarray
    levels: np.ndarray
    pmos: np.ndarray
    similarity: np.ndarray
    validation: np.ndarray
    texts: StoredText
    shards: Shards
    shape: tuple[int, int, int]
    scale: float
    codec: str
    funnel: dict[str, int]

    def __len__(self) -> int:
        return len(self.clip_ids)

    @classmethod
    def open(cls, dataset: Dataset, data: DataConfig) -> TrainingSet:
        """Join the folder's tables. Raises StoreError or ConfigError that says what is missing."""
        for table, advice in _NEEDED.items():
            name = name_of(table)
            if dataset.current(name) is None:
                raise StoreError(f"{dataset.root} has no table {name}: {advice}")
            if parent := dataset.stale_parent(name):
                raise StoreError(
                    f"{dataset.root}: {name} is stale, {parent} has changed since: {advice}"
                )
        texts = StoredText.open(dataset, data.max_tokens, data.reading)
        parts = _parts(dataset, Latent)
        with connect(dataset) as con:
            _place(con, "placed_latents", parts)
            rows = con.sql(_ROWS).fetchall()
        return _taken(rows, parts, texts, data, dataset.root)

    def latent(self, index: int) -> torch.Tensor:
        """float32 [C, T, F], times the set's scale. Raises UnreadableClip."""
        clip_id, shape = self.clip_ids[index], self.shape
        try:
            row = self.shards.read(int(self.parts[index]), int(self.rows[index]))
        except StoreError as error:
            raise UnreadableClip(f"clip {clip_id}: {error}") from error
        if row["clip_id"] != clip_id:
            raise UnreadableClip(
                f"clip {clip_id}: its place now holds {row['clip_id']}; the latents were written "
                "anew while the trainer read them: start it again"
            )
        half = np.frombuffer(row["latent"], np.float16)
        if half.size != np.prod(shape) or not np.isfinite(half).all():
            raise UnreadableClip(
                f"clip {clip_id}: {half.size} numbers, or some not finite; expected {shape}"
            )
        return torch.from_numpy(half.astype(np.float32).reshape(shape)) * self.scale

    def text(self, index: int) -> torch.Tensor:
        """float32 [S, E], S <= max_tokens: the states of the clip's prompt."""
        return self.texts.states(self.prompts[index])

    def quality(self, index: int) -> float:
        """The clip's own level, 1..5."""
        return float(self.levels[index])

    def split(self, validation: bool) -> np.ndarray:
        """Indices of one split: int64."""
        return np.flatnonzero(self.validation == validation)

    def digest(self) -> str:
        """A hash of what is trained on, in order: clip, level, prompt, split; and scale and codec."""
        hashed = hashlib.sha256(f"{self.scale}\0{self.codec}\0{self.texts.encoder}".encode())
        columns = zip(self.clip_ids, self.levels, self.prompts, self.validation, strict=True)
        for clip_id, level, prompt, held in columns:
            hashed.update(f"{clip_id}\0{level}\0{prompt}\0{int(held)}\n".encode())
        return hashed.hexdigest()[:16]

    def check(self, shape: tuple[int, int, int], text_width: int) -> None:
        """Raises ConfigError where a network of this latent shape and text width cannot read it."""
        if shape != self.shape:
            raise ConfigError(
                f"the network is for latents {shape}, the set holds {self.shape} (C, T, F): set "
                f"--channels {self.shape[0]} --frames {self.shape[1]} --bands {self.shape[2]}"
            )
        if text_width != self.texts.width:
            raise ConfigError(
                f"the network is for text states of width {text_width}, the set's are "
                f"{self.texts.width} wide ({self.texts.encoder}): set --text-width {self.texts.width}"
            )


def _parts(dataset: Dataset, cls: type) -> list[Path]:
    state = dataset.current(name_of(cls))
    parts = dataset.parts(name_of(cls), state.fingerprint) if state else []
    if not parts:
        raise StoreError(f"{dataset.root}: the table {name_of(cls)} is empty")
    return parts


def _place(con: duckdb.DuckDBPyConnection, view: str, parts: Sequence[Path]) -> None:
    """A view of parts with the file and the row number of each row."""
    names = [str(p) for p in parts]
    con.read_parquet(names, filename=True, file_row_number=True).create_view(view)


def _taken(
    rows: list[Any], parts: list[Path], texts: StoredText, data: DataConfig, root: Path
) -> TrainingSet:
    funnel: Counter[str] = Counter()
    number = {str(path): k for k, path in enumerate(parts)}
    taken, prompts = [], []
    for row in rows:
        kept, level, prefix, caption = row[7], row[8], row[9], row[11]
        prompt = prompt_of(prefix if data.quality_prefix else None, caption) or ""
        if row[3] != "ok":
            funnel["error row"] += 1
        elif not kept:
            funnel["not kept"] += 1
        elif level is None:
            funnel["no level"] += 1
        elif prompt not in texts:
            funnel["no text states"] += 1
        else:
            taken.append(row)
            prompts.append(prompt)
    if not taken:
        raise StoreError(
            f"{root}: no clip to train on; {len(rows)} latents, of them {dict(funnel)}"
        )
    funnel["taken"] = len(taken)
    funnel["prompts cut"] = sum(texts.tokens(p) > data.max_tokens for p in set(prompts))
    shape, scale, codec = _alike(taken, root)
    return TrainingSet(
        clip_ids=[row[0] for row in taken],
        prompts=prompts,
        parts=np.array([number[row[1]] for row in taken], np.int32),
        rows=np.array([row[2] for row in taken], np.int64),
        levels=np.array([row[8] for row in taken], np.int64),
        pmos=_floats(row[10] for row in taken),
        similarity=_floats(row[12] for row in taken),
        validation=np.array([_held(row[13] or row[0], data.validation) for row in taken]),
        texts=texts,
        shards=Shards(parts, _READ, data.reading),
        shape=shape,
        scale=scale,
        codec=codec,
        funnel=dict(funnel),
    )


def _alike(rows: list[Any], root: Path) -> tuple[tuple[int, int, int], float, str]:
    """Shape, scale and codec, which all rows share. Raises StoreError where they do not."""
    if unsealed := sum(row[5] is None for row in rows):
        raise StoreError(
            f"{root}: {unsealed} latents have no scale yet: run qamdt-train latents to its end"
        )
    kinds = Counter((tuple(row[4]), row[5], row[6]) for row in rows)
    if len(kinds) > 1:
        message = "; ".join(
            f"{n} x {shape}, scale {s:g}, {codec}" for (shape, s, codec), n in kinds.items()
        )
        raise StoreError(f"{root}: latents of more than one kind: {message}; make them all alike")
    ((shape, scale, codec),) = kinds
    return shape, float(scale), str(codec)


def _floats(values: Any) -> np.ndarray:
    return np.array([np.nan if v is None else v for v in values], np.float64)


def _held(name: str, share: float) -> bool:
    """Whether the clips of a file are kept for validation: a hash of the file decides, for ever."""
    number = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    return number < share * 2**32
