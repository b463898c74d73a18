"""models/ref.py, models/lazy.py and the kinds of every role: light to import, checked before use."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from checkpoint_builders import tiny_clap

from qamdt.curate.config import ModelsConfig
from qamdt.curate.roles import ROLES, check_models
from qamdt.models.clap.kinds import MATCHERS
from qamdt.models.lazy import LazyModel
from qamdt.models.pmos.kinds import KINDS
from qamdt.models.ref import Kind, check_openers, check_refs, kinds_help, resolve, usages
from qamdt.schemas.errors import ConfigError, ModelError, QamdtError, WeightsMissing
from qamdt.schemas.hashing import hash_file, hash_files, hash_weights

HEAVY = ("torch", "numpy", "transformers", "pyarrow", "scipy", "librosa")


def test_kinds_are_light_to_import() -> None:
    """The help of the commands is made of them."""
    code = (
        "import sys, qamdt.curate.roles\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize("role", ROLES)
def test_every_kind_says_how_it_is_written_and_what_it_is(role: str) -> None:
    """A usage begins with the kind's name, and the help of the setting holds all usages."""
    doc = next(
        f.metadata["doc"] for f in ModelsConfig.__dataclass_fields__.values() if f.name == role
    )
    for (usage, sentence), name in zip(kinds_help(ROLES[role]), ROLES[role], strict=True):
        assert usage.partition("@")[0] == name and sentence and usage in doc
    assert usages(ROLES[role]) in doc


@pytest.mark.parametrize(
    ("role", "name"), [(role, name) for role, kinds in ROLES.items() for name in kinds]
)
def test_a_kind_without_its_place_or_with_one_too_many_is_refused(role: str, name: str) -> None:
    kind: Any = ROLES[role][name]
    wrong = name if "@" in kind.usage else f"{name}@x"
    with pytest.raises(ConfigError, match="needs a place" if "@" in kind.usage else "takes no"):
        resolve(wrong, ROLES[role])


def test_a_plain_callable_is_a_kind_too() -> None:
    """As plug-ins have them: its text stands for the sentence."""

    def loud(where: str, device: str = "cpu") -> str:
        """How loud it is.

        More."""
        return where + device

    kinds = {"a": Kind(loud, "a@X", "A."), "loud": loud}
    assert kinds_help(kinds) == [("a@X", "A."), ("loud", "How loud it is.")]
    assert usages(kinds) == "a@X, loud"
    assert resolve("a@x", kinds) == resolve("loud@x", kinds) == "xcpu"


# --- checks before the first station -------------------------------------------------------------


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    """Kind, path, address and package, each with its role; nothing is told of what is right."""
    models = ModelsConfig(
        pmos=f"wav2vec2@{tmp_path}/gone", match="clapp@x", tagger="embedded",
        captioner="openai-audio@nowhere", llm="vllm@/no/such/folder", device="cpu",
    )  # fmt: skip
    with pytest.raises(ConfigError) as refused:
        check_models(models, tuple(ROLES))
    head, *lines = str(refused.value).splitlines()
    assert head == "4 of the models cannot be used:"
    assert [line.split(":")[0].strip() for line in lines] == ["pmos", "match", "captioner", "llm"]
    for line, words in zip(
        lines, (f"{tmp_path}/gone", "embedded, tagtext, clap, laion", "http://host", "vllm@/no"),
        strict=True,
    ):  # fmt: skip
        assert words in line


def test_one_error_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match=r"config\.json"):
        check_refs({"match": f"clap@{tmp_path}", "pmos": "embedded"}, ROLES)
    with pytest.raises(ModelError, match="2 of the models") as refused:
        check_refs({"match": f"clap@{tmp_path}", "pmos": f"qama@{tmp_path}/x"}, ROLES)
    assert not isinstance(refused.value, WeightsMissing)
    check_refs({"pmos": "embedded"}, ROLES)


def test_other_errors_are_not_swallowed() -> None:
    def bug() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        check_openers({"pmos": bug})


def test_a_check_loads_no_weights(tmp_path: Path) -> None:
    """Nor does it find damage that only loading finds: that is `load`'s."""
    folder = tiny_clap(tmp_path / "clap")
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    check_refs({"match": f"clap@{folder}"}, {"match": MATCHERS})
    with pytest.raises(QamdtError):
        resolve(f"clap@{folder}", MATCHERS).load()


# --- lazy models ---------------------------------------------------------------------------------


def pmos_kinds() -> dict[str, Kind]:
    return KINDS


def test_a_lazy_model_is_named_without_being_loaded_and_pickled_without_itself() -> None:
    lazy = LazyModel("embedded", pmos_kinds)
    name = lazy.identity
    assert name[0] == "pmos-mini" and "net" not in vars(lazy.named)
    lazy.load()
    assert "net" in vars(lazy.opened)
    copy = pickle.loads(pickle.dumps(lazy))
    assert not {"named", "opened"} & vars(copy).keys()
    assert copy.identity == name and "named" not in vars(copy)
    assert copy.opened.model_id == name[0]


def test_a_lazy_model_that_is_not_there_is_told_of_at_first_use() -> None:
    lazy = LazyModel("qama@/no/such/file", pmos_kinds)
    with pytest.raises(WeightsMissing, match="/no/such/file"):
        _ = lazy.identity


# --- hashes --------------------------------------------------------------------------------------


def test_hashes_are_of_the_bytes(tmp_path: Path) -> None:
    """Of several files that of their bytes in order; a changed file has another one."""
    a, b, both = (tmp_path / name for name in "abc")
    a.write_bytes(b"x" * (1 << 20) + b"1")
    b.write_bytes(b"2")
    both.write_bytes(a.read_bytes() + b.read_bytes())
    assert hash_file(both) == hash_files([a, b]) == hash_weights([a, b])
    assert hash_files([a]) == hash_file(a) == hash_weights([a])
    before = hash_weights([b])
    b.write_bytes(b"33")
    assert hash_weights([b]) == hash_file(b) != before
