"""models/llm/json_decoding.py: whatever the network says, what comes out obeys the schema."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
import torch

from qamdt.models.fetch import registry
from qamdt.models.llm.answer import checked
from qamdt.models.llm.json_decoding import FlatSchema
from qamdt.models.llm.smollm import SmolLm
from qamdt.schemas.errors import ConfigError, InvalidAnswer

MERGE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "facts": {
            "type": "array",
            "items": {"type": "string", "minLength": 2, "maxLength": 20},
            "maxItems": 4,
        },
        "mood": {"type": "string", "enum": ["calm", "calm and slow", 'a "loud" one']},
        "vocals": {"type": "boolean"},
        "caption": {"type": "string", "minLength": 1, "maxLength": 120},
    },
    "required": ["facts", "mood", "vocals", "caption"],
    "additionalProperties": False,
}
PROMPTS = ["Describe the music.", "A calm piano piece, 90 BPM.", "Say nothing", "x" * 50]


@pytest.fixture(scope="module")
def babbler(tmp_path_factory: pytest.TempPathFactory) -> SmolLm:
    """A tiny network of random weights, which never says anything of sense, with a real tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("babbler")
    config = LlamaConfig(
        vocab_size=49_200,  # a few more than the tokenizer has
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        initializer_range=1.0,
        eos_token_id=2,
        pad_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    for file in registry.path("smollm2-135m-instruct").glob("*token*"):
        shutil.copy(file, folder)
    for file in registry.path("smollm2-135m-instruct").glob("*.jinja"):
        shutil.copy(file, folder)
    return SmolLm(folder=folder)


@pytest.mark.parametrize("max_tokens", [46, 60, 200])
def test_random_weights_obey(babbler: SmolLm, max_tokens: int) -> None:
    """Every text is JSON of the schema, also where the tokens run out, and no two are alike."""
    answers = babbler.complete(PROMPTS, max_tokens, MERGE, n=3)
    texts = [text for answer in answers if isinstance(answer, list) for text in answer]
    assert len(texts) == 3 * len(PROMPTS), answers
    assert len(set(texts)) > len(PROMPTS)
    for text in texts:
        found = json.loads(text)
        assert list(found) == ["facts", "mood", "vocals", "caption"]
        assert checked(_said(text), MERGE) == text


def test_lists_have_as_many_items_as_they_must(babbler: SmolLm) -> None:
    schema = {
        "type": "object",
        "properties": {
            "names": {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 2, "maxItems": 3}
        },
    }
    for max_tokens in (26, 60):
        for answer in babbler.complete(PROMPTS, max_tokens, schema, n=2):
            assert isinstance(answer, list)
            for text in answer:
                assert 2 <= len(json.loads(text)["names"]) <= 3


def test_a_sampled_text_depends_on_its_prompt_alone(babbler: SmolLm) -> None:
    together = babbler.complete(PROMPTS, 60, MERGE, n=3)
    assert [babbler.complete([prompt], 60, MERGE, n=3)[0] for prompt in PROMPTS] == together
    assert babbler.complete(PROMPTS, 12, n=1) == [
        answer[:1] for answer in babbler.complete(PROMPTS, 12, n=2) if isinstance(answer, list)
    ]


def test_what_cannot_be_obeyed_is_refused(babbler: SmolLm) -> None:
    with pytest.raises(ConfigError, match="max_tokens = 10"):
        babbler.complete(PROMPTS[:1], 10, MERGE)
    for properties in (
        {"n": {"type": "integer"}},
        {"x": {"type": "string", "pattern": "a+"}},
        {"x": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}}},
        {},
    ):
        with pytest.raises(ConfigError, match="cannot obey"):
            FlatSchema.of({"type": "object", "properties": properties})
    with pytest.raises(ConfigError, match="not a JSON schema"):
        babbler.complete(PROMPTS[:1], 50, {"type": "nonsense"})


def test_an_answer_is_checked() -> None:
    good = {"facts": [], "mood": "calm", "vocals": True, "caption": "x"}
    text = json.dumps(good)
    assert checked(_said(f" {text}\n"), MERGE) == text
    for bad, says in ((text[:-1], "not JSON"), (json.dumps({**good, "mood": "?"}), "schema")):
        wrong = checked(_said(bad), MERGE)
        assert isinstance(wrong, InvalidAnswer) and says in str(wrong)
    error = ValueError("x")
    assert checked(error, MERGE) is error


def _said(text: str) -> Any:
    from qamdt.models.llm.answer import Completion

    return Completion(text)
