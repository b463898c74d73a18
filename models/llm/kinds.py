"""The kinds of LLMs and of captioners that listen, by name.

`embedded` (SmolLM2-135M-Instruct on the CPU: fluent, not to be trusted with facts, so callers must
check what it says), `none`, `vllm@NAME_OR_FOLDER` (in this process) and
`openai@http://host:port/v1#model` (any server that speaks that protocol, `vllm serve` among them).
Captioners: `vllm-audio@` and `openai-audio@`, audio chat models in the same two ways.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..ref import Kind, require_no_path, require_path


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


def _open_vllm_audio(where: str, **_: Any) -> Any:
    from .audio_captioner import VllmCaptioner

    return VllmCaptioner(require_path("vllm-audio", where, "NAME_OR_FOLDER"))


def _open_openai_audio(where: str, **_: Any) -> Any:
    from .audio_captioner import OpenAiCaptioner

    return OpenAiCaptioner(require_path("openai-audio", where, "http://host:port/v1#model"))


# `none` opens as None: the caller then does without an LLM.
LLMS: dict[str, Kind] = {
    "embedded": Kind(_open_embedded, "embedded", "SmolLM2-135M-Instruct, on the CPU"),
    "none": Kind(_open_none, "none", "no LLM: captions are not merged"),
    "vllm": Kind(_open_vllm, "vllm@NAME_OR_FOLDER", "a chat model under vLLM, in this process"),
    "openai": Kind(_open_openai, "openai@URL#MODEL", "a server of the chat completions protocol"),
}

CAPTIONERS: dict[str, Kind] = {
    "vllm-audio": Kind(
        _open_vllm_audio, "vllm-audio@NAME_OR_FOLDER", "an audio chat model under vLLM"
    ),
    "openai-audio": Kind(
        _open_openai_audio, "openai-audio@URL#MODEL", "an audio chat model behind a server"
    ),
}
