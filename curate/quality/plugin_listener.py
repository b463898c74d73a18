"""A listener made of a plug-in's function or class, and the table that it fills."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from ...schemas.arrow import SHARED, Column, declaration_of, name_of, own_columns, row_class
from ...schemas.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from ...audio.sound import Sound
    from ...pipeline.audio_pass import Answer

WORD = re.compile(r"[a-z][a-z0-9_]*")
# Names that views and temporary tables have.
_RESERVED = frozenset(
    "clips_full clips_found clips_history files_history duplicates done failed wanted compared"
    " nearest new_bounds counted excluded shards shard_errors".split()
)


@dataclass(eq=False)
class PluginListener:
    """A listener made of a function `sound -> float or dict`, or of a class with `extract(sounds)`.

    writes: its row class. made_of: the function, or the class, which `open` calls without arguments.
    source_sha256: of its source text, a part of the fingerprint: an edited one is another state.
    """

    writes: type
    version: int
    made_of: Callable[..., Any]
    source_sha256: str

    @property
    def model_id(self) -> str:
        return str(getattr(self.made_of, "model_id", ""))

    @property
    def weights(self) -> str:
        return str(getattr(self.made_of, "weights", ""))

    @property
    def params(self) -> dict[str, Any]:
        return {"source_sha256": self.source_sha256}

    @cached_property
    def _instance(self) -> Any:
        return self.made_of()

    def open(self) -> None:
        """Call the class's `open`, where it has one."""
        if isinstance(self.made_of, type) and hasattr(self._instance, "open"):
            self._instance.open()

    def extract(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        """One answer a sound. What a function raises is the error of that sound's row."""
        if isinstance(self.made_of, type):
            return [self._columns(answer) for answer in self._instance.extract(sounds)]
        return [self._answer(sound) for sound in sounds]

    def _answer(self, sound: Sound) -> Answer:
        try:
            return self._columns(self.made_of(sound))
        except Exception as error:  # noqa: BLE001 - a plug-in's trouble with a sound is that row's
            return error

    def _columns(self, answer: Any) -> Answer:
        """The columns of an answer; an error where it is not what was declared."""
        if isinstance(answer, Exception):
            return answer
        names = own_columns(self.writes)
        columns = answer if isinstance(answer, Mapping) else {names[0]: answer}
        if set(columns) - set(names) or (columns is not answer and len(names) > 1):
            return ModelError(
                f"listener {name_of(self.writes)} gave {answer!r}: expected a dict with the keys "
                f"{', '.join(names)}" + ("" if len(names) > 1 else ", or a number")
            )
        return _finite(name_of(self.writes), columns)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled is what the row class is made of, and no instance."""
        spec = declaration_of(self.writes).made_of
        return _unpickled, (spec, self.version, self.made_of, self.source_sha256)


def _unpickled(spec: Any, version: int, made_of: Callable[..., Any], sha256: str) -> PluginListener:
    return PluginListener(row_class(*spec), version, made_of, sha256)


def _finite(table: str, columns: Mapping[str, Any]) -> Answer:
    numbers: dict[str, float | None] = {}
    for name, value in columns.items():
        try:
            number = None if value is None else float(value)
        except (TypeError, ValueError):
            return ModelError(f"listener {table} gave {name} = {value!r}: expected a number")
        if number is not None and not abs(number) < float("inf"):  # NaN compares as false
            return ModelError(f"listener {table} gave {name} = {number}: expected a finite number")
        numbers[name] = number
    return numbers


def checked_columns(name: str, columns: Mapping[str, str]) -> tuple[Column, ...]:
    """The columns of a table, if its name and theirs are free. Raises ConfigError."""
    from ...pipeline.views import full_columns
    from ...schemas.tables import TABLES, Clip

    ours = {name_of(cls) for cls in TABLES}
    if not WORD.fullmatch(name) or name in ours | _RESERVED or re.match(r"done_\d", name):
        raise ConfigError(
            f"listener {name!r}: expected a name of a-z, 0-9 and _ that no table of qamdt has"
        )
    if not columns:
        raise ConfigError(f'listener {name!r}: name its columns: listener("{name}", x="meaning")')
    taken = {*SHARED, "errors", *own_columns(Clip), *full_columns(TABLES)}
    for column in columns:
        if not WORD.fullmatch(column) or column in taken:
            raise ConfigError(
                f"listener {name!r}, column {column!r}: expected a name of a-z, 0-9 and _ that no "
                "column of clips_full has"
            )
    return tuple((column, str(doc), "", pa.float64()) for column, doc in columns.items())


def source_sha256(made_of: Callable[..., Any]) -> str:
    """The hash of a function's or class's text, its decorators left out; of its code without one."""
    try:
        text = textwrap.dedent(inspect.getsource(made_of))
        body: Any = ast.parse(text).body[0]
        text = "\n".join(text.splitlines()[body.lineno - 1 :])
    except (OSError, TypeError, SyntaxError):  # typed at a prompt
        code = getattr(made_of, "__code__", None)
        text = repr((code.co_code, code.co_consts, code.co_names)) if code else repr(made_of)
    return hashlib.sha256(text.encode()).hexdigest()
