"""Decoding that obeys a flat JSON schema: at every step, only tokens that can go on are allowed.

A flat schema is an object whose properties are strings (`maxLength`, `minLength`, `enum`), booleans,
or lists of such strings (`minItems`, `maxItems`). All properties are written, in the schema's order.
Strings hold no quote, no backslash and no control character. A row that is near its last token is
led to its end, so that what comes out is whole.

A row is a coroutine that yields what is allowed next and is sent the token that was chosen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...schemas.errors import ConfigError

END = '"'
SPARE = 1  # tokens, kept back when a string is cut off
Row = Generator[Any, int, None]  # yields a mask [V] or a list of tokens, receives a token


class Vocabulary:
    """A tokenizer's tokens, sorted by what they do inside a string.

    plain: mask [V] of the tokens that stay in the string. ending: of those that end with the quote
    that closes it. inside: of both. lengths: characters of each token, that quote not counted.
    """

    def __init__(self, tokenizer: Any, size: int) -> None:
        """size: length of the model's logits, which may exceed the tokenizer's."""
        import torch

        self._tokenizer = tokenizer
        special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        words = tokenizer.batch_decode([[k] for k in range(min(size, len(tokenizer)))])
        words += [""] * (size - len(words))
        safe = [k not in special and _safe(word) for k, word in enumerate(words)]
        self.plain = torch.tensor([s and END not in w for s, w in zip(safe, words, strict=True)])
        self.ending = torch.tensor(
            [s and w.find(END) == len(w) - 1 for s, w in zip(safe, words, strict=True)]
        )
        self.inside = self.plain | self.ending
        self.lengths = torch.tensor([len(word.removesuffix(END)) for word in words])
        self.end = [int(tokenizer.eos_token_id)]
        self.quote = self.encode(END)

    def encode(self, text: str) -> list[int]:
        """The tokens of a text that the schema prescribes."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


@dataclass
class Budget:
    """How many tokens a row may still take."""

    left: int


@dataclass(frozen=True)
class Text:
    """A string: free, or one of `choices` where there are some."""

    least: int = 0
    most: int | None = None
    choices: tuple[str, ...] = ()

    def cost(self, words: Vocabulary) -> int:
        """Tokens of the shortest value, its opening quote not counted."""
        if self.choices:
            return max(len(words.encode(c)) for c in self.choices)
        return self.least + len(words.quote)

    def write(self, words: Vocabulary, budget: Budget, after: int) -> Row:
        """The value behind its opening quote, up to and with the closing one.

        after: tokens that must be left when the string is closed.
        """
        if self.choices:
            yield from _one_of(words, [json.dumps(c)[1:] for c in self.choices])
            return
        length = 0
        while length != self.most:
            if length >= self.least and budget.left <= after + SPARE + len(words.quote):
                break
            mask = words.plain if length < self.least else words.inside
            if self.most is not None:
                mask = mask & (words.lengths <= self.most - length)
            token = yield mask
            length += int(words.lengths[token])
            if words.ending[token]:
                return
        yield from _say(words, END)


@dataclass(frozen=True)
class Flag:
    """A boolean."""

    def cost(self, words: Vocabulary) -> int:
        return max(len(words.encode(w)) for w in ("true", "false"))

    def write(self, words: Vocabulary, budget: Budget, after: int) -> Row:
        yield from _one_of(words, ["true", "false"])


@dataclass(frozen=True)
class Many:
    """A list of strings."""

    item: Text
    least: int = 0
    most: int | None = None

    def cost(self, words: Vocabulary) -> int:
        return 2 + self.least * (self.item.cost(words) + 3)

    def write(self, words: Vocabulary, budget: Budget, after: int) -> Row:
        """From the opening bracket to the closing one."""
        yield from _say(words, "[")
        a_item, count = self.item.cost(words) + 3, 0
        while True:
            owed = max(0, self.least - count - 1) * a_item
            full = self.most is not None and count >= self.most
            poor = budget.left < a_item + owed + after + SPARE + 1
            opening = ', "' if count else END
            if count < self.least:
                yield from _say(words, opening)
            elif full or poor or (yield from _one_of(words, [opening, "]"])) == 1:
                break
            yield from self.item.write(words, budget, after + owed + 1)
            count += 1
        if full or poor:
            yield from _say(words, "]")


Field = Text | Flag | Many


@dataclass(frozen=True)
class FlatSchema:
    """The properties of an object, in order."""

    fields: Mapping[str, Field] = field(default_factory=dict)

    @classmethod
    def of(cls, schema: Mapping[str, Any]) -> FlatSchema:
        """Raises ConfigError where the schema is not flat."""
        properties = schema.get("properties")
        if schema.get("type") != "object" or not isinstance(properties, Mapping) or not properties:
            raise _not_flat(schema)
        return cls({name: _field(schema) for name, schema in properties.items()})

    def write(self, words: Vocabulary, budget: Budget) -> Row:
        """One object, then the end of the text for ever."""
        costs = self.costs(words)
        for k, (said, part) in enumerate(self._parts()):
            yield from _say(words, said)
            yield from part.write(words, budget, sum(costs[k + 1 :]) + 2)
        yield from _say(words, "}")
        while True:
            yield words.end

    def costs(self, words: Vocabulary) -> list[int]:
        """Tokens of the shortest form of each property, with what is written before it."""
        return [len(words.encode(said)) + part.cost(words) for said, part in self._parts()]

    def _parts(self) -> list[tuple[str, Field]]:
        made = []
        for k, (name, part) in enumerate(self.fields.items()):
            said = ("{" if not k else ", ") + json.dumps(name) + ": "
            made.append((said + END if isinstance(part, Text) else said, part))
        return made


def _safe(word: str) -> bool:
    """Whether a token is whole characters that stand in a JSON string as they are."""
    return bool(word) and word.isprintable() and "\\" not in word and "\ufffd" not in word


def _field(schema: Mapping[str, Any]) -> Field:
    known = {"description", "title", "type"}
    kind = schema.get("type", "string" if "enum" in schema else None)
    if kind == "string" and set(schema) <= known | {"minLength", "maxLength", "enum"}:
        choices = tuple(schema.get("enum", ()))
        if all(isinstance(c, str) for c in choices):
            return Text(schema.get("minLength", 0), schema.get("maxLength"), choices)
    if kind == "boolean" and set(schema) <= known:
        return Flag()
    if kind == "array" and set(schema) <= known | {"items", "minItems", "maxItems"}:
        item = _field(schema.get("items", {}))
        if isinstance(item, Text):
            return Many(item, schema.get("minItems", 0), schema.get("maxItems"))
    raise _not_flat(schema)


def _not_flat(schema: Any) -> ConfigError:
    return ConfigError(
        f"the embedded LLM cannot obey the JSON schema {json.dumps(schema)[:200]}: it knows an object "
        "of strings (minLength, maxLength, enum), booleans and lists of strings (minItems, "
        "maxItems); use vllm@ or openai@ for others"
    )


def _say(words: Vocabulary, text: str) -> Row:
    for token in words.encode(text):
        yield [token]


def _one_of(words: Vocabulary, texts: Sequence[str]) -> Generator[Any, int, int]:
    """Write one of `texts`, none the beginning of another; returns which."""
    ways = [words.encode(text) for text in texts]
    left = list(range(len(ways)))
    at = 0
    while len(left) > 1 or at < len(ways[left[0]]):
        token = yield sorted({ways[k][at] for k in left})
        left = [k for k in left if ways[k][at] == token]
        at += 1
    return left[0]


def constrain(
    words: Vocabulary, flat: FlatSchema, rows: int, max_tokens: int
) -> Callable[[Any, Any], Any]:
    """A logits processor for `generate`: what the schema does not allow becomes -inf.

    max_tokens: of a row. Raises ConfigError where not even the shortest object fits.
    """
    import torch

    least = sum(flat.costs(words)) + 2
    if max_tokens < least:
        raise ConfigError(
            f"max_tokens = {max_tokens}: the shortest JSON asked for has {least} tokens; give more"
        )
    budgets = [Budget(max_tokens) for _ in range(rows)]
    writers = [flat.write(words, budget) for budget in budgets]
    allowed = [next(writer) for writer in writers]
    started = False

    def mask(ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        nonlocal started
        if started:
            for k, token in enumerate(ids[:, -1].tolist()):
                budgets[k].left -= 1
                allowed[k] = writers[k].send(token)
        started = True
        kept = torch.full_like(logits, -torch.inf)
        for k, what in enumerate(allowed):
            kept[k, what] = logits[k, what]
        return kept

    return mask
