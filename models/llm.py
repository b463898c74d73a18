"""LLM: a list of prompts in, a list of answers out, same length, same order.

Kinds: `embedded` (SmolLM2-135M-Instruct on the CPU: fluent, not to be trusted with facts, so
callers must check what it says), `none`, `vllm@NAME_OR_FOLDER` (in this process) and
`openai@http://host:port/v1#model` (any server that speaks that protocol, `vllm serve` among them).
The chat template is applied inside. A prompt that fails is an Exception in its place; the others
are answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from .ref import nowhere, somewhere

Schema = Mapping[str, Any]
Answers = list[list[str] | Exception]  # one a prompt

TEMPERATURE = 0.7  # of every text but the first


class Llm(Protocol):
    """Completes prompts."""

    model_id: str
    digest: str

    def complete(
        self, prompts: Sequence[str], max_tokens: int, schema: Schema | None = None, n: int = 1
    ) -> Answers:
        """`n` texts a prompt, in order; an Exception where that prompt failed.

        prompts: what the user says, without any template. max_tokens: of one text.
        schema: a JSON schema that every text obeys; the texts are JSON then.
        n: texts a prompt. The first is greedy, the others are sampled at `TEMPERATURE` with fixed
        seeds. Where a sampled text failed (too long for JSON, say) it is left out; where the
        greedy one failed, the prompt did.
        """
        ...


def text_digest(text: str) -> str:
    """16 hex digits that stand for weights of which nothing but a name is known."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _open_embedded(where: str, cache: Path | None = None, device: str = "cpu") -> Any:
    from .llm_smol import SmolLm

    nowhere("embedded", where)
    return SmolLm(cache, device)


def _open_none(where: str, **_: Any) -> None:
    nowhere("none", where)


def _open_vllm(where: str, **_: Any) -> Any:
    from .llm_vllm import VllmLlm

    return VllmLlm(somewhere("vllm", where, "NAME_OR_FOLDER"))


def _open_openai(where: str, **_: Any) -> Any:
    from .llm_openai import OpenAiLlm

    return OpenAiLlm(somewhere("openai", where, "http://host:port/v1#model"))


# `none` opens as None: the caller then does without an LLM.
LLMS: dict[str, Callable[..., Any]] = {
    "embedded": _open_embedded,
    "none": _open_none,
    "vllm": _open_vllm,
    "openai": _open_openai,
}
