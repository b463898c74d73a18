"""Models in Hugging Face's layout: a local folder, or a hub name where one is given."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...schemas.errors import ModelError, WeightsMissing

LEAST_VOCABULARY = 1000


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, and no report of tensors by the libraries: `pretrained.py` checks them."""
    from transformers.utils import logging

    loggers = [logging]
    if "diffusers" in sys.modules:
        from diffusers.utils import logging as diffusers_logging

        loggers.append(diffusers_logging)
    levels, bars = [log.get_verbosity() for log in loggers], logging.is_progress_bar_enabled()
    for log in loggers:
        log.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        for log, level in zip(loggers, levels, strict=True):
            log.set_verbosity(level)
        if bars:
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


def with_recipe(digest: str, recipe: int) -> str:
    """16 hex digits of weights together with the version of how they are used."""
    return hashlib.sha256(f"{digest}/{recipe}".encode()).hexdigest()[:16]


def find_folder(
    role: str, where: str, parts: Sequence[str], patterns: Sequence[str], saved: str
) -> Path:
    """The local folder of a folder or a hub name; the hub's cache is asked before the hub.

    role: for messages, as `codec diffusers`. parts: files that a local folder must hold.
    patterns: what is fetched of a hub name. saved: what belongs there. Raises WeightsMissing.
    """
    folder = Path(where).expanduser()
    missing = [part for part in parts if not (folder / part).is_file()]
    if not missing:
        return folder
    if folder.exists() or where.startswith(("/", ".", "~")) or where.count("/") != 1:
        what = f"has no {missing[0]}" if folder.is_dir() else "is no folder"
        raise WeightsMissing(f"{role}@{where}: it {what}; give {saved}")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(where, allow_patterns=list(patterns)))
    except (LocalEntryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        raise WeightsMissing(
            f"{role}@{where}: not in the hub's cache and not to be had from the hub "
            f"({type(error).__name__}); fetch it where there is a network (`hf download {where}`) "
            "and give its folder"
        ) from error
