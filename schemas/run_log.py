"""The log file of a command: what was called with which settings, every line it printed, how it ended.

    with command_log(folder / "logs", "score", sys.argv):
        ...

writes `logs/qamdt-score-20250131-235959.log`: all that goes to Python's logger "qamdt", to standard
output, and to standard error where that is no terminal (progress bars are not for a file), and the
traceback of an unexpected exception. A call that is refused before it began leaves no file.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

from .errors import QamdtError
from .version import __version__

if TYPE_CHECKING:
    import logging

LOGGER = "qamdt"
HEAD = {"head": True}  # marks records that wait until something happens
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def note(line: str) -> None:
    """Print a line on standard error."""
    print(line, file=sys.stderr, flush=True)


def log_config(toml: str) -> None:
    """Put the settings of a call into its log."""
    import logging

    logging.getLogger(LOGGER).info("configuration:\n%s", toml.rstrip(), extra=HEAD)


def log_started() -> None:
    """Begin the log's file: the command has found what it needs and works from here on."""
    import logging

    logging.getLogger(LOGGER).info("started")


@contextlib.contextmanager
def command_log(folder: Path | None, name: str, argv: Sequence[str]) -> Iterator[None]:
    """Log what happens inside to a file in `folder`.

    folder: None keeps the lines until an unexpected exception, whose log goes to the folder of
    temporary files. While the parent of `folder` is not there, the lines wait.
    The exception itself is passed on; its attribute `log_path` says where its traceback is.
    """
    import logging

    logger, handler = logging.getLogger(LOGGER), _handler(folder, name)
    level, propagate = logger.level, logger.propagate
    logger.setLevel(logging.INFO)
    logger.propagate = False  # what the root logger prints comes back here by standard error
    logger.addHandler(handler)
    logger.info(
        "qamdt %s, Python %s, process %d in %s\ncommand: %s",
        __version__, sys.version.split()[0], os.getpid(), Path.cwd(), _quoted(argv), extra=HEAD,
    )  # fmt: skip
    try:
        with _copied_to(logger):
            yield
    except QamdtError as error:
        logger.error("%s: %s", type(error).__name__, error, extra=HEAD)
        raise
    except Exception as error:
        logger.exception("unexpected %s", type(error).__name__)
        error.log_path = handler.write_out()  # type: ignore[attr-defined]
        raise
    except BaseException as error:  # KeyboardInterrupt, SystemExit
        logger.info("ended by %s %s", type(error).__name__, error)
        raise
    else:
        logger.info("done")
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        logger.propagate = propagate
        handler.close()


def _quoted(argv: Sequence[str]) -> str:
    import shlex

    return shlex.join(argv)


def _handler(folder: Path | None, name: str) -> Any:
    import logging

    class FolderHandler(logging.Handler):
        """Writes into a file of `folder` from the first record that is no head."""

        def __init__(self) -> None:
            super().__init__()
            self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            self._waiting: list[str] = []
            self._file: TextIO | None = None

        def emit(self, record: logging.LogRecord) -> None:
            self._waiting.append(self.format(record) + "\n")
            head = getattr(record, "head", False)
            if self._file or (not head and folder and folder.parent.is_dir()):
                self._write(folder)

        def write_out(self) -> Path:
            """The file's path; what waits is written, if need be to a temporary folder."""
            if not self._file:
                self._write(None)
            return Path(cast(TextIO, self._file).name)

        def _write(self, into: Path | None) -> None:
            if not self._file:
                self._file = open_log(into, name)
            self._file.writelines(self._waiting)
            self._file.flush()
            self._waiting.clear()

        def close(self) -> None:
            if self._file:
                self._file.close()
            super().close()

    return FolderHandler()


def open_log(folder: Path | None, name: str) -> TextIO:
    """A new file in `folder`; in the folder of temporary files for None, or where it cannot be."""
    import tempfile

    stem = f"qamdt-{name.replace(' ', '-')}-{time.strftime('%Y%m%d-%H%M%S')}"
    for place in (folder, Path(tempfile.gettempdir())):
        if place is None:
            continue
        with contextlib.suppress(OSError):
            place.mkdir(parents=True, exist_ok=True)
            for end in ("", f"-{os.getpid()}", f"-{os.getpid()}-{time.monotonic_ns()}"):
                with contextlib.suppress(FileExistsError):
                    return open(place / f"{stem}{end}.log", "x", encoding="utf-8")
    return open(os.devnull, "w", encoding="utf-8")


class _Tee:
    """A text stream that also gives every finished line to a logger."""

    def __init__(self, stream: TextIO, logger: logging.Logger) -> None:
        self._stream, self._logger, self._line = stream, logger, ""

    def write(self, text: str) -> int:
        count = self._stream.write(text)
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._logger.info(_ANSI.sub("", line))
        return count

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _copied_to(logger: logging.Logger) -> Iterator[None]:
    out, err = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _Tee(out, logger))
    if not err.isatty():
        sys.stderr = cast(TextIO, _Tee(err, logger))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err
