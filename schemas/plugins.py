"""Plug-ins: kinds of models, listeners and filter rules that live outside of the package.

    --plugin zcr.py                        a file; what its decorators register is there from then on
    [project.entry-points."qamdt.pmos"]    an installed package; read when its role is first asked for

A role is what can be exchanged: `kinds("pmos", KINDS)` are the built-in kinds and those of the
plug-ins. A plug-in file is imported once, as the module `qamdt_plugin_<stem>_<hash of its text>`,
under which its classes are pickled. `carried` gives what a worker process needs to `receive` the
same files before it unpickles anything of them.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from .errors import ConfigError

GROUPS: Mapping[str, str] = {  # role -> group of entry points
    "listener": "qamdt.listeners",
    "filter": "qamdt.filters",
    "captioner": "qamdt.captioners",
    "embedder": "qamdt.embedders",
    "pmos": "qamdt.pmos",
    "match": "qamdt.matchers",
    "tagger": "qamdt.taggers",
    "llm": "qamdt.llms",
    "codec": "qamdt.codecs",
    "text_encoder": "qamdt.text_encoders",
}
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


@dataclass(frozen=True)
class PluginFile:
    """A plug-in file as it was read: enough to import it again in another process."""

    path: str
    text: str

    @property
    def module(self) -> str:
        """The stable name that it is imported under: another text is another module."""
        stem = re.sub(r"\W", "_", Path(self.path).stem)
        return f"qamdt_plugin_{stem}_{hashlib.sha256(self.text.encode()).hexdigest()[:12]}"


@dataclass(frozen=True)
class _Entry:
    kind: Any
    source: str  # file, entry point or module that registered it
    of: Any  # what the decorator that registered it stood on


_entries: dict[str, dict[str, _Entry]] = {role: {} for role in GROUPS}
_files: dict[str, PluginFile] = {}  # by path, in the order in which they were loaded
_read: set[str] = set()  # roles whose entry points were read
_sources: list[str] = []  # what is being imported now; the innermost last


def load(files: Sequence[str | Path]) -> None:
    """Import plug-in files, each once; one whose text has changed since is imported anew.

    Raises ConfigError naming the file, what is wrong with it and what to do.
    """
    for file in files:
        path = Path(file).expanduser().resolve()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
            raise ConfigError(
                f"plug-in {path} cannot be read: {reason}; give --plugin the path of a Python file"
            ) from error
        receive([PluginFile(str(path), text)])


def carried() -> tuple[PluginFile, ...]:
    """The plug-in files that are loaded here, for `receive` in another process."""
    return tuple(_files.values())


def receive(files: Sequence[PluginFile]) -> None:
    """Import plug-in files by their text, as `load` did where they were read."""
    for file in files:
        if _files.get(file.path) == file:
            continue
        _forget(file.path)
        _import(file)
        _files[file.path] = file


def register(role: str, name: str, kind: Any, of: Any = None, module: str = "") -> None:
    """Make `kind` known as `name` in a role. Raises ConfigError where the name is taken or is none.

    of: the function or class that `kind` was made of, of the module `module`. A module may register
    again what it registered itself: a notebook's cell is run many times.
    """
    _check_role(role)
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{role} {name!r}: expected a name of a-z, 0-9, _ and -, beginning with a letter"
        )
    of = kind if of is None else of
    source = _sources[-1] if _sources else module or str(getattr(of, "__module__", ""))
    old = _entries[role].get(name)
    if old is not None and (_sources or old.source != source):
        raise ConfigError(
            f"{role} {name!r} of {source} is taken: {old.source} has one; rename one of them"
        )
    _entries[role][name] = _Entry(kind, source, of)


def kinds(role: str, builtin: Mapping[str, Any]) -> dict[str, Any]:
    """The built-in kinds of a role and those of plug-ins, by name.

    Raises ConfigError where a plug-in has the name of a built-in kind, or an entry point of the
    role cannot be imported.
    """
    _check_role(role)
    _read_entry_points(role)
    merged = dict(builtin)
    for name, entry in _entries[role].items():
        if name in builtin:
            raise ConfigError(
                f"{role} {name!r} of {entry.source} is taken: qamdt has one; rename the plug-in's"
            )
        merged[name] = entry.kind
    return merged


def _check_role(role: str) -> None:
    if role not in GROUPS:
        raise ConfigError(f"role {role!r}: expected one of {', '.join(GROUPS)}")


def _read_entry_points(role: str) -> None:
    if role in _read:
        return
    for point in importlib.metadata.entry_points(group=GROUPS[role]):
        source = f"the entry point {GROUPS[role]}: {point.name} = {point.value}"
        with _importing(source):
            try:
                kind = point.load()
            except ConfigError:
                raise
            except Exception as error:  # whatever a foreign module raises at its import
                raise ConfigError(
                    f"{source} cannot be imported: {type(error).__name__}: {error}; mend or "
                    "uninstall that package"
                ) from error
            by_decorator = any(entry.of is kind for entry in _entries[role].values())
            if not by_decorator and not isinstance(kind, ModuleType):
                register(role, point.name, kind)
    _read.add(role)


def _forget(path: str) -> None:
    """Take out what an earlier text of a file registered."""
    if old := _files.pop(path, None):
        sys.modules.pop(old.module, None)
        _unregister(path)


def _unregister(source: str) -> None:
    for entries in _entries.values():
        for name in [name for name, entry in entries.items() if entry.source == source]:
            del entries[name]


@contextmanager
def _importing(source: str) -> Iterator[None]:
    """What is registered meanwhile is of `source`, and is taken out again where that fails."""
    _sources.append(source)
    try:
        yield
    except BaseException:
        _unregister(source)
        raise
    finally:
        _sources.pop()


class _TextLoader(importlib.abc.InspectLoader):
    """Imports a text, so that a worker on another machine needs no file."""

    def __init__(self, file: PluginFile) -> None:
        self._file = file

    def get_source(self, fullname: str) -> str:
        return self._file.text

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._file.text, self._file.path)


def _import(file: PluginFile) -> None:
    spec = importlib.util.spec_from_loader(file.module, _TextLoader(file), origin=file.path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"plug-in {file.path} cannot be imported: it has no module spec")
    spec.has_location = True
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.module] = module
    try:
        with _importing(file.path):
            spec.loader.exec_module(module)
    except BaseException as error:
        sys.modules.pop(file.module, None)
        if isinstance(error, ConfigError) or not isinstance(error, Exception):
            raise
        raise ConfigError(
            f"plug-in {file.path} cannot be imported:{_line_of(error, file.path)} "
            f"{type(error).__name__}: {error}; mend the file, or leave out --plugin"
        ) from error


def _line_of(error: Exception, path: str) -> str:
    """` line N:` of the file, the deepest that the error passed."""
    line = error.lineno if isinstance(error, SyntaxError) else None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return f" line {line}:" if line else ""
