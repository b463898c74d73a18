"""What the commands print: results and comparisons, on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ..run.results import Results
from .compare import MetricComparison


def show_results(results: Results, out: Path) -> None:
    """Numbers with intervals, and what was wrong."""
    console = Console()
    table = Table("metric", "value", "unbiased", "95% interval", "n", "protocol", box=None)
    for n in results.numbers:
        between = "–" if n.low is None or n.high is None else f"{n.low:.4g} to {n.high:.4g}"
        unbiased = "–" if n.unbiased is None else f"{n.unbiased:.4g}"
        table.add_row(n.name, f"{n.value:.4g}", unbiased, between, str(n.n), n.protocol_id)
    console.print(f"{results.system}: {results.generated['clips']} clips, protocol {results.protocol}",
                  highlight=False, markup=False)  # fmt: skip
    console.print(table)
    for n in results.numbers:
        for note in n.notes:
            console.print(f"  {n.name}: {note}", highlight=False, markup=False)
    for a in results.absent:
        console.print(f"  {a.name} is absent: {a.why}", style="red", highlight=False, markup=False)
    for text in results.deviates:
        console.print(f"  deviates: {text}", highlight=False, markup=False)
    counts = (("missing", results.missing), ("extra", results.extra),
              ("unreadable", results.unreadable), ("flagged", results.flagged))  # fmt: skip
    console.print("  " + ", ".join(f"{len(what)} {name}" for name, what in counts), highlight=False)
    console.print(f"  {out / 'report.html'}", highlight=False, markup=False, soft_wrap=True)


def show_comparisons(a: str, b: str, comparisons: Sequence[MetricComparison]) -> None:
    """One line a metric."""
    console = Console()
    table = Table(
        "metric", "A", "B", "B - A", "95% interval", "test", "p", "p (Holm)", "ranks (Holm)", "n",
        "better", box=None,
    )  # fmt: skip
    for c in comparisons:
        between = "–" if c.low is None or c.high is None else f"{c.low:.3g} to {c.high:.3g}"
        ranks = "–" if c.p_wilcoxon_holm is None else f"{c.p_wilcoxon_holm:.3g}"
        table.add_row(
            c.name, f"{c.a:.4g}", f"{c.b:.4g}", f"{c.difference:+.3g}", between, c.test,
            f"{c.p:.3g}", f"{c.p_holm:.3g}", ranks, str(c.n), c.better,
        )  # fmt: skip
    console.print(f"A = {a}, B = {b}", highlight=False, markup=False)
    console.print(table)
