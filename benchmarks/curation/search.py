"""How long a search takes: a synthetic dataset of many clips, one query in a process of its own.

    python -m qamdt.benchmarks.curation.search [--clips 1000000] [--dim 228]

search_s        seconds from the query's vector to the ten nearest clips
search_mb       peak memory of the process
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import typer

from ...curate.search import search
from ...models.clap.vectors import unit_rows
from ...pipeline.dataset import Dataset
from ...pipeline.job import output
from ...schemas.arrow import keys_of, schema_of
from ...schemas.tables import Clap, Clip, File
from ..figures import Figures, figure, show_figures

COMMAND = "python -m qamdt.benchmarks.curation.search"
CLIPS, DIM, A_FILE, A_PART = 1_000_000, 228, 20, 50_000


def measure_search(work: Path, clips: int = CLIPS, dim: int = DIM) -> Figures:
    """Make the set in `work`, search it from a new process."""
    make_set(Dataset(work / "data"), clips, dim)
    command = [
        sys.executable,
        "-m",
        "qamdt.benchmarks.curation.search",
        "--query-in",
        str(work / "data"),
    ]
    output = subprocess.run(
        [*command, "--dim", str(dim)], check=True, capture_output=True, text=True
    ).stdout
    seconds, peak = map(float, output.split())
    unit = f"{dim} dimensions, exact"
    return {
        "search_s": figure(seconds, clips, f"s, {unit}", COMMAND),
        "search_mb": figure(peak, clips, f"MB, peak of the process, {unit}", COMMAND),
    }


def make_set(dataset: Dataset, clips: int, dim: int) -> None:
    """Tables files, clips and clap as the stations leave them, with random unit vectors."""
    rng = np.random.default_rng(0)
    outputs = []
    for cls, reads in ((File, []), (Clip, ["files"]), (Clap, ["clips"])):
        outputs.append(output(dataset, cls, 1, {}, reads))
        dataset.adopt(outputs[-1].table, outputs[-1].fingerprint, outputs[-1].about)
    for first in range(0, clips, A_PART):
        n = min(A_PART, clips - first)
        ids = [f"{number:020x}" for number in range(first, first + n)]
        paths = [f"/music/{number // A_FILE:08}.flac" for number in range(first, first + n)]
        times = [10.24 * (number % A_FILE) for number in range(n)]
        vectors = unit_rows(rng.standard_normal((n, dim), dtype=np.float32)).astype(np.float16)
        ends = pa.array(np.arange(0, n * dim + 1, dim, dtype=np.int32))
        of_rows: dict[str, Any] = {
            "embedding": pa.ListArray.from_arrays(ends, pa.array(vectors.ravel()))
        }
        of_rows |= {"clip_id": ids, "model_id": ["toy"] * n, "weights": ["0"] * n}
        of_clips: dict[str, Any] = {
            "clip_id": ids,
            "path": paths,
            "start_s": times,
            "window_index": [0] * n,
        }
        of_clips |= {"duration_s": [10.24] * n, "scan": [1] * n, "file_sha256": ["0"] * n}
        of_files: dict[str, Any] = {
            "path": paths[::A_FILE],
            "root": ["/music"] * len(paths[::A_FILE]),
        }
        of_files |= {"scan": [1] * len(paths[::A_FILE])}
        for out, columns in zip(outputs, (of_files, of_clips, of_rows), strict=True):
            rows = _table(out.cls, columns)
            dataset.commit_arrow(out.table, out.fingerprint, rows, keys=keys_of(out.cls))


def _table(cls: type, columns: dict[str, Any]) -> pa.Table:
    """The columns given, with status ok; the others null."""
    schema = schema_of(cls)
    n = len(columns["path" if "path" in columns else "clip_id"])
    filled = {"status": ["ok"] * n} | columns
    return pa.Table.from_arrays(
        [
            pa.array(filled[f.name], f.type) if f.name in filled else pa.nulls(n, f.type)
            for f in schema
        ],
        schema=schema,
    )


def main(
    clips: Annotated[int, typer.Option(help="clips of the synthetic set")] = CLIPS,
    dim: Annotated[int, typer.Option(help="dimensions of an embedding")] = DIM,
    query_in: Annotated[Path | None, typer.Option(hidden=True)] = None,
) -> None:
    """Measure and print."""
    if query_in:
        query = np.random.default_rng(1).standard_normal(dim)
        start = time.monotonic()
        search(Dataset(query_in), query)
        print(time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    with tempfile.TemporaryDirectory(prefix="qamdt-search-") as work:
        show_figures(measure_search(Path(work), clips, dim))


if __name__ == "__main__":
    typer.run(main)
