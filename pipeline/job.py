"""The job contract: what a runner needs of the work it runs.

A Job streams its plan as units (the smallest thing that is computed and committed together), opens
its models once per worker, and maps units to rows. Units are made from the plan alone, never from
what happens to be pending, so that an interrupted run and an uninterrupted one compute the same
batches and, to the bit, the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ..schemas.arrow import declaration_of, name_of, row_class
from .dataset import Dataset, fingerprint


@dataclass(frozen=True)
class Output:
    """A table that a job writes, and the state of it."""

    cls: type
    fingerprint: str
    about: Mapping[str, Any]

    @property
    def table(self) -> str:
        return name_of(self.cls)

    def __reduce__(self) -> tuple[Any, ...]:
        """A plug-in's row class is made at run time: pickled is what it is made of."""
        made_of = declaration_of(self.cls).made_of
        return _unpickled, (made_of or self.cls, self.fingerprint, dict(self.about))


def _unpickled(cls: Any, fingerprint: str, about: Mapping[str, Any]) -> Output:
    return Output(row_class(*cls) if isinstance(cls, tuple) else cls, fingerprint, about)


@dataclass(frozen=True)
class Unit:
    """Rows that are computed and committed together.

    rows: plain dicts with at least `clip_id` (or `path`, for ingest).
    """

    rows: tuple[dict[str, Any], ...]


class Job(Protocol):
    """What a runner runs. It is pickled to workers: hold settings, load in `open`.

    outputs: the tables it writes, in the order in which a unit's rows must be committed.
    """

    name: str
    outputs: tuple[Output, ...]

    def total(self) -> int:
        """Rows planned and not yet committed."""

    def units(self) -> Iterator[Unit]:
        """The pending plan, streamed."""

    def open(self) -> None: ...

    def run(self, units: Sequence[Unit]) -> dict[type, list[Any]]:
        """Rows for each output class. Raises only what should stop the whole run."""

    def give_up(self, unit: Unit, error: Exception) -> dict[type, list[Any]]:
        """Error rows for a unit whose worker died."""


def output(
    dataset: Dataset,
    cls: type,
    version: int,
    params: Mapping[str, Any],
    reads: Iterable[str],
    model_id: str = "",
    weights: str = "",
) -> Output:
    """The state of the table `cls` for these settings and for what the tables it reads are now."""
    parents = {t: state.fingerprint for t in reads if (state := dataset.current(t))}
    digest, about = fingerprint(name_of(cls), version, params, parents, model_id, weights)
    return Output(cls, digest, about)


def error_columns(error: Exception) -> dict[str, Any]:
    """The status columns of a row that could not be made."""
    return {
        "status": "error",
        "error_type": type(error).__name__,
        "error_message": str(error) or repr(error),
    }
