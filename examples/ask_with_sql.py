"""Asks a curated folder questions: python examples/ask_with_sql.py out/mine

Every station's numbers are columns of one view, `clips_full`; the answers are pandas or Arrow.
"""

from __future__ import annotations

import sys

import qamdt

QUESTIONS = {
    "levels, loudness and how well captions fit": """
        select quality_level, count(*) as clips, round(avg(loudness_lufs), 1) as lufs,
               round(avg(sim_final), 2) as similarity
        from clips_full group by 1 order by 1""",
    "the worst clips by p-MOS": """
        select path, start_s, round(pmos, 2) as pmos, drop_reasons
        from clips_full where pmos is not null order by pmos limit 5""",
    "where captions come from": """
        select caption_from, caption_reason, count(*) as clips
        from captions group by all order by clips desc""",
}


def main(folder: str) -> None:
    ds = qamdt.Dataset(folder)
    for title, query in QUESTIONS.items():
        print(f"\n{title}")
        ds.sql(query).show()
    spread = ds.sql("select pmos, bandwidth_hz from clips_full where pmos is not null").df()
    print(
        f"\np-MOS and bandwidth of {len(spread)} clips: correlation {spread.corr().iloc[0, 1]:.2f}"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
