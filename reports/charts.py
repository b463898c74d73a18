"""Charts of reports: inline SVG, coloured by the page's style sheet, so light and dark both fit.

Every bar carries its numbers as a tooltip; nothing is fetched and no script runs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

WIDTH, HEIGHT = 720, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 34, 30  # margins around the plot


def histogram(
    low: float,
    high: float,
    series: Sequence[tuple[str, Sequence[int]]],
    lines: Sequence[tuple[float, str]] = (),
    unit: str = "",
) -> Markup:
    """Bars over low..high, one set per series, drawn over one another, and named vertical lines.

    series: (name of a style class, counts of equal bins). lines: (place, label).
    """
    top = max((max(counts, default=0) for _, counts in series), default=0) or 1
    marks = _count_ticks(top)
    top = max(top, marks[-1])

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(count: float) -> float:
        return HEIGHT - BOTTOM - count / top * (HEIGHT - TOP - BOTTOM)

    parts = [_grid(y(mark), f"{mark:,}") for mark in marks]
    for name, counts in series:
        width = (high - low) / len(counts)
        for i, count in enumerate(counts):
            if count:
                a, b = low + i * width, low + (i + 1) * width
                said = f"{name} {a:.3f} to {b:.3f} {unit}: {count}"
                parts.append(
                    f'<rect class="{escape(name)}" x="{x(a) + 0.5:.1f}" y="{y(count):.1f}"'
                    f' width="{x(b) - x(a) - 1:.1f}" height="{HEIGHT - BOTTOM - y(count):.1f}">'
                    f"<title>{escape(said)}</title></rect>"
                )
    parts += [_text(x(v), HEIGHT - 10, f"{v:g}", "middle") for v in _ticks(low, high)]
    for n, (value, label) in enumerate(sorted(lines)):
        if low <= value <= high:
            up = TOP - 6 if n % 2 else TOP - 19  # neighbours' labels on two lines
            parts.append(
                f'<line class="mark" x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{up + 4}"'
                f' y2="{HEIGHT - BOTTOM}"/>' + _text(x(value), up, label, "middle")
            )
    return _svg(parts)


def _svg(parts: Sequence[str]) -> Markup:
    body = "".join(parts)
    return Markup(  # every text in `parts` is escaped
        f'<div class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">{body}</svg></div>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _grid(y: float, label: str) -> str:
    line = f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    return line + _text(LEFT - 6, y + 4, label, "end")


def _step(span: float, parts: int) -> float:
    """A step of 1, 2 or 5 times a power of ten that cuts `span` into about `parts`."""
    rough = span / parts
    power = 10 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)


def _ticks(low: float, high: float) -> list[float]:
    step = _step(high - low, 8)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 9) for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _count_ticks(top: int) -> list[int]:
    step = max(1, round(_step(top, 5)))
    return list(range(0, top + step, step))
