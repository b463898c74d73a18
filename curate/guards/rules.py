"""Guards on a text alone: why it may not be a caption, whoever wrote it. Each has a name.

empty           no letters
garbled         not words: control or replacement characters, few vowels, few letters; or words
                without any of the small ones that make a sentence
refusal         a chat model declining or speaking of itself
prompt_leak     the prompt's own labels or instructions
markup          labels, brackets, probabilities, code
repetition      the same three words again and again
wrong_language  not English, where English is asked for
too_long        more words than allowed, or more tokens than the trainer's T5 reads, prefix counted

The first seven are found once a text and stored (`texts`); which of them count, and the limits, are
settings. What holds an LLM's text to its sources is in `guards_sources.py`. Made with the answers
that SmolLM2 gives to all kinds of prompts: tests/data/llm_outputs.txt.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence

from .instruments import WORD
from .language import SMALL, is_english

VERSION = 1
SALAD_WORDS, SALAD_SHARE = 12, 0.1  # a dozen words of a sentence have at least two small ones
VOWELS = frozenset("aeiouyàáâäãåæèéêëìíîïòóôöõøùúûüý")
_REFUSAL = re.compile(
    r"(\bI(['’](m|ll|d|ve)| (am|can|cannot|can't|will|do|don't|have|apologize))\b|\bas an? (music )?ai\b"
    r"|\b(language model|music ai|text-based)\b|\bplease (provide|share|find|let me|upload)\b"
    r"|\bhere('s| is| are) (a|an|the|your|some)\b|\b(sure|certainly)[,!]|\blet me know\b)",
    re.I,
)
_LEAK = re.compile(
    r"(\b(original|facts?|captions?|merged|merged caption|answer|instructions?)s?"
    r"\s*[\"']?\s*:|(one|a single) (english )?sentence|keep all it says|from the list"
    r"|the (given |provided )?caption\b|rewrite)",
    re.I,
)
_MARKUP = re.compile(
    r"[\[\]{}<>|*_#`\\]|\bprobabilit|\blabels?\b|\btags?\b|\b0?\.\d\d|\d+\s?%|https?://"
    r"|\n\s*(\d+[.)]|[-•])\s",
    re.I,
)


def text_guards(text: str | None) -> list[str]:
    """The names of the guards that speak against a text; no limits are needed for these."""
    if not text or not WORD.search(text):
        return ["empty"]
    return tripped(
        [
            ("garbled", lambda: is_garbled(text)),
            ("refusal", lambda: bool(_REFUSAL.search(text))),
            ("prompt_leak", lambda: bool(_LEAK.search(text))),
            ("markup", lambda: bool(_MARKUP.search(text))),
            ("repetition", lambda: repeats(text)),
            ("wrong_language", lambda: not is_english(text)),
        ]
    )


def too_long(words: int, tokens: int, max_words: int, max_tokens: int) -> bool:
    """Whether a text has too many words, or too many tokens with the longest prefix before it."""
    return words > max_words or tokens > max_tokens


def is_garbled(text: str) -> bool:
    """Whether a text is not words: damaged encoding, keyboard noise, mostly symbols."""
    if any(unicodedata.category(c) in ("Cc", "Co", "Cn", "Cs") and c not in "\n\t" for c in text):
        return True
    if "\ufffd" in text or len(re.findall("[ÃÂ][\u0080-\u00bf]|â€", text)) > 0:
        return True
    visible = [c for c in text if not c.isspace()]
    letters = [c for c in visible if c.isalpha()]
    if len(letters) < 0.6 * len(visible):
        return True
    words = WORD.findall(text.lower())
    latin = [w for w in words if len(w) > 3 and w.isascii()]
    sentence = len(words) >= SALAD_WORDS and text.count(",") < len(words) / 6  # no list of tags
    if sentence and sum(w in SMALL for w in words) < SALAD_SHARE * len(words):
        return True
    unpronounceable = [w for w in latin if not _pronounceable(w)]
    return len(unpronounceable) > 0.34 * max(len(latin), 1)


def repeats(text: str, n: int = 3, times: int = 3) -> bool:
    """Whether some `n` words in a row stand there `times` times, or a sentence stands twice."""
    words = WORD.findall(text.lower())
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    if any(count >= times for count in grams.values()):
        return True
    sentences = Counter(s.strip().lower() for s in re.split(r"[.!?]", text) if len(s.split()) > 3)
    return any(count > 1 for count in sentences.values())


def tripped(guards: Sequence[tuple[str, Callable[[], bool]]]) -> list[str]:
    """The names of those that trip, in order."""
    return [name for name, trips in guards if trips()]


def _pronounceable(word: str) -> bool:
    vowels = sum(c in VOWELS for c in word)
    return vowels >= 0.15 * len(word) and not re.search(r"[^aeiouy]{6}|(.)\1\1", word)
