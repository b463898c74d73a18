"""Which text becomes the caption: the rule, with its reason in words.

The paper (section 3.3) generates a caption, keeps what CLAP confirms and lets an LLM fuse old and
new; thresholds and prompts are published nowhere, so the rule is ours. By the check (`verify.py`):

merge    the best merged text that passes its guards, adds a word and is no less similar to the audio;
         else the original
better   the generated text where it is nearer by `margin`, else the original
keep     the original
take     the generated text where the original is missing or unreadable; where the original can be
         read, only if the similarity does not fall; else the original, with a doubt

A caption is never replaced by one that is less similar to the audio, but for originals that are
missing or unreadable. Where nothing passes, the most readable text there is stays, with a doubt; a
doubt is a reason for the filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNREADABLE = frozenset(("empty", "garbled", "refusal", "prompt_leak", "names"))


@dataclass(frozen=True)
class Candidate:
    """A text, its similarity to the audio (-1..1; None where not measured), the guards it trips."""

    text: str
    similarity: float | None
    guards: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return bool(self.text) and not self.guards

    @property
    def readable(self) -> bool:
        return bool(self.text) and not UNREADABLE & set(self.guards)


@dataclass(frozen=True)
class Verdict:
    """What the check says of a clip. original_problem, generated_problem: None where there is none."""

    action: str
    original_problem: str | None = None
    generated_problem: str | None = None


@dataclass(frozen=True)
class Choice:
    """The final caption. came_from: original, generated or merged; None where nothing is left.
    doubt: why it may be wrong nevertheless."""

    text: str | None
    came_from: str | None
    reason: str
    similarity: float | None
    doubt: str | None = None


def select(
    verdict: Verdict,
    original: Candidate | None,
    generated: Candidate | None,
    merged: Sequence[Candidate] = (),
    margin: float = 0.0,
) -> Choice:
    """The final caption."""
    if original and original.sound and verdict.original_problem is None:
        return _of_believed(verdict, original, generated, merged, margin)
    why = verdict.original_problem or "original is refused"
    if generated and generated.sound:
        doubt = verdict.generated_problem
        if original is None or not original.readable:
            return _take(generated, "generated", f"original: {why}", doubt)
        if _not_below(generated, original):
            return _take(generated, "generated", f"original: {why}", doubt)
        return _take(
            original, "original", f"{why}, yet nearer than what could be generated", _doubt(why)
        )
    if original and original.readable:
        return _take(original, "original", f"{why}; nothing to replace it", _doubt(why))
    if generated and generated.readable:
        return _take(
            generated, "generated", f"original: {why}; nothing better", generated.guards[0]
        )
    return Choice(None, None, f"original: {why}; nothing was heard clearly", None)


def best_merged(merged: Sequence[Candidate]) -> Candidate | None:
    """The candidate nearest to the audio of those that pass their guards; else of all."""
    return max(merged, key=lambda m: (m.sound, _number(m.similarity)), default=None)


def _of_believed(
    verdict: Verdict,
    original: Candidate,
    generated: Candidate | None,
    merged: Sequence[Candidate],
    margin: float,
) -> Choice:
    if verdict.action == "merge":
        best = best_merged([m for m in merged if m.sound and _adds(m, original)])
        if best and _not_below(best, original):
            return _take(best, "merged", "adds what is heard; similarity does not fall")
        return _take(original, "original", f"fits the audio; {_why_not_merged(merged, original)}")
    if verdict.action == "better" and generated and generated.sound:
        if _not_below(generated, original, margin):
            return _take(generated, "generated", "says the same, nearer to the audio")
        return _take(original, "original", "fits the audio; no less than the generated one")
    return _take(original, "original", "fits the audio; nothing to merge")


def _doubt(problem: str) -> str | None:
    """Captions from file tags are poor, not wrong."""
    return None if problem == "file tags" else problem


def _adds(merged: Candidate, original: Candidate) -> bool:
    """Whether the merged text has a word that the original lacks."""
    return bool(_words(merged.text) - _words(original.text))


def _words(text: str) -> set[str]:
    return {word.strip(".,;:!?\"'()").casefold() for word in text.split()}


def _number(similarity: float | None) -> float:
    return -2.0 if similarity is None else similarity


def _not_below(new: Candidate, old: Candidate, margin: float = 0.0) -> bool:
    return (
        new.similarity is not None
        and old.similarity is not None
        and new.similarity >= old.similarity + margin
    )


def _why_not_merged(merged: Sequence[Candidate], original: Candidate) -> str:
    best = best_merged(merged)
    if best is None:
        return "no merged text"
    if best.guards:
        return f"merged text is refused ({best.guards[0]})"
    if not _adds(best, original):
        return "merged text adds nothing"
    return "merged text is less similar"


def _take(candidate: Candidate, came_from: str, reason: str, doubt: str | None = None) -> Choice:
    return Choice(candidate.text, came_from, reason, candidate.similarity, doubt)
