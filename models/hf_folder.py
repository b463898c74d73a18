"""Models in Hugging Face's layout, read from a local folder and nowhere else."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..schemas.errors import ModelError

LEAST_VOCABULARY = 1000


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of transformers inside: a worker's load is nobody's news."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def check_tokenizer(tokenizer: Any, folder: Path, least: int = LEAST_VOCABULARY) -> None:
    """Refuse an empty tokenizer, which an offline load yields instead of an error."""
    if len(tokenizer) < least:
        raise ModelError(
            f"{folder}: its tokenizer has {len(tokenizer)} entries, expected at least {least}: "
            "tokenizer files are missing from the folder"
        )


def folder_digest(folder: Path) -> str:
    """16 hex digits for a user's own checkpoint folder, quick even for many gigabytes.

    Covers every file's name and size and the first, middle and last MiB of its bytes.
    """
    hasher, mib = hashlib.sha256(), 1 << 20
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        size = file.stat().st_size
        hasher.update(f"{file.relative_to(folder)}/{size}/".encode())
        with open(file, "rb") as stream:
            for at in sorted({0, max(0, size // 2 - mib // 2), max(0, size - mib)}):
                stream.seek(at)
                hasher.update(stream.read(mib))
    return hasher.hexdigest()[:16]
