"""The choice of the final caption: its laws over all combinations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qamdt.curate.captions.select import Candidate, Verdict, best_merged, select

_SIM = st.none() | st.floats(-1, 1)
_GUARDS = st.sampled_from([(), (), ("empty",), ("too_long",)])
_PROBLEM = st.sampled_from([None, None, "unlike the audio", "file tags"])


def _candidates(name: str) -> st.SearchStrategy[Candidate]:
    return st.builds(Candidate, st.just(name), _SIM, _GUARDS)


_VERDICTS = st.builds(
    Verdict, st.sampled_from(["keep", "take", "better", "merge"]), _PROBLEM, _PROBLEM
)


@given(
    _VERDICTS, st.none() | _candidates("original"), st.none() | _candidates("generated"),
    st.lists(_candidates("original and merged"), max_size=3), st.floats(0, 0.2),
)  # fmt: skip
def test_laws(
    verdict: Verdict,
    original: Candidate | None,
    generated: Candidate | None,
    merged: list[Candidate],
    margin: float,
) -> None:
    choice = select(verdict, original, generated, merged, margin)
    readable = [c for c in (original, generated) if c and c.readable]
    assert (choice.text is None) == (not readable), "a caption is left wherever one can be read"
    assert choice.text is None or choice.text.endswith(choice.came_from or "?")
    assert choice.reason
    if choice.came_from == "merged":
        assert original and original.sound and verdict.original_problem is None
        assert verdict.action == "merge"
    if original and original.readable and choice.came_from in ("merged", "generated"):
        if choice.similarity is not None and original.similarity is not None:
            assert choice.similarity >= original.similarity, "similarity never falls"
        else:
            assert original.similarity is None or not original.sound
    if verdict.original_problem is None and original and original.sound:
        assert choice.doubt is None, "what is believed leaves no doubt"


def test_a_merge_that_fails_leaves_the_original() -> None:
    original = Candidate("a slow piano piece", 0.3)
    for merged in ([], [Candidate("a slow piano piece with a choir", 0.9, ("invented",))],
                   [Candidate("a slow, sad piano piece", 0.2)],
                   [Candidate("A slow piano piece.", 0.9)]):  # fmt: skip
        choice = select(Verdict("merge"), original, Candidate("piano music", 0.9), merged)
        assert choice.text == original.text and choice.doubt is None
    better = Candidate("a slow, sad piano piece", 0.31)
    assert select(Verdict("merge"), original, None, [better]).text == better.text


def test_candidates_are_ranked_by_similarity_after_guards() -> None:
    far, near = Candidate("a", 0.1), Candidate("b", 0.2)
    refused = Candidate("c", 0.9, ("refusal",))
    assert best_merged([far, refused, near]) is near
    assert best_merged([refused]) is refused and best_merged([]) is None


def test_reasons_and_doubts_are_in_words() -> None:
    plain = Candidate("rock music", 0.5)
    none = select(Verdict("take", "missing"), None, plain)
    assert none.reason == "original: missing" and none.doubt is None
    garbled = Candidate("xx", 0.9, ("garbled",))
    assert select(Verdict("take", "garbled"), garbled, plain).text == "rock music"
    far = Candidate("a flute", 0.7)
    kept = select(Verdict("take", "unlike the audio"), far, plain)
    assert kept.text == "a flute" and kept.doubt == "unlike the audio"
    low = select(Verdict("take", "missing", "below rho1"), None, plain)
    assert low.doubt == "below rho1"
    better = Candidate("hard rock music", 0.51)
    agreed = select(Verdict("better"), plain, better, margin=0.05)
    assert agreed.text == "rock music", "nearer by less than the margin"
