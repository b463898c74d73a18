"""What documents name exists: commands, flags, make targets, files, links, tables."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import shell
from documents import DOCUMENTS, PAGES, ROOT, blocks_of, name_of, prose_of, spans_of

from qamdt.schemas.arrow import name_of as table_name
from qamdt.schemas.tables import TABLES
from qamdt.schemas.version import __version__

ROOMS = (
    "audio benchmarks curate docs evaluate examples figures models pipeline recipes reports schemas"
    " tests train"
)
FILE = re.compile(
    rf"(?<![\w/.-])(?:{'|'.join(ROOMS.split())})/[\w./*-]*\.(?:py|md|toml|json|txt|j2)\b"
)
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
FOREIGN_FLAGS = {"--tensor-parallel-size", "--no-deps"}  # of vllm and pip
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_commands_flags_and_targets_in_sentences_exist(document: Path) -> None:
    everywhere = {flag for command in shell.KNOWN.values() for flag in command.flag_names}
    everywhere |= {"--help", "-h", "--version"} | FOREIGN_FLAGS
    for span in spans_of(document):
        if re.match(r"(qamdt-\w+|make) ", span):
            for words in shell.lines_of(span):
                shell.check(words, shell.KNOWN)
        unknown = set(FLAG.findall(span)) - everywhere
        assert not unknown, f"`{span}` names flags that no command has: {unknown}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_flags_in_blocks_exist(document: Path) -> None:
    """Those of blocks that run are looked up as they run; these are of all others."""
    for block in blocks_of(document):
        if block.language == "sh":
            for words in shell.lines_of(block.text):
                shell.check(words, shell.KNOWN)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_that_are_named_exist(document: Path) -> None:
    for name in FILE.findall(document.read_text(encoding="utf-8")):
        assert list(ROOT.glob(name)), f"{name_of(document)} names {name}, which is not there"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(document: Path) -> None:
    for target in LINK.findall(prose_of(document)):
        assert (document.parent / target).exists(), f"{name_of(document)} links to {target}"


def test_every_table_is_explained() -> None:
    page = (ROOT / "docs" / "stations.md").read_text()
    missing = [table_name(cls) for cls in TABLES if f"`{table_name(cls)}`" not in page]
    assert not missing


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    missing = [page.name for page in PAGES if page.name != "README.md" and page.name not in text]
    assert not missing


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8")) <= 7000


def test_citation_has_the_version_and_licence_of_the_package() -> None:
    text = (ROOT / "CITATION.cff").read_text()
    licence = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]
    assert f"\nversion: {__version__}\n" in text
    assert f"\nlicense: {licence}\n" in text
    assert "2405.15863" in text


@pytest.mark.parametrize(
    "line, problem",
    [
        ("qamdt-curate polish DIR", "no command"),
        ("qamdt-curate filter DIR --never-there 1", "no flag"),
        ("make nothing-like-it", "no target"),
        ("make curate NEVER=1", "knows no"),
        ("pip install 'qamdt[nothing]'", "no extra"),
        ("curl https://example.org", "no program"),
    ],
)
def test_what_does_not_exist_is_noticed(line: str, problem: str) -> None:
    (words,) = shell.lines_of(line)
    with pytest.raises(AssertionError, match=problem):
        shell.check(words, shell.KNOWN)
