"""The choice of the final caption: its laws over all combinations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from qamdt.curate.choose import Candidate, choose

_SIM = st.none() | st.floats(-1, 1)
_GUARDS = st.sampled_from([(), ("empty",), ("refusal",)])


def _candidates(name: str) -> st.SearchStrategy[Candidate | None]:
    return st.none() | st.builds(Candidate, st.just(name), _SIM, _GUARDS)


@given(
    _candidates("original"), _candidates("generated"), _candidates("merged"),
    st.booleans(), st.floats(-1, 1),
)  # fmt: skip
def test_laws(
    original: Candidate | None,
    generated: Candidate | None,
    merged: Candidate | None,
    weak: bool,
    floor: float,
) -> None:
    choice = choose(original, generated, merged, weak, floor)
    sound = [c for c in (original, generated) if c and c.sound]
    assert (choice.text is None) == (not sound), "a caption is left wherever a sound one was"
    assert choice.came_from == choice.text, "the origin names the text taken"
    assert choice.reason
    if choice.came_from == "merged":
        assert merged and original and merged.sound and original.sound
        assert merged.similarity >= original.similarity, "an LLM's text never lowers similarity"
    if original and original.sound and not weak and choice.came_from == "generated":
        assert generated is not None
        if original.similarity is not None and generated.similarity is not None:
            assert generated.similarity >= original.similarity


def test_reasons_are_in_words() -> None:
    plain = Candidate("rock music", 0.5)
    assert choose(None, plain, None, False, 0.0).reason == "no original"
    garbled = Candidate("xx", 0.9, ("garbled",))
    assert choose(garbled, plain, None, False, 0.0).reason == "original is garbled"
    far = Candidate("a flute", -0.2)
    assert choose(far, plain, None, False, 0.0).text == "rock music"
