"""A package that can be called: `qamdt.curate(...)` beside `from qamdt.curate import config`.

The wings keep their folders' names, and a program calls them by the same words. The package's
module gets a class whose `__call__` is the wing's function, imported at the first call.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def make_callable(package: str, module: str, function: str) -> None:
    """Let calls of the package `package` go to `function` of its submodule `module`."""

    class CallablePackage(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return _function()(*args, **kwargs)

        @property
        def __signature__(self) -> Any:
            import inspect

            return inspect.signature(_function())

    def _function() -> Any:
        return getattr(importlib.import_module(f"{package}.{module}"), function)

    sys.modules[package].__class__ = CallablePackage
