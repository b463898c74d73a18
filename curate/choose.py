"""Which text becomes the caption: the rule, with its reason in words.

The paper (section 3.3) generates a caption, keeps what CLAP confirms and lets an LLM fuse old and
new; thresholds and prompts are published nowhere, so the rule is ours:

1. An original that no guard speaks against, that was written for the audio (not made from file
   tags) and whose similarity reaches `keep_original` is believed.
2. A believed original is replaced only by a merged text that passes its guards and whose similarity
   does not fall.
3. Anything else is replaced by the generated caption, unless that is empty, or the original is
   readable and closer to the audio.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A text, its similarity to the audio (-1..1; None where not measured), the guards it trips."""

    text: str
    similarity: float | None
    guards: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return bool(self.text) and not self.guards


@dataclass(frozen=True)
class Choice:
    """The final caption. came_from: original, generated or merged; None where nothing is left."""

    text: str | None
    came_from: str | None
    reason: str
    similarity: float | None


def choose(
    original: Candidate | None,
    generated: Candidate | None,
    merged: Candidate | None,
    weak: bool,
    keep_original: float,
) -> Choice:
    """The final caption. weak: the original was made from the file's own tags."""
    believed, why_not = _believed(original, weak, keep_original)
    if original and believed:
        if merged and merged.sound and _adds(merged, original) and _not_below(merged, original):
            return _take(merged, "merged", "adds what is heard; similarity does not fall")
        return _take(original, "original", "fits the audio; " + _why_not_merged(merged, original))
    if generated and generated.sound:
        if original and original.sound and not weak and not _not_below(generated, original):
            return _take(
                original, "original", f"{why_not}, yet closer than what could be generated"
            )
        return _take(generated, "generated", why_not)
    if original and original.sound:
        return _take(
            original, "original", f"{why_not}; nothing was heard clearly enough to replace it"
        )
    return Choice(None, None, f"{why_not}; nothing was heard clearly", None)


def _believed(original: Candidate | None, weak: bool, keep_original: float) -> tuple[bool, str]:
    if original is None or not original.text:
        return False, "no original"
    if original.guards:
        return False, f"original is {original.guards[0]}"
    if weak:
        return False, "original is made from file tags"
    if original.similarity is not None and original.similarity < keep_original:
        return False, "original does not fit the audio"
    return True, ""


def _adds(merged: Candidate, original: Candidate) -> bool:
    """Whether the merged text has a word that the original lacks."""
    return bool(_words(merged.text) - _words(original.text))


def _words(text: str) -> set[str]:
    return {word.strip(".,;:!?\"'()").casefold() for word in text.split()}


def _not_below(new: Candidate, old: Candidate) -> bool:
    return (
        new.similarity is not None
        and old.similarity is not None
        and (new.similarity >= old.similarity)
    )


def _why_not_merged(merged: Candidate | None, original: Candidate) -> str:
    if merged is None:
        return "nothing to merge"
    if merged.guards:
        return f"merged text is refused ({merged.guards[0]})"
    if not _adds(merged, original):
        return "merged text adds nothing"
    return "merged text is less similar"


def _take(candidate: Candidate, came_from: str, reason: str) -> Choice:
    return Choice(candidate.text, came_from, reason, candidate.similarity)
