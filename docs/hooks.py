"""What mkdocs does beside reading docs/: pages of the repository's root, and generated parts.

A line `<!-- generated: commands -->` (or `figures`, `api`) becomes what `gen_cli`, `gen_figures` or
`gen_api` write. Links that leave docs/ are turned to the pages that are made of those files.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gen_api
import gen_cli
import gen_figures
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
WRITERS = {"commands": gen_cli.markdown, "figures": gen_figures.markdown, "api": gen_api.markdown}
MARK = re.compile(r"^<!-- generated: (\w+) -->$", re.M)
PAGES = {  # file of the repository -> page of the site
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    **{
        f"models/weights/{path.name}": f"cards/{path.name}"
        for path in sorted((ROOT / "models" / "weights").iterdir())
        if path.suffix in (".md", ".svg")
    },
}


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that stand outside of docs/."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill in the generated parts, and turn links to the site's pages."""
    text = MARK.sub(lambda mark: WRITERS[mark[1]](), markdown)
    if page.file.src_uri in ("architecture.md", "changelog.md", "contributing.md"):
        text = text.replace("](docs/", "](")
        for source, target in PAGES.items():
            text = text.replace(f"]({source}", f"]({target}")
    for source, target in PAGES.items():
        text = text.replace(f"](../{source}", f"]({target}")
    return text
