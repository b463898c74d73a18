"""What an LLM is: a list of prompts in, a list of answers out, same length, same order.

The chat template is applied inside. A prompt that fails is an Exception in its place; the others
are answered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

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
