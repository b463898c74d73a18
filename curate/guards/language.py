"""Is a text English? By its small words, and by its letters.

Captions are short, so that counting letters or n-grams says little; the small words of a language
(articles, prepositions, "and") are in nearly every sentence. A text without any of them (tags, names
of instruments) is let pass, unless its letters are not Latin.
"""

from __future__ import annotations

import unicodedata

from .instruments import WORD

ENGLISH = frozenset(
    "a an the of and with in on at by for to from is are it its this that which has have was were or"
    " as not no but played playing features featuring by around music song piece slow fast".split()
)
# Words that are also English ("a", "no", "me", "on", "as", "die", "in") are left out.
OTHERS: dict[str, frozenset[str]] = {
    "German": frozenset(
        "der das und mit ein eine einem einen einer ist für von dem den des im zum zur auf ruhiges"
        " stück musik sehr nicht auch langsame langsames schnelle eines".split()
    ),
    "French": frozenset(
        "le la les une un des du et avec pour dans est au aux ce cette qui sur très musique pièce"
        " morceau lente par il elle".split()
    ),
    "Spanish": frozenset(
        "el los las una un y con para por es del al que su muy música pieza se en lenta canción"
        " instrumentos".split()
    ),
    "Italian": frozenset(
        "il lo gli una un e con per è della del di che musica brano molto lento nel".split()
    ),
    "Portuguese": frozenset(
        "o os uma um e com para é da do dos das que música muito lenta peça em".split()
    ),
    "Dutch": frozenset("de het een en met voor van op muziek langzaam stuk niet".split()),
}
SMALL = ENGLISH.union(*OTHERS.values())


def is_english(text: str) -> bool:
    """False where the letters are not Latin, or another language's small words outnumber ours."""
    letters = [c for c in text if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    if letters and latin < 0.7 * len(letters):
        return False
    words = [w.lower() for w in WORD.findall(text)]
    ours = sum(w in ENGLISH for w in words)
    theirs = max(sum(w in small for w in words) for small in OTHERS.values())
    return theirs < 2 or theirs <= ours
