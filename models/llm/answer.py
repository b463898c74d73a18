"""What an LLM said, checked: JSON that obeys its schema, and n texts gathered for their prompt."""

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
class Said:
    """A text as a model gave it. cut_off: whether it ended for want of tokens."""

    text: str
    cut_off: bool = False


def checked(said: Said | Exception, schema: Mapping[str, Any] | None) -> str | Exception:
    """The text without its outer blanks; InvalidAnswer where it should obey `schema` and does not.

    An Exception stays what it is.
    """
    if isinstance(said, Exception):
        return said
    text = said.text.strip()
    if schema is None:
        return text
    import jsonschema

    try:
        jsonschema.Draft202012Validator(dict(schema)).validate(json.loads(text))
    except ValueError as error:
        if said.cut_off:
            return InvalidAnswer("the answer was cut off in its middle: give more tokens")
        return InvalidAnswer(f"the answer is not JSON ({error}): {text[:200]!r}")
    except jsonschema.ValidationError as error:
        return InvalidAnswer(f"the answer does not obey its schema ({error.message})")
    return text


def gathered(texts: Sequence[str | Exception], n: int) -> list[list[str] | Exception]:
    """[prompts * n] texts as one entry a prompt: the greedy text and what sampled ones there are."""
    made: list[list[str] | Exception] = []
    for start in range(0, len(texts), n):
        first, *others = texts[start : start + n]
        if isinstance(first, Exception):
            made.append(first)
        else:
            made.append([first, *(text for text in others if isinstance(text, str))])
    return made
