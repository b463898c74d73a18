"""Laws of the code itself: imports, sizes; and that what measures them sees a breach."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from qamdt.benchmarks.house.__main__ import ROOT, code_figures
from qamdt.benchmarks.house.commands import cpu_s
from qamdt.benchmarks.house.imports import circles, edges, python_files, upward
from qamdt.benchmarks.house.suite import isa_figures, suite_figures
from qamdt.benchmarks.house.words import old_words


def tree(root: Path, **files: str) -> Path:
    """A package of these files; `a__b` is a/b.py."""
    (root / "README.md").write_text("x" * 12)
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return root


# --- the laws ----------------------------------------------------------------------------------


def test_imports_run_downwards_and_in_no_circle() -> None:
    graph = edges(ROOT)
    assert len(graph) > 1000
    assert circles(graph) == []
    assert upward(graph) == []


def test_rooms_and_files_are_of_a_size_to_read() -> None:
    figures = code_figures(ROOT)
    assert figures["largest_room"]["value"] <= 16, figures["largest_room"]["unit"]
    assert figures["longest_file"]["value"] <= 400, figures["longest_file"]["unit"]
    assert figures["median_file_lines"]["value"] <= 150


# --- what measures them ------------------------------------------------------------------------


def test_a_circle_is_seen_however_it_is_imported(tmp_path: Path) -> None:
    """Through a third module, inside a function, by an absolute name."""
    tree(
        tmp_path, audio__one="from .two import x", audio__two="def f():\n    from . import three",
        audio__three="import qamdt.audio.one", audio__four="from .one import x",
    )  # fmt: skip
    (circle,) = circles(edges(tmp_path))
    assert [path.name for path in circle] == ["one.py", "three.py", "two.py"]


def test_an_import_upwards_or_across_is_seen(tmp_path: Path) -> None:
    tree(
        tmp_path, schemas__a="", audio__b="from ..schemas.a import x\nfrom ..models import c",
        models__c="from ..audio import b", curate__d="from ..train.e import x", train__e="",
    )  # fmt: skip
    found = [(str(source), str(target), line) for source, target, line in upward(edges(tmp_path))]
    assert found == [("audio/b.py", "models/c.py", 2), ("curate/d.py", "train/e.py", 1)]


def test_an_import_of_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImportError, match=r"a\.py:1 imports x from qamdt\.audio\.gone"):
        edges(tree(tmp_path, audio__a="from .gone import x"))


def test_build_and_hidden_folders_are_no_code(tmp_path: Path) -> None:
    tree(tmp_path, audio__a="", build__b="")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "c.py").write_text("")
    assert python_files(tmp_path) == [Path("audio/a.py")]


def test_old_words_are_identifiers_and_no_strings_or_columns(tmp_path: Path) -> None:
    code = '''
def f(told, heard_of):
    """told, heard"""
    x.ears = f"{hear}"
    typer.echo("echo")
    return Row(sure=1), g(fits=2)
class HeardByAll: ...
class Row:
    sure: float = col("a name on disk")
'''
    places = old_words(tree(tmp_path, models__a=code, models__logbook="", docs__b="told = 1"))
    assert sorted(word for _, _, word in places) == [
        "HeardByAll", "ears", "fits", "hear", "logbook", "told",
    ]  # fmt: skip
    assert {(path.name, line) for path, line, word in places if word == "told"} == {("a.py", 2)}


def test_sizes_are_counted(tmp_path: Path) -> None:
    three = "x = 1\n" * 3
    tree(tmp_path, audio__a=three, audio__b="x = 1\n", examples__z=three)
    (tmp_path / "audio" / "__init__.py").write_text("")
    figures = code_figures(tmp_path)
    assert {name: figures[name]["value"] for name in figures} == {
        "circles": 0, "upward_imports": 0, "median_file_lines": 3, "longest_file": 3,
        "largest_room": 3, "old_words": 0, "readme_chars": 12,
    }  # fmt: skip


def test_the_suite_is_read_from_junit_files(tmp_path: Path) -> None:
    cases = """<testcase classname="tests.test_old_folders" name="a"/>
      <testcase classname="tests.test_old_folders" name="b"><failure/></testcase>"""
    suite = f'<testsuite tests="9" failures="1" errors="2" time="90.0">{cases}</testsuite>'
    (tmp_path / "s.xml").write_text(f"<testsuites>{suite}</testsuites>")
    figures = suite_figures(tmp_path / "s.xml", "make test")
    assert figures["test_minutes"]["value"] == 1.5 and figures["test_minutes"]["n"] == 9
    assert figures["old_folders_read"]["value"] == 0.5
    assert isa_figures([tmp_path / "s.xml"] * 3, "x")["isa_failures"]["value"] == 9


def test_cpu_time_is_of_the_command() -> None:
    """Work counts, waiting does not."""
    work = "import time\nwhile time.process_time() < .4: pass"
    assert cpu_s([sys.executable, "-c", work]) >= 0.4
    assert cpu_s(["sleep", "0.3"]) < 0.2
