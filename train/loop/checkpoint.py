"""Checkpoints: folders that are whole or not there, the newest ones kept, and a pointer to the last.

    RUN/checkpoints/step-00001000/model.safetensors       the weights
                                  ema.safetensors         their mean; what generation loads
                                  optimizer.safetensors   AdamW's moments and steps, by weight
                                  state.json              step, data order, EMA weight, config, sizes
    RUN/checkpoints/latest                                name of the last folder

A folder is written under another name, every file is fsynced, then it is renamed and the pointer is
replaced. A process killed at any instruction leaves the last good checkpoint usable; what it left half
written is swept by the next save. Each safetensors file has the configuration in its header.
Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ...pipeline.dataset import write_atomically
from ...schemas.errors import StoreError, WeightsMissing

FORMAT = "qamdt.train/1"
MODEL, EMA, OPTIMIZER, STATE = (
    "model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json",
)  # fmt: skip
LATEST = "latest"
ABOUT = ("config", "latents", "text")  # what generation must know of how the weights were trained
Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """One checkpoint on disk: its folder and its state.json."""

    folder: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        return int(self.state["step"])

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors of one file, on the CPU. Raises StoreError."""
        return read_tensors(self.folder / name)


def save(
    run: Path, step: int, files: Mapping[str, Tensors], state: Mapping[str, Any], keep: int
) -> Path:
    """Write a checkpoint, point `latest` at it and remove all but the `keep` newest.

    files: tensors by file name. state: JSON; what ABOUT names of it goes into every file's header.
    """
    root = run / "checkpoints"
    final, part = root / _name(step), root / f".part-{_name(step)}"
    _sweep(root)
    part.mkdir(parents=True)
    for name, tensors in files.items():
        write_tensors(part / name, tensors, step, state)
    sizes = {name: (part / name).stat().st_size for name in files}
    state = {"format": FORMAT, "step": step, **state, "files": sizes}
    (part / STATE).write_text(json.dumps(state, indent=1))
    for name in (*files, STATE):
        _fsync(part / name)
    _fsync(part)
    if final.exists():  # the same step saved again, after a resume from an older checkpoint
        _remove(final)
    part.replace(final)
    _fsync(root)
    write_atomically(root / LATEST, final.name.encode())
    for old in _folders(root)[:-keep]:
        if old != final:
            _remove(old)
    return final


def latest(run: Path) -> Checkpoint | None:
    """The checkpoint that `latest` names, or the newest whole one; None where there is none.

    Raises StoreError where there are checkpoints and none is whole.
    """
    root = run / "checkpoints"
    folders = _folders(root)
    pointer = root / LATEST
    if pointer.exists():
        named = root / pointer.read_text().strip()
        folders = [f for f in folders if f != named] + [named]
    problems = []
    for folder in reversed(folders):
        try:
            return open_checkpoint(folder)
        except StoreError as error:
            problems.append(str(error))
    if problems:
        raise StoreError(f"{root}: no checkpoint is whole: {'; '.join(problems)}")
    return None


def open_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint folder, its files' sizes checked. Raises StoreError."""
    try:
        state = json.loads((folder / STATE).read_text())
        wanted = state["files"]
        sizes = {name: (folder / name).stat().st_size for name in wanted}
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{folder} is no whole checkpoint: {error}") from error
    if state.get("format") != FORMAT:
        raise StoreError(f"{folder}: format {state.get('format')!r}, expected {FORMAT!r}")
    if sizes != wanted:
        raise StoreError(f"{folder}: files of {sizes} bytes, expected {wanted}")
    return Checkpoint(folder, state)


def weights_file(where: Path) -> Path:
    """The file of averaged weights of a run folder, a checkpoint folder or a file itself.

    Raises WeightsMissing where there is none.
    """
    if where.is_file():
        return where
    if (where / EMA).is_file():
        return where / EMA
    try:
        found = latest(where)
    except StoreError as error:
        raise WeightsMissing(str(error)) from error
    if found is None or not (found.folder / EMA).is_file():
        raise WeightsMissing(
            f"{where} holds no checkpoint; give a run folder of `qamdt-train fit`, one of its "
            f"checkpoint folders, or a .safetensors file written by qamdt-train"
        )
    return found.folder / EMA


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a file, on the CPU. Raises StoreError."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error


def write_tensors(path: Path, tensors: Tensors, step: int, about: Mapping[str, Any]) -> None:
    """A safetensors file with what ABOUT names of `about` in its header."""
    header = {"format": FORMAT, "step": str(step)}
    header |= {name: json.dumps(about.get(name)) for name in ABOUT}
    save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, path, header)


def read_about(path: Path) -> dict[str, Any]:
    """What a file's header says: format, step, config, latents and text. Raises StoreError."""
    try:
        with safe_open(path, "pt") as file:
            about = dict(file.metadata() or {})
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} cannot be read: {error}") from error
    if about.get("format") != FORMAT:
        raise StoreError(f"{path}: not written by qamdt-train (no {FORMAT} in its header)")
    return {**about, **{name: json.loads(about[name]) for name in ABOUT}}


def _name(step: int) -> str:
    return f"step-{step:08d}"


def _folders(root: Path) -> list[Path]:
    """Committed checkpoints, oldest first."""
    return sorted(p for p in root.glob("step-*") if p.is_dir())


def _remove(folder: Path) -> None:
    """Delete a checkpoint: first its name, so that no half of it is ever taken for whole."""
    gone = folder.with_name(f".gone-{folder.name}")
    folder.replace(gone)
    shutil.rmtree(gone)


def _sweep(root: Path) -> None:
    """Delete what a killed process left half written or half deleted."""
    for kind in (".part-*", ".gone-*"):
        for folder in root.glob(kind):
            shutil.rmtree(folder)


def _fsync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
