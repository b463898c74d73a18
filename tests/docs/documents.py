"""The documents as tests read them: fenced blocks with their marks, code spans, links.

A comment before a block says how it is tested:

    <!-- test: needs=checkpoint -->            its commands are looked up, nothing is run
    <!-- test: slow -->                        run with the slow tests alone
    <!-- test: replace "--steps 1500" "--steps 4" -->     run with less to do
    <!-- test: config=train -->                TOML: the settings of `qamdt-train`
    <!-- test: file=zcr.py -->                 written to that file instead of being run
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DOCUMENTS = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LANGUAGES = ("sh", "python", "toml", "json", "text")

_MARK = re.compile(r"<!-- test: (.*) -->")
_FENCE = re.compile(r"```(\w*)")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    document: str
    line: int
    language: str
    text: str
    needs: str | None = None
    slow: bool = False
    config: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def name_of(path: Path) -> str:
    """As `docs/tutorial.md`."""
    return path.relative_to(ROOT).as_posix()


def blocks_of(path: Path) -> list[Block]:
    """The fenced blocks of a document, in order, what their marks replace replaced."""
    return list(_blocks(path.read_text(encoding="utf-8").splitlines(), name_of(path)))


def _blocks(lines: list[str], document: str) -> Iterator[Block]:
    mark, start, language = "", 0, ""
    for number, line in enumerate(lines, 1):
        fence = _FENCE.fullmatch(line)
        if not start and fence:
            start, language = number, fence[1]
        elif start and line == "```":
            yield _block(document, start, language, lines[start : number - 1], mark)
            mark, start = "", 0
        elif not start and line.strip():
            found = _MARK.fullmatch(line)
            mark = found[1] if found else ""


def _block(document: str, line: int, language: str, lines: list[str], mark: str) -> Block:
    text = "\n".join(lines)
    needs = config = file = None
    slow = False
    words = iter(shlex.split(mark))
    for word in words:
        key, _, value = word.partition("=")
        if word == "slow":
            slow = True
        elif word == "replace":
            old, new = next(words), next(words)
            assert old in text, f"{document}:{line} has no {old!r} to replace"
            text = text.replace(old, new)
        elif key == "needs":
            needs = value
        elif key == "config":
            config = value
        elif key == "file":
            file = value
        else:
            raise AssertionError(f"{document}:{line}: the mark {word!r} is not known")
    return Block(document, line, language, text, needs, slow, config, file)


def prose_of(path: Path) -> str:
    """A document without its fenced blocks."""
    kept, inside = [], False
    for line in path.read_text(encoding="utf-8").splitlines():
        if _FENCE.fullmatch(line):
            inside = not inside
        elif not inside:
            kept.append(line)
    return "\n".join(kept)


def spans_of(path: Path) -> list[str]:
    """What stands between backticks in the prose, line breaks as blanks."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose_of(path))]
