"""Settings of any wing: dataclass < TOML < flag, and TOML that reads back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qamdt.schemas.errors import ConfigError
from qamdt.schemas.settings import converted, from_toml, override, params_of, setting, to_toml


@dataclass(frozen=True)
class Part:
    number: float = setting(1.0, "a number")
    count: int | None = setting(None, "a count")
    levels: tuple[float, ...] = setting((1.0, 2.0), "numbers")
    names: tuple[str, ...] = setting((), "words")


@dataclass(frozen=True)
class Whole:
    part: Part = field(default_factory=Part)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "number": st.floats(allow_nan=False, allow_infinity=False),
            "count": st.none() | st.integers(-(2**60), 2**60),
            "levels": st.lists(st.floats(-1e6, 1e6)),
            "names": st.lists(st.text(st.characters(codec="utf-8"), max_size=5)),
        },
    )
)
def test_toml_reads_back_whatever_is_set(values: dict) -> None:
    import tempfile

    config = override(Whole(), "part", values)
    with tempfile.NamedTemporaryFile("w", suffix=".toml", encoding="utf-8", newline="") as f:
        f.write(to_toml(config))
        f.flush()
        assert from_toml(Path(f.name), Whole()) == config


def test_an_integer_stands_for_a_float_and_true_does_not_stand_for_a_number() -> None:
    assert converted(Part, {"number": 3, "levels": [1, 2.5]}) == {
        "number": 3.0,
        "levels": (1.0, 2.5),
    }
    for wrong in ({"number": True}, {"count": 1.5}, {"levels": ["x"]}, {"names": "ab"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            converted(Part, wrong)


@dataclass(frozen=True)
class Renamed:
    min_z: float = setting(1.0, "a number", was="fits")
    other: int = setting(2, "another")


@dataclass(frozen=True)
class WithRenamed:
    part: Renamed = field(default_factory=Renamed)


def test_an_old_name_is_read_with_a_note_and_stays_in_fingerprints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.toml").write_text("[part]\nfits = 2\n")
    config = from_toml(tmp_path / "old.toml", WithRenamed())
    assert config.part == Renamed(min_z=2.0)
    assert "[part] fits is now called min_z" in capsys.readouterr().err
    assert "fits" not in to_toml(config) and "min_z = 2.0" in to_toml(config)
    assert params_of(config.part) == {"fits": 2.0, "other": 2}
    assert params_of(config.part, ("min_z",)) == {"fits": 2.0}
    with pytest.raises(ConfigError, match="are one setting"):
        converted(Renamed, {"fits": 2.0, "min_z": 1.0})
