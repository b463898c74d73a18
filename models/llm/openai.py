"""A server that speaks the chat completions protocol: OpenAI's own, vLLM, llama.cpp, Ollama, others.

The client is the package openai: its retries, timeouts and authentication. The key is read from the
environment, from OPENAI_API_KEY or the variable that `?key_env=NAME` names; without one `EMPTY` is
sent, which local servers take. It is stored nowhere.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import urllib.parse
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...schemas.errors import ConfigError, ModelError
from ..ref import Options, with_options
from .answer import Completion, check_schema, checked, gathered
from .base import TEMPERATURE, Answers, Schema, text_digest

KEY_ENV = "OPENAI_API_KEY"
NO_KEY = "EMPTY"  # what servers without authentication are sent by convention
DEFAULTS: Options = {
    "timeout_s": 120.0, "attempts": 5, "at_once": 8, "key_env": "",
    "pause_s": 0.0,  # of the release before: the client's own pauses are taken
}  # fmt: skip


class ChatServer:
    """Chat requests to `http://host:port/v1#model`, `at_once` under way.

    A request that times out, finds no server, is refused for now (429) or meets a server error
    (5xx) is sent again, `attempts` times in all, after pauses that double from half a second to
    eight (or as the server's Retry-After says): a server that is started again within them is not
    missed.
    """

    def __init__(self, kind: str, where: str, **options: Any) -> None:
        """Read the address; nothing is sent yet. Raises ConfigError.

        options: stand for those behind the address (`...#model?timeout_s=30&at_once=32`).
        """
        place, given = with_options(kind, where, DEFAULTS)
        self._options: dict[str, Any] = {**given, **options}
        url, _, self.model = place.partition("#")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or not self.model:
            raise ConfigError(
                f"model {kind}@{where} is not understood: write {kind}@http://host:port/v1#model"
            )
        if importlib.util.find_spec("openai") is None:
            raise ConfigError(f"model {kind}@{where} needs its client: pip install openai")
        self._key_env = str(self._options["key_env"]) or KEY_ENV
        if self._options["key_env"] and not os.environ.get(self._key_env):
            raise ConfigError(
                f"model {kind}@{where}: the environment has no {self._key_env}; put the key of the "
                "server there, or leave key_env out"
            )
        if self._options["pause_s"]:
            print(f"model {kind}@...: pause_s has no effect any more", file=sys.stderr)
        self._url = url.rstrip("/")
        self.digest = text_digest(self.model)  # what weights serve it is not known

    def ask(self, bodies: Sequence[Mapping[str, Any]]) -> list[Completion | Exception]:
        """The first choice of each request's answer, or an Exception in its place."""
        if not bodies:
            return []
        from openai import OpenAI

        with (
            OpenAI(
                base_url=self._url,
                api_key=os.environ.get(self._key_env) or NO_KEY,
                timeout=self._options["timeout_s"],
                max_retries=int(self._options["attempts"]) - 1,
            ) as client,
            ThreadPoolExecutor(int(self._options["at_once"])) as pool,
        ):
            return list(pool.map(lambda body: self._one(client, body), bodies))

    def _one(self, client: Any, body: Mapping[str, Any]) -> Completion | Exception:
        import openai

        try:
            answer = client.chat.completions.create(model=self.model, **body)
        except openai.APIStatusError as error:
            problem = f"HTTP {error.status_code}: {error.response.text[:500]}"
            if error.status_code in (401, 403):
                problem += (
                    f"; the server wants a key: put it into the environment variable {KEY_ENV}, or "
                    "name the variable that has it with #model?key_env=NAME"
                )
        except openai.APIConnectionError as error:  # timeouts are of this kind
            problem = f"{error} ({error.__cause__ or type(error).__name__})"
        except (openai.OpenAIError, ValueError) as error:
            problem = f"the answer is not a chat completion ({error!r})"
        else:
            try:
                choice = answer.choices[0]
                return Completion(str(choice.message.content), choice.finish_reason == "length")
            except (IndexError, TypeError, AttributeError) as error:
                problem = f"the answer is not a chat completion ({error!r})"
        return ModelError(f"openai:{self.model} at {self._url}: {problem}")


class OpenAiLlm:
    """`openai@URL#MODEL`. The digest is of the model's name: what weights serve it is not known."""

    def __init__(self, where: str, **options: Any) -> None:
        """Raises ConfigError when the address is not understood."""
        self._server = ChatServer("openai", where, **options)
        self.model_id, self.digest = f"openai:{self._server.model}", self._server.digest

    def complete(
        self, prompts: Sequence[str], max_tokens: int, schema: Schema | None = None, n: int = 1
    ) -> Answers:
        """See `Llm.complete`. The schema goes as `response_format`; its answer is checked here."""
        check_schema(schema)
        bodies = [
            {"messages": [{"role": "user", "content": prompt}]} | body_of(k, max_tokens, schema)
            for prompt in prompts
            for k in range(n)
        ]
        answers = self._server.ask(bodies)
        return gathered([checked(answer, schema) for answer in answers], n)


def body_of(number: int, max_tokens: int, schema: Schema | None = None) -> dict[str, Any]:
    """The settings of a request for candidate `number`: 0 is greedy, others have a seed each."""
    body: dict[str, Any] = {
        "temperature": TEMPERATURE if number else 0,
        "seed": number,
        "max_tokens": max_tokens,
    }
    if schema is not None:
        form = {"name": "answer", "schema": dict(schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body
