"""Plug-ins: a file is imported once, its names are its own, and what is wrong is said."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path

import pytest

from qamdt.schemas import plugins
from qamdt.schemas.errors import ConfigError

KIND = """
import pickle
from qamdt.schemas.plugins import register

class Mine:
    def __init__(self, where, device="cpu"):
        self.where = where

register("pmos", {name!r}, Mine)
"""


pytestmark = pytest.mark.usefixtures("plugin_registry")


def _write(folder: Path, text: str, name: str = "mine.py") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_adds_a_kind_beside_the_built_in_ones(tmp_path: Path) -> None:
    path = _write(tmp_path, KIND.format(name="mine"))
    plugins.load([path, path])
    found = plugins.kinds("pmos", {"embedded": object})
    assert list(found) == ["embedded", "mine"] and found["mine"]("x").where == "x"
    assert "mine" not in plugins.kinds("match", {})
    (file,) = plugins.carried()
    assert file.path == str(path) and found["mine"].__module__ == file.module


def test_what_is_pickled_is_found_by_another_process(tmp_path: Path) -> None:
    """The file may be gone by then: its text is carried."""
    path = _write(tmp_path, KIND.format(name="mine"))
    plugins.load([path])
    instance = pickle.dumps(plugins.kinds("pmos", {})["mine"]("place"))
    carried = pickle.loads(pickle.dumps(plugins.carried()))
    path.unlink()
    plugins._forget(str(path))
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(instance)
    plugins.receive(carried)
    assert pickle.loads(instance).where == "place"


def test_an_edited_file_takes_the_place_of_its_old_text(tmp_path: Path) -> None:
    plugins.load([_write(tmp_path, KIND.format(name="old"))])
    plugins.load([_write(tmp_path, KIND.format(name="new"))])
    assert list(plugins.kinds("pmos", {})) == ["new"] and len(plugins.carried()) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def f(:\n", r"line 1: SyntaxError"),
        ("\nimport no_such_module_at_all\n", r"line 2: ModuleNotFoundError.*mend the file"),
        ("1 / 0\n", r"mine\.py cannot be imported: line 1: ZeroDivisionError"),
        (KIND.format(name="Two Words"), "expected a name of a-z"),
        (KIND.format(name="mine") * 2, "'mine' of .* is taken"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_and_leaves_nothing(
    tmp_path: Path, text: str, words: str
) -> None:
    path, before = _write(tmp_path, text), set(sys.modules)
    with pytest.raises(ConfigError, match=words):
        plugins.load([path])
    assert plugins.kinds("pmos", {}) == {} and plugins.carried() == ()
    new = set(sys.modules) - before
    assert not any(name.startswith("qamdt_plugin_mine") for name in new)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.py cannot be read: No such file.*--plugin"):
        plugins.load([tmp_path / "none.py"])


def test_names_of_others_are_refused(tmp_path: Path) -> None:
    plugins.load([_write(tmp_path, KIND.format(name="mine"))])
    with pytest.raises(ConfigError, match=r"other\.py is taken: .*mine\.py has one"):
        plugins.load([_write(tmp_path, KIND.format(name="mine"), "other.py")])
    with pytest.raises(ConfigError, match="qamdt has one"):
        plugins.kinds("pmos", {"mine": object})
    with pytest.raises(ConfigError, match="expected one of listener"):
        plugins.kinds("ears", {})


def test_entry_points_are_read_when_their_role_is_first_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed distribution, as pip leaves it; nothing of it is imported before."""
    info = tmp_path / "ours-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ours\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[qamdt.matchers]\nplain = ours_plain:Kind\n[qamdt.pmos]\nmine = ours_marked:Mine\n"
        "[qamdt.llms]\nbroken = ours_broken:x\n"
    )
    _write(tmp_path, "class Kind: pass\n", "ours_plain.py")
    _write(tmp_path, KIND.format(name="mine"), "ours_marked.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    plugins._read.clear()
    assert not {"ours_plain", "ours_marked"} & sys.modules.keys()
    assert list(plugins.kinds("match", {"embedded": 1})) == ["embedded", "plain"]
    assert "ours_marked" not in sys.modules
    assert list(plugins.kinds("pmos", {})) == ["mine"] == list(plugins.kinds("pmos", {}))
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"qamdt\.llms: broken = ours_broken:x cannot be"):
            plugins.kinds("llm", {})
