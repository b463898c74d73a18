"""A model run by vLLM in this process: an LLM that reads, or an audio LLM that listens.

The engine always lives inside this process. vLLM would rather have it in a child, but a caller of
`LLM.chat` waits for ever when that child is killed (0.32). Inside, an engine that is killed takes its
worker with it, and the runner starts another and tries the rows alone; an engine that fails with an
error is started again here, and the requests are sent one by one.

Options, behind the place: `vllm@FOLDER?max_model_len=4096&gpu_memory_utilization=0.6`.
"""

from __future__ import annotations

import gc
import importlib.util
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ...schemas.errors import ConfigError, ModelError, WeightsMissing
from ..fetch.hf_folder import folder_digest
from ..ref import Options, with_options
from .answer import Completion, check_schema, checked, gathered
from .base import TEMPERATURE, Answers, Schema, text_digest

# The GPU is shared with the other models of a worker, so vLLM does not take nine tenths of it.
DEFAULTS: Options = {
    "max_model_len": 2048,
    "max_num_seqs": 256,
    "gpu_memory_utilization": 0.6,
    "dtype": "auto",
}
# Where blanks are allowed between the parts, small models write blanks to the end. vLLM wants a
# backend named to forbid them; guidance knows more of JSON schemas than xgrammar.
JSON_WITHOUT_BLANKS = {"backend": "guidance", "disable_any_whitespace": True}
DEATHS_ALLOWED = 3  # in one call; what is left is then given up
Chat = list[dict[str, Any]]
Params = Mapping[str, Any]  # for SamplingParams, and `schema`


class VllmEngine:
    """`vllm.LLM`, started at first use and started again when it died; `where` as for `vllm@`.

    A process has one engine at a time, as they share vLLM's process groups: starting another ends
    the one before, which starts again when it is asked.
    """

    _running: ClassVar[VllmEngine | None] = None

    def __init__(self, kind: str, where: str, **more: Any) -> None:
        """Check that vLLM is installed and the folder there. Raises ConfigError, WeightsMissing.

        more: further arguments of `vllm.LLM`.
        """
        if importlib.util.find_spec("vllm") is None:
            raise ConfigError(
                f"model {kind}@{where} needs vLLM: pip install 'qamdt[vllm]' on a machine with a "
                "GPU, or `make vllm-env` on one without; or serve the model elsewhere and give "
                "`openai@http://host:port/v1#model`"
            )
        self._where, self._options = with_options(kind, where, DEFAULTS)
        self._more = more
        folder = Path(self._where).expanduser()
        if self._where.startswith(("/", ".", "~")) and not folder.is_dir():
            raise WeightsMissing(
                f"model {kind}@{where}: there is no folder {folder}; give one in Hugging Face's "
                "layout, or a model's name on the hub"
            )
        self.name = folder.name if folder.is_dir() else self._where
        self.digest = folder_digest(folder) if folder.is_dir() else text_digest(self._where)
        self._llm: Any = None

    def start(self) -> Any:
        """The engine, started where there is none. Raises ModelError."""
        if self._llm is None:
            if VllmEngine._running is not None:
                VllmEngine._running.stop()
            VllmEngine._running = self
            os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            import torch

            on_cpu = not torch.cuda.is_available()
            if on_cpu:
                os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")  # GiB
            from vllm import LLM

            settings: dict[str, Any] = {**self._options, **self._more}
            settings["structured_outputs_config"] = JSON_WITHOUT_BLANKS
            if on_cpu:
                settings |= {"dtype": "bfloat16", "enforce_eager": True}
                del settings["gpu_memory_utilization"]
            folder = Path(self._where).expanduser()
            place = str(folder if folder.is_dir() else self._where)
            try:
                self._llm = LLM(place, seed=0, **settings)
            except (ValueError, RuntimeError, OSError) as error:
                raise ModelError(f"vLLM cannot run {place}: {error}") from error
        return self._llm

    def stop(self) -> None:
        """End the engine and give back its memory."""
        if self._llm is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()

    def ask(self, chats: Sequence[Chat], params: Sequence[Params]) -> list[Completion | Exception]:
        """What each chat was answered, or an Exception in its place.

        params: of each chat, for SamplingParams. One chat that vLLM refuses (too long, say) refuses
        the whole list, and one that kills the engine takes the others with it: then every chat is
        asked alone.
        """
        if not chats:
            return []
        deaths = 0
        try:
            return [*self._all(chats, params)]
        except self._refusals:
            pass
        except self._deaths as death:
            self._buried(death)
            deaths = 1
        return self._one_by_one(chats, params, deaths)

    def _one_by_one(
        self, chats: Sequence[Chat], params: Sequence[Params], deaths: int
    ) -> list[Completion | Exception]:
        found: list[Completion | Exception] = []
        for chat, how in zip(chats, params, strict=True):
            if deaths >= DEATHS_ALLOWED:
                found.append(ModelError(f"{self.name}: the engine died {deaths} times; not asked"))
                continue
            try:
                found += self._all([chat], [how])
            except self._refusals as error:
                found.append(ModelError(f"{self.name} refused the prompt: {error}"))
            except self._deaths as death:
                deaths += 1
                found.append(self._buried(death))
        return found

    def _all(self, chats: Sequence[Chat], params: Sequence[Params]) -> list[Completion]:
        engine = self.start()
        outputs = engine.chat(list(chats), [_sampling(p) for p in params], use_tqdm=False)
        texts = [output.outputs[0] for output in outputs]
        return [Completion(str(t.text), t.finish_reason == "length") for t in texts]

    @property
    def _refusals(self) -> tuple[type[Exception], ...]:
        """What tells that a request cannot be served; which of them, depends on vLLM's version."""
        from vllm import exceptions

        return ValueError, getattr(exceptions, "VLLMClientError", ValueError)

    @property
    def _deaths(self) -> tuple[type[Exception], ...]:
        """What tells that the engine is of no more use: no memory, or CUDA is broken."""
        from vllm import exceptions

        return RuntimeError, OSError, getattr(exceptions, "VLLMServerError", RuntimeError)

    def _buried(self, death: Exception) -> ModelError:
        """Let go of a dead engine; the error for what it held."""
        self._llm = None
        return ModelError(f"{self.name}: the engine died on this ({type(death).__name__}: {death})")


class VllmLlm:
    """`vllm@NAME_OR_FOLDER`: a chat model under vLLM, bfloat16 on a CPU."""

    def __init__(self, where: str) -> None:
        """Raises ConfigError where vLLM is not installed or an option is not known."""
        self._engine = VllmEngine("vllm", where)
        self.model_id = f"vllm:{self._engine.name}"
        self.digest = self._engine.digest

    def complete(
        self, prompts: Sequence[str], max_tokens: int, schema: Schema | None = None, n: int = 1
    ) -> Answers:
        """See `Llm.complete`. Raises ModelError where the engine cannot be started."""
        check_schema(schema)
        chats: list[Chat] = [[{"role": "user", "content": p}] for p in prompts for _ in range(n)]
        params = [params_of(k % n, max_tokens, schema) for k in range(len(chats))]
        answers = self._engine.ask(chats, params)
        return gathered([checked(answer, schema) for answer in answers], n)


def params_of(number: int, max_tokens: int, schema: Schema | None) -> dict[str, Any]:
    """What SamplingParams gets for candidate `number`: 0 is greedy, others have a seed each."""
    how = {"temperature": TEMPERATURE if number else 0.0, "seed": number, "max_tokens": max_tokens}
    return how if schema is None else how | {"schema": dict(schema)}


def _sampling(how: Mapping[str, Any]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import StructuredOutputsParams

    rest = {k: v for k, v in how.items() if k != "schema"}
    if "schema" in how:
        rest["structured_outputs"] = StructuredOutputsParams(json=how["schema"])
    return SamplingParams(**rest)
