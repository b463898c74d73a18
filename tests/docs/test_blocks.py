"""Every shell and Python block of the documents, and every example, runs on a small folder.

Blocks of a page run in order in one working folder with `music/`, `tracks.jsonl`, `captions.jsonl`,
`generated/`, `theirs/`, `examples/` and the curated `out/mine`; Python blocks of a page share their
names. What needs a checkpoint, a GPU or a network is looked up alone.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import shell
from builders import manifest, music, write
from documents import EXAMPLES, LANGUAGES, PAGES, ROOT, Block, blocks_of, name_of

CAPTION = (
    "A lively piece with plucked chords, a deep bass line and a steady hi-hat,"
    " recorded cleanly at a moderate tempo in a major key"
)
COMMAND = re.compile(r"(?:^|: |`)((?:python|qamdt-\w+) [^`\n]+)", re.M)
SLOW_PAGES = [page for page in PAGES if any(block.slow for block in blocks_of(page))]


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with music, generated sounds, captions, and the music curated into out/mine."""
    folder = tmp_path_factory.mktemp("documents")
    for i, suffix in enumerate((".wav", ".flac", ".mp3", ".wav", ".ogg", ".wav")):
        path = write(folder / "music" / f"piece-{i}{suffix}", music(10.24, seed=i, bpm=80 + 12 * i))
        if i < 3:
            path.with_suffix(".txt").write_text(f"{CAPTION}, number {i}")
    for system, seed in (("generated", 20), ("theirs", 40)):
        for i in range(4):
            write(folder / system / f"piece-{i}.wav", music(5, seed=seed + i))
    rows = [{"path": str(p), "caption": CAPTION} for p in sorted((folder / "music").glob("*.wav"))]
    manifest(folder / "tracks.jsonl", rows)
    prompts = [{"id": f"piece-{i}", "caption": f"{CAPTION}, number {i}"} for i in range(4)]
    text = "".join(json.dumps(row) + "\n" for row in prompts)
    (folder / "captions.jsonl").write_text(text)
    shutil.copytree(ROOT / "examples", folder / "examples")
    before = Path.cwd()
    os.chdir(folder)
    try:
        shell.run(["qamdt-curate", "run", "music", "out/mine", "--quiet"], folder)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def no_plugins() -> Iterator[None]:
    """Plug-ins of a page are forgotten after it: the next may have one of the same name."""
    from qamdt.schemas import plugins

    entries = {role: dict(known) for role, known in plugins._entries.items()}
    files = dict(plugins._files)
    yield
    for role, known in plugins._entries.items():
        known.clear()
        known.update(entries[role])
    plugins._files.clear()
    plugins._files.update(files)
    for name in [name for name in sys.modules if name.startswith("qamdt_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def folder(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_plugins: None
) -> Path:
    """A copy of the prepared folder, as the working folder."""
    shutil.copytree(prepared, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / "work"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_run(page: Path, folder: Path) -> None:
    _run_all([block for block in blocks_of(page) if not block.slow], folder)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW_PAGES, ids=name_of)
def test_slow_blocks_run(page: Path, folder: Path) -> None:
    """All blocks of the page, in order: a slow one needs what stands before it."""
    _run_all(blocks_of(page), folder)


def _run_all(blocks: list[Block], folder: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks:
        try:
            _run(block, folder, names)
        except Exception as error:
            raise AssertionError(f"{block}: {type(error).__name__}: {error}") from error


def _run(block: Block, folder: Path, names: dict[str, Any]) -> None:
    if block.file:
        (folder / block.file).write_text(block.text + "\n")
    elif block.language == "sh":
        for words in shell.lines_of(block.text):
            shell.check(words, shell.KNOWN)
            if not block.needs:
                shell.run(words, folder)
    elif block.language == "python":
        code = compile(block.text, str(block), "exec")
        if not block.needs:
            exec(code, names)
    elif block.language == "toml" and block.config:
        file = folder / "settings.toml"
        file.write_text(block.text)
        config = import_module(f"qamdt.{block.config}.config")
        assert config.from_toml(file) != config.Config()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_are_of_known_languages(page: Path) -> None:
    """So that nothing escapes: a block without a language would be neither run nor parsed."""
    for block in blocks_of(page):
        assert block.language in LANGUAGES, block
        if block.language == "toml":
            assert block.config or block.needs, f"{block}: give `<!-- test: config=curate -->`"
            tomllib.loads(block.text)
        if block.language == "json":
            json.loads(block.text)


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_examples_run(example: Path, folder: Path) -> None:
    """By the commands that their docstrings name."""
    doc = ast.get_docstring(ast.parse(example.read_text())) or ""
    lines = [words for line in COMMAND.findall(doc) for words in shell.lines_of(line)]
    assert lines, f"{example.name}: its docstring names no command that runs it"
    less = {"train_tiny.py": ["--steps", "4", "--sampling-steps", "4"]}.get(example.name, [])
    for words in lines:
        shell.check(words, shell.KNOWN)
        shell.run([*words, *less], folder)


@pytest.mark.parametrize("example", EXAMPLES, ids=name_of)
def test_examples_are_short(example: Path) -> None:
    assert len(example.read_text().splitlines()) <= 40
