"""Guards on a text alone: why it may not be a caption, whoever wrote it. Each has a name.

empty           no letters
garbled         not words: control or replacement characters, few vowels, few letters
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
from .language import is_english

VERSION = 1
VOWELS = frozenset("aeiouyàáâäãåæèéêëìíîïòóôöõøùúûüý")
_REFUSAL = re.compile(
    r"\b(i'?m sorry|i am sorry|i cannot|i can'?t|i'?m not able|i do(n'?t| not) have|i apologize"
    r"|as an? (ai|language model)|as a text-based|i'?m (an ai|unable)|i am unable"
    r"|i'?d be happy to|i'?ll (provide|describe|write|help)|please (provide|share|let me know|upload)"
    r"|here('s| is| are)\b|sure[,!]|certainly[,!]|let me know)",
    re.I,
)
_LEAK = re.compile(
    r"(\b(original|facts?|captions?|merged|merged caption|answer|instructions?)s?"
    r"\s*[\"']?\s*:|one (english )?sentence|keep all it says|facts? from the list|from the list"
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
