"""Prompts: versioned files in `curate/prompts`, or the user's own, each known by its hash.

    merge-v2.txt    what the LLM is asked, with {original} and {facts}
    merge-v2.json   the JSON schema of its answer: facts and caption apart
    listen-v1.txt   what an audio captioner is asked

A prompt without a schema beside it gets plain text as its answer. The hash covers both files and
stands in every row that the prompt made: a changed word is another prompt. The paper's prompts are
not published; these are ours.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...schemas.errors import ConfigError, InvalidAnswer

FOLDER = Path(__file__).parent / "prompts"


@dataclass(frozen=True)
class Prompt:
    """A prompt file. schema: the JSON schema of the answer, or None for plain text."""

    name: str
    text: str
    schema: Mapping[str, Any] | None
    sha256: str

    def read_answer(self, answer: str) -> tuple[str, list[str]]:
        """(caption, facts) of an answer. Raises InvalidAnswer where it is not what was asked for."""
        if self.schema is None:
            return _first_sentence(answer), []
        try:
            content = json.loads(answer)
        except ValueError as error:
            raise InvalidAnswer(f"the answer is not JSON: {error}") from error
        if not isinstance(content, dict) or not isinstance(content.get("caption"), str):
            raise InvalidAnswer("the answer has no `caption`")
        facts = content.get("facts", [])
        if not isinstance(facts, list) or not all(isinstance(f, str) for f in facts):
            raise InvalidAnswer("`facts` of the answer is no list of texts")
        return _first_sentence(content["caption"]), facts


def load(name: str, needs: tuple[str, ...] = ()) -> Prompt:
    """The prompt called `name` in `curate/prompts`, or in the file of that name.

    needs: places that it must hold, as "original" for `{original}`. Raises ConfigError.
    """
    for path in (FOLDER / f"{name}.txt", Path(name).expanduser()):
        if path.is_file():
            break
    else:
        known = ", ".join(sorted(p.stem for p in FOLDER.glob("*.txt")))
        raise ConfigError(f"prompt {name!r}: no such prompt; give a file, or one of {known}")
    text = path.read_text(encoding="utf-8").strip()
    if missing := [place for place in needs if f"{{{place}}}" not in text]:
        raise ConfigError(f"{path}: the prompt must hold {{{missing[0]}}}")
    beside = path.with_suffix(".json")
    plain = beside.read_text(encoding="utf-8") if beside.is_file() else ""
    digest = hashlib.sha256(f"{text}\0{plain}".encode()).hexdigest()
    return Prompt(name, text, _schema(beside, plain), digest)


def _schema(path: Path, text: str) -> Mapping[str, Any] | None:
    if not text:
        return None
    try:
        schema = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON: {error}") from error
    if not isinstance(schema, dict) or "caption" not in schema.get("properties", {}):
        raise ConfigError(f"{path}: expected a JSON schema of an object with a `caption`")
    return schema


def _first_sentence(answer: str) -> str:
    """The first sentence, without the quotes that chat models put around it."""
    text = " ".join(answer.split()).strip("\"'“” ")
    end = re.search(r"[.!?](?=\s+[A-Z])", text)
    return text[: end.end()] if end else text
