"""Runs the shell blocks of documents in this process, and looks up what they name.

Of a shell it knows words, quotes, comments, line continuation and `*`; the programs are our three
commands and `python FILE`. Others (`make`, `git`, `pip` ...) are looked up, not run.
"""

from __future__ import annotations

import runpy
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

from documents import ROOT

sys.path.insert(0, str(ROOT / "docs"))

from gen_cli import Command, commands

FOREIGN = ("git", "cd", "export", "hf", "vllm")


def lines_of(text: str) -> Iterator[list[str]]:
    """The commands of a block, each as its words; `&&` and line ends separate, quotes may hold both."""
    pending = ""
    for line in text.replace("\\\n", " ").splitlines():
        pending += line
        try:
            words = shlex.split(pending, comments=True)
        except ValueError:  # a quotation that goes on in the next line
            pending += "\n"
            continue
        pending = ""
        while "&&" in words:
            at = words.index("&&")
            yield words[:at]
            words = words[at + 1 :]
        if words:
            yield words
    assert not pending, f"a quotation without end: {pending!r}"


def check(words: Sequence[str], known: Mapping[str, Command]) -> None:
    """Fails where a command, flag, make target or extra that `words` name does not exist."""
    program = words[0]
    if program.startswith("qamdt-"):
        _check_command(words, known)
    elif program == "make":
        _check_make(words[1:])
    elif program == "accelerate":
        at = words.index("-m")
        wing = words[at + 1].split(".")[1]
        _check_command([f"qamdt-{wing}", *words[at + 2 :]], known)
    elif program == "pip":
        _check_extras(words)
    elif program == "python":
        assert (ROOT / words[1]).is_file(), f"no file {words[1]}"
    else:
        assert program in FOREIGN, f"{program!r} is no program that documents may use"


def _check_command(words: Sequence[str], known: Mapping[str, Command]) -> None:
    name, rest = words[0], list(words[1:])
    assert name in known, f"there is no command {name}"
    while rest and f"{name} {rest[0]}" in known:
        name = f"{name} {rest.pop(0)}"
    below = [other for other in known if other.startswith(f"{name} ")]
    first_flag = bool(rest) and rest[0].startswith("-")
    assert not below or not rest or first_flag, f"{name} has no command {rest[0]!r}"
    everywhere = {"--help", "-h", "--version"}
    for word in rest:
        flag = word.partition("=")[0]
        if flag.startswith("-") and not flag[1:2].isdigit() and flag != "-":
            there = known[name].flag_names | everywhere
            assert flag in there, f"{name} has no flag {flag}"


def make_targets() -> set[str]:
    """The targets of the Makefile."""
    lines = (ROOT / "Makefile").read_text().splitlines()
    return {line.partition(":")[0] for line in lines if line[:1].isalpha() and ":" in line}


def _check_make(words: Sequence[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    for word in words:
        name, equals, _ = word.partition("=")
        if equals:
            assert f"$({name})" in text or f"ifdef {name}" in text, f"make knows no {name}="
        else:
            assert word in make_targets(), f"make has no target {word}"


def _check_extras(words: Sequence[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for word in words:
        name, bracket, extra = word.rstrip("]").partition("[")
        if name == "qamdt" and bracket:
            assert extra in project["optional-dependencies"], f"qamdt has no extra {extra}"


def run(words: Sequence[str], folder: Path) -> None:
    """Run one of our commands, or a Python file, in `folder`, which is the working folder."""
    expanded = [word for given in words for word in _expand(given, folder)]
    if words[0] == "python":
        file = str(ROOT / words[1])
        _call(lambda: runpy.run_path(file, run_name="__main__"), [file, *expanded[2:]])
    elif words[0].startswith("qamdt-"):
        _call(_main(words[0]), expanded)


def _main(program: str) -> Callable[[], Any]:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    module, _, function = scripts[program].partition(":")
    main: Callable[[], Any] = attrgetter(function)(import_module(module))
    return main


def _expand(word: str, folder: Path) -> list[str]:
    if "*" not in word or " " in word:
        return [word]
    return sorted(str(p.relative_to(folder)) for p in folder.glob(word)) or [word]


def _call(main: Callable[[], Any], argv: list[str]) -> None:
    before, sys.argv = sys.argv, argv
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, f"{' '.join(argv)} ended with {stop.code}"
    finally:
        sys.argv = before


KNOWN = commands()
