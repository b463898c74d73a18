"""Guards: why a text may not be a caption. Each is a small function with a name.

empty           no letters
garbled         not words: control or replacement characters, few vowels, few letters
refusal         a chat model declining or speaking of itself
prompt_leak     the prompt's own labels or instructions
markup          labels, brackets, probabilities
repetition      the same three words again and again
too_long        more words than allowed
invented        an instrument that is in none of the sources           (LLM texts only)
vocals          says vocals where there are none, or the reverse       (LLM texts only)
forgets         lacks an instrument or much of what the original says  (LLM texts only)
leak            title or artist of the file                            (LLM texts only)
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

VOWELS = frozenset("aeiouyàáâäãåæèéêëìíîïòóôöõøùúûüý")
_REFUSAL = re.compile(
    r"\b(i'?m sorry|i am sorry|i cannot|i can'?t|as an? (ai|language model)|i'?m (an ai|unable)"
    r"|here (is|are)|sure[,!]|certainly[,!])",
    re.I,
)
_LEAK = re.compile(
    r"(\b(original|facts|caption|merged|answer|instruction)s?\s*:|one sentence)", re.I
)
_MARKUP = re.compile(r"[\[\]{}<>|*_#]|\bprobabilit|\blabels?\b|\b0?\.\d\d|https?://", re.I)
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_VOCAL = re.compile(r"\b(vocals?|vocalists?|sing(s|er|ers|ing)?|sung|lyrics|voices?|choir)\b", re.I)
_NO_VOCAL = re.compile(
    r"\b(no|without|lacks?|lacking)\s+(any\s+)?(vocals?|voices?|singing)\b", re.I
)

INSTRUMENT_WORDS = frozenset(
    "accordion bagpipe bagpipes banjo bass bassoon bell bells brass bugle celesta cello choir"
    " clarinet congas cymbals didgeridoo drum drums fiddle flute glockenspiel guitar guitars harp"
    " harmonica harpsichord horn horns keyboard koto lute mandolin marimba oboe orchestra organ"
    " percussion piano pianos piccolo recorder sax saxophone sitar strings synth synthesizer"
    " synthesizers tabla tambourine theremin timpani trombone trumpet trumpets tuba ukulele vibraphone"
    " viola violin violins vocals xylophone".split()
)
_FILLERS = frozenset("music piece song track recording this that with features featuring".split())
_SAME = {"synth": "synthesizer", "sax": "saxophone", "bagpipes": "bagpipe", "fiddle": "violin"}


@dataclass(frozen=True)
class Sources:
    """What a merged text may speak of. texts: captions and tags it was made from. original: what it
    must not lose."""

    texts: tuple[str, ...] = ()
    original: str = ""
    vocals: bool | None = None
    secrets: tuple[str, ...] = ()


def of_any_text(text: str | None, max_words: int) -> list[str]:
    """The names of the guards that speak against a text, whoever wrote it."""
    if not text or not _WORD.search(text):
        return ["empty"]
    return _tripped(
        [
            ("garbled", lambda: is_garbled(text)),
            ("refusal", lambda: bool(_REFUSAL.search(text))),
            ("prompt_leak", lambda: bool(_LEAK.search(text))),
            ("markup", lambda: bool(_MARKUP.search(text))),
            ("repetition", lambda: repeats(text)),
            ("too_long", lambda: len(text.split()) > max_words),
        ]
    )


def of_merged(text: str | None, sources: Sources, max_words: int) -> list[str]:
    """The names of the guards that speak against an LLM's text."""
    found = of_any_text(text, max_words)
    if not text or "empty" in found:
        return found
    return found + _tripped(
        [
            ("cut_off", lambda: text.rstrip()[-1] not in ".!?"),
            ("invented", lambda: bool(invented(text, sources.texts))),
            (
                "vocals",
                lambda: sources.vocals is not None and says_vocals(text) is (not sources.vocals),
            ),
            ("forgets", lambda: forgets(text, sources.original)),
            ("leak", lambda: any(s.lower() in text.lower() for s in sources.secrets if len(s) > 3)),
        ]
    )


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
    words = _WORD.findall(text.lower())
    latin = [w for w in words if len(w) > 3 and w.isascii()]
    unpronounceable = [w for w in latin if not _pronounceable(w)]
    return len(unpronounceable) > 0.34 * max(len(latin), 1)


def repeats(text: str, n: int = 3, times: int = 3) -> bool:
    """Whether some `n` words in a row stand there `times` times."""
    words = _WORD.findall(text.lower())
    grams = Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
    return any(count >= times for count in grams.values())


def instruments_in(text: str) -> set[str]:
    """The instruments that a text names, plurals and synonyms folded."""
    words = {w.lower() for w in _WORD.findall(text)}
    named = {w for w in words if w in INSTRUMENT_WORDS}
    return {_SAME.get(w, w).removesuffix("s") for w in named}


def invented(text: str, sources: Collection[str]) -> set[str]:
    """Instruments named in `text` and in none of the sources."""
    known = set().union(*(instruments_in(s) for s in sources)) if sources else set()
    return instruments_in(text) - known - {"vocal"}


def forgets(text: str, original: str) -> bool:
    """Whether `text` lacks an instrument of `original`, or more than 40% of its longer words."""
    if instruments_in(original) - instruments_in(text):
        return True
    words = {w for w in _WORD.findall(original.lower()) if len(w) > 3 and w not in _FILLERS}
    kept = words & set(_WORD.findall(text.lower()))
    return len(kept) < 0.6 * len(words)


def says_vocals(text: str) -> bool | None:
    """True or False where a text speaks of voices or of their absence, else None."""
    if _NO_VOCAL.search(text) or re.search(r"\binstrumental\b", text, re.I):
        return False
    return True if _VOCAL.search(text) else None


def _pronounceable(word: str) -> bool:
    vowels = sum(c in VOWELS for c in word)
    return vowels >= 0.15 * len(word) and not re.search(r"[^aeiouy]{6}|(.)\1\1", word)


def _tripped(guards: Sequence[tuple[str, Callable[[], bool]]]) -> list[str]:
    return [name for name, trips in guards if trips()]
