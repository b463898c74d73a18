"""The answer of an LLM, checked: JSON that obeys its schema, and n texts gathered for their prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...schemas.errors import ConfigError, InvalidAnswer


def check_schema(schema: Mapping[str, Any] | None) -> None:
    """Refuse what is not a JSON schema, before any prompt is sent. Raises ConfigError."""
    if schema is None:
        return
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        raise ConfigError(f"not a JSON schema: {error.message}") from error


@dataclass(frozen=True)
class Completion:
    """A text as a model gave it. truncated: it ended because the budget of tokens did."""

    text: str
    truncated: bool = False


def checked(answer: Completion | Exception, schema: Mapping[str, Any] | None) -> str | Exception:
    """The text without its outer blanks; InvalidAnswer where it should obey `schema` and does not.

    An Exception stays what it is.
    """
    if isinstance(answer, Exception):
        return answer
    text = answer.text.strip()
    if schema is None:
        return text
    import jsonschema

    try:
        jsonschema.Draft202012Validator(dict(schema)).validate(json.loads(text))
    except ValueError as error:
        if answer.truncated:
            return InvalidAnswer("the answer was cut off in its middle: give more tokens")
        return InvalidAnswer(f"the answer is not JSON ({error}): {text[:200]!r}")
    except jsonschema.ValidationError as error:
        return InvalidAnswer(f"the answer does not obey its schema ({error.message})")
    return text


def gathered(texts: Sequence[str | Exception], n: int) -> list[list[str] | Exception]:
    """[prompts * n] texts as one entry a prompt: the greedy text and what sampled ones there are."""
    grouped: list[list[str] | Exception] = []
    for start in range(0, len(texts), n):
        first, *others = texts[start : start + n]
        if isinstance(first, Exception):
            grouped.append(first)
        else:
            grouped.append([first, *(text for text in others if isinstance(text, str))])
    return grouped
