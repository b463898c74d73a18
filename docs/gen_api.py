"""The page of the Python API: a mkdocstrings block for each public name of `qamdt`."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType


def markdown() -> str:
    """`::: module.name` for every name of `qamdt.__all__`, under the name by which it is used."""
    return "\n".join(_blocks())


def _blocks() -> Iterator[str]:
    package = importlib.import_module("qamdt")
    for name in package.__all__:
        if not name.startswith("__"):
            yield f"::: {_home(getattr(package, name), name)}"
            yield f'    options:\n      heading: "qamdt.{name}"\n      toc_label: "{name}"\n'


def _home(value: object, name: str) -> str:
    """Where a name is defined, which is where its docstring is read."""
    if isinstance(value, ModuleType):  # a wing that is called by its own name
        return f"{value.__name__}.api.{name}"
    module = getattr(value, "__module__", "qamdt")
    return f"{module}.{getattr(value, '__qualname__', name)}"


if __name__ == "__main__":
    print(markdown())
