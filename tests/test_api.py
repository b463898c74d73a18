"""The Python face: its names, its laws, and one small set from files to shards."""

from __future__ import annotations

import inspect
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import qamdt
from qamdt.curate.config import Config
from qamdt.schemas.errors import ConfigError, StoreError
from qamdt.schemas.settings import configured


@dataclass(frozen=True)
class _Section:
    same: int = 0


@dataclass(frozen=True)
class _Two:
    """Two sections that share a setting's name."""

    a: _Section = field(default_factory=_Section)
    b: _Section = field(default_factory=_Section)


@pytest.fixture(scope="module")
def curated(music_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> qamdt.Dataset:
    """Four pieces of 5 s, curated whole in windows of 2 s."""
    return qamdt.curate(music_folder, tmp_path_factory.mktemp("api"), window_s=2.0, llm="none")


def test_every_public_name_is_there_and_documented() -> None:
    assert qamdt.__all__ == sorted(qamdt.__all__)
    for name in qamdt.__all__:
        value = getattr(qamdt, name)
        assert name == "__version__" or inspect.getdoc(value), name
    assert set(qamdt.__all__) <= set(dir(qamdt))


def test_importing_the_package_loads_nothing_but_itself() -> None:
    code = (
        "import sys; before = set(sys.modules); import qamdt;"
        "print(sorted({m.split('.')[0] for m in set(sys.modules) - before} - sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['qamdt']"


def test_packages_are_called_by_their_own_names() -> None:
    from qamdt.curate.api import curate
    from qamdt.evaluate.api import evaluate

    assert inspect.signature(qamdt.curate) == inspect.signature(curate)
    assert inspect.signature(qamdt.evaluate) == inspect.signature(evaluate)


def test_the_line_from_a_program(curated: qamdt.Dataset, capsys: pytest.CaptureFixture) -> None:
    clips = curated.sql("SELECT clip_id, kept, quality_level FROM clips_full ORDER BY clip_id")
    assert len(clips) == len(clips.rows()) == len(clips.df()) == clips.arrow().num_rows > 0
    assert [row["clip_id"] for row in clips] == clips.df()["clip_id"].tolist()
    assert len(curated.table("clips")) == len(clips)
    status = curated.status()
    assert status.funnel.clips == len(clips) and status.df()["fresh"].all()
    assert (curated.root / "report.html").exists()
    assert capsys.readouterr().out == ""


def test_the_same_call_goes_on_and_computes_nothing_twice(
    curated: qamdt.Dataset, music_folder: Path
) -> None:
    parts = {p: p.stat().st_mtime_ns for p in curated.root.glob("pmos/*/*.parquet")}
    again = qamdt.curate(music_folder, curated.root, window_s=2.0, llm="none")
    assert {p: p.stat().st_mtime_ns for p in again.root.glob("pmos/*/*.parquet")} == parts


def test_decisions_are_made_again_without_a_model(curated: qamdt.Dataset) -> None:
    kept = curated.status().funnel.kept
    assert curated.filter(min_pmos=6.0).rows > 0  # nothing reaches it
    assert curated.status().funnel.kept == 0
    qamdt.filter(curated, min_pmos=None)
    assert curated.status().funnel.kept == kept
    assert qamdt.quantize(curated.root, scheme="quantile").counts["levels", "error"] == 0


def test_search_and_report(curated: qamdt.Dataset) -> None:
    hits = curated.search("solo piano", n=3)
    similarity = hits.df()["similarity"]
    assert len(hits) == 3 and similarity.is_monotonic_decreasing and similarity.between(-1, 1).all()
    assert curated.search(like=hits.rows()[0]["clip_id"], n=1).rows()[0]["rank"] == 1
    with pytest.raises(ConfigError, match="one thing to ask by"):
        curated.search()
    page = curated.report()._repr_html_()
    assert page.startswith("<iframe") and "<script" not in page.split(">", 1)[0]


def test_answers_escape_what_they_show(curated: qamdt.Dataset) -> None:
    shown = curated.sql("SELECT '<b>x</b>' AS bold")._repr_html_()
    assert "&lt;b&gt;" in shown and "<b>x" not in shown


def test_what_cannot_be_is_said(tmp_path: Path, curated: qamdt.Dataset) -> None:
    with pytest.raises(StoreError, match="make it first"):
        qamdt.Dataset(tmp_path / "none").sql("SELECT 1")
    with pytest.raises(ConfigError, match=r"no such view; there are .*clips_full"):
        curated.table("clisp")
    with pytest.raises(ConfigError, match="did you mean min_level"):
        qamdt.Dataset(tmp_path, min_levl=2)
    with pytest.raises(StoreError):
        curated.sql("DROP VIEW clips")


def test_settings_find_their_section() -> None:
    flat, nested = configured(Config(), {"min_level": 2}), {"filter": {"min_level": 2}}
    assert flat == configured(Config(), nested) and flat.filter.min_level == 2
    with pytest.raises(ConfigError, match="several sections: give"):
        configured(_Two(), {"same": 1})


def test_evaluation_and_comparison(tmp_path: Path, music_folder: Path) -> None:
    cache = {"cache": str(tmp_path / "cache")}
    ours = qamdt.evaluate(music_folder, out=tmp_path / "ours", metrics=("pmos",), run=cache)
    assert 1 <= ours["pmos"] <= 5.5 and len(ours.clips()) == 4
    assert ours.df()["name"].tolist() == ["pmos"] and "pmos" in repr(ours)
    same = qamdt.compare(ours, tmp_path / "ours")
    assert same.df()["difference"].tolist() == [0.0] and [t.better for t in same] == ["neither"]
    with pytest.raises(KeyError, match="measured were pmos"):
        ours["fad"]
