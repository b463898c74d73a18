"""A folder of everything that goes wrong: rows with errors that name the file, and exit 0."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import (
    broken_folder,
    hour_long,
    music,
    needs_permissions,
    odd_names,
    truncated,
    unreadable,
    write,
)
from typer.testing import CliRunner

from qamdt.curate.cli import app
from qamdt.pipeline.views import connect


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zero bytes, text as wav, truncated, 0.2 s, an hour, no permission, odd names, link loops."""
    folder = tmp_path_factory.mktemp("bad") / "in"
    folder.mkdir()
    broken_folder(folder)
    write(folder / "whole.wav", music(12))
    hour_long(folder / "hour.flac")
    truncated(folder / "cut.mp3", duration_s=30.0)
    unreadable(folder / "secret.wav")
    odd_names(folder)
    (folder / "again").symlink_to(folder)
    return folder


def test_the_run_goes_on_and_says_what_was_wrong(folder: Path, tmp_path: Path) -> None:
    cli, data = CliRunner(), str(tmp_path / "data")
    for command in (
        ["ingest", str(folder), data],
        ["score", data, "--only", "signal"],
        ["filter", data, "--no-need-caption"],
        ["export", data, "--audio", "path"],
        ["report", data],
    ):
        done = cli.invoke(app, command)
        assert done.exit_code == 0, done.output
    with connect(data) as con:
        files = {Path(p).name: (s, m) for p, s, m in con.execute(
            "SELECT path, status, error_message FROM files"
        ).fetchall()}  # fmt: skip
        clips = con.execute(
            "SELECT path, s.status, s.error_message, drop_reasons FROM clips"
            " JOIN signal s USING (clip_id) JOIN decisions d USING (clip_id)"
        ).fetchall()
        n, planned = con.execute(
            "SELECT (SELECT count(*) FROM signal), (SELECT count(*) FROM clips WHERE skip IS NULL)"
        ).fetchall()[0]
    assert n == planned > 350, "an hour has 351 windows"
    found = {p.name for p in folder.iterdir() if p.is_symlink() or not p.is_dir()}
    assert found == set(files), "every name in the folder is a row"
    bad = {"zero.wav", "text.wav", "bytes.mp3", "loop.wav", "dangling.wav", "again"}
    bad |= {"secret.wav"} if needs_permissions() else set()
    assert {name for name, (status, _) in files.items() if status == "error"} == bad
    assert all(name in message for name, (_, message) in files.items() if message)
    errors = {Path(p).name: (m, r) for p, s, m, r in clips if s == "error"}
    assert "cut.mp3" in errors and "cut.flac" in errors
    assert all(
        name in message and "error" in reasons for name, (message, reasons) in errors.items()
    )
    assert cli.invoke(app, ["filter", data, "--no-need-caption", "--strict"]).exit_code == 3
