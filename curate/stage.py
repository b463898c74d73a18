"""The listener contract: what the author of a station that hears audio writes.

`hear(sounds)` gives one answer per sound, in order, and an answer is either the table's own columns
or the exception that kept it from one. A listener knows nothing of Ray, files, retries or progress;
the runner does (`schemas/job.py` is the contract between them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..audio.sound import Sound

Answer = Mapping[str, Any] | Exception


class Listener(Protocol):
    """A stage that hears audio.

    writes: the row class of its table. version: raised whenever the same input gives other
    numbers. model_id, weights: "" where there is no model.
    """

    writes: type
    version: int

    @property
    def model_id(self) -> str: ...

    @property
    def weights(self) -> str: ...

    def open(self) -> None:
        """Load what is needed; called once in each worker."""

    def hear(self, sounds: Sequence[Sound]) -> Sequence[Answer]:
        """One answer per sound, same order. An answer must not depend on the other sounds."""
