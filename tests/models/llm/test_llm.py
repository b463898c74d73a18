"""models/llm/base.py: order, isolation and retries; the embedded model and a server on this machine."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from loopback import JsonHandler, serving

from qamdt.models.llm import vllm
from qamdt.models.llm.kinds import LLMS
from qamdt.models.llm.openai import OpenAiLlm
from qamdt.models.llm.smollm import SmolLm
from qamdt.models.ref import resolve
from qamdt.schemas.errors import ConfigError, ModelError, WeightsMissing


class Server(JsonHandler):
    """Answers a chat request with its prompt in upper case, or as the prompt's first word says.

    key: the bearer token that it wants; None wants none.
    """

    key: ClassVar[str | None] = None
    keys: ClassVar[set[str]] = set()

    seen: ClassVar[Counter[str]] = Counter()
    bodies: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        self.seen[prompt] += 1
        self.bodies.append(body)
        self.keys.add(self.headers["Authorization"])
        if self.key is not None and self.headers["Authorization"] != f"Bearer {self.key}":
            return self.answer(401, {"error": "who are you?"})
        word = prompt.split()[0]
        if word == "busy" and self.seen[prompt] < 3:
            return self.answer(429, {"error": "later"})
        if word == "broken":
            return self.answer(500, {"error": "no luck"})
        if word == "long":
            return self.answer(400, {"error": "too many tokens"})
        if word == "odd":
            return self.answer(200, {"choices": []})
        if word == "other":
            return self.answer(200, {"choices": [{"index": 0}]})
        message = {"role": "assistant", "content": f" {prompt.upper()}\n"}
        return self.answer(200, {"choices": [{"message": message}]})


@pytest.fixture
def address() -> Iterator[str]:
    Server.seen.clear()
    Server.bodies.clear()
    Server.keys.clear()
    with serving(Server) as where:
        yield where


def test_a_server_is_asked_and_order_is_kept(address: str) -> None:
    model = resolve(f"openai@{address}#tiny", LLMS)
    prompts = [f"prompt {i}" for i in range(20)]
    assert model.complete(prompts, 7) == [[p.upper()] for p in prompts]
    assert model.complete([], 7) == []
    assert {(b["model"], b["max_tokens"], b["temperature"]) for b in Server.bodies} == {
        ("tiny", 7, 0)
    }
    assert model.model_id == "openai:tiny" and model.digest


def test_one_failing_prompt_is_an_exception_in_its_place(address: str) -> None:
    """Busy servers are asked again, hopeless requests are not, and the others are answered."""
    model = OpenAiLlm(f"{address}/#m", attempts=3)
    prompts = ["fine", "busy now", "broken", "long", "odd", "other", "last"]
    answers = model.complete(prompts, 5)
    assert [a for a in answers if isinstance(a, list)] == [["FINE"], ["BUSY NOW"], ["LAST"]]
    broken, long, odd, other = answers[2:6]
    assert isinstance(broken, ModelError) and "no luck" in str(broken)
    assert isinstance(long, ModelError) and "too many tokens" in str(long)
    for answer in (odd, other):
        assert isinstance(answer, ModelError) and "not a chat completion" in str(answer)
    wanted = {"fine": 1, "busy now": 3, "broken": 3, "long": 1, "odd": 1, "other": 1, "last": 1}
    assert dict(Server.seen) == wanted


KEY = "sk-secret-of-the-test"


@pytest.fixture
def locked(address: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the server, which wants `KEY`; the environment has none."""
    monkeypatch.setattr(Server, "key", KEY)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return address


@pytest.mark.parametrize(
    ("variable", "option"), [("OPENAI_API_KEY", ""), ("MY_KEY", "?key_env=MY_KEY")]
)
def test_a_key_comes_from_the_environment(
    variable: str, option: str, locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, KEY)
    model = OpenAiLlm(f"{locked}#m{option}")
    assert model.complete(["hello"], 5) == [["HELLO"]] and Server.keys == {f"Bearer {KEY}"}
    assert model.model_id == "openai:m" and model.digest == OpenAiLlm(f"{locked}#m").digest
    assert KEY not in repr(vars(model._server))


def test_without_a_key_it_is_said_how_to_give_one(
    locked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused key is not tried again; a variable that is not there is told of at once."""
    (answer,) = OpenAiLlm(f"{locked}#m").complete(["hello"], 5)
    assert isinstance(answer, ModelError) and Server.seen["hello"] == 1
    assert "HTTP 401" in str(answer) and "OPENAI_API_KEY" in str(answer)
    assert "key_env=NAME" in str(answer) and Server.keys == {"Bearer EMPTY"}
    with pytest.raises(ConfigError, match="no MY_KEY"):
        resolve(f"openai@{locked}#m?key_env=MY_KEY", LLMS)


def test_a_schema_goes_as_the_protocol_has_it(address: str) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    OpenAiLlm(f"{address}#m").complete(["x"], 5, schema)
    assert Server.bodies[0]["response_format"] == {
        "type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True},
    }  # fmt: skip


def test_a_server_that_is_not_there_is_an_error_a_prompt() -> None:
    model = OpenAiLlm("http://127.0.0.1:9/v1#m", timeout_s=1, attempts=2)
    answers = model.complete(["a", "b"], 5)
    assert all(isinstance(a, ModelError) and "127.0.0.1:9" in str(a) for a in answers)


@pytest.mark.parametrize("where", ["", "http://h:1/v1", "ftp://h/v1#m", "http://#m", "#m"])
def test_bad_addresses_are_refused(where: str) -> None:
    with pytest.raises(ConfigError, match="http://host:port/v1#model"):
        resolve(f"openai@{where}" if where else "openai", LLMS)


def test_none_is_no_llm() -> None:
    assert resolve("none", LLMS) is None
    with pytest.raises(ConfigError):
        resolve("none@x", LLMS)


def test_vllm_asks_to_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"qamdt\[vllm\]"):
        resolve("vllm@some/model", LLMS)
    with pytest.raises(ConfigError, match="NAME_OR_FOLDER"):
        resolve("vllm", LLMS)


@pytest.fixture(scope="module")
def embedded() -> SmolLm:
    torch.set_num_threads(1)
    model: SmolLm = resolve("embedded", LLMS)
    return model


def test_the_embedded_llm_answers(embedded: SmolLm) -> None:
    """Order, the same answer again, and in any company; a prompt too long is its own error."""
    model = embedded
    prompts = [
        "Name the capital of France.",
        "word " * 3000,
        "Which instrument has 88 keys? Answer in one short sentence.",
    ]
    answers = model.complete(prompts, 12)
    first, long, last = answers
    assert isinstance(first, list) and "Paris" in first[0]
    assert isinstance(long, ModelError) and "2048" in str(long)
    assert isinstance(last, list) and "piano" in last[0].lower()
    assert model.complete([prompts[2]], 12) == [last]
    assert model.complete([], 12) == []
    assert model.model_id == "smollm2-135m-instruct-0.1.2"


def test_the_embedded_llm_fills_a_schema(embedded: SmolLm) -> None:
    """Real weights: facts and text apart, and something of the prompt in it."""
    schema = {
        "type": "object",
        "properties": {
            "instruments": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
            "caption": {"type": "string", "maxLength": 60},
        },
    }
    prompt = "Write a caption for this music: slow piano and violin, sad. Answer in JSON."
    (answer,) = embedded.complete([prompt], 40, schema, n=2)
    assert isinstance(answer, list) and len(answer) == 2
    assert "piano" in answer[0].lower() and json.loads(answer[0])["caption"]


def test_weights_not_fetched_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="models fetch"):
        resolve("embedded", LLMS, cache=tmp_path)
