"""What all reports share: one HTML file that needs nothing else, its style sheet, how it is written.

A page has no script and fetches nothing: charts are inline SVG (`charts.py`), sounds data URIs
(`playable.py`). Every value is escaped; a name that a template uses and nobody gave is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from ..pipeline.dataset import write_atomically

# Colours follow the reader's light or dark setting; charts take theirs from here too.
STYLE = """\
:root { color-scheme: light dark; --ground: #fbfbf9; --panel: #fff; --ink: #1d2330; --soft: #626a78;
  --rule: #e3e4e0; --good: #1f7a6d; --bad: #b5532a; --faint: #a9b0ba; --mark: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171c; --panel: #1b1f26; --ink: #e6e8ec;
  --soft: #9aa3b0; --rule: #2d333d; --good: #4bb3a2; --bad: #e08a5f; --faint: #5d6675;
  --mark: #e2b65a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 4rem; max-width: 64rem; background: var(--ground);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.8rem 0 .6rem; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.soft, th, dt { color: var(--soft); }
.bad { color: var(--bad); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid var(--rule);
  vertical-align: top; }
th { font-weight: 500; font-size: .82rem; }
td.n, th.n { text-align: right; white-space: nowrap; }
td.path, .path { overflow-wrap: anywhere; }
.chart { overflow-x: auto; background: var(--panel); border: 1px solid var(--rule);
  border-radius: 8px; padding: .6rem; }
svg { display: block; width: 100%; min-width: 34rem; height: auto; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
svg .grid { stroke: var(--rule); } svg .mark { stroke: var(--mark); stroke-dasharray: 4 3; }
svg .clips { fill: var(--good); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .75rem; }
.clip { background: var(--panel); border: 1px solid var(--rule); border-radius: 8px; padding: .8rem; }
audio { width: 100%; height: 2.2rem; margin: .5rem 0; }
details { margin: .5rem 0; } summary { cursor: pointer; }
code { font-size: .85em; overflow-wrap: anywhere; }
"""


def render_page(
    template: Path, values: Mapping[str, Any], filters: Mapping[str, Callable[..., Any]]
) -> str:
    """The page of a jinja template; `{{ style }}` in it is `STYLE`.

    values: by the name under which the template uses them. filters: functions it applies by `|`.
    Raises jinja2.UndefinedError for a name that is not given.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(template.parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(template.name).render(style=Markup(STYLE), **values)


def write_page(path: Path, html: str) -> Path:
    """Write a page atomically, as UTF-8; what cannot be encoded (bytes of file names) becomes `?`."""
    write_atomically(path, html.encode("utf-8", "replace"))
    return path
