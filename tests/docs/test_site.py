"""The site builds strictly, and nothing in it is fetched from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import shell
from documents import ROOT

pytest.importorskip("mkdocs")
LOADED = re.compile(
    r"<(?:script|img|iframe)[^>]+src=\"?(https?:[^\s\">]+)|<link[^>]+href=\"?(https?:[^\s\">]+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site."""
    folder = tmp_path_factory.mktemp("site")
    typing = folder / "typing"
    typing.mkdir()
    (typing / "qamdt").symlink_to(ROOT)
    config = folder / "mkdocs.yml"
    text = (ROOT / "mkdocs.yml").read_text()
    for old, new in (("[.typing]", f"[{typing}]"), ("docs_dir: docs", f"docs_dir: {ROOT}/docs"),
                     ("[docs/hooks.py]", f"[{ROOT}/docs/hooks.py]")):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    config.write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-q", "-f", str(config),
         "-d", str(folder / "site")],
        capture_output=True, text=True, cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert len(pages) > 12
    for page in pages:
        assert not LOADED.findall(page.read_text(encoding="utf-8")), page


def test_every_command_is_in_the_reference(site: Path) -> None:
    text = (site / "commands.html").read_text(encoding="utf-8")
    for name, command in shell.KNOWN.items():
        assert f"<code>{name}</code>" in text
        for flag in command.flag_names:
            assert f"<code>{flag}</code>" in text


def test_every_public_name_is_in_the_api(site: Path) -> None:
    import qamdt

    text = (site / "api.html").read_text(encoding="utf-8")
    for name in qamdt.__all__:
        if not name.startswith("__"):
            assert f"qamdt.{name}" in text


def test_no_mark_is_left(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert "<!-- generated:" not in page.read_text(encoding="utf-8"), page
