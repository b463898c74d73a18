"""The graph of imports between our modules, read from the source without running it.

A room is a top folder of the package. Rooms import downwards alone (`ORDER`), and no module imports
itself by way of others. Every import statement counts: inside functions and for type checkers too.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

PACKAGE = "qamdt"
ORDER = (  # lower rooms first; the rooms of one row do not import one another
    ("schemas",), ("audio",), ("pipeline",), ("reports",), ("models",),
    ("curate", "train", "evaluate"), ("recipes",), ("benchmarks",), ("",),
)  # fmt: skip
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}  # "" is the package root
SKIPPED = {"build", "dist", "out", "site", "__pycache__"}

Edge = tuple[Path, Path, int]  # a file, a file that it imports, the line


def python_files(root: Path) -> list[Path]:
    """Every .py file below `root`, relative to it, but those of hidden and of build folders."""
    files: list[Path] = []
    for folder, inner, names in os.walk(root):
        inner[:] = sorted(n for n in inner if n not in SKIPPED and not n.startswith("."))
        files += [Path(folder, n).relative_to(root) for n in names if n.endswith(".py")]
    return sorted(files)


def product_files(root: Path) -> list[Path]:
    """The files of the rooms, and of the package's root."""
    return [path for path in python_files(root) if room_of(path) in RANK]


def room_of(path: Path) -> str:
    """The room of a file relative to the root; "" for a file in the root itself."""
    return path.parts[0] if len(path.parts) > 1 else ""


def edges(root: Path) -> list[Edge]:
    """The imports between product files. Raises ImportError for one of a module that is not there."""
    files = product_files(root)
    modules = {_module(path): path for path in files}
    out: list[Edge] = []
    for path in files:
        tree = ast.parse((root / path).read_text(encoding="utf-8"))
        for line, base, name in _imported(tree, path):
            target = modules.get(f"{base}.{name}") or modules.get(base)
            if target is None:
                raise ImportError(f"{path}:{line} imports {name} from {base}, which is not there")
            if target != path:
                out.append((path, target, line))
    return out


def circles(edges: list[Edge]) -> list[list[Path]]:
    """Groups of files each of which imports each other one, by whatever way."""
    import networkx

    graph = networkx.DiGraph((source, target) for source, target, _ in edges)
    return [sorted(c) for c in networkx.strongly_connected_components(graph) if len(c) > 1]


def upward(edges: list[Edge]) -> list[Edge]:
    """The imports that do not lead from a room down to a lower one."""
    return [
        (source, target, line)
        for source, target, line in edges
        if room_of(source) != room_of(target) and RANK[room_of(target)] >= RANK[room_of(source)]
    ]


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join([PACKAGE, *(parts[:-1] if parts[-1] == "__init__" else parts)])


def _imported(tree: ast.AST, path: Path) -> Iterator[tuple[int, str, str]]:
    """(line, module, name) of the imports from this package; name is "" for `import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = [PACKAGE, *path.parts[:-1]]
                package = package[: len(package) - node.level + 1]
                base = ".".join([*package, *([node.module] if node.module else [])])
            if base.split(".")[0] == PACKAGE:
                yield from ((node.lineno, base, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == PACKAGE:
                    yield node.lineno, alias.name, ""
