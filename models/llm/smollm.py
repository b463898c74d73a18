"""The embedded LLM: SmolLM2-135M-Instruct through transformers."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ...schemas.errors import ModelError
from ..fetch import registry
from ..fetch.hf_folder import folder_digest
from ..fetch.pretrained import load_pretrained, load_tokenizer
from .answer import Completion, check_schema, checked, gathered
from .base import TEMPERATURE, Answers, Schema
from .json_decoding import FlatSchema, Vocabulary, constrain


class SmolLm:
    """SmolLM2-135M-Instruct, or another chat model in a folder; float32.

    float32 because bfloat16 is five times slower on CPUs without bfloat16 arithmetic, and because
    batch-mates then change a logit by no more than 1e-4: an answer differs between two batches only
    where two tokens tie within that. What is sampled depends on its prompt and its number alone,
    never on its batch. The same list of prompts always gives the same answers.
    A schema is obeyed token by token (`json_decoding.py`), flat ones only.
    Cost: about 0.8 CPU s an answer of 32 tokens in batches of 16, one thread.
    """

    batch = 16
    longest = 2048  # tokens of a prompt

    def __init__(
        self, cache: Path | None = None, device: str = "cpu", folder: Path | None = None
    ) -> None:
        """Find the weights; they are loaded at first use. Raises WeightsMissing.

        folder: another chat model, in Hugging Face's layout.
        """
        if folder is None:
            entry = registry.entry("smollm2-135m-instruct")
            self._folder = registry.path(entry.name, cache)
            self.model_id, self.digest = entry.folder, entry.digest
        else:
            self._folder = folder
            self.model_id, self.digest = folder.name, folder_digest(folder)
        self._device = device

    @cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self._folder, role="LLM", padding_side="left")

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        model = load_pretrained(AutoModelForCausalLM, self._folder, role="LLM", dtype=torch.float32)
        return model.to(self._device).eval()

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        return Vocabulary(self._tokenizer, int(self._model.config.vocab_size))

    def complete(
        self, prompts: Sequence[str], max_tokens: int, schema: Schema | None = None, n: int = 1
    ) -> Answers:
        """See `Llm.complete`. Raises ConfigError for a schema that is not flat."""
        check_schema(schema)
        flat = None if schema is None else FlatSchema.of(schema)
        chats = [self._chat(prompt) for prompt in prompts]
        lengths = [len(ids) for ids in self._ids(chats)]
        texts: list[str | Exception] = [
            _too_long(m, self.longest) for m in lengths for _ in "1" * n
        ]
        fit = [i * n + k for i, m in enumerate(lengths) if m <= self.longest for k in range(n)]
        fit.sort(key=lambda place: lengths[place // n])  # little padding
        for start in range(0, len(fit), self.batch):
            places = fit[start : start + self.batch]
            rows = [(chats[place // n], place % n) for place in places]
            for place, said in zip(places, self._generate(rows, max_tokens, flat), strict=True):
                texts[place] = checked(said, schema)
        return gathered(texts, n)

    def _chat(self, prompt: str) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
        )

    def _ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return list(self._tokenizer(texts, add_special_tokens=False)["input_ids"])

    def _generate(
        self, rows: Sequence[tuple[str, int]], max_tokens: int, flat: FlatSchema | None
    ) -> list[Completion]:
        """The texts of (chat, number of the candidate); number 0 is greedy."""
        import torch

        chats = [chat for chat, _ in rows]
        batch = self._tokenizer(
            chats, return_tensors="pt", padding=True, add_special_tokens=False
        ).to(self._device)
        steps: list[Any] = []
        if flat is not None:
            steps.append(constrain(self._vocabulary, flat, len(rows), max_tokens))
        if any(number for _, number in rows):
            steps.append(_sampler(rows))
        with torch.inference_mode():
            out = self._model.generate(
                **batch, do_sample=False, max_new_tokens=max_tokens, logits_processor=steps
            )
        new = out[:, batch["input_ids"].shape[1] :]
        return [Completion(t) for t in self._tokenizer.batch_decode(new, skip_special_tokens=True)]


def _sampler(rows: Sequence[tuple[str, int]]) -> Any:
    """Sampling as an argmax: a draw from softmax(logits / T) is the largest logit / T + Gumbel noise.

    The noise of a row comes from its own generator, so that batch-mates do not change it.
    """
    import torch

    generators = []
    for chat, number in rows:
        seed = hashlib.sha256(f"{number}/{chat}".encode()).digest()[:8]
        generators.append(torch.Generator().manual_seed(int.from_bytes(seed, "big") >> 1))

    def disturb(ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        logits = logits.clone()
        for row, (generator, (_, number)) in enumerate(zip(generators, rows, strict=True)):
            if number:
                uniform = torch.rand(logits.shape[1], generator=generator).clamp_(1e-20, 1 - 1e-7)
                noise = -torch.log(-torch.log(uniform))
                logits[row] = logits[row] / TEMPERATURE + noise.to(logits.device)
        return logits

    return disturb


def _too_long(tokens: int, longest: int) -> ModelError:
    return ModelError(f"the prompt has {tokens} tokens, {longest} fit")
