"""The comparison of several results as a table in markdown, LaTeX or HTML.

A column is one metric under one protocol against one reference; results that differ in them are
refused; with `mix`, each value says which protocol it is of. Published rows
(`benchmarks/published.toml`, or a file of your own) are always of other protocols.
"""

from __future__ import annotations

import html
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...schemas.errors import ConfigError
from ..run.results import HIGHER, LOWER, Measurement, Results
from .compare import check_alike

PUBLISHED = Path(__file__).parent / "published.toml"
COLUMNS = {"fad": LOWER, "kad": LOWER, "kl": LOWER, "is": HIGHER, "clap": HIGHER, "pmos": HIGHER}
TITLES = {"fad": "FAD", "kad": "KAD", "kl": "KL", "is": "IS", "clap": "CLAP", "pmos": "p-MOS"}
VALUES = ("fad", "kl", "is", "clap")  # what a published row may hold


@dataclass(frozen=True)
class Row:
    """One system: its values by metric, each as (text, value), and where they come from."""

    system: str
    cells: dict[str, tuple[str, float]]
    source: str


@dataclass(frozen=True)
class Table:
    """rows: in the order given. columns: metrics that some row has. notes: what stands below."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


def build_table(
    results: Sequence[Results], published: str | None = None, file: Path = PUBLISHED, mix: bool = False
) -> Table:  # fmt: skip
    """The table of results, and of published rows of one test set.

    Raises ConfigError where protocols or references differ and `mix` is not given.
    """
    if not mix:
        for other in results[1:]:
            for number in results[0].numbers:
                if number.name in {n.name for n in other.numbers}:
                    check_alike(number.name, results[0], other)
        if published is not None and results:
            raise ConfigError(
                f"published rows of {published} are of other protocols than {results[0].protocol}: "
                "their numbers are not comparable; give --mix to print them beside each other"
            )
    rows = [_row(one, mix) for one in results]
    if published is not None:
        rows += published_rows(file, published)
    names = list(dict.fromkeys(name for row in rows for name in row.cells))
    columns = sorted(names, key=lambda n: (list(COLUMNS).index(n.partition("@")[0]), n))
    return Table(tuple(columns), tuple(rows), tuple(_notes(results, published, mix)))


def _row(results: Results, mix: bool) -> Row:
    cells = {n.name: (_shown(n) + (f" ({n.protocol_id})" if mix else ""), n.value)
             for n in results.numbers}  # fmt: skip
    return Row(results.system, cells, f"{results.protocol}, n = {results.generated['readable']}")


def _shown(number: Measurement) -> str:
    """The value with its interval; of FAD, the unbiased value before the interval."""
    text = _digits(number.value)
    if number.low is None or number.high is None:
        return text
    between = f"{_digits(number.low)}, {_digits(number.high)}"
    if number.unbiased is not None:
        return f"{text} (unbiased {_digits(number.unbiased)} [{between}])"
    return f"{text} [{between}]"


def _digits(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else f"{value:.1f}"


def _notes(results: Sequence[Results], published: str | None, mix: bool) -> list[str]:
    notes = []
    for number in results[0].numbers if results and not mix else []:
        sizes = number.detail
        rows = f", {sizes['rows']} rows of {sizes['dim']} dimensions" if "dim" in sizes else ""
        kinds = ("embedder", "classifier", "model")
        model = next((m for k in kinds if (m := number.protocol.get(k))), None)
        notes.append(
            f"{_title(number.name)}: {model}, protocol {number.protocol_id}, n = {number.n}{rows}"
        )
    if results:
        notes.append("brackets: 95% intervals over clips; of FAD, for the value without bias of n")
    if mix:
        notes.append("PROTOCOLS ARE MIXED: numbers of different protocols are not comparable")
    if published is not None:
        notes.append(
            f"published rows of {published}: as their sources give them, not measured here"
        )
    return notes


def published_rows(file: Path, of: str) -> list[Row]:
    """The published rows of one test set. Raises ConfigError for a file or set that is not there."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))["row"]
        rows = [row for row in content if row["set"] == of]
        published = [
            Row(
                row["model"],
                {n: (f"{row[n]:g} ({row['protocol']})", float(row[n])) for n in VALUES if n in row},
                f"published: {row['source']}",
            )
            for row in rows
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{file} cannot be used as published rows: {error!r}") from error
    if not published:
        sets = sorted({row["set"] for row in content})
        raise ConfigError(f"{file} has no rows of {of!r}; it has {', '.join(sets)}")
    return published


def _title(name: str) -> str:
    kind, at, ref = name.partition("@")
    return TITLES[kind] + (f" {ref}" if at else "")


def _headings(
    table: Table, arrows: tuple[str, str], plain: Callable[[str], str] = str
) -> list[str]:
    marks = {LOWER: arrows[0], HIGHER: arrows[1]}
    return [f"{plain(_title(c))} {marks[COLUMNS[c.partition('@')[0]]]}" for c in table.columns]


def _best(table: Table) -> dict[str, float]:
    """The best value of each column, where more than one row has one."""
    best = {}
    for column in table.columns:
        values = [row.cells[column][1] for row in table.rows if column in row.cells]
        if len(values) > 1:
            lower = COLUMNS[column.partition("@")[0]] == LOWER
            best[column] = min(values) if lower else max(values)
    return best


def _lines(
    table: Table, bold: Callable[[str], str], plain: Callable[[str], str]
) -> list[list[str]]:
    best = _best(table)
    lines = []
    for row in table.rows:
        cells = [plain(row.system)]
        for column in table.columns:
            text, value = row.cells.get(column, ("–", None))
            cells.append(
                bold(plain(text))
                if value is not None and value == best.get(column)
                else plain(text)
            )
        lines.append([*cells, plain(row.source)])
    return lines


def markdown(table: Table) -> str:
    """A pipe table; the best of a column in bold."""
    heads = ["system", *_headings(table, ("↓", "↑")), "from"]
    lines = _lines(table, lambda t: f"**{t}**", lambda t: t.replace("|", "\\|").replace("\n", " "))
    rows = [heads, ["---"] * len(heads), *lines]
    body = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    return body + "\n\n" + "\n".join(f"- {note}" for note in table.notes) + "\n"


def latex(table: Table) -> str:
    """A tabular for booktabs; the best of a column in bold."""
    heads = ["system", *_headings(table, (r"$\downarrow$", r"$\uparrow$"), _tex), "from"]
    lines = _lines(table, lambda t: rf"\textbf{{{t}}}", _tex)
    body = "\n".join(" & ".join(row) + r" \\" for row in lines)
    notes = "\n".join(f"% {note}" for note in table.notes)
    return (
        f"{notes}\n\\begin{{tabular}}{{l{'c' * len(table.columns)}l}}\n\\toprule\n"
        + " & ".join(heads)
        + f" \\\\\n\\midrule\n{body}\n\\bottomrule\n\\end{{tabular}}\n"
    )


def _tex(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}",
        "–": "--",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def html_table(table: Table) -> str:
    """A <table>; the best of a column in bold."""
    heads = ["system", *_headings(table, ("↓", "↑")), "from"]
    top = "".join(f"<th>{html.escape(h)}</th>" for h in heads)
    lines = _lines(table, lambda t: f"<b>{t}</b>", html.escape)
    body = "\n".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in lines)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in table.notes)
    return f"<table>\n<tr>{top}</tr>\n{body}\n</table>\n<ul>{notes}</ul>\n"


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": markdown,
    "latex": latex,
    "html": html_table,
}
