"""The one place where weights enter a network: what is incomplete or of another shape is refused.

transformers and diffusers fill a tensor that a folder lacks with random numbers and go on. Here a
checkpoint is whole, or a ModelError names what is missing. No loss are tied weights (the libraries
know them), buffers that are computed (`COMPUTED`), and what a caller allows by name: the head that
training adds to an encoder, say. Names are matched with shell patterns.

`load_pretrained` reads a folder in Hugging Face's layout, `load_state` tensors at hand,
`load_safetensors` one of our own files, `load_tokenizer` a tokenizer, whose size is checked.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from ...schemas.errors import ModelError
from .hf_folder import LEAST_VOCABULARY, check_tokenizer, quiet
from .torch_file import read_content, tensors_of

# Buffers that follow from the configuration, and counters that only training reads.
COMPUTED = (
    "*position_ids", "*token_type_ids", "*relative_position_index", "*.attn_mask",
    "*num_batches_tracked",
)  # fmt: skip
# What a damaged or foreign folder makes the libraries raise, beside safetensors' own error.
LOADING_ERRORS = (
    OSError, ValueError, RuntimeError, TypeError, KeyError, AttributeError, pickle.UnpicklingError,
)  # fmt: skip
NAMED = 4  # tensors that a message names
Shapes = tuple[str, Sequence[int], Sequence[int]]  # name, in the checkpoint, in the network


def load_pretrained(cls: Any, folder: Path, **options: Any) -> Any:
    """The model of a folder; see `load_with_new`, whose options these are."""
    return load_with_new(cls, folder, **options)[0]


def load_with_new(
    cls: Any,
    folder: Path,
    *,
    role: str = "model",
    allow_missing: Sequence[str] = (),
    allow_extra: Sequence[str] = (),
    exact: bool = False,
    **options: Any,
) -> tuple[Any, frozenset[str]]:
    """(the model, the names of tensors that are new because the folder lacks them).

    cls: a class of transformers or diffusers with `from_pretrained`.
    role: what the model is for, as it begins messages, such as `audio-text model clap@FOLDER`.
    allow_missing: patterns of tensors that may be new, in another shape too.
    allow_extra: patterns of tensors of the file that this class is known not to use; where others
        make up most of the file, a warning says so. exact: any other one is refused.
    options: further arguments of `from_pretrained`.
    Raises ModelError where the folder cannot be loaded, or lacks tensors.
    """
    from safetensors import SafetensorError

    try:
        with quiet():
            model, info = cls.from_pretrained(
                folder,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are refused below, by name
                **options,
            )
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise ModelError(f"{role}: {folder}: its weights cannot be loaded: {error}") from error
    missing = _others(info["missing_keys"], (*COMPUTED, *allow_missing))
    shapes = [s for s in info["mismatched_keys"] if not _any(s[0], allow_missing)]
    extra = _others(info["unexpected_keys"], (*COMPUTED, *allow_extra))
    problems = [str(text) for text in info.get("error_msgs") or ()]
    expected, name = len(model.state_dict()), cls.__name__
    _refuse(role, folder, name, expected, missing, shapes, extra if exact else (), problems)
    if len(extra) > expected:
        warnings.warn(
            f"{role}: {folder}: {len(extra)} tensors are of no use to {name}, which has "
            f"{expected}: {_some(extra)}; is it the checkpoint that was meant?",
            stacklevel=2,
        )
    new = {*info["missing_keys"], *(s[0] for s in info["mismatched_keys"])}
    return model, frozenset(name for name in new if not _any(name, COMPUTED))


def load_state(
    network: Any,
    state: Mapping[str, Any],
    where: Path,
    *,
    role: str = "model",
    allow_missing: Sequence[str] = (),
    assign: bool = False,
) -> None:
    """Put the tensors of `state` into a torch module, all of them, none left over.

    where: the file they are of, for messages. allow_missing: patterns of tensors that keep the
    values which they have. assign: see torch's `load_state_dict`.
    Raises ModelError where tensors are missing, left over or of another shape.
    """
    own = network.state_dict()
    missing = _others(own.keys() - state.keys(), (*COMPUTED, *allow_missing))
    shapes = [
        (name, tuple(tensor.shape), tuple(own[name].shape))
        for name, tensor in state.items()
        if name in own and tensor.shape != own[name].shape
    ]
    extra = _others(state.keys() - own.keys(), COMPUTED)
    _refuse(role, where, type(network).__name__, len(own), missing, shapes, extra)
    kept = {name: tensor for name, tensor in own.items() if name not in state}
    network.load_state_dict(kept | {k: v for k, v in state.items() if k in own}, assign=assign)


def load_hub_mixin(cls: Any, folder: Path, *, role: str = "model") -> Any:
    """The model of a folder, of a class that has `from_pretrained` of huggingface_hub's mixin.

    The mixin says nothing of what a file lacks, so the file's names are compared with the model's;
    tensors that share their memory stand once in a file. Raises ModelError as `load_pretrained`.
    """
    from safetensors import SafetensorError

    try:
        model = cls.from_pretrained(folder, local_files_only=True)
    except (*LOADING_ERRORS, SafetensorError) as error:
        raise ModelError(f"{role}: {folder}: its weights cannot be loaded: {error}") from error
    stored = _names_in(folder)
    own = model.state_dict()
    places = {own[name].data_ptr() for name in stored if name in own}
    missing = [n for n in own.keys() - stored if own[n].data_ptr() not in places]
    _refuse(role, folder, cls.__name__, len(own), _others(missing, COMPUTED), [])
    return model


def _names_in(folder: Path) -> set[str]:
    """The names of the tensors in a folder's model.safetensors, else in its pytorch_model.bin."""
    from safetensors import safe_open

    file = folder / "model.safetensors"
    if not file.is_file():
        return set(tensors_of(read_content(folder / "pytorch_model.bin")))
    with safe_open(file, "pt") as opened:
        return set(opened.keys())


def read_safetensors(file: Path, *, role: str = "model", device: str = "cpu") -> dict[str, Any]:
    """The tensors of a safetensors file. Raises ModelError where it cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file, device=device))
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{role}: {file} cannot be read as safetensors: {error}") from error


def load_safetensors(network: Any, file: Path, *, role: str = "model") -> None:
    """Put a safetensors file into a torch module; float16 becomes the module's type.

    Raises ModelError where it cannot be read, and as `load_state` does.
    """
    load_state(network, read_safetensors(file, role=role), file, role=role)


def load_tokenizer(
    folder: Path, *, role: str = "model", least: int = LEAST_VOCABULARY, **options: Any
) -> Any:
    """The tokenizer of a folder, with at least `least` entries.

    Raises ModelError where there is none, or an empty one, as offline loading makes.
    """
    from transformers import AutoTokenizer

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **options)
    except LOADING_ERRORS as error:
        raise ModelError(f"{role}: {folder}: no tokenizer can be loaded there: {error}") from error
    check_tokenizer(tokenizer, folder, least)
    return tokenizer


def _refuse(
    role: str,
    where: Path,
    network: str,
    expected: int,
    missing: Sequence[str],
    shapes: Sequence[Shapes],
    extra: Sequence[str] = (),
    problems: Sequence[str] = (),
) -> None:
    """Raise ModelError where anything does not fit."""
    found = []
    if missing:
        found.append(f"it lacks {len(missing)} of them: {_some(missing)}")
    if shapes:
        some = sorted(
            f"{name} is {list(theirs)}, expected {list(ours)}" for name, theirs, ours in shapes
        )
        found.append(f"{len(shapes)} have another shape: {_some(some)}")
    if extra:
        found.append(f"{len(extra)} are of no such network: {_some(extra)}")
    if problems:
        found.append(_some(problems))
    if found:
        raise ModelError(
            f"{role}: {where} is no whole checkpoint of {network}, which has {expected} tensors: "
            f"{'; '.join(found)}. What is missing is never made up: copy or download the checkpoint "
            "again, all its weight files, or give one of this kind of model"
        )


def _others(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    return sorted(name for name in names if not _any(name, patterns))


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _some(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - NAMED} more" if len(texts) > NAMED else ""
    return ", ".join(texts[:NAMED]) + more
