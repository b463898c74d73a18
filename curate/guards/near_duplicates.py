"""Near-duplicates across the set: merged texts that came of many different originals.

A language model that is out of its depth answers many prompts with the same sentence. Each such text
may pass every other guard; only the set shows it. Compared are stored embeddings, with a fixed sample
of the set's merged texts where there are very many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import duckdb
import numpy as np

from ..captions.merge import REQUESTS

SAMPLE = 4096
BLOCK = 512

_MERGED = f"""
SELECT DISTINCT q.original, x.text, o.embedding AS original_vector, t.embedding AS vector
FROM (SELECT DISTINCT request, original FROM ({REQUESTS})) q
JOIN answers a ON a.request = q.request AND a.status = 'ok',
LATERAL (SELECT unnest(a.captions) AS text) x
JOIN texts t ON t.text = x.text JOIN texts o ON o.text = q.original
ORDER BY md5(x.text), x.text, q.original
"""  # noqa: S608 - our own text


def near_duplicates(
    con: duckdb.DuckDBPyConnection, params: Mapping[str, Any], alike: float
) -> dict[tuple[str, str], int]:
    """(original, merged text) -> how many other originals have a merged text like it.

    alike: cosine from which two texts are; originals that are alike themselves do not count.
    """
    rows = con.execute(_MERGED, dict(params)).fetchall()
    if not rows:
        return {}
    merged = np.array([row[3] for row in rows], np.float32)
    originals = np.array([row[2] for row in rows], np.float32)
    names, whose = np.unique([row[0] for row in rows[:SAMPLE]], return_inverse=True)
    one_hot = np.eye(len(names), dtype=bool)[whose]
    duplicates: dict[tuple[str, str], int] = {}
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        near = merged[part] @ merged[:SAMPLE].T >= alike
        near &= originals[part] @ originals[:SAMPLE].T < alike
        counts = (near.astype(np.float32) @ one_hot.astype(np.float32) > 0).sum(1)
        for row, count in zip(rows[part], counts, strict=True):
            duplicates[row[0], row[1]] = int(count)
    return duplicates
