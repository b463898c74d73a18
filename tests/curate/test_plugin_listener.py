"""A listener in a file outside of the package: its table, in process, on Ray and by command."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import qamdt
from qamdt.curate.cli import app
from qamdt.schemas.errors import ConfigError

pytestmark = pytest.mark.usefixtures("plugin_registry")
PLUGIN = Path(__file__).parents[2] / "examples" / "zero_crossings.py"


def scored(music: Path, out: Path, workers: int = 0) -> qamdt.Dataset:
    dataset = qamdt.Dataset(out, plugins=[PLUGIN], window_s=2.0, workers=workers)
    dataset.ingest(music)
    dataset.score(only=("zcr",))
    return dataset


def test_in_process_and_on_ray_the_rows_are_the_same(music_folder: Path, tmp_path: Path) -> None:
    here = scored(music_folder, tmp_path / "here").table("zcr").rows()
    there = scored(music_folder, tmp_path / "ray", workers=2).table("zcr").rows()
    assert len(here) > 0 and all(row["crossings"] > 0 for row in here)
    assert sorted(here, key=lambda r: r["clip_id"]) == sorted(there, key=lambda r: r["clip_id"])


def test_its_column_is_asked_and_filtered_by(music_folder: Path, tmp_path: Path) -> None:
    dataset = scored(music_folder, tmp_path)
    median = dataset.sql("SELECT median(crossings) AS m FROM clips_full").rows()[0]["m"]
    dataset.filter(where=[f"calm: crossings < {median}"], need_caption=False)
    rows = dataset.sql(
        "SELECT crossings, drop_reasons FROM clips_full WHERE crossings IS NOT NULL"
    ).rows()
    assert {row["crossings"] < median for row in rows} == {True, False}
    for row in rows:
        assert ("calm" in row["drop_reasons"]) == (row["crossings"] >= median)


def test_by_command(music_folder: Path, tmp_path: Path) -> None:
    run = CliRunner()
    out = str(tmp_path)
    assert run.invoke(app, ["ingest", str(music_folder), out, "--window-s", "2"]).exit_code == 0
    flags = ["--plugin", str(PLUGIN), "--only", "zcr", "--quiet"]
    assert run.invoke(app, ["score", out, *flags]).exit_code == 0
    done = run.invoke(app, ["sql", out, "SELECT count(crossings) AS n FROM clips_full"])
    assert done.exit_code == 0 and "zcr" in run.invoke(app, ["status", out]).output
    kept = run.invoke(app, ["filter", out, "--where", "crossings < 0", "--no-need-caption"])
    assert kept.exit_code == 0 and qamdt.Dataset(out).status().funnel.kept == 0


def test_what_is_no_plugin_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.py"):
        qamdt.Dataset(tmp_path, plugins=[tmp_path / "none.py"])
