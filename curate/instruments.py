"""Instruments that texts name: the words, plurals and synonyms folded, and what may stand for what."""

from __future__ import annotations

import re
from collections.abc import Collection

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
INSTRUMENT_WORDS = frozenset(
    "accordion bagpipe bagpipes banjo bass bassoon bell bells bongos brass bugle celesta cello"
    " choir clarinet congas cymbals didgeridoo drum drums erhu fiddle flute glockenspiel gong guitar"
    " guitars guzheng harp harpsichord horn horns kalimba keyboard keyboards koto lute mandolin"
    " maracas marimba oboe ocarina orchestra organ percussion piano pianos piccolo recorder sax"
    " saxophone shakuhachi sitar steelpan strings synth synthesizer synthesizers tabla tambourine"
    " theremin timpani trombone trumpet trumpets tuba ukulele vibraphone viola violin violins vocals"
    " woodwinds xylophone".split()
)
_SAME = {
    "synth": "synthesizer", "sax": "saxophone", "bagpipes": "bagpipe", "fiddle": "violin",
    "saxes": "saxophone", "cymbal": "cymbal",
}  # fmt: skip
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
    named = set()
    for word in WORD.findall(text.lower()):
        for part in (word, *word.split("-")):
            if part in INSTRUMENT_WORDS or part.removesuffix("s") in INSTRUMENT_WORDS:
                named.add(
                    _SAME.get(part, _SAME.get(part.removesuffix("s"), part)).removesuffix("s")
                )
    return named


def invented(text: str, sources: Collection[str]) -> set[str]:
    """Instruments named in `text` and in none of the sources; voices are another guard's."""
    known = set().union(*(instruments_in(s) for s in sources)) if sources else set()
    return {
        name
        for name in instruments_in(text) - known - {"vocal", "choir"}
        if not FAMILIES.get(name, frozenset()) & known
    }
