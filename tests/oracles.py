"""What tests against other tools share: modules that are found or stood in for, figures kept.

Other tools are installed without their own dependencies; what they import and these tests do not
use is put there empty.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from qamdt.benchmarks.figures import write_figures

VISION = ("torchvision", "torchvision.transforms", "torchvision.transforms.functional",
          "torchvision.datasets", "torchvision.models", "PIL", "PIL.Image", "requests")  # fmt: skip
AUDIO = ("resampy", "laion_clap", "encodec", "hypy_utils", "hypy_utils.logging_utils",
         "hypy_utils.nlp_utils", "hypy_utils.tqdm_utils", "hypy_utils.downloader", "msclap",
         "wget")  # fmt: skip
TEXTS = ("torchvision.ops", "torchvision.ops.misc", "wget", "ftfy", "braceexpand", "webdataset",
         "h5py", "sklearn", "sklearn.metrics", "pandas")  # fmt: skip


class _Empty(types.ModuleType):
    """A module in which every name is there and nothing works."""

    __path__: ClassVar[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def stand_in(*names: str) -> None:
    """Put empty modules where nothing is installed."""
    for name in names:
        try:
            __import__(name)
        except ImportError:
            sys.modules[name] = _Empty(name)
            sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None)
            parent, _, child = name.rpartition(".")
            if parent:
                setattr(sys.modules[parent], child, sys.modules[name])


@pytest.fixture(autouse=True)
def _taken_away() -> Iterator[None]:
    """Stand-ins are gone after each test: a library that looks for the real one must not see them."""
    yield
    for name in [n for n, module in sys.modules.items() if isinstance(module, _Empty)]:
        del sys.modules[name]


def oracle(name: str, *stubs: str) -> Any:
    """A module of another tool; the test is skipped where the tool is not installed."""
    root = name.partition(".")[0]
    try:
        found = importlib.util.find_spec(root)
    except ValueError:
        found = None
    if found is None:
        pytest.skip(f"{root} is not installed here; `make test-oracle` has an environment with it")
    stand_in(*stubs)
    return importlib.import_module(name)


def keep(
    name: str, value: float, n: int, unit: str, low: float | None = None, high: float | None = None
) -> None:
    """Print a measured number; `make figures-adapters` also puts it into a file of figures."""
    print(f"\n{name} {value:.3g} {unit} (n = {n})")
    if into := os.environ.get("QAMDT_FIGURES"):
        figure = {"value": value, "low": low, "high": high, "n": n, "unit": unit}
        write_figures(Path(into), {name: {**figure, "command": "make figures-adapters"}})
