"""The kinds of LLMs, by name.

`embedded` (SmolLM2-135M-Instruct on the CPU: fluent, not to be trusted with facts, so callers must
check what it says), `none`, `vllm@NAME_OR_FOLDER` (in this process) and
`openai@http://host:port/v1#model` (any server that speaks that protocol, `vllm serve` among them).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..ref import require_no_path, require_path


def _open_embedded(where: str, cache: Path | None = None, device: str = "cpu") -> Any:
    from .smollm import SmolLm

    require_no_path("embedded", where)
    return SmolLm(cache, device)


def _open_none(where: str, **_: Any) -> None:
    require_no_path("none", where)


def _open_vllm(where: str, **_: Any) -> Any:
    from .vllm import VllmLlm

    return VllmLlm(require_path("vllm", where, "NAME_OR_FOLDER"))


def _open_openai(where: str, **_: Any) -> Any:
    from .openai import OpenAiLlm

    return OpenAiLlm(require_path("openai", where, "http://host:port/v1#model"))


# `none` opens as None: the caller then does without an LLM.
LLMS: dict[str, Callable[..., Any]] = {
    "embedded": _open_embedded,
    "none": _open_none,
    "vllm": _open_vllm,
    "openai": _open_openai,
}
