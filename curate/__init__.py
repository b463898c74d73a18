"""Curation: ingest, score, quantize, caption, refine, filter, export, report.

The package can be called: `qamdt.curate("music/", "out/mine")` is `curate.api.curate`.
"""

from ..schemas.callable_package import make_callable

make_callable(__name__, "api", "curate")
