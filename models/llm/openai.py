"""A server that speaks the chat completions protocol: vLLM, llama.cpp, Ollama and others."""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ...schemas.errors import ConfigError, ModelError
from ..ref import Options, with_options
from .answer import Said, check_schema, checked, gathered
from .base import TEMPERATURE, Answers, Schema, text_digest

DEFAULTS: Options = {"timeout_s": 120.0, "attempts": 4, "pause_s": 1.0, "at_once": 8}


class ChatServer:
    """Chat requests to `http://host:port/v1#model`, `at_once` under way.

    A request that times out, finds no server, is refused for now (429) or meets a server error
    (5xx) is sent again, `attempts` times in all, after pauses that double from `pause_s`: a server
    that is started again within them is not missed. No request outlives attempts * timeout_s.
    """

    def __init__(self, kind: str, where: str, **options: Any) -> None:
        """Read the address; nothing is sent yet. Raises ConfigError.

        options: stand for those behind the address (`...#model?timeout_s=30&at_once=32`).
        """
        place, found = with_options(kind, where, DEFAULTS)
        self._options: dict[str, Any] = {**found, **options}
        url, _, self.model = place.partition("#")
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or not self.model:
            raise ConfigError(
                f"model {kind}@{where} is not understood: write {kind}@http://host:port/v1#model"
            )
        self._url = url.rstrip("/") + "/chat/completions"
        self.digest = text_digest(self.model)  # what weights serve it is not known

    def ask(self, bodies: Sequence[Mapping[str, Any]]) -> list[Said | Exception]:
        """The first choice of each request's answer, or an Exception in its place."""
        if not bodies:
            return []
        with ThreadPoolExecutor(int(self._options["at_once"])) as pool:
            return list(pool.map(self._one, bodies))

    def _one(self, body: Mapping[str, Any]) -> Said | Exception:
        problem = ""
        for attempt in range(int(self._options["attempts"])):
            if attempt:
                time.sleep(self._options["pause_s"] * 2 ** (attempt - 1))
            try:
                return self._send({"model": self.model, **body})
            except urllib.error.HTTPError as error:
                problem = f"HTTP {error.code}: {error.read(500).decode(errors='replace')}"
                if error.code != 429 and error.code < 500:
                    break
            except (OSError, http.client.HTTPException) as error:  # URLError, timeouts are OSErrors
                problem = str(error) or type(error).__name__
            except (ValueError, KeyError, IndexError, TypeError) as error:
                problem = f"the answer is not a chat completion ({error!r})"
                break
        return ModelError(f"openai:{self.model} at {self._url}: {problem}")

    def _send(self, body: Mapping[str, Any]) -> Said:
        request = urllib.request.Request(
            self._url, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=self._options["timeout_s"]) as answer:
            choice = json.load(answer)["choices"][0]
        return Said(str(choice["message"]["content"]), choice.get("finish_reason") == "length")


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
        told = {"name": "answer", "schema": dict(schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": told}
    return body
