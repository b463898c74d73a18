"""Curates a folder of music: python examples/curate_folder.py music out/mine

Prints how many clips were kept and why the others were not, and writes shards and a report.
"""

from __future__ import annotations

import argparse

import qamdt


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", help="folder of music, or a manifest")
    parser.add_argument("out", help="dataset folder; made, or gone on with")
    parser.add_argument("--min-pmos", type=float, default=1.5)
    given = parser.parse_args()

    ds = qamdt.curate(given.source, given.out, filter={"min_pmos": given.min_pmos})
    ds.sql("select count(*) as clips, count(*) filter (kept) as kept from clips_full").show()
    ds.sql(
        "select reason, count(*) as clips from"
        " (select unnest(drop_reasons) as reason from decisions) group by 1 order by 2 desc"
    ).show()
    print(f"open {ds.root / 'report.html'}")


if __name__ == "__main__":
    main()
