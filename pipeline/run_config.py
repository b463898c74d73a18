"""Where the work of a station runs: a section of every wing's configuration.

It stands apart from the runner, so that a configuration is read without Arrow or Ray.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..schemas.settings import at_least, setting


@dataclass(frozen=True)
class RunConfig:
    """Where the work runs. Nothing here changes a result, but for the last bits with `threads`."""

    workers: int = setting(0, "Ray actors; 0 runs in this process")
    threads: int = setting(1, "threads a worker computes with")
    ray_address: str | None = setting(None, "join this Ray cluster instead of a local one")

    def __post_init__(self) -> None:
        at_least("workers", self.workers, 0)
        at_least("threads", self.threads, 1)
