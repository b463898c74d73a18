"""Instruments that texts name: the words, plurals and synonyms folded, and what may stand for what."""

from __future__ import annotations

import re
from collections.abc import Collection

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
NAMES = frozenset(  # in the singular
    "accordion bagpipe banjo bass bassoon bell bongo brass bugle celesta cello choir clarinet conga"
    " cymbal didgeridoo drum erhu fiddle flute glockenspiel gong guitar guzheng harp harpsichord horn"
    " kalimba keyboard koto lute mandolin maraca marimba oboe ocarina orchestra organ percussion"
    " piano piccolo recorder sax saxophone shakuhachi sitar steelpan string synth synthesizer tabla"
    " tambourine theremin timpani trombone trumpet tuba ukulele vibraphone viola violin vocal"
    " woodwind xylophone".split()
)
_SAME = {"synth": "synthesizer", "sax": "saxophone", "fiddle": "violin"}
# A family may be said where one of its members is: "strings" of a violin, never the reverse.
FAMILIES: dict[str, frozenset[str]] = {
    "string": frozenset(("violin", "viola", "cello", "string", "orchestra", "harp", "koto")),
    "keyboard": frozenset(("piano", "organ", "harpsichord", "synthesizer", "celesta")),
    "brass": frozenset(("trumpet", "trombone", "tuba", "horn", "bugle")),
    "woodwind": frozenset(("flute", "oboe", "clarinet", "bassoon", "saxophone", "piccolo")),
    "percussion": frozenset(("drum", "cymbal", "timpani", "marimba", "xylophone", "vibraphone",
                             "glockenspiel", "tabla", "tambourine", "conga", "bongo", "gong")),
}  # fmt: skip


def instruments_in(text: str) -> set[str]:
    """The instruments that a text names, plurals and synonyms folded."""
    words = [w for word in WORD.findall(text.lower()) for w in (word, *word.split("-"))]
    names = (next((n for n in _singulars(w) if n in NAMES), None) for w in words)
    return {_SAME.get(name, name) for name in names if name}


def invented(text: str, sources: Collection[str]) -> set[str]:
    """Instruments named in `text` and in none of the sources; voices are another guard's."""
    known = set().union(*(instruments_in(s) for s in sources)) if sources else set()
    return {
        name
        for name in instruments_in(text) - known - {"vocal", "choir"}
        if not FAMILIES.get(name, frozenset()) & known
    }


def _singulars(word: str) -> tuple[str, str, str]:
    return word, word.removesuffix("s"), word.removesuffix("es")
