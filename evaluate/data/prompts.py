"""Prompt files: the captions that clips were generated from, by id.

    MusicCaps (csv: ytid, start_s, end_s, caption ...)        id = ytid
    Song Describer (csv: caption_id, track_id, caption ...)   id = caption_id, reference = track_id
    anything else (jsonl, csv, tsv, parquet)                  id (or clip_id), caption; reference_id

A prompt's `reference` is the id of the clip it describes in the reference set, for paired metrics:
the same as its own id unless the file says otherwise.
Sources: Agostinelli et al. 2023, arXiv 2301.11325; Manco et al. 2023, arXiv 2311.10057.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ...schemas.errors import ConfigError

SUFFIXES = (".jsonl", ".csv", ".tsv", ".parquet")


@dataclass(frozen=True)
class Prompt:
    """id: of the generated clip. reference: id of its clip in the reference set."""

    id: str
    caption: str
    reference: str


@dataclass(frozen=True)
class PromptFile:
    """prompts: in the file's order. kind: which layout it has. path: where it is."""

    path: str
    kind: str
    prompts: tuple[Prompt, ...]


def read_prompts(path: Path) -> PromptFile:
    """The prompts of a file. Raises ConfigError for a file, a row or an id that cannot be used."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        raise ConfigError(f"{path}: expected a prompt file ({', '.join(SUFFIXES)}) that is there")
    rows = list(_rows(path))
    if not rows:
        raise ConfigError(f"{path} holds no rows")
    kind = _kind(set(rows[0]))
    prompts: dict[str, Prompt] = {}
    for number, row in enumerate(rows, 1):
        try:
            prompt = READERS[kind](row)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(f"{path}, row {number}: {error!r} in {str(row)[:200]}") from error
        if prompt.id in prompts:
            raise ConfigError(f"{path}, row {number}: the id {prompt.id!r} stands there twice")
        prompts[prompt.id] = prompt
    return PromptFile(str(path), kind, tuple(prompts.values()))


def _kind(columns: set[str]) -> str:
    if {"ytid", "caption"} <= columns:
        return "musiccaps"
    if {"caption_id", "track_id", "caption"} <= columns:
        return "song-describer"
    return "plain"


def _musiccaps(row: Mapping[str, Any]) -> Prompt:
    return Prompt(_text(row, "ytid"), _text(row, "caption"), _text(row, "ytid"))


def _song_describer(row: Mapping[str, Any]) -> Prompt:
    return Prompt(_text(row, "caption_id"), _text(row, "caption"), _text(row, "track_id"))


def _plain(row: Mapping[str, Any]) -> Prompt:
    name = _text(row, "id" if row.get("id") not in (None, "") else "clip_id")
    reference = row.get("reference_id")
    return Prompt(name, _text(row, "caption"), str(reference) if reference else name)


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if value is None or isinstance(value, list | dict) or not str(value).strip():
        raise ValueError(f"{name} = {value!r}: expected text")
    return str(value).strip()


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
        return
    with open(path, encoding="utf-8-sig", newline="") as file:
        if suffix == ".jsonl":
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _object(path, number, line)
        else:
            yield from csv.DictReader(file, delimiter="\t" if suffix == ".tsv" else ",")


def _object(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{path}, line {number} is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ConfigError(f'{path}, line {number}: expected an object like {{"id": ...}}')
    return row


READERS: dict[str, Callable[[Mapping[str, Any]], Prompt]] = {
    "musiccaps": _musiccaps,
    "song-describer": _song_describer,
    "plain": _plain,
}
