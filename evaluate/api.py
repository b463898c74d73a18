"""Evaluation from a program: `evaluate` measures a set, `compare` tests two systems.

ours = evaluate("generated/", reference="music/")
ours.df()
compare(ours, "results/theirs").df()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schemas.settings import configured
from .config import Config, from_toml

if TYPE_CHECKING:
    from .run.results import Results
    from .show.compare import MetricComparison


@dataclass(frozen=True)
class Evaluation:
    """Results of one system. results: all of it; folder: where it was written, if it was."""

    results: Results
    folder: Path | None = None

    def __getitem__(self, metric: str) -> float:
        """The value of a metric: `ours["fad"]`. Raises KeyError."""
        try:
            return self.results.number(metric).value
        except StopIteration:
            names = ", ".join(n.name for n in self.results.numbers)
            raise KeyError(f"{metric!r}: measured were {names}") from None

    def df(self) -> Any:
        """A pandas row a metric: name, value, low, high, n, better, protocol_id."""
        import pandas as pd

        names = ("name", "value", "low", "high", "n", "better", "protocol_id")
        return pd.DataFrame([{k: getattr(m, k) for k in names} for m in self.results.numbers])

    def clips(self) -> Any:
        """A pandas row a generated clip."""
        import pandas as pd

        return pd.DataFrame(list(self.results.clips))

    def __repr__(self) -> str:
        numbers = ", ".join(f"{m.name} {m.value:.4g}" for m in self.results.numbers)
        return f"Evaluation({self.results.system}: {numbers})"

    def _repr_html_(self) -> str:
        html: str = self.df().to_html(index=False)
        return html


@dataclass(frozen=True)
class Comparison:
    """Tests of B against A, one a metric; see `MetricComparison`."""

    a: str
    b: str
    tests: tuple[MetricComparison, ...]

    def df(self) -> Any:
        """A pandas row a metric."""
        import pandas as pd

        return pd.DataFrame([asdict(t) for t in self.tests])

    def __iter__(self) -> Iterator[MetricComparison]:
        return iter(self.tests)

    def _repr_html_(self) -> str:
        html: str = self.df().to_html(index=False)
        return html


def evaluate(
    generated: str | Path,
    reference: str | Path | None = None,
    captions: str | Path | None = None,
    out: str | Path | None = None,
    config: Config | str | Path | None = None,
    *,
    system: str | None = None,
    limit: int | None = None,
    progress: bool = False,
    log: Callable[[str], None] | None = None,
    plugins: Sequence[str | Path] = (),
    **settings: Any,
) -> Evaluation:
    """Measure a set of generated clips.

    generated, reference: a folder, shards, a manifest or a list; the reference also statistics
    (.npz). captions: a prompt file. out: a folder for results.json, clips.jsonl and report.html.
    system: the name in tables, by default the folder's. settings: by name (`metrics=("kad",)`) or
    by section. Raises ConfigError; a metric that cannot be made is in `results.absent`.
    """
    from .run.evaluator import evaluate as measure
    from .run.inputs_and_features import Call
    from .run.results import write_results
    from .show.report import write_report

    if plugins:
        from ..schemas.plugins import load

        load([Path(p) for p in plugins])
    base = config if isinstance(config, Config) else Config()
    if isinstance(config, str | Path):
        base = from_toml(Path(config), base)
    call = Call(limit=limit, quiet=not progress, log=log or (print if progress else _silent))
    results = measure(
        Path(generated), _path(reference), _path(captions), configured(base, settings), call, system
    )
    if out is not None:
        write_results(Path(out), results)
        write_report(Path(out), results)
    return Evaluation(results, _path(out))


def compare(a: Evaluation | str | Path, b: Evaluation | str | Path) -> Comparison:
    """Test system B against system A on the clips that both have, corrected over metrics (Holm).

    a, b: evaluations, or folders that hold one. Raises ConfigError where they were not measured
    alike or share too little.
    """
    from .show.compare import compare as test

    one, other = _results(a), _results(b)
    return Comparison(one.system, other.system, tuple(test(one, other)))


def _results(given: Evaluation | str | Path) -> Results:
    from .run.results import read_results

    return given.results if isinstance(given, Evaluation) else read_results(Path(given))


def _path(given: str | Path | None) -> Path | None:
    return None if given is None else Path(given)


def _silent(line: str) -> None:
    """Takes a line and says nothing."""
