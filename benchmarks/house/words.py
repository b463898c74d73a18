"""Words that were private to this project and must not come back as identifiers.

An identifier counts where it is exactly one of `WORDS`, begins with one of `PREFIXES`, or names a
module of `MODULES`: names, attributes, arguments, keywords, imports, in product code. Strings and
the columns of row classes do not count: names on disk stay, so that old folders can be read.

Not in the list, though they were renamed somewhere, are plain words that are right elsewhere:
    ask                       the layers of a network keep their names in a checkpoint
    check, choose             verbs of many functions; only a station and its module were renamed
    clip                      an audio clip; only the setting of gradient clipping was renamed
    draw, draws               random numbers are drawn; only the module and its class were renamed
    number, material          a count, sound to damage; only the classes and the module were renamed
    processes, stop, speed    of a machine; only the modules were renamed
    said, found, made, chosen vague, but English: better names are for readers to ask for
    texts                     the plural of text; only the table of embeddings was renamed
    sampling, demos           what they say; only which of them does what was renamed
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .imports import product_files

WORDS = frozenset({
    "Ear", "EmbedderEar", "Heard", "ear", "ears", "hear", "heard", "hearing",  # extractor, extract
    "Told", "told",  # Conditioning
    "Said", "told_by_file",  # source_captions, file_tags
    "Material", "Measured", "Number",  # inputs, results, Measurement
    "QualityLadder",  # QualityEmbedding
    "Studio",  # a model's place in a process
    "Draw",  # randomness
    "Logbook", "logbook",  # metrics_log
    "tell", "say",  # log
    "calm", "made_again",  # normed, recomputed
    "asking",  # n_queries; heard, of attention: n_keys
    "turn", "turned",  # rotate, rotated
    "nowhere", "somewhere",  # require_no_path, require_path
    "echo", "echoes",  # near_duplicates
    "whole",  # state_dicts; a reference run
    "believe", "fits", "sure",  # thresholds by their names
})  # fmt: skip
PREFIXES = ("HeardBy",)
MODULES = frozenset({
    "ear", "ears", "hear", "hearing", "material", "logbook", "whole", "told", "echoes", "studio",
    "draws", "make_sounds",
})  # fmt: skip

Place = tuple[Path, int, str]  # file, line, word


def old_words(root: Path) -> list[Place]:
    """Every old word in the product code below `root`."""
    files = product_files(root)
    trees = {path: ast.parse((root / path).read_text(encoding="utf-8")) for path in files}
    columns = {name for tree in trees.values() for _, name in _columns(tree)}
    places: list[Place] = [(path, 0, path.stem) for path in files if path.stem in MODULES]
    for path, tree in trees.items():
        declared = set(_columns(tree))
        for line, name, is_keyword in identifiers(tree):
            is_column = (line, name) in declared or (is_keyword and name in columns)
            if (name in WORDS or name.startswith(PREFIXES)) and not is_column:
                places.append((path, line, name))
    return places


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """(line, name, is it the keyword of a call) of every identifier of a module.

    Those inside f-strings count; `typer.echo` is another library's.
    """
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        names: list[str | None] = []
        match node:
            case ast.Attribute(value=ast.Name(id="typer"), attr="echo"):
                continue
            case ast.Name(id=name) | ast.Attribute(attr=name):
                names = [name]
            case ast.arg(arg=name) | ast.keyword(arg=name):
                names = [name]
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names = [name]
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=name) | ast.MatchAs(name=name):
                names = [name]
            case ast.Global(names=several) | ast.Nonlocal(names=several):
                names = [*several]
            case ast.alias(name=name, asname=asname):
                names = [*name.split("."), asname]
            case ast.ImportFrom(module=module):
                names = [*(module or "").split(".")]
        yield from ((line, name, isinstance(node, ast.keyword)) for name in names if name)


def _columns(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of the columns that row classes declare: `name: type = col(...)`."""
    for node in ast.walk(tree):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.Call(func=ast.Name(id="col"))):
                yield node.lineno, name
