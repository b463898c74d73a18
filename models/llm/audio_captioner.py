"""Captioner: sounds in, texts about them out, by a chat model that takes audio.

Kinds: `vllm-audio@NAME_OR_FOLDER` (in this process) and `openai-audio@http://host:port/v1#model`
(a server; `vllm serve` and others take `input_audio`). Sounds are sent whole, as 16-bit wav, mono,
16 kHz, which is what the audio models of today take; give clips of at most 30 s. Decoding is greedy.
What comes out is a claim, to be checked like any other caption.

Both speak the same chat messages, so a model's own template decides where the sound stands.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ...audio.encode import encode
from ...audio.sound import Sound
from .answer import checked
from .openai import ChatServer, body_of
from .vllm import Chat, VllmEngine, params_of

RATE_HZ = 16_000


class Captioner(Protocol):
    """Describes sounds."""

    model_id: str
    digest: str

    def caption(
        self, sounds: Sequence[Sound], prompt: str, max_tokens: int
    ) -> list[str | Exception]:
        """A text a sound, in order; an Exception in the place of a sound that failed.

        prompt: what the model is asked of every sound. max_tokens: of one text.
        """
        ...


class VllmCaptioner:
    """`vllm-audio@NAME_OR_FOLDER`: an audio chat model under vLLM, such as Qwen2-Audio."""

    def __init__(self, where: str) -> None:
        """Raises ConfigError where vLLM is not installed or an option is not known."""
        self._engine = VllmEngine("vllm-audio", where, limit_mm_per_prompt={"audio": 1})
        self.model_id, self.digest = f"vllm-audio:{self._engine.name}", self._engine.digest

    def caption(
        self, sounds: Sequence[Sound], prompt: str, max_tokens: int
    ) -> list[str | Exception]:
        """See `Captioner.caption`. Raises ModelError where the engine cannot be started."""
        chats = [chat_of(sound, prompt) for sound in sounds]
        answers = self._engine.ask(chats, [params_of(0, max_tokens, None)] * len(chats))
        return [checked(answer, None) for answer in answers]


class OpenAiCaptioner:
    """`openai-audio@URL#MODEL`. The digest is of the model's name alone."""

    def __init__(self, where: str, **options: Any) -> None:
        """Raises ConfigError when the address is not understood."""
        self._server = ChatServer("openai-audio", where, **options)
        self.model_id, self.digest = f"openai-audio:{self._server.model}", self._server.digest

    def caption(
        self, sounds: Sequence[Sound], prompt: str, max_tokens: int
    ) -> list[str | Exception]:
        """See `Captioner.caption`."""
        settings = body_of(0, max_tokens)
        bodies = [{"messages": chat_of(sound, prompt), **settings} for sound in sounds]
        return [checked(answer, None) for answer in self._server.ask(bodies)]


def chat_of(sound: Sound, prompt: str) -> Chat:
    """The messages that hold a sound and the question about it."""
    audio = {"data": base64.b64encode(as_wav(sound)).decode(), "format": "wav"}
    return [
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": audio},
                {"type": "text", "text": prompt},
            ],
        }
    ]


def as_wav(sound: Sound) -> bytes:
    """A sound as a wav file: PCM of 16 bits, mono, `RATE_HZ`; what exceeds full scale is cut."""
    wave = np.nan_to_num(sound.mono_at(RATE_HZ))
    return encode(wave.clip(-1, 1), RATE_HZ, format="WAV", subtype="PCM_16")
