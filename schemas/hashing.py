"""SHA-256 of files: the one place where a file's bytes become its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path


def hash_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(paths: Sequence[str | Path]) -> str:
    """SHA-256 over the bytes of all files, in order, hex; of one file the same as `hash_file`."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def hash_weights(paths: Sequence[str | Path]) -> str:
    """`hash_files`, remembered as long as no file's size or time of change is another one.

    A checkpoint of gigabytes is opened several times in a process: to check it, to name it, to load.
    """
    return _remembered(tuple(_as_it_stands(path) for path in paths))


def _as_it_stands(path: str | Path) -> tuple[str, int, int]:
    stat = os.stat(path)
    return str(path), stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=256)
def _remembered(files: tuple[tuple[str, int, int], ...]) -> str:
    return hash_files([path for path, _, _ in files])
